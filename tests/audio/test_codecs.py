from __future__ import annotations

import struct

import numpy as np
import pytest

from realtime.audio.codecs import decoder
from realtime.errors import BadAudio, BadOption
from realtime.events import ENCODINGS
from tests.audio.chunking import cuts, ways_to_cut

# ITU-T G.711, tables 1a and 2a: the least value of each of the eight segments and its step, in 16-bit units.
MULAW_SEGMENTS = (
    (0, 8),
    (132, 16),
    (396, 32),
    (924, 64),
    (1980, 128),
    (4092, 256),
    (8316, 512),
    (16764, 1024),
)
ALAW_SEGMENTS = (
    (8, 16),
    (264, 16),
    (528, 32),
    (1056, 64),
    (2112, 128),
    (4224, 256),
    (8448, 512),
    (16896, 1024),
)


def ladder(segments) -> list[int]:
    return [start + step * n for start, step in segments for n in range(16)]


def decode(encoding: str, data: bytes, channels: int = 1) -> np.ndarray:
    decode = decoder(encoding, channels)
    samples = decode.push(data)
    decode.flush()
    return samples


def test_s16le_is_little_endian_with_full_scale_one():
    samples = decode("pcm_s16le", b"\x00\x00\x01\x00\xff\xff\x00\x40\xff\x7f\x00\x80")
    assert samples.dtype == np.float32
    assert samples.tolist() == [[0.0, 1 / 32768, -1 / 32768, 0.5, 32767 / 32768, -1.0]]


def test_s32le_is_little_endian_with_full_scale_one():
    samples = decode("pcm_s32le", struct.pack("<5i", 0, 1 << 30, -(1 << 30), 1 << 15, -(1 << 31)))
    assert samples.dtype == np.float32
    assert samples.tolist() == [[0.0, 0.5, -0.5, 2**-16, -1.0]]
    assert decode("pcm_s32le", struct.pack("<i", (1 << 31) - 1)) == 1.0


def test_f16le_is_taken_as_it_is():
    samples = decode("pcm_f16le", b"\x00\x00\x00\x34\x00\xbc\x00\x3c")
    assert samples.dtype == np.float32
    assert samples.tolist() == [[0.0, 0.25, -1.0, 1.0]]


def test_f32le_is_taken_as_it_is():
    samples = decode("pcm_f32le", struct.pack("<4f", 0.0, 0.25, -1.0, 1.0))
    assert samples.dtype == np.float32
    assert samples.tolist() == [[0.0, 0.25, -1.0, 1.0]]


def test_f16le_that_is_no_sound_becomes_harmless():
    data = struct.pack("<5e", float("nan"), float("inf"), -float("inf"), 1.5, -65504.0)
    assert decode("pcm_f16le", data).tolist() == [[0.0, 1.0, -1.0, 1.0, -1.0]]


def test_f32le_that_is_no_sound_becomes_harmless():
    data = struct.pack("<6f", float("nan"), float("inf"), -float("inf"), 1.5, -3e38, 1e-45)
    assert decode("pcm_f32le", data).tolist() == [
        [0.0, 1.0, -1.0, 1.0, -1.0, pytest.approx(1e-45, abs=1e-44)]
    ]


def test_mulaw_is_the_ladder_of_g711():
    """Wire bytes fall from 0xFF (+0) to 0x80 (+32124), and from 0x7F (-0) to 0x00 (-32124)."""
    positive = decode("mulaw", bytes(range(0xFF, 0x7F, -1)))[0] * 32768
    negative = decode("mulaw", bytes(range(0x7F, -1, -1)))[0] * 32768
    assert positive.tolist() == ladder(MULAW_SEGMENTS)
    assert (-negative).tolist() == ladder(MULAW_SEGMENTS)


def test_alaw_is_the_ladder_of_g711():
    """Wire bytes are 0x80 + n (positive) or n, xor 0x55."""
    positive = decode("alaw", bytes((0x80 + n) ^ 0x55 for n in range(128)))[0] * 32768
    negative = decode("alaw", bytes(n ^ 0x55 for n in range(128)))[0] * 32768
    assert positive.tolist() == ladder(ALAW_SEGMENTS)
    assert (-negative).tolist() == ladder(ALAW_SEGMENTS)


# Every 17th byte, as CPython's audioop (ulaw2lin, alaw2lin) decodes it.
AUDIOOP = {
    "mulaw": [
        -32124,
        -15484,
        -7420,
        -3516,
        -1628,
        -716,
        -276,
        -64,
        23932,
        11388,
        5372,
        2492,
        1116,
        460,
        148,
        0,
    ],
    "alaw": [
        -5504,
        -2624,
        -24064,
        -11520,
        -280,
        -8,
        -1248,
        -592,
        7552,
        3648,
        32256,
        15616,
        408,
        136,
        1760,
        848,
    ],
}


@pytest.mark.parametrize("encoding", AUDIOOP)
def test_g711_equals_audioop(encoding):
    assert (decode(encoding, bytes(range(0, 256, 17)))[0] * 32768).tolist() == AUDIOOP[encoding]


def test_two_channels_are_rows():
    samples = decode("pcm_s16le", struct.pack("<6h", 1, -1, 2, -2, 3, -3), channels=2)
    assert (samples * 32768).tolist() == [[1, 2, 3], [-1, -2, -3]]
    assert samples.flags.c_contiguous


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_any_chunking_equals_one_chunk(encoding, channels):
    data = np.random.default_rng(3).integers(0, 256, 8 * 60, dtype=np.uint8).tobytes()
    whole = decode(encoding, data, channels)
    assert whole.shape[0] == channels
    for sizes in ways_to_cut(longest=29, seed=4):
        decode_cut = decoder(encoding, channels)
        parts = [decode_cut.push(chunk) for chunk in cuts(data, sizes)]
        decode_cut.flush()
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_are_taken_and_none_is_kept(kind):
    buffer = bytearray(struct.pack("<3f", 0.5, 0.25, 0.125)[:-1])
    decode = decoder("pcm_f32le")
    samples = decode.push(kind(buffer))
    buffer[:] = bytes(len(buffer))
    assert samples.tolist() == [[0.5, 0.25]]
    assert decode.push(struct.pack("<f", 0.125)[-1:]).tolist() == [[0.125]]


def test_nothing_gives_nothing():
    assert decode("pcm_s16le", b"", channels=2).shape == (2, 0)
    assert decode("alaw", b"").shape == (1, 0)


@pytest.mark.parametrize(
    ("encoding", "channels", "left", "of"),
    [
        ("pcm_s16le", 1, 1, 2),
        ("pcm_f32le", 1, 3, 4),
        ("pcm_s32le", 1, 2, 4),
        ("pcm_f16le", 2, 3, 4),
        ("pcm_s16le", 2, 2, 4),
        ("mulaw", 2, 1, 2),
        ("pcm_f32le", 2, 7, 8),
    ],
)
def test_half_a_sample_at_the_end_is_bad_audio(encoding, channels, left, of):
    decode = decoder(encoding, channels)
    assert decode.push(bytes(2 * of + left)).shape == (channels, 2)
    with pytest.raises(BadAudio, match=f"{left} of {of} bytes"):
        decode.flush()
    # The stream goes on after the error, from the next whole sample.
    decode.flush()
    assert decode.push(bytes(of)).shape == (channels, 1)


@pytest.mark.parametrize(("encoding", "channels"), [("opus", 1), ("", 1), ("alaw", 0), ("alaw", 3)])
def test_what_is_not_offered_is_a_bad_option(encoding, channels):
    with pytest.raises(BadOption):
        decoder(encoding, channels)
