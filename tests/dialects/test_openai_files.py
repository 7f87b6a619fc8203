import json

import pytest
from openai.types.audio import (
    Transcription,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
)

from realtime.dialects.files import BadField, Fields
from realtime.dialects.openai_files import OpenAIFiles
from realtime.errors import AtCapacity, BadAudio, MessageTooLarge, Unauthorized
from realtime.events import GateOptions, SessionOptions
from tests.dialects.heard import EVENTS, HEARD, SILENCE


def asked(*pairs, **fields):
    return OpenAIFiles(Fields([*pairs, *fields.items()]))


def answer(*pairs, heard=HEARD, **fields):
    return asked(*pairs, **fields).answer(heard)


def sent(frames):
    """The objects of server-sent events without a name."""
    messages = []
    for frame in frames:
        assert frame.startswith("data: ") and frame.endswith("\n\n") and frame.count("\n") == 2
        messages.append(json.loads(frame[6:]))
    return messages


def test_json_has_what_the_sdk_reads():
    told = answer()
    assert told.content_type == "application/json"
    parsed = Transcription.model_validate_json(told.body, strict=True)
    assert parsed.text == "Hello, world. Café."
    assert (parsed.usage.type, parsed.usage.seconds) == ("duration", 4.25)
    assert parsed.logprobs is None


def test_json_has_what_mistrals_sdk_reads_too():
    told = json.loads(answer().body)
    assert (told["model"], told["language"], told["segments"]) == ("voxtral", None, [])
    usage = told["usage"]
    assert usage["prompt_audio_seconds"] == 5  # their SDK takes whole numbers only
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (54, 4, 58)


def test_logprobs_spell_the_text_byte_for_byte():
    for name in ("include[]", "include"):
        entries = json.loads(answer((name, "logprobs")).body)["logprobs"]
        assert b"".join(bytes(entry["bytes"]) for entry in entries) == "Hello, world. Café.".encode()
        assert [entry["logprob"] for entry in entries] == [-0.1, -0.3, -0.2, -0.4]
        assert entries[0]["token"] == "Hello," and entries[2]["token"] == " Caf\N{REPLACEMENT CHARACTER}"


def test_logprobs_are_of_json_alone():
    told = answer(("include[]", "logprobs"), response_format="verbose_json")
    assert "logprobs" not in json.loads(told.body)


def test_text():
    told = answer(response_format="text")
    assert told.body == "Hello, world. Café.\n"
    assert told.content_type == "text/plain; charset=utf-8"


def test_srt():
    told = answer(response_format="srt")
    assert told.content_type == "text/plain; charset=utf-8"
    assert told.body.startswith("1\n00:00:00,500 --> 00:00:01,500\nHello, world.\n")


def test_vtt():
    told = answer(response_format="vtt")
    assert told.content_type == "text/vtt; charset=utf-8"
    assert told.body.startswith("WEBVTT\n\n00:00:00.500 --> ")


def test_verbose_json_has_what_the_sdk_reads():
    told = answer(
        ("timestamp_granularities[]", "word"),
        ("timestamp_granularities[]", "segment"),
        response_format="verbose_json",
    )
    parsed = TranscriptionVerbose.model_validate_json(told.body, strict=True)
    assert (parsed.duration, parsed.language, parsed.text) == (4.25, "unknown", "Hello, world. Café.")
    assert [(word.word, word.start, word.end) for word in parsed.words] == [
        ("Hello,", 0.5, 0.9),
        ("world.", 1.0, 1.4),
        ("Café.", 3.0, 3.6),
    ]
    first, second = parsed.segments
    assert (first.id, first.start, first.end, first.text, first.seek) == (0, 0.5, 1.4, "Hello, world.", 50)
    assert first.avg_logprob == pytest.approx(-0.2) and second.avg_logprob == pytest.approx(-0.3)
    assert 0 < first.compression_ratio < 1  # short texts grow
    assert json.loads(told.body)["task"] == "transcribe"


@pytest.mark.parametrize(
    ("granularities", "keys"),
    [
        ([], {"segments"}),
        (["word"], {"words"}),
        (["segment"], {"segments"}),
        (["word", "segment"], {"words", "segments"}),
    ],
)
@pytest.mark.parametrize("name", ["timestamp_granularities[]", "timestamp_granularities"])
def test_granularities_choose_what_is_told(granularities, keys, name):
    told = json.loads(
        answer(*((name, value) for value in granularities), response_format="verbose_json").body
    )
    assert told.keys() & {"words", "segments"} == keys


@pytest.mark.parametrize(
    ("given", "told"), [("en", "english"), ("EN", "english"), ("nl", "dutch"), ("tlh", "tlh")]
)
def test_verbose_json_repeats_the_language_that_the_client_named(given, told):
    assert json.loads(answer(response_format="verbose_json", language=given).body)["language"] == told


@pytest.mark.parametrize("format", ["json", "text", "srt", "vtt", "verbose_json"])
def test_a_file_in_which_nothing_is_said_has_an_answer(format):
    told = answer(heard=SILENCE, response_format=format)
    assert told.body.strip() in ("", "WEBVTT") or json.loads(told.body)["text"] == ""


def test_deltas_join_to_the_text_of_the_end():
    dialect = asked(stream="true")
    assert dialect.streams
    deltas = sent(frame for event in EVENTS for frame in dialect.encode(event))
    assert [TranscriptionTextDeltaEvent.model_validate(delta, strict=True).delta for delta in deltas] == [
        "Hello,",
        " world.",
        " Café.",
    ]
    [done] = sent(dialect.done(HEARD))
    parsed = TranscriptionTextDoneEvent.model_validate(done, strict=True)
    assert parsed.text == "".join(delta["delta"] for delta in deltas)
    assert (parsed.usage.input_tokens, parsed.usage.output_tokens, parsed.usage.total_tokens) == (54, 4, 58)


def test_deltas_carry_their_own_logprobs():
    dialect = asked(("include[]", "logprobs"), stream="true")
    deltas = sent(frame for event in EVENTS for frame in dialect.encode(event))
    assert [[entry["logprob"] for entry in delta["logprobs"]] for delta in deltas] == [
        [-0.1],
        [-0.3],
        [-0.2, -0.4],
    ]
    assert len(sent(dialect.done(HEARD))[0]["logprobs"]) == 4


def test_a_fault_on_the_way_is_what_the_sdk_raises():
    [told] = sent(asked(stream="true").failure(AtCapacity()))
    assert told["type"] == "error" and told["error"]["code"] == "at_capacity"


def test_whoever_asks_for_nothing_gets_the_servers_defaults():
    defaults = SessionOptions(delay_ms=960, gate=GateOptions(hangover_ms=900))
    options = asked(("chunking_strategy", "auto")).options(defaults)
    assert options.gate == defaults.gate and options.delay_ms == 960
    assert not options.interim and asked(stream="1").options(defaults).interim


STRATEGY = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 250, "silence_duration_ms": 700}


@pytest.mark.parametrize(
    "pairs",
    [
        [("chunking_strategy", json.dumps(STRATEGY))],
        [(f"chunking_strategy[{key}]", str(value)) for key, value in STRATEGY.items()],
    ],
)
def test_a_chunking_strategy_sets_the_gate(pairs):
    gate = asked(*pairs).options(SessionOptions()).gate
    assert (gate.pre_roll_ms, gate.hangover_ms) == (250, 700)


def test_a_strategy_beyond_our_gate_is_brought_within():
    gate = (
        asked(
            ("chunking_strategy[type]", "server_vad"),
            ("chunking_strategy[prefix_padding_ms]", "9000"),
            ("chunking_strategy[silence_duration_ms]", "0"),
        )
        .options(SessionOptions())
        .gate
    )
    assert (gate.pre_roll_ms, gate.hangover_ms) == (2000, 100)


@pytest.mark.parametrize(
    ("pair", "param", "code"),
    [
        (("response_format", "yaml"), "response_format", "invalid_value"),
        (("response_format", "diarized_json"), "response_format", "unsupported_value"),
        (("stream", "maybe"), "stream", "invalid_value"),
        (("temperature", "hot"), "temperature", "invalid_value"),
        (("temperature", "nan"), "temperature", "invalid_value"),
        (("temperature", "2"), "temperature", "invalid_value"),
        (("timestamp_granularities[]", "letter"), "timestamp_granularities", "invalid_value"),
        (("include[]", "everything"), "include", "invalid_value"),
        (("chunking_strategy", "manual"), "chunking_strategy", "invalid_value"),
        (("chunking_strategy", "{"), "chunking_strategy", "invalid_value"),
        (("chunking_strategy", "[1]"), "chunking_strategy", "invalid_value"),
        (("chunking_strategy", '{"type":"semantic_vad"}'), "chunking_strategy.type", "invalid_value"),
        (("chunking_strategy", '{"type":["server_vad"]}'), "chunking_strategy.type", "invalid_value"),
        (
            ("chunking_strategy", f'{{"type":"server_vad","threshold":1{"0" * 400}}}'),
            "chunking_strategy.threshold",
            "invalid_value",
        ),
        (
            ("chunking_strategy", '{"type":"server_vad","silence_duration_ms":-1}'),
            "chunking_strategy.silence_duration_ms",
            "invalid_value",
        ),
        (
            ("chunking_strategy", '{"type":"server_vad","threshold":true}'),
            "chunking_strategy.threshold",
            "invalid_value",
        ),
    ],
)
def test_wrong_values_are_named_with_all_four_keys(pair, param, code):
    with pytest.raises(BadField) as caught:
        asked(pair)
    error = OpenAIFiles.refusal(caught.value, "r-1")["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert caught.value.http_status == 400


def test_unknown_fields_and_empty_values_are_ignored():
    asked(
        ("known_speaker_names[]", "Ann"),
        ("keywords[]", "Voxtral"),
        ("novelty", "1"),
        ("response_format", ""),
        ("temperature", ""),
        ("prompt", "names"),
    )


@pytest.mark.parametrize(
    ("error", "kind", "param", "code"),
    [
        (BadAudio("no audio"), "invalid_request_error", "file", "invalid_value"),
        (MessageTooLarge("too large"), "invalid_request_error", "file", "message_too_large"),
        (Unauthorized("who?"), "invalid_request_error", None, "invalid_api_key"),
        (AtCapacity(), "server_error", None, "at_capacity"),
    ],
)
def test_errors_speak_the_vendors_language(error, kind, param, code):
    told = OpenAIFiles.refusal(error, "r-1")["error"]
    assert told == {"message": error.message, "type": kind, "param": param, "code": code}
