"""chan_websocket alone: both forms of its events."""

import json
from dataclasses import replace

import pytest

from realtime.dialects.asterisk import FORMATS, AsteriskDialect
from realtime.dialects.base import Handshake, Publish
from realtime.dialects.telephony import MAX_TEXT
from realtime.errors import BadMessage, BadOption, OutOfOrder
from realtime.events import Audio, Configure, Done, Final, SessionOptions

IDS = {
    "connection_id": "voxwire",
    "channel": "WebSocket/voxwire/0x5140001a0040",
    "channel_id": "1761245643.1",
}


def plain(codec="ulaw", **ids):
    words = " ".join(f"{name}:{value}" for name, value in (ids or IDS).items())
    return f"MEDIA_START {words} format:{codec} optimal_frame_size:160 ptime:20"


def as_json(codec="ulaw", **ids):
    about = {"format": codec, "optimal_frame_size": 160, "ptime": 20, "channel_variables": {"AGENT": "7"}}
    return json.dumps({"event": "MEDIA_START", **(ids or IDS), **about})


def opened(**query):
    dialect = AsteriskDialect()
    dialect.open(Handshake(tuple(query.items())), SessionOptions())
    return dialect


@pytest.mark.parametrize("start", [plain, as_json])
@pytest.mark.parametrize("codec", FORMATS)
def test_the_codec_decides_the_options(start, codec):
    _, configure = opened().decode(start(codec))
    encoding, rate = FORMATS[codec]
    assert configure == Configure(SessionOptions(encoding, rate))


@pytest.mark.parametrize("start", [plain, as_json])
@pytest.mark.parametrize("codec", ["opus", "g722", "slin96", "slin192", ""])
def test_a_codec_that_we_do_not_decode_is_refused_with_those_that_we_do(start, codec):
    with pytest.raises(BadOption, match="slin16"):
        opened().decode(start(codec))


def test_the_call_is_named_by_the_dialplan_the_channel_or_the_connection():
    assert opened(call_id="mine").decode(plain())[0].name == "mine"
    assert opened().decode(plain())[0].name == "1761245643.1"
    assert opened().decode(plain(connection_id="voxwire"))[0].name == "voxwire"
    with pytest.raises(BadOption):
        opened().decode("MEDIA_START format:ulaw")


def test_subscribers_are_told_of_the_channel_but_of_no_key():
    [call, _] = opened(agent="8", api_key="hidden").decode(as_json())
    assert call.details == {
        "carrier": "asterisk",
        **IDS,
        "format": "ulaw",
        "parameters": {"agent": "8", "AGENT": "7"},
    }


def test_the_operators_defaults_are_kept():
    dialect, defaults = AsteriskDialect(), SessionOptions(delay_ms=960, channels=2)
    dialect.open(Handshake(), defaults)
    expected = replace(defaults, encoding="alaw", sample_rate=8000, channels=1)
    assert dialect.decode(plain("alaw"))[1] == Configure(expected)


def test_media_is_audio_once_it_has_started():
    dialect = opened()
    with pytest.raises(OutOfOrder):
        dialect.decode(b"\xff")
    dialect.decode(plain())
    assert dialect.decode(b"\xff\xfe") == [Audio(b"\xff\xfe")]
    with pytest.raises(OutOfOrder):
        dialect.decode(plain())


@pytest.mark.parametrize("message", ["DTMF_END digit:# channel_id:7.1", '{"event":"DTMF_END","digit":"#"}'])
def test_digits_go_to_subscribers(message):
    assert opened().decode(message) == [Publish({"type": "dtmf", "digit": "#"})]


@pytest.mark.parametrize(
    "message",
    ["ERROR channel_id:7.1 error_text:queue is full", '{"event":"ERROR","error_text":"queue is full"}'],
)
def test_errors_go_to_subscribers(message):
    assert opened().decode(message) == [Publish({"type": "carrier_error", "message": "queue is full"})]


def test_long_texts_are_told_in_part():
    [error] = opened().decode(json.dumps({"event": "ERROR", "error_text": "x" * 10_000}))
    assert error.message["message"] == "x" * MAX_TEXT
    fields = {"event": "MEDIA_START", "format": "slin", "channel_id": "7.1", "channel": "x" * 10_000}
    [call, _] = opened().decode(json.dumps(fields))
    assert call.details["channel"] == "x" * MAX_TEXT


def test_no_value_of_a_line_is_its_event():
    assert opened().decode("STATUS event:DTMF_END digit:1") == []


@pytest.mark.parametrize(
    "message", ["MEDIA_XON", "", "  ", '{"event":"STATUS","queue_length":3}', "MEDIA_MARK_PROCESSED 7"]
)
def test_other_events_are_ignored(message):
    assert opened().decode(message) == []


@pytest.mark.parametrize("message", ["{", "{}", '{"event":7}', "{" * 100_000, "MEDIA_START " + "a:b " * 2000])
def test_nonsense_is_a_bad_message(message):
    with pytest.raises(BadMessage):
        opened().decode(message)


def test_asterisk_is_told_nothing():
    assert opened().encode(Final(0, "a", (), 0, 1, "end")) == [] == opened().encode(Done(1, 1, 1))
