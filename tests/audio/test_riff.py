import struct

import pytest

from realtime.audio.containers import unpacker
from realtime.audio.riff import MAX_HEADER_BYTES, Wave, wave


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def plain_format(tag=1, channels=1, rate_hz=16_000, bits=16):
    size = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * size, size, bits))


def header(*chunks, data_bytes=0):
    return b"RIFF\xff\xff\xff\xffWAVE" + b"".join(chunks) + b"data" + struct.pack("<I", data_bytes)


@pytest.mark.parametrize(
    ("tag", "bits", "samples"),
    [(1, 8, "u8"), (1, 16, "s16le"), (1, 24, "s24le"), (3, 32, "f32le"), (6, 8, "alaw"), (7, 8, "mulaw")],
)
def test_plain_samples(tag, bits, samples):
    head = header(plain_format(tag, 2, 44_100, bits), data_bytes=1000)
    assert wave(head) == Wave(samples, 2, 44_100, 44, 1000)
    assert wave(head + b"more") == wave(head)


def test_chunks_in_front_are_passed_over():
    assert wave(header(chunk(b"LIST", b"odd"), plain_format())).header_bytes == 44 + 12


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF - 36])
def test_a_live_stream_has_no_size(size):
    assert wave(header(plain_format(), data_bytes=size)).data_bytes is None


def test_an_extensible_format_says_its_kind_further_on():
    fields = struct.pack("<HHIIHH", 0xFFFE, 1, 8000, 16_000, 2, 16) + struct.pack("<HHIH", 22, 16, 4, 1)
    assert wave(header(chunk(b"fmt ", fields + bytes(14)))).samples == "s16le"


def test_any_part_of_a_header_asks_for_more():
    head = header(chunk(b"LIST", bytes(30)), plain_format())
    assert [wave(head[:n]) for n in range(12, len(head))] == [None] * (len(head) - 12)


@pytest.mark.parametrize(
    "head",
    [
        header(plain_format(tag=0x11, bits=4)),  # ADPCM
        header(plain_format(channels=0)),
        header(chunk(b"fmt ", bytes(4))),
        header(),
        b"RIFX" + header(plain_format())[4:],
        b"RIFF\0\0\0\0WAVE" + b"LIST" + struct.pack("<I", MAX_HEADER_BYTES),
    ],
)
def test_what_is_no_wav_of_plain_samples(head):
    with pytest.raises(ValueError):
        wave(head)


def test_the_first_tenth_of_a_second_is_enough():
    unpack = unpacker(None, 0, 1, True)
    pieces = list(unpack.push(header(plain_format()) + bytes(3200)))
    unpack.close()
    assert sum(map(len, pieces)) > 0
