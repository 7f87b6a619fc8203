import asyncio

import numpy as np
import pytest
import soundfile

from client.decimate import Decimator
from client.errors import BadInput
from client.files import FileSource
from client.pacing import NoPace, Pacer


def read_all(source):
    async def read():
        chunks = []
        while (chunk := await source.read()) is not None:
            chunks.append(chunk)
        assert await source.read() is None
        return chunks

    return asyncio.run(read())


def samples(chunks, channels=1):
    return np.frombuffer(b"".join(chunk.data for chunk in chunks), "<i2").reshape(-1, channels)


def loudest_hz(signal, rate):
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal))))
    return np.argmax(spectrum) * rate / len(signal)


@pytest.mark.parametrize(
    ("rate", "sent"), [(8000, 8000), (11025, 11025), (16000, 16000), (44100, 44100), (48000, 48000)]
)
def test_rates_the_server_takes_are_sent_as_they_are(recording, rate, sent):
    source = FileSource(recording(rate=rate), pacer=NoPace())
    signal = samples(read_all(source))[:, 0]
    assert source.sample_rate == sent
    assert len(signal) == rate
    assert loudest_hz(signal, rate) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(("rate", "sent"), [(96000, 48000), (88200, 44100), (192000, 48000)])
def test_higher_rates_are_divided(recording, rate, sent):
    source = FileSource(recording(rate=rate), pacer=NoPace())
    signal = samples(read_all(source))[:, 0]
    assert source.sample_rate == sent
    assert len(signal) == sent
    assert loudest_hz(signal, sent) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("rate", [4000, 60001])
def test_rates_nobody_can_use_are_refused(recording, rate):
    with pytest.raises(BadInput, match=f"{rate} Hz is not supported"):
        FileSource(recording(rate=rate))


@pytest.mark.parametrize("name", ["talk.flac", "talk.ogg", "talk.mp3", "talk.aiff"])
def test_containers(recording, name):
    signal = samples(read_all(FileSource(recording(name, seconds=2), pacer=NoPace())))[:, 0]
    assert len(signal) == pytest.approx(32000, rel=0.1)
    assert loudest_hz(signal[8000:24000], 16000) == pytest.approx(440, abs=2)
    assert np.abs(signal[8000:24000]).max() == pytest.approx(0.5 * 32768, rel=0.1)


def test_float_files_are_scaled_and_clipped(tmp_path):
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.array([0.5, -0.5, 1.5, -1.5], np.float32), 16000, subtype="FLOAT")
    assert samples(read_all(FileSource(path, pacer=NoPace())))[:, 0].tolist() == [
        16384,
        -16384,
        32767,
        -32768,
    ]


def stereo(tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.tile([[0.5, -0.25]], (1000, 1)), 16000)
    return path


def test_stereo_is_mixed_or_kept(tmp_path):
    mixed = samples(read_all(FileSource(stereo(tmp_path), pacer=NoPace())))
    kept = samples(read_all(FileSource(stereo(tmp_path), channels=2, pacer=NoPace())), channels=2)
    assert mixed.tolist() == [[4096]] * 1000
    assert kept.tolist() == [[16384, -8192]] * 1000


def test_two_channels_need_two(recording):
    with pytest.raises(BadInput, match="has 1 channel; --channels 2 needs"):
        FileSource(recording(), channels=2)


def test_chunks_follow_each_other_and_know_their_place(recording):
    chunks = read_all(FileSource(recording(seconds=0.2), pacer=NoPace()))
    assert [(chunk.start_sample, chunk.n_samples) for chunk in chunks] == [
        (0, 1280),
        (1280, 1280),
        (2560, 640),
    ]


def test_a_chunk_waits_until_its_last_sample_was_spoken(recording):
    moments = []

    async def note(seconds):
        moments.append(round(seconds, 4))

    read_all(FileSource(recording(seconds=0.2), pacer=Pacer(clock=lambda: 0.0, sleep=note)))
    assert moments == [0.08, 0.16, 0.2]


def test_a_cancelled_read_loses_nothing(recording):
    async def read():
        blocked = asyncio.Event()
        source = FileSource(recording(), pacer=Pacer(clock=lambda: 0.0, sleep=lambda _: blocked.wait()))
        reading = asyncio.create_task(source.read())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        blocked.set()
        return await source.read()

    assert asyncio.run(read()).start_sample == 0


def test_stop_ends_the_source(recording):
    source = FileSource(recording(), pacer=NoPace())
    source.stop()
    assert read_all(source) == []


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("missing.wav", None, "no such file"),
        ("text.wav", b"this is not audio", "is not audio that can be read"),
        ("empty.wav", b"", "is not audio that can be read"),
        ("noheader.raw", b"\0" * 100, "has no header"),
    ],
)
def test_bad_files_get_one_clear_line(tmp_path, name, content, complaint):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=complaint) as caught:
        FileSource(path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_recording(tmp_path):
    with pytest.raises(BadInput, match="is a directory"):
        FileSource(tmp_path)


def test_decimation_does_not_depend_on_the_chunks():
    signal = np.random.default_rng(1).normal(size=(5000, 2)).astype(np.float32)
    whole = Decimator(3, 2)
    once = np.concatenate([whole.push(signal), whole.flush()])
    pieces = Decimator(3, 2)
    cut = [pieces.push(piece) for piece in np.split(signal, [1, 2, 700, 703, 4000])]
    assert np.allclose(once, np.concatenate([*cut, pieces.flush()]), atol=1e-6)
    assert len(once) == -(-5000 // 3)


def test_decimation_removes_what_would_alias():
    t = np.arange(9600) / 96000
    high = np.sin(2 * np.pi * 30000 * t)[:, None].astype(np.float32)
    decimator = Decimator(2, 1)
    assert np.abs(decimator.push(high)[200:-200]).max() < 1e-3
