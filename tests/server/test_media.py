"""Containers and codecs to blocks of 16 kHz, and files that are none."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from realtime.errors import BadAudio
from realtime.server.media import BLOCK_SAMPLES, Media, Raw

SECONDS = 2.3
TONE_HZ = 440

# Container, codec, sample rate; lossy ones come close to the tone.
FORMATS = [
    ("wav", "pcm_s16le", 16000),
    ("wav", "pcm_s24le", 44100),
    ("wav", "pcm_u8", 8000),
    ("wav", "pcm_f64le", 96000),
    ("wav", "pcm_mulaw", 8000),
    ("flac", "flac", 48000),
    ("ogg", "libopus", 48000),
    ("amr", "libopencore_amrnb", 8000),
    ("au", "pcm_alaw", 8000),
    ("webm", "libopus", 48000),
    ("matroska", "pcm_s16le", 22050),
    ("mp3", "libmp3lame", 44100),
    ("ipod", "aac", 44100),
    ("mp4", "alac", 44100),
    ("adts", "aac", 24000),
    ("aiff", "pcm_s16be", 16000),
]


def tone(rate: int, seconds: float = SECONDS) -> np.ndarray:
    """float32 [n]"""
    return (0.3 * np.sin(2 * np.pi * TONE_HZ * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def encoded(rows: np.ndarray, rate: int, container: str, codec: str) -> bytes:
    """float32 [channels, n] as a file."""
    file = io.BytesIO()
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(rows)]
    with av.open(file, mode="w", format=container) as output:
        track = output.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(rows), format="fltp", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(track.format, layout, rate, frame_size=track.frame_size or None)
        for ready in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(track.encode(ready))
        output.mux(track.encode(None))
    return file.getvalue()


def heard(data: bytes, channels: int = 1, raw: Raw | None = None) -> np.ndarray:
    """float32 [channels, n] at 16 kHz."""
    media = Media(io.BytesIO(data), raw)
    samples = np.frombuffer(b"".join(media.blocks(channels)), "<f4")
    media.close()
    return samples.reshape(-1, channels).T


def pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * 16000 / len(samples))


@pytest.mark.parametrize(("container", "codec", "rate"), FORMATS)
def test_every_format_sounds_as_it_did(container, codec, rate):
    [samples] = heard(encoded(tone(rate)[None], rate, container, codec))
    assert abs(len(samples) / 16000 - SECONDS) < 0.1  # codecs add a frame of their own
    assert abs(pitch_hz(samples) - TONE_HZ) < 2
    assert 0.25 < np.abs(samples[1600:-1600]).max() < 0.35


def test_lossless_samples_are_those_of_the_file():
    file = encoded(tone(16000)[None], 16000, "wav", "pcm_s16le")
    expected = np.frombuffer(file[-2 * int(SECONDS * 16000) :], "<i2") / np.float32(32768)
    assert np.array_equal(heard(file)[0], expected)


def test_blocks_are_of_half_a_second():
    media = Media(io.BytesIO(encoded(tone(16000)[None], 16000, "wav", "pcm_s16le")))
    sizes = [len(block) // 4 for block in media.blocks(1)]
    assert sizes[:-1] == [BLOCK_SAMPLES] * 4 and 0 < sizes[-1] < BLOCK_SAMPLES


@pytest.mark.parametrize(("container", "codec"), [("wav", "pcm_s16le"), ("flac", "flac")])
def test_channels_are_mixed_or_kept(container, codec):
    left = tone(16000)
    file = encoded(np.stack([left, np.zeros_like(left)]), 16000, container, codec)
    assert Media(io.BytesIO(file)).channels == 2
    kept = heard(file, channels=2)
    assert np.abs(kept[0] - left).max() < 1e-4 and not kept[1].any()
    assert np.abs(heard(file)[0] - left / 2).max() < 1e-4


def test_more_than_two_channels_are_mixed():
    rows = np.stack([tone(48000)] * 6)
    [samples] = heard(encoded(rows, 48000, "flac", "flac"))
    assert abs(pitch_hz(samples) - TONE_HZ) < 2


def test_a_video_gives_its_sound():
    file = io.BytesIO()
    with av.open(file, mode="w", format="mp4") as output:
        picture = output.add_stream("mpeg4", rate=10, width=64, height=48, pix_fmt="yuv420p")
        sound = output.add_stream("aac", rate=44100, layout="mono")
        for _ in range(10):
            output.mux(picture.encode(av.VideoFrame(64, 48, "yuv420p")))
        frame = av.AudioFrame.from_ndarray(tone(44100, 1.0)[None], format="fltp", layout="mono")
        frame.sample_rate = 44100
        for ready in av.AudioResampler("fltp", "mono", 44100, frame_size=1024).resample(frame):
            output.mux(sound.encode(ready))
        output.mux([*picture.encode(None), *sound.encode(None)])
    assert abs(pitch_hz(heard(file.getvalue())[0]) - TONE_HZ) < 4


def test_a_file_without_sound_is_named_so():
    file = io.BytesIO()
    with av.open(file, mode="w", format="mp4") as output:
        picture = output.add_stream("mpeg4", rate=10, width=64, height=48, pix_fmt="yuv420p")
        output.mux([*picture.encode(av.VideoFrame(64, 48, "yuv420p")), *picture.encode(None)])
    with pytest.raises(BadAudio, match="no audio track"):
        Media(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize(
    ("container", "codec"), [("wav", "pcm_s16le"), ("mp3", "libmp3lame"), ("ogg", "libopus")]
)
def test_a_file_that_breaks_off_gives_what_there_is(container, codec):
    rate = 48000
    whole = encoded(tone(rate, 6.0)[None], rate, container, codec)
    [samples] = heard(whole[: len(whole) // 2])
    assert 2.0 < len(samples) / 16000 < 4.0


def test_a_packet_that_is_broken_is_left_out():
    rate = 48000
    file = bytearray(encoded(tone(rate, 6.0)[None], rate, "mp3", "libmp3lame"))
    middle = len(file) // 2
    file[middle : middle + 2000] = b"\xa5" * 2000
    assert len(heard(bytes(file))[0]) > 4.5 * 16000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not audio at all",
        bytes(5000),
        np.random.default_rng(0).bytes(100_000),
        b"RIFF\x00\x00\x00\x00WAVE",
        b"fLaC" + bytes(100),
        b"OggS" + bytes(100),
        b'{"json": true}' * 100,
        b"1\n00:00:00,000 --> 00:00:02,000\nHello\n\n",
    ],
)
def test_what_is_no_audio_is_refused(data):
    with pytest.raises(BadAudio):
        heard(data)


def test_values_that_are_no_numbers_are_silence():
    data = encoded(tone(16000)[None], 16000, "wav", "pcm_f32le")
    broken = np.array([np.nan, np.inf, -np.inf, 0.5], "<f4").tobytes()
    assert heard(data[:-16] + broken)[0, -4:].tolist() == [0.0, 1.0, -1.0, 0.5]


def test_a_header_without_samples_is_an_empty_file():
    file = encoded(tone(16000)[None], 16000, "wav", "pcm_s16le")
    assert heard(file[: file.index(b"data")] + b"data" + bytes(4)).size == 0


def test_a_file_cut_within_its_index_is_refused():
    whole = encoded(tone(44100)[None], 44100, "ipod", "aac")  # its index comes last
    with pytest.raises(BadAudio):
        heard(whole[: len(whole) // 2])


def test_playlists_reach_no_other_file(tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(encoded(tone(16000)[None], 16000, "wav", "pcm_s16le"))
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n"
    for playlist in (
        hls,
        hls.replace(str(secret), secret.as_uri()),
        f"ffconcat version 1.0\nfile {secret}\n",
    ):
        with pytest.raises(BadAudio):
            heard(playlist.encode())


@pytest.mark.parametrize(
    ("format", "sample_bytes", "rate", "channels"),
    [("s16le", 2, 16000, 1), ("f32le", 4, 48000, 1), ("mulaw", 1, 8000, 2), ("alaw", 1, 8000, 1)],
)
def test_raw_samples_are_read_as_told(format, sample_bytes, rate, channels):
    rows = heard(bytes(rate * channels * sample_bytes), channels, Raw(format, rate, channels))
    assert rows.shape == (channels, 16000)


def test_strange_tags_do_not_matter():
    file = encoded(tone(44100)[None], 44100, "mp3", "libmp3lame")
    tag = b"TIT2\x00\x00\x00\x05\x00\x00\x03\xff\xfe\xfd\xfc"
    header = b"ID3\x03\x00\x00\x00\x00\x00" + bytes([len(tag)]) + tag
    assert len(heard(header + file[file.index(b"\xff\xfb") :])[0])
