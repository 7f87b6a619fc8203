import pytest

from client.errors import BadReply
from client.protocol import (
    Done,
    Failed,
    Final,
    Gap,
    Options,
    Partial,
    Ready,
    Unknown,
    Word,
    base_url,
    move_times,
    parse,
    stream_url,
)


def test_options_leave_the_rest_to_the_server():
    assert Options().query() == {"encoding": "pcm_s16le", "sample_rate": "16000", "channels": "1"}


def test_options_spell_switches_as_the_protocol_does():
    query = Options(delay_ms=240, vad=False, hangover_ms=300, interim=False).query()
    assert query["delay_ms"] == "240"
    assert query["vad"] == "off"
    assert query["hangover_ms"] == "300"
    assert query["interim"] == "false"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/stream"),
        ("https://captions.example/", "wss://captions.example/v1/stream"),
        ("ws://host/other", "ws://host/other"),
        (" ws://[::1]:9 ", "ws://[::1]:9/v1/stream"),
    ],
)
def test_addresses_a_person_would_type(given, expected):
    assert base_url(given) == expected


@pytest.mark.parametrize("bad", ["127.0.0.1:8000", "ftp://host", "ws://", "ws://host:port"])
def test_what_is_no_address(bad):
    with pytest.raises(ValueError):
        base_url(bad)


def test_a_query_in_the_address_is_kept():
    url = stream_url("ws://host/v1/stream?tenant=a", Options(channels=2))
    assert url == "ws://host/v1/stream?tenant=a&encoding=pcm_s16le&sample_rate=16000&channels=2"


@pytest.mark.parametrize(
    ("text", "event"),
    [
        (
            '{"type":"ready","session_id":"x","model":"m","sample_rate":8000,"delay_ms":480,"protocol":1}',
            Ready("x", "m", 8000, 480),
        ),
        (
            '{"type":"partial","utterance":1,"text":"he","delta":"he","start_ms":5,"audio_ms":9,"channel":1}',
            Partial(1, "he", 5, 9, "he", 1),
        ),
        (
            '{"type":"final","utterance":0,"text":"hi","start_ms":1,"end_ms":2,"reason":"silence","channel":0,'
            '"words":[{"text":"hi","start_ms":1,"end_ms":2,"confidence":0.5}]}',
            Final(0, "hi", 1, 2, (Word("hi", 1, 2, 0.5),), "silence", 0),
        ),
        ('{"type":"gap","from_ms":1,"to_ms":2,"reason":"lag"}', Gap(1, 2, "lag")),
        ('{"type":"error","code":"c","message":"m","fatal":true}', Failed("c", "m", True)),
        ('{"type":"done","audio_ms":3,"speech_ms":2,"utterances":1}', Done(3, 2, 1)),
        ('{"type":"ack","received_ms":7}', Unknown("ack", {"type": "ack", "received_ms": 7})),
    ],
)
def test_messages(text, event):
    assert parse(text) == event


@pytest.mark.parametrize(
    "text",
    ["", "hello", "[]", "{}", '{"type":"partial"}', '{"type":["x"]}', '{"type":"final","words":[1]}'],
)
def test_nonsense_is_named(text):
    with pytest.raises(BadReply, match="not of this protocol"):
        parse(text)


def test_every_time_moves():
    final = Final(0, "hi", 100, 200, (Word("hi", 100, 200, 0.5),), "end")
    assert move_times(final, lambda ms: ms + 1000, lambda ms: ms + 2000) == Final(
        0, "hi", 1100, 2200, (Word("hi", 1100, 2200, 0.5),), "end"
    )
