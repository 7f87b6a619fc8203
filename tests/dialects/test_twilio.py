"""Twilio Media Streams alone: messages as its documentation shows them, and what others put in their place."""

import base64
import json

import pytest

from realtime.dialects.base import Announce, Credentials, Handshake, Publish
from realtime.dialects.telephony import MAX_TEXT
from realtime.dialects.twilio import TwilioDialect
from realtime.errors import BadMessage, BadOption, OutOfOrder
from realtime.events import Audio, Configure, Done, End, Error, Final, GateOptions, Ready, SessionOptions

STREAM = "MZ18ad3ab5a668481ce02b83e7395059f0"
PAYLOAD = bytes(range(160))


def started(*tracks, **fields):
    dialect = TwilioDialect()
    dialect.open(Handshake(), SessionOptions())
    return dialect, decode(dialect, start(*tracks, **fields))


def decode(dialect, message):
    return dialect.decode(json.dumps(message))


def start(*tracks, **fields):
    about = {
        "accountSid": "AC1",
        "callSid": "CA1",
        "streamSid": STREAM,
        "tracks": list(tracks or ("inbound",)),
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
    }
    return {"event": "start", "sequenceNumber": "1", "streamSid": STREAM, "start": about | fields}


def media(timestamp, payload=PAYLOAD, **fields):
    about = {"track": "inbound", "chunk": "1", "timestamp": str(timestamp)}
    text = base64.b64encode(payload).decode()
    return {"event": "media", "streamSid": STREAM, "media": about | {"payload": text} | fields}


STOP = {"event": "stop", "streamSid": STREAM, "stop": {"accountSid": "AC1", "callSid": "CA1"}}


def test_start_gives_the_key_the_name_and_the_options():
    _, [key, call, configure] = started(
        "inbound", "outbound", customParameters={"api_key": "k", "agent": "7"}
    )
    assert key == Credentials("k")
    assert call == Announce(
        "CA1",
        {
            "carrier": "twilio",
            "stream_sid": STREAM,
            "account_sid": "AC1",
            "tracks": ["inbound", "outbound"],
            "parameters": {"agent": "7"},
        },
    )
    assert configure == Configure(SessionOptions("mulaw", 8000, 2))


def test_the_operators_defaults_are_kept():
    dialect = TwilioDialect()
    defaults = SessionOptions("pcm_f32le", 48_000, 2, 960, False, 5000, GateOptions(hangover_ms=900))
    expected = SessionOptions("mulaw", 8000, 1, 960, False, 5000, GateOptions(hangover_ms=900))
    assert dialect.open(Handshake(), defaults) == expected
    assert decode(dialect, start())[-1] == Configure(expected)


def test_a_start_without_a_key_presents_none():
    assert started()[1][0] == Credentials("")


def test_a_stream_may_be_named_by_itself():
    _, [_, call, _] = started(callSid="")
    assert call.name == STREAM
    about = {"tracks": ["inbound"]}
    [_, call, _] = decode(TwilioDialect(), {"event": "start", "streamSid": "MZ2", "start": about})
    assert (call.name, call.details["stream_sid"]) == ("MZ2", "MZ2")


@pytest.mark.parametrize(
    ("tracks", "channels"),
    [(["inbound"], 1), (["outbound"], 1), (["inbound_track", "outbound_track"], 2), (None, 1)],
)
def test_tracks_become_channels(tracks, channels):
    message = start()
    if tracks is None:
        del message["start"]["tracks"]
    else:
        message["start"]["tracks"] = tracks
    assert decode(TwilioDialect(), message)[-1].options.channels == channels


@pytest.mark.parametrize(
    "fields",
    [
        {"tracks": []},
        {"tracks": ["both"]},
        {"tracks": ["inbound", "sideways"]},
        {"mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 16000, "channels": 1}},
        {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 2}},
        {"callSid": "", "streamSid": "x" * 201},
        {"callSid": "two\nlines"},
    ],
)
def test_a_start_that_cannot_be(fields):
    with pytest.raises(BadOption):
        started(**fields)


def test_long_and_many_parameters_are_cut():
    _, [_, call, _] = started(customParameters={f"p{n}": "x" * 9000 for n in range(1000)})
    assert len(json.dumps(call.details)) < 64 * 600


@pytest.mark.parametrize("name", ["api_key", "API_KEY", "token", "Password"])
def test_no_credential_is_told(name):
    _, [_, call, _] = started(customParameters={name: "hidden"})
    assert "hidden" not in str(call)


def test_media_becomes_audio_and_numbers_may_be_numbers():
    dialect, _ = started()
    assert decode(dialect, media(0)) == [Audio(PAYLOAD)]
    as_numbers = media(20)
    as_numbers["media"] |= {"timestamp": 20, "chunk": 2}
    assert decode(dialect, as_numbers) == [Audio(PAYLOAD)]


def test_two_tracks_come_out_interleaved():
    dialect, _ = started("inbound", "outbound")
    assert decode(dialect, media(0)) == []
    [audio] = decode(dialect, media(0, bytes(160), track="outbound"))
    assert (audio.data[::2], audio.data[1::2]) == (PAYLOAD, bytes(160))


def test_a_track_that_was_not_announced_is_ignored():
    dialect, _ = started("inbound")
    assert decode(dialect, media(0, track="outbound")) == []


def test_stop_brings_out_what_waits_and_ends():
    dialect, _ = started("inbound", "outbound")
    decode(dialect, media(0))
    [audio, end] = decode(dialect, STOP)
    assert (audio.data[::2], audio.data[1::2], end) == (PAYLOAD, b"\xff" * 160, End())
    assert decode(dialect, STOP) == []
    assert decode(dialect, media(20)) == []


def test_digits_and_marks_go_to_subscribers():
    dialect, _ = started()
    digit = {
        "event": "dtmf",
        "streamSid": STREAM,
        "sequenceNumber": "5",
        "dtmf": {"track": "inbound_track", "digit": "#"},
    }
    assert decode(dialect, digit) == [Publish({"type": "dtmf", "digit": "#", "track": "inbound"})]
    mark = {"event": "mark", "streamSid": STREAM, "sequenceNumber": "6", "mark": {"name": "m"}}
    assert decode(dialect, mark) == [Publish({"type": "mark", "name": "m"})]
    [told] = decode(dialect, mark | {"mark": {"name": "m" * 10_000}})
    assert len(told.message["name"]) == MAX_TEXT
    [told] = decode(dialect, digit | {"dtmf": {"track": "x" * 10_000, "digit": "123"}})
    assert told.message == {"type": "dtmf", "digit": "1", "track": "x" * MAX_TEXT}


@pytest.mark.parametrize("event", ["connected", "something new"])
def test_other_events_are_ignored(event):
    assert decode(TwilioDialect(), {"event": event, "protocol": "Call", "version": "1.0.0"}) == []


@pytest.mark.parametrize(
    "message",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"event": 5}',
        '{"event": "media"}',
        '{"event": "media", "media": {"timestamp": "0"}}',
        '{"event": "media", "media": {"timestamp": "0.5", "payload": ""}}',
        '{"event": "media", "media": {"timestamp": "1e400", "payload": ""}}',
        '{"event": "media", "media": {"timestamp": "-20", "payload": "AA=="}}',
        f'{{"event": "media", "media": {{"timestamp": "1{"0" * 400}", "payload": "AA=="}}}}',
        '{"event": "media", "media": {"timestamp": "0", "payload": "no base64"}}',
        '{"event": "dtmf", "dtmf": {}}',
        "[" * 100_000,
        b"\x00",
    ],
)
def test_nonsense_is_a_bad_message(message):
    dialect, _ = started()
    with pytest.raises(BadMessage):
        dialect.decode(message)
    assert decode(dialect, media(0)) == [Audio(PAYLOAD)]


def test_media_and_start_out_of_turn():
    dialect = TwilioDialect()
    with pytest.raises(OutOfOrder):
        decode(dialect, media(0))
    decode(dialect, start())
    with pytest.raises(OutOfOrder):
        decode(dialect, start())


def test_twilio_is_told_nothing():
    dialect = TwilioDialect()
    for event in (
        Ready("s", "m", 8000, 480),
        Final(0, "a", (), 0, 1, "end"),
        Error("x", "y", True),
        Done(1, 1, 1),
    ):
        assert dialect.encode(event) == []
