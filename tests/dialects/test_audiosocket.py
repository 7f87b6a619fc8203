"""AudioSocket alone: frames, however they are cut."""

import pytest

from realtime.dialects.audiosocket import RATES_HZ, AudioSocketDialect
from realtime.dialects.base import Announce, Handshake, Publish
from realtime.errors import BadMessage, BadOption
from realtime.events import Audio, Configure, Done, End, Final, SessionOptions
from tests.conversations.audiosocket.form import frame

UUID = bytes.fromhex("40325ec25efd4bd3805f53576e581d13")
CALL = Announce("40325ec2-5efd-4bd3-805f-53576e581d13", {"carrier": "audiosocket", "parameters": {}})
TALK = frame(1, UUID) + frame(0x10, b"\x01\x02" * 160) + frame(3, b"5") + frame(0x10, b"\x03\x04") + frame(0)


def opened():
    dialect = AudioSocketDialect()
    dialect.open(Handshake(), SessionOptions())
    return dialect


def decode(*reads, dialect=None):
    dialect = dialect or opened()
    return [request for read in reads for request in dialect.decode(read)]


def test_a_call_from_its_uuid_to_the_hang_up():
    assert decode(TALK) == [
        CALL,
        Configure(SessionOptions("pcm_s16le", 8000)),
        Audio(b"\x01\x02" * 160),
        Publish({"type": "dtmf", "digit": "5"}),
        Audio(b"\x03\x04"),
        End(),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 19, 320, 323, 1000])
def test_cuts_mean_nothing(size):
    assert decode(*(TALK[at : at + size] for at in range(0, len(TALK), size))) == decode(TALK)


@pytest.mark.parametrize(("kind", "rate_hz"), RATES_HZ.items())
def test_the_kind_gives_the_rate(kind, rate_hz):
    _, configure, _ = decode(frame(1, UUID), frame(kind, b"\x00\x00"))
    assert configure.options.sample_rate == rate_hz


@pytest.mark.parametrize("kind", [0x17, 0x18])
def test_a_rate_too_high_is_refused(kind):
    with pytest.raises(BadOption):
        decode(frame(1, UUID), frame(kind, b"\x00\x00"))


def test_the_rate_cannot_change():
    dialect = opened()
    decode(frame(1, UUID), frame(0x10, b"\x00\x00"), dialect=dialect)
    with pytest.raises(BadOption):
        decode(frame(0x12, b"\x00\x00"), dialect=dialect)


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1", frame(0x10, bytes(320)), frame(0), frame(1, b"short"), b"\x16\x03\x01\x02\x00"],
)
def test_what_does_not_begin_with_a_uuid_is_no_audiosocket(data):
    with pytest.raises(BadMessage) as refused:
        decode(data)
    assert refused.value.fatal


def test_frames_before_a_fault_are_heard():
    requests = opened().decode(frame(1, UUID) + frame(0x10, b"\x00\x00") + frame(0x17))
    assert [next(requests), next(requests), next(requests)][-1] == Audio(b"\x00\x00")
    with pytest.raises(BadOption):
        next(requests)


def test_unknown_kinds_and_a_second_uuid_are_skipped():
    assert decode(frame(1, UUID), frame(0x77, b"new"), frame(1, UUID)) == [CALL]


def test_asterisks_error_goes_to_subscribers():
    [_, error] = decode(frame(1, UUID), frame(0xFF, b"\x02"))
    assert error == Publish({"type": "carrier_error", "message": "Asterisk's error code 02."})


def test_a_connection_that_ends_ends_the_call_once():
    dialect = opened()
    assert (
        decode(frame(1, UUID), frame(0x10, b"\x00\x00") + b"\x10\x01", b"", b"", dialect=dialect)[-1] == End()
    )
    assert decode(frame(0), frame(0x10, b"\x00\x00"), dialect=dialect) == []


def test_asterisk_is_told_nothing():
    assert opened().encode(Final(0, "a", (), 0, 1, "end")) == [] == opened().encode(Done(1, 1, 1))


def test_behind_a_hang_up_nothing_is_kept(n_bytes=100_000):
    dialect = opened()
    assert decode(frame(1, UUID) + frame(0), dialect=dialect)[-1] == End()
    for _ in range(10):
        assert decode(bytes(n_bytes), dialect=dialect) == []
    assert len(dialect._rest) < n_bytes
