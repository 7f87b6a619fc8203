"""Containers that come in pieces, against what was put into them."""

import contextlib
import random
import threading

import numpy as np
import pytest

from realtime.audio import containers
from realtime.audio.containers import MAX_BAD_PACKETS, PACKED, Undecodable, sniffed, unpacker
from realtime.dialects import deepgram_common
from tests.audio.packed import KINDS, RATE_HZ, opus_packets, packed, tone

LIVE = (
    "webm",
    "ogg",
    "mp4",
    "mp3",
    "aac",
    "amr",
    "wav",
    "wav float",
)  # what browsers, telephones and programs stream


def unpacked(pieces, encoding=None, sample_rate=RATE_HZ, channels=1, mixed=True):
    """bytes of PCM of all pieces, and of the rest."""
    unpack = unpacker(encoding, sample_rate, channels, mixed)
    try:
        return b"".join([pcm for piece in pieces for pcm in unpack.push(piece)] + list(unpack.end()))
    finally:
        unpack.close()


def chopped(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def pitch_hz(samples):
    """Of the loudest part of int16 [n] at 16 kHz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * RATE_HZ / len(samples)


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_put_in_comes_out(kind):
    pcm = np.frombuffer(unpacked([packed(kind, tone(2000, 700))]), "<i2")
    assert abs(len(pcm) - 2 * RATE_HZ) <= 0.13 * RATE_HZ  # codecs pad their last frame, some their first
    assert pitch_hz(pcm[8000:24_000]) == pytest.approx(700, abs=2)
    assert 7000 < np.abs(pcm[8000:24_000].astype(int)).max() < 9500


@pytest.mark.parametrize("kind", KINDS)
def test_any_pieces_are_one_piece(kind):
    data, rng = packed(kind, tone(1500)), random.Random(1)
    whole = unpacked([data])
    assert unpacked(chopped(data, 311)) == whole
    pieces, at = [], 0
    while at < len(data):
        pieces.append(data[at : at + rng.choice([1, 2, 7, 100, 5000])])
        at += len(pieces[-1])
    assert unpacked(pieces) == whole


@pytest.mark.parametrize("kind", LIVE)
def test_pcm_comes_with_the_bytes_and_not_at_the_end(kind):
    data = packed(kind, tone(6000))
    unpack = unpacker(None, 0, 1, True)
    so_far = sum(len(pcm) for piece in chopped(data[: len(data) // 2], 100) for pcm in unpack.push(piece))
    assert so_far / 2 / RATE_HZ > 2.0
    unpack.close()


@pytest.mark.parametrize("kind", LIVE)
def test_a_stream_that_breaks_off_gives_what_came(kind):
    data = packed(kind, tone(3000))
    pcm = unpacked(chopped(data[: len(data) * 2 // 3], 200))
    assert 1.3 < len(pcm) / 2 / RATE_HZ < 2.3


def test_a_file_of_many_kinds_of_ends_is_over_where_it_says():
    """What follows the last sample of a WAV is not audio."""
    data = packed("wav", tone(500))
    assert len(unpacked([data + b"LIST" + bytes(4000)])) == 2 * 8000


def test_two_channels_are_kept_or_mixed():
    data = packed("wav", tone(1000, 500), tone(1000, 900))
    both = np.frombuffer(unpacked([data], mixed=False), "<i2").reshape(-1, 2)
    assert (pitch_hz(both[:, 0]), pitch_hz(both[:, 1])) == (500, 900)
    mono = np.frombuffer(unpacked([data]), "<i2")
    assert len(mono) == len(both)
    assert np.abs(mono - both.mean(axis=1)).max() <= 2


def test_of_one_channel_the_other_is_silent():
    pcm = np.frombuffer(unpacked([packed("wav", tone(1000))], mixed=False), "<i2").reshape(-1, 2)
    assert pcm[:, 0].any() and not pcm[:, 1].any()


@pytest.mark.parametrize("encoding", ["linear16", "linear32", "mulaw", "alaw"])
def test_plain_channels_are_mixed_at_their_rate(encoding):
    rows = np.array([[0.5, -0.5, 0.25], [0.25, 0.5, 0.25]], np.float32)
    data = {
        "linear16": (rows.T * 32768).astype("<i2").tobytes(),
        "linear32": rows.T.astype("<f4").tobytes(),
        "mulaw": bytes([0x8F, 0x9F, 0x0F, 0x8F, 0x9F, 0x9F]),
        "alaw": bytes([0xA5, 0xB5, 0x25, 0xA5, 0xB5, 0xB5]),
    }[encoding]
    pcm = np.frombuffer(unpacked(chopped(data, 3), encoding, 8000, 2), "<i2") / 32767
    assert pcm == pytest.approx([0.375, 0.0, 0.25], abs=0.03)


def test_a_message_is_a_packet_of_opus():
    for rows in ([tone(1000)], [tone(1000), tone(1000)]):
        pcm = np.frombuffer(unpacked(opus_packets(*rows), "opus", 48_000, len(rows)), "<i2")
        assert abs(len(pcm) - RATE_HZ) <= 0.05 * RATE_HZ
        assert pitch_hz(pcm[4000:12_000]) == pytest.approx(440, abs=3)


def test_a_lost_packet_is_passed_over_and_a_wrong_codec_is_told():
    packets = opus_packets(tone(1000))
    assert abs(len(unpacked([*packets, b"\xff", *packets], "opus", 48_000)) / 2 - 2 * RATE_HZ) < 2000
    with pytest.raises(Undecodable, match="no packets of opus"):
        unpacked([b"\xff"] * MAX_BAD_PACKETS, "opus", 48_000)


@pytest.mark.parametrize(
    ("encoding", "kind"),
    [("ogg-opus", "ogg"), ("opus", "ogg"), ("flac", "flac"), ("amr-nb", "amr")],
)
def test_a_codec_may_come_in_its_container(encoding, kind):
    data = packed(kind, tone(1000))
    assert unpacked(chopped(data, 400), encoding) == unpacked([data])


@pytest.mark.parametrize(
    ("encoding", "frame", "samples"),
    [
        ("g729", bytes(10), 160),  # 10 ms
        ("amr-nb", bytes([0x04]) + bytes(12), 320),  # 20 ms at 4.75 kbit/s
        ("amr-wb", bytes([0x04]) + bytes(17), 320),  # 20 ms at 6.6 kbit/s
        ("speex", b"\x2e" + bytes(19) + b"\x07" * 18, 320),  # 20 ms of the narrow band
    ],
)
def test_frames_without_a_container(encoding, frame, samples):
    assert len(unpacked([frame] * 50, encoding, 8000)) / 2 == pytest.approx(50 * samples, abs=samples)


def test_what_is_offered_is_what_the_dialect_takes():
    assert sorted(PACKED) == sorted(deepgram_common.PACKED)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_told_by_their_first_bytes(kind):
    container = KINDS[kind][0]
    name = {"webm": "matroska", "adts": "aac", "mp4": "mov"}.get(container, container)
    assert sniffed(packed(kind, tone(100))[:12]) == name


@pytest.mark.parametrize(
    "head",
    [
        b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n",
        b"ffconcat version 1.0\nfile x\n",
        b"v=0\r\no=- 0 0 IN IP4 1\r\n",
    ],
)
def test_nothing_that_names_other_files_is_known(head):
    with pytest.raises(Undecodable, match="no kind that is known"):
        unpacked([head])


def test_garbage_is_told_at_once_or_at_the_end():
    noise = random.Random(2).randbytes(100_000)
    for head in (b"\x00" * 12, b"OggS", b"fLaC", b"\x1a\x45\xdf\xa3", b"RIFF\x00\x00\x00\x00WAVEfmt "):
        with pytest.raises(Undecodable):
            unpacked(chopped(head + noise, 1000))


def test_broken_streams_are_audio_or_told():
    """Bytes changed and lost anywhere: no fault of another kind, and never one that ends the process."""
    streams = {kind: packed(kind, tone(300)) for kind in KINDS}
    for seed in range(300):
        rng = random.Random(seed)
        data = bytearray(streams[rng.choice(list(streams))])
        for _ in range(rng.choice([1, 5, 50])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        at = rng.randrange(len(data))
        del data[at : at + rng.choice([0, 0, 1, 300])]
        with contextlib.suppress(Undecodable):
            unpacked(chopped(bytes(data), 997))


def test_a_track_of_an_unknown_codec_is_told():
    data = packed("matroska", tone(300)).replace(b"A_PCM/INT/LIT", b"A_XYZ/INT/LIT")
    with pytest.raises(Undecodable, match="codec that is known"):
        unpacked([data])


@pytest.mark.parametrize("rate_hz", [1, 3999, 384_001, 0xFFFFFFFF])
def test_rates_that_make_hours_of_a_few_bytes_are_not_taken(rate_hz):
    data = packed("wav", tone(300))
    with pytest.raises(Undecodable):
        unpacked([data[:24] + rate_hz.to_bytes(4, "little") + data[28:]])


def test_a_picture_has_no_audio_and_few_bytes_are_no_stream():
    with pytest.raises(Undecodable):
        unpacked([b"\x89PNG\r\n\x1a\n" + bytes(100)])
    with pytest.raises(Undecodable, match="ended before"):
        unpacked([b"Ogg"])
    assert unpacked([]) == b""


def test_a_library_that_hangs_is_waited_for_once(monkeypatch):
    hanging, may_end = threading.Event(), threading.Event()

    def hang(pcm, frames):
        hanging.set()
        may_end.wait(30)
        return iter(())

    monkeypatch.setattr(containers, "STUCK_S", 0.05)
    monkeypatch.setattr(containers._Pcm, "of", hang)
    it = unpacker(None, 0, 1, True)
    with pytest.raises(Undecodable, match="too long"):
        list(it.push(packed("ogg", tone(1000))))
    assert hanging.is_set()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "join", lambda *_: pytest.fail("it waits again"))
        it.close()
    may_end.set()
    it._thread._thread.join(30)


def test_nothing_is_decoded_that_nobody_takes():
    data = packed("flac", np.zeros(60 * RATE_HZ, np.int16))  # a minute in a few kilobytes
    unpack = unpacker(None, 0, 1, True)
    first = next(unpack.push(data))
    assert len(first) < 2 * RATE_HZ
    unpack.close()


def test_a_client_may_leave_at_any_time():
    data = packed("webm", tone(1000))
    for n_bytes in (0, 5, 50, 500, len(data)):
        unpack = unpacker(None, 0, 1, True)
        for _ in unpack.push(data[:n_bytes]):
            pass
        unpack.close()
        unpack.close()
