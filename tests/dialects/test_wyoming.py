"""The Wyoming dialect alone: bytes in, requests out, and every frame as the protocol's own package reads it."""

import json
import struct

import msgspec
import pytest
from wyoming.asr import Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.error import Error as WyomingError
from wyoming.event import Event as WyomingEvent
from wyoming.info import AsrProgram, Info
from wyoming.ping import Pong

from realtime.dialects.base import Handshake, Reply
from realtime.dialects.wyoming import LARGEST_HEADER_BYTES, BadEvent, WyomingDialect
from realtime.errors import BadMessage, BadOption
from realtime.events import (
    Audio,
    Done,
    End,
    Error,
    Final,
    Flush,
    Partial,
    Reconfigure,
    SessionOptions,
    Warning_,
)
from tests.conversations.wyoming.form import event

START = {"rate": 16000, "width": 2, "channels": 1}


def opened(model="echo"):
    dialect = WyomingDialect(model)
    assert dialect.open(Handshake(), SessionOptions()) == SessionOptions()
    return dialect


def heard(*formats_and_payloads):
    """What the session hears of audio-start, audio-chunk with these formats and payloads."""
    dialect = opened()
    requests = []
    for audio_format, payload in formats_and_payloads:
        requests += dialect.decode(event("audio-start", audio_format))
        requests += dialect.decode(event("audio-chunk", audio_format, payload))
    return requests


def audio_of(requests):
    return b"".join(request.data for request in requests if isinstance(request, Audio))


def read(frames):
    """Frames as the package reads them."""
    events = []
    for frame in frames:
        line, _, data = frame.partition("\n")
        header = json.loads(line)
        assert header.get("data_length", 0) == len(data.encode())
        events.append(WyomingEvent(header["type"], json.loads(data) if data else {}))
    return events


def final(text, reason="silence"):
    return Final(0, text, (), 0, 80, reason)


# ---------------------------------------------------------------- framing


def test_any_cut_gives_the_same_requests():
    stream = b"".join(
        [
            event("transcribe", {"language": "en"}),
            event("audio-start", START | {"rate": 8000}),
            event("audio-chunk", START | {"rate": 8000}, bytes(range(200))),
            event("ping", {"text": "äö"}),
            event("audio-stop"),
        ]
    )
    whole = opened().decode(stream)
    for step in (1, 7, 100):
        dialect, requests = opened(), []
        for at in range(0, len(stream), step):
            requests += dialect.decode(stream[at : at + step])
        assert audio_of(requests) == audio_of(whole) == bytes(range(200))
        assert [r for r in requests if not isinstance(r, Audio)] == [
            r for r in whole if not isinstance(r, Audio)
        ]


def test_data_in_the_header_and_behind_it_are_one():
    header = {"type": "audio-start", "data": {"rate": 8000, "width": 1}, "data_length": 14}
    requests = opened().decode(json.dumps(header).encode() + b'\n{"channels":1}')
    assert requests == [Reconfigure(SessionOptions(sample_rate=8000))]


def test_payload_of_other_events_and_unknown_events_are_dropped():
    dialect = opened()
    assert dialect.decode(event("novelty", {"a": 1}, b"{}\n" * 50)) == []
    assert dialect.decode(event("select-program", {"name": "voxwire"})) == []
    assert dialect.decode(event("audio-stop")) == [Flush()]


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\n",
        b"[1]\n",
        b"{}\n",
        b'{"type": 5}\n',
        b'{"type": "ping", "data": []}\n',
        b'{"type": "ping", "data_length": -1}\n',
        b'{"type": "ping", "data_length": 2}\n[]',
        b'{"type": "ping", "data_length": 2}\n{{',
        b'{"type": "ping", "data_length": 99999999}\n',
        b'{"type": "ping", "payload_length": "many"}\n',
        b"\xff\xfe\n",
        b"[" * 5000 + b"\n",
        b"x" * (LARGEST_HEADER_BYTES + 1),
        b"x" * (LARGEST_HEADER_BYTES + 1) + b"\n",
    ],
)
def test_bytes_that_are_no_event_end_the_stream(data):
    with pytest.raises(BadEvent) as caught:
        opened().decode(data)
    assert caught.value.fatal and caught.value.code == BadMessage.code


def test_a_long_payload_is_never_kept():
    dialect = opened()
    dialect.decode(event("audio-start", START))
    header = b'{"type":"audio-chunk","payload_length":100000000}\n'
    assert dialect.decode(header) == []
    for _ in range(10):
        assert dialect.decode(bytes(60_000)) == [Audio(bytes(60_000))]
    assert len(dialect._framing._buffer) == 0


# ---------------------------------------------------------------- audio


def test_a_rate_is_configured_once():
    fast = START | {"rate": 48000}
    requests = heard((START, b"ab"), (fast, b"cd"), (fast, b"ef"))
    assert requests == [
        Audio(b"ab"),
        Reconfigure(SessionOptions(sample_rate=48000)),
        Audio(b"cd"),
        Audio(b"ef"),
    ]


def test_every_width_becomes_16_bits():
    values = [-32768, -256, 0, 256, 32512]
    s16 = struct.pack("<5h", *values)
    u8 = bytes(value // 256 + 128 for value in values)
    s32 = struct.pack("<5i", *(value * 65536 + 65535 for value in values))
    for width, payload in ((1, u8), (2, s16), (4, s32)):
        assert audio_of(heard((START | {"width": width}, payload))) == s16


def test_two_channels_are_mixed():
    stereo = struct.pack("<6h", 32767, 32767, -32768, -32768, 100, -50)
    assert audio_of(heard((START | {"channels": 2}, stereo))) == struct.pack("<3h", 32767, -32768, 25)


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_may_be_cut_anywhere(width, channels):
    audio_format = {"rate": 16000, "width": width, "channels": channels}
    payload = bytes(range(240))
    dialect = opened()
    dialect.decode(event("audio-start", audio_format))
    requests = []
    for byte in payload:
        requests += dialect.decode(event("audio-chunk", audio_format, bytes([byte])))
    assert audio_of(requests) == audio_of(heard((audio_format, payload)))


def test_half_a_sample_stays_in_its_request():
    assert audio_of(heard((START, b"abc"), (START, b"de"))) == b"abde"


def test_a_chunk_alone_says_what_it_is():
    requests = opened().decode(event("audio-chunk", START | {"rate": 22050}, b"ab"))
    assert requests == [Reconfigure(SessionOptions(sample_rate=22050)), Audio(b"ab")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 7999},
        {"rate": 48001},
        {"rate": "16000"},
        {"rate": None},
        {"width": 3},
        {"width": 0},
        {"channels": 3},
        {"channels": True},
    ],
)
@pytest.mark.parametrize("kind", ["audio-start", "audio-chunk"])
def test_audio_that_no_one_decodes_is_refused(kind, wrong):
    with pytest.raises(BadOption, match=kind) as caught:
        opened().decode(event(kind, START | wrong))
    assert caught.value.fatal


def test_a_chunk_without_any_format_is_refused():
    with pytest.raises(BadOption, match="audio-chunk"):
        opened().decode(event("audio-chunk", None, b"ab"))


# ---------------------------------------------------------------- answers


def test_info_is_what_the_package_knows():
    [reply] = opened("mistralai/Voxtral").decode(event("describe"))
    assert isinstance(reply, Reply)
    info = Info.from_event(read([reply.frame])[0])
    program = info.asr[0]
    assert isinstance(program, AsrProgram) and program.installed
    assert program.supports_transcript_streaming and program.requires_external_vad
    [model] = program.models
    assert (model.name, model.attribution.name) == ("mistralai/Voxtral", "mistralai")
    assert model.attribution.url == "https://huggingface.co/mistralai/Voxtral"
    assert {"en", "de", "zh"} <= set(model.languages)


def test_the_bundled_model_knows_english_only():
    [reply] = opened("voxwire-tiny").decode(event("describe"))
    assert Info.from_event(read([reply.frame])[0]).asr[0].models[0].languages == ["en"]


@pytest.mark.parametrize("text", ["hello", None])
def test_a_pong_repeats_the_ping(text):
    [reply] = opened().decode(event("ping", {"text": text}))
    [answer] = read([reply.frame])
    assert Pong.is_type(answer.type) and Pong.from_event(answer).text == text


@pytest.mark.parametrize("text", [7, ["a"], {"a": 1}])
def test_a_pong_repeats_nothing_but_text(text):
    [reply] = opened().decode(event("ping", {"text": text}))
    [answer] = read([reply.frame])
    assert Pong.from_event(answer).text is None


def test_chunks_put_together_are_the_transcript():
    dialect = opened()
    said = [
        Partial(0, "one", "one", 0, 80),
        Partial(0, "one two", " two", 0, 80),
        final("one two."),
        final(""),
        Partial(1, "thré", "thré", 0, 80),
        final("thré", "flush"),
    ]
    events = read(frame for event_ in said for frame in dialect.encode(event_))
    assert TranscriptStart.is_type(events[0].type)
    chunks = [TranscriptChunk.from_event(e).text for e in events if TranscriptChunk.is_type(e.type)]
    assert chunks == ["one", " two", ".", " thré"]
    assert Transcript.from_event(events[-2]).text == "".join(chunks)
    assert TranscriptStop.is_type(events[-1].type)
    assert len(events) == 3 + len(chunks)


def test_nothing_said_is_an_empty_transcript_and_requests_do_not_mix():
    dialect = opened()
    dialect.encode(final("one", "flush"))
    events = read(dialect.encode(final("", "flush")))
    assert [e.type for e in events] == ["transcript-start", "transcript", "transcript-stop"]
    assert Transcript.from_event(events[1]).text == ""


def test_the_end_of_input_ends_a_request_that_was_not_stopped():
    dialect = opened()
    dialect.decode(event("audio-start", START))
    assert dialect.decode(b"") == [End()]
    dialect.encode(final("one", "end"))
    assert [e.type for e in read(dialect.encode(Done(80, 80, 1)))] == ["transcript", "transcript-stop"]


def test_the_end_of_input_after_a_request_is_silent():
    dialect = opened()
    dialect.decode(event("audio-start", START) + event("audio-stop"))
    dialect.decode(b"")
    assert dialect.encode(Done(80, 80, 1)) == []


def test_a_command_cut_short_by_the_server_is_no_transcript():
    """A truncated sentence could be another command."""
    dialect = opened()
    dialect.decode(event("audio-start", START))
    told = dialect.encode(final("turn off", "end")) + dialect.encode(Error("shutting_down", "Gone.", True))
    events = read(told)
    assert not [e for e in events if Transcript.is_type(e.type)]
    error = WyomingError.from_event(events[-1])
    assert (error.text, error.code) == ("Gone.", "shutting_down")


def test_what_the_protocol_has_no_word_for_is_not_said():
    assert opened().encode(Warning_("lagging", "Late.")) == []


def test_frames_are_lines_of_json():
    [frame] = opened().encode(Error("code", "ä\nö", True))
    header, data = frame.split("\n", 1)
    assert msgspec.json.decode(header)["type"] == "error"
    assert msgspec.json.decode(data)["text"] == "ä\nö"
