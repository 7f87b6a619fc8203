import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from realtime.dialects.base import Handshake, Note
from realtime.dialects.openai_config import LOGPROBS, BadValue, SessionConfig, TurnDetection, is_beta
from realtime.dialects.openai_items import LONGEST_CHARS
from realtime.dialects.openai_realtime import OpenAIRealtimeDialect, refusal
from realtime.errors import AtCapacity, LimitReached, Unauthorized
from realtime.events import (
    Audio,
    Clear,
    Done,
    Error,
    Final,
    Flush,
    Gap,
    GateOptions,
    Partial,
    Piece,
    Ready,
    Reconfigure,
    SessionOptions,
    SpeechStarted,
    SpeechStopped,
    Warning_,
)
from tests.conversations.openai import form
from tests.conversations.openai.form import append, messages, new
from tests.conversations.play import play, read
from tests.conversations.play import told as told_in
from tests.conversations.stage import Echo, Script, Stage, s16, silence, voice

GOLDEN = sorted((Path(__file__).parents[1] / "conversations" / "openai").glob("*.jsonl"))
TRANSCRIPTION = "conversation.item.input_audio_transcription"
COMMIT = {"type": "input_audio_buffer.commit"}
CLEAR = {"type": "input_audio_buffer.clear"}


def update(**inputs):
    return {"type": "session.update", "session": {"type": "transcription", "audio": {"input": inputs}}}


def speech(*parts):
    return messages(np.concatenate(parts)[np.newaxis])


@pytest.fixture
def stage(tekken):
    def make(engine=None, **options):
        return Stage(engine or Echo(tekken), dialect=new(), **options)

    return make


def items(messages):
    """What a client knows of every committed item: its deltas joined, its transcript, what came before it."""
    deltas, found = {}, {}
    for message in messages:
        item = message.get("item_id")
        match message["type"].removeprefix(TRANSCRIPTION):
            case ".delta":
                assert message["delta"]
                deltas[item] = deltas.get(item, "") + message["delta"]
            case "input_audio_buffer.committed":
                assert item not in found, "committed twice"
                assert message["previous_item_id"] == (list(found)[-1] if found else None)
                found[item] = None
            case ".completed":
                assert found[item] is None, "completed twice, or before it was committed"
                assert message["transcript"] == deltas.get(item, "")
                assert message["usage"]["type"] == "duration"
                assert message["usage"]["seconds"] >= 0
                found[item] = message["transcript"]
    return found


def transcripts(messages):
    return list(items(messages).values())


# ---------------------------------------------------------------- what clients rely on


@pytest.mark.parametrize("path", GOLDEN, ids=[path.stem for path in GOLDEN])
def test_what_every_conversation_promises(path, tekken):
    messages = told_in(play(read(path), tekken, form=form))
    assert messages[0]["type"] == "session.created"
    assert len({message["event_id"] for message in messages}) == len(messages)
    assert None not in transcripts(messages), "an item was never completed"
    speaking = None
    for at, message in enumerate(messages):
        match message["type"]:
            case "input_audio_buffer.speech_started":
                speaking = message["item_id"]
            case "input_audio_buffer.speech_stopped":
                assert message["item_id"] == speaking
                assert messages[at + 1]["type"] == "input_audio_buffer.committed"
            case "input_audio_buffer.committed":
                follow = [m["type"].rpartition(".")[2] for m in messages[at + 1 : at + 3]]
                assert follow == ["added", "done"] or follow[0] == "created"
                assert messages[at + 1]["item"]["id"] == message["item_id"]


@pytest.mark.parametrize("turns", [{"type": "server_vad"}, None])
@pytest.mark.parametrize("lazy", [False, True])
def test_any_cut_of_the_bytes_says_the_same(stage, turns, lazy):
    """Appends that split samples, and an engine that comes behind everything."""
    audio = [silence(300), voice(700), silence(900), voice(400), silence(900)]
    pcm = b"".join(base64.b64decode(json.loads(m)["audio"]) for m in speech(*audio))
    whole = stage()
    whole.send(update(turn_detection=turns), append(pcm), COMMIT)
    it = stage(lazy=lazy)
    it.send(update(turn_detection=turns))
    for at in range(0, len(pcm), 333):
        it.send(append(pcm[at : at + 333]))
    it.send(COMMIT)
    it.run()
    assert transcripts(it.told) == transcripts(whole.told)
    assert "one two wonderful" in " ".join(transcripts(it.told))


def test_turns_that_the_engine_is_behind_with_keep_their_text(stage):
    """Two turns are committed before a word is written; the text belongs to the older one first."""
    it = stage(lazy=True)
    it.send(*speech(silence(300), voice(400), silence(900), voice(900), silence(900)))
    assert items(it.told) == {"item_s1_1": None, "item_s1_2": None}
    it.run()
    assert items(it.told) == {"item_s1_1": "one", "item_s1_2": "two wonderful three."}


def test_a_commit_when_nobody_speaks_between_two_turns_has_its_own_item(stage):
    it = stage(lazy=True)
    it.send(*speech(voice(400), silence(900)), COMMIT, *speech(voice(400), silence(900)))
    it.run()
    assert list(items(it.told)) == ["item_s1_1", "item_s1_2", "item_s1_3"]
    assert transcripts(it.told)[1] == ""


def test_a_commit_right_behind_an_onset_has_one_item(stage):
    """The gate has not made up its mind when the commit comes."""
    it = stage()
    it.send(*speech(silence(300), voice(45)), COMMIT)
    assert len(items(it.told)) == 1
    assert None not in transcripts(it.told)


def test_a_turn_without_words_is_completed_without_text(stage, tekken):
    it = stage(Script(tekken))
    it.send(*speech(silence(300), voice(700), silence(900)))
    assert transcripts(it.told) == [""]
    kinds = [message["type"].rpartition(".")[2] for message in it.told]
    assert kinds == [
        "created",
        "speech_started",
        "speech_stopped",
        "committed",
        "added",
        "done",
        "completed",
    ]


def test_the_longest_utterance_makes_an_item_in_the_middle_of_a_turn(stage):
    it = stage(defaults=SessionOptions(max_utterance_ms=2000))
    it.send(*speech(voice(5000), silence(1000)))
    assert len(transcripts(it.told)) > 1
    whole = stage()
    whole.send(*speech(voice(5000), silence(1000)))
    assert " ".join(transcripts(it.told)) == transcripts(whole.told)[0]


def test_the_longest_utterance_does_not_divide_a_manual_item(stage):
    it = stage(defaults=SessionOptions(max_utterance_ms=2000))
    it.send(update(turn_detection=None), *speech(voice(5000), silence(1000)), COMMIT)
    whole = stage()
    whole.send(update(turn_detection=None), *speech(voice(5000), silence(1000)), COMMIT)
    assert transcripts(it.told) == transcripts(whole.told)
    assert len(transcripts(it.told)) == 1


def test_a_manual_item_that_nobody_commits_ends_at_last():
    dialect = opened()
    for note in dialect.decode(json.dumps(update(turn_detection=None)))[1:]:
        dialect.encode(note)
    utterance = "word " * 20_000
    told = speak(dialect, *(Final(n, utterance, (), n, n + 1, "length") for n in range(3)))
    [first] = transcripts_of(told)
    assert LONGEST_CHARS <= len(first) < LONGEST_CHARS + len(utterance)
    assert [m["type"] for m in told if "committed" in m["type"]] == ["input_audio_buffer.committed"]


def test_a_cut_behind_the_commit_does_not_divide_the_item(stage):
    """The engine is behind: the turn is committed before the utterance is found to be too long."""
    it = stage(lazy=True, defaults=SessionOptions(max_utterance_ms=2000))
    it.send(*speech(voice(5000), silence(1000)))
    it.run()
    assert len(transcripts(it.told)) == 1


def test_text_behind_the_final_gets_an_item_of_its_own():
    dialect = opened()
    speak(dialect, SpeechStarted(0), Partial(0, "one", "one", 0, 0), SpeechStopped(500))
    speak(dialect, Final(0, "one", (), 0, 500, "silence"))
    told = speak(dialect, Partial(1, "two", "two", 0, 0), Final(1, "two", (), 0, 500, "silence"))
    assert transcripts_of(told) == ["two"]


def test_a_final_brings_what_no_delta_has_said():
    """A slow reader does not get every partial."""
    dialect = opened()
    told = speak(dialect, SpeechStarted(0), Partial(0, "one two", " two", 0, 0), SpeechStopped(900))
    told += speak(dialect, Final(0, "one two three", (), 0, 900, "silence"))
    assert [m["delta"] for m in told if m["type"].endswith("delta")] == ["one two", " three"]
    assert transcripts(told) == ["one two three"]


@pytest.mark.parametrize("lazy", [False, True])
def test_a_change_to_turns_commits_what_was_sent(stage, lazy):
    """A pause within it makes no item, however far behind the engine is."""
    it = stage(lazy=lazy)
    it.send(update(turn_detection=None), *speech(voice(400), silence(2500), voice(400)))
    it.send(update(turn_detection={"type": "server_vad"}), *speech(silence(300), voice(400), silence(900)))
    it.run()
    first, second = transcripts(it.told)
    assert (len(first.split()), len(second.split())) == (4, 1)


def test_an_end_of_the_server_leaves_no_item_open():
    dialect = opened()
    told = speak(dialect, SpeechStarted(0), SpeechStopped(500), Final(0, "one", (), 0, 500, "end"))
    assert transcripts(told) == ["one"]
    assert speak(dialect, Final(1, "", (), 700, 700, "end"), Done(700, 500, 1)) == []


def test_cleared_words_do_not_come_back(stage):
    it = stage(lazy=True)
    it.send(update(turn_detection=None), *speech(voice(400)), COMMIT, *speech(voice(900)), CLEAR)
    it.send(*speech(voice(400)), COMMIT)
    it.run()
    assert transcripts(it.told) == ["one two"] * 2


def opened(query=(), **options):
    dialect = OpenAIRealtimeDialect(now=lambda: 7.9)
    dialect.open(Handshake(tuple(query)), SessionOptions(**options))
    speak(dialect, Ready("s1", "echo", 24_000, 480))
    return dialect


def speak(dialect, *events):
    return [json.loads(frame) for event in events for frame in dialect.encode(event)]


def transcripts_of(messages):
    return [m["transcript"] for m in messages if m["type"] == f"{TRANSCRIPTION}.completed"]


# ---------------------------------------------------------------- the session object


def test_the_defaults_are_the_vendors():
    options = OpenAIRealtimeDialect().open(Handshake(), SessionOptions(delay_ms=960, channels=2))
    gate = GateOptions(enabled=True, aggressiveness=1, pre_roll_ms=300, hangover_ms=500)
    assert options == SessionOptions(sample_rate=24_000, delay_ms=960, gate=gate)


def test_what_only_the_operator_decides_is_kept():
    defaults = SessionOptions(max_utterance_ms=9000, gate=GateOptions(enabled=False, onset_ms=90))
    options = SessionConfig().options(defaults)
    assert (options.max_utterance_ms, options.gate.onset_ms, options.gate.enabled) == (9000, 90, True)


def test_the_hello_serves_both_protocols_of_the_path():
    dialect = OpenAIRealtimeDialect(now=lambda: 7.9)
    dialect.open(Handshake((("model", "whisper-1"), ("intent", "transcription"))), SessionOptions())
    [hello] = speak(dialect, Ready("s1", "echo", 24_000, 480))
    assert (hello["type"], hello["id"], hello["created"]) == ("session.created", "sess-s1", 7)
    assert hello["session"]["audio"]["input"]["transcription"]["model"] == "whisper-1"
    assert speak(dialect, Ready("s1", "echo", 24_000, 480)) == []


def test_a_key_brings_its_configuration():
    config = SessionConfig().updated({"audio": {"input": {"turn_detection": None}}})
    dialect = OpenAIRealtimeDialect()
    assert not dialect.open(Handshake(grant=config), SessionOptions()).gate.enabled
    [hello] = speak(dialect, Ready("s1", "echo", 24_000, 480))
    assert hello["session"]["audio"]["input"]["turn_detection"] is None
    assert OpenAIRealtimeDialect().open(Handshake(grant="of another vendor"), SessionOptions()).gate.enabled


@pytest.mark.parametrize(
    ("inputs", "changes"),
    [
        ({"format": {"type": "audio/pcmu"}}, {"encoding": "mulaw", "sample_rate": 8000}),
        ({"format": {"type": "audio/pcma", "rate": 8000}}, {"encoding": "alaw", "sample_rate": 8000}),
        ({"format": {"type": "audio/pcm", "rate": 16000}}, {"sample_rate": 16_000}),
        ({"format": {"type": "audio/pcm"}}, {}),
        ({"format": None}, {}),
        ({"transcription": {"model": "any", "delay": "minimal"}}, {"delay_ms": 80}),
        ({"transcription": {"delay": "low"}}, {"delay_ms": 240}),
        ({"transcription": {"delay": "medium"}}, {"delay_ms": 480}),
        ({"transcription": {"delay": "high"}}, {"delay_ms": 960}),
        ({"transcription": {"delay": "xhigh"}}, {"delay_ms": 2400}),
        ({"transcription": None, "noise_reduction": None}, {}),
        ({"noise_reduction": {"type": "far_field", "strength": 0.3}, "colour": "blue"}, {}),
    ],
)
def test_what_becomes_options(inputs, changes):
    defaults = SessionOptions()
    options = SessionConfig().updated({"type": "transcription", "audio": {"input": inputs}}).options(defaults)
    assert options == replace(SessionConfig().options(defaults), **changes)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ({"type": "server_vad"}, (True, 1, 300, 500)),
        ({"type": "server_vad", "threshold": 0, "prefix_padding_ms": 0}, (True, 0, 0, 500)),
        ({"type": "server_vad", "threshold": 1, "silence_duration_ms": 200.0}, (True, 3, 300, 200)),
        ({"type": "server_vad", "silence_duration_ms": 0, "create_response": True}, (True, 1, 300, 20)),
        ({"type": "server_vad", "idle_timeout_ms": 5000}, (True, 1, 300, 500)),
        ({"type": "semantic_vad"}, (True, 1, 300, 1000)),
        ({"type": "semantic_vad", "eagerness": "low"}, (True, 1, 300, 2000)),
        ({"type": "semantic_vad", "eagerness": "medium"}, (True, 1, 300, 1000)),
        ({"type": "semantic_vad", "eagerness": "high"}, (True, 1, 300, 500)),
        ({"type": "semantic_vad", "eagerness": "auto"}, (True, 1, 300, 1000)),
        (None, (False, 1, 300, 500)),
    ],
)
def test_turn_detection_is_the_gate(turns, expected):
    config = SessionConfig().updated({"audio": {"input": {"turn_detection": turns}}})
    gate = config.options(SessionOptions()).gate
    assert (gate.enabled, gate.aggressiveness, gate.pre_roll_ms, gate.hangover_ms) == expected


def test_an_absent_field_keeps_its_value_and_null_takes_it_away():
    first = {
        "include": [LOGPROBS],
        "audio": {
            "input": {
                "transcription": {"model": "whisper-1", "language": "en", "delay": "low"},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 900, "idle_timeout_ms": 6000},
                "noise_reduction": {"type": "near_field"},
            }
        },
    }
    config = SessionConfig().updated(first)
    assert config.updated({"type": "transcription"}) == config
    assert config.updated({"audio": {"input": {"transcription": {"prompt": "x"}}}}).transcription == {
        "model": "whisper-1",
        "language": "en",
        "delay": "low",
        "prompt": "x",
    }
    turns = config.updated({"audio": {"input": {"turn_detection": {"threshold": 0.7}}}}).turn_detection
    assert turns == TurnDetection("server_vad", 0.7, 300, 900, 6000)
    gone = {"transcription": None, "turn_detection": None, "noise_reduction": None}
    assert config.updated({"include": None, "audio": {"input": gone}}) == SessionConfig(turn_detection=None)
    no_timeout = {"turn_detection": {"type": "server_vad", "idle_timeout_ms": None}}
    assert config.updated({"audio": {"input": no_timeout}}).turn_detection.idle_timeout_ms is None


def test_both_shapes_mean_the_same():
    flat = {
        "input_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "whisper-1"},
        "input_audio_noise_reduction": {"type": "far_field"},
        "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
        "include": [LOGPROBS],
    }
    inputs = {
        "format": {"type": "audio/pcmu"},
        "transcription": {"model": "whisper-1"},
        "noise_reduction": {"type": "far_field"},
        "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
    }
    nested = {"type": "transcription", "include": [LOGPROBS], "audio": {"input": inputs}}
    config = SessionConfig().updated(flat)
    assert config == SessionConfig().updated(nested)
    assert is_beta(flat)
    assert not is_beta(nested)
    assert not is_beta({"include": []})
    # What we tell can be sent back to us.
    assert SessionConfig().updated(config.ga("m")) == SessionConfig().updated(nested)
    assert SessionConfig().updated(config.beta("m")) == config


@pytest.mark.parametrize("value", [7, "x", [], True, {"type": 7}, {"type": "server_vad", "threshold": True}])
def test_a_wrong_turn_detection_is_named(value):
    with pytest.raises(BadValue) as caught:
        SessionConfig().updated({"audio": {"input": {"turn_detection": value}}})
    assert caught.value.param.startswith("session.audio.input.turn_detection")


@pytest.mark.parametrize("name", ["model", "language", "languages", "prompt", "keywords", "delay"])
@pytest.mark.parametrize("value", [7, True, {}, [7], [[]]])
def test_a_wrong_transcription_is_named(name, value):
    with pytest.raises(BadValue) as caught:
        SessionConfig().updated({"audio": {"input": {"transcription": {name: value}}}})
    assert caught.value.param.startswith(f"session.audio.input.transcription.{name}")


def test_hints_are_repeated():
    hints = {"model": "m", "language": "en", "languages": ["en", "de"], "prompt": "p", "keywords": ["k"]}
    config = SessionConfig().updated({"audio": {"input": {"transcription": hints | {"delay": "low"}}}})
    assert config.transcription == hints | {"delay": "low"}
    gone = {"language": None, "keywords": None, "delay": None}
    assert config.updated({"audio": {"input": {"transcription": gone}}}).transcription.keys() == {
        "model",
        "languages",
        "prompt",
    }


# ---------------------------------------------------------------- messages


def test_audio_and_commands():
    dialect = opened()
    assert dialect.decode(append(b"\0\1\2")) == [Audio(b"\0\1\2")]
    begin, flush, end = dialect.decode(json.dumps(COMMIT))
    assert flush == Flush()
    assert isinstance(begin, Note) and isinstance(end, Note)
    assert dialect.decode(json.dumps(CLEAR))[0] == Clear()
    [change, _] = dialect.decode(json.dumps(update(turn_detection=None)))
    assert isinstance(change, Reconfigure)
    assert not change.options.gate.enabled


def test_an_empty_append_is_no_audio():
    dialect = opened()
    dialect.decode(append(b""))
    [fault] = dialect.decode(json.dumps(COMMIT))
    [message] = speak(dialect, fault)
    assert message["error"]["code"] == "input_audio_buffer_commit_empty"


def test_a_wrong_update_changes_nothing():
    dialect = opened()
    wrong = update(format={"type": "audio/pcmu"}, turn_detection={"type": "server_vad", "threshold": 7})
    assert len(dialect.decode(json.dumps(wrong))) == 1
    [change, _] = dialect.decode(json.dumps(update()))
    assert change.options == SessionConfig().options(SessionOptions())


def test_deep_json_is_refused_and_survived(stage):
    it = stage()
    [error] = it.send("[" * 100_000)
    assert error["error"]["code"] == "invalid_json"


def test_pieces_become_logprobs():
    dialect = opened()
    pieces = (Piece(b"one", -0.5), Piece("é".encode()[:1], -1.0), Piece("é".encode()[1:], -1.5))
    told = speak(dialect, SpeechStarted(0), Partial(0, "one", "one", 0, 0, pieces=pieces[:1]))
    told += speak(dialect, SpeechStopped(500), Final(0, "oneé", (), 0, 500, "silence", pieces=pieces))
    first, second = (m["logprobs"] for m in told if m["type"].endswith(".delta"))
    assert first == [{"token": "one", "logprob": -0.5, "bytes": [111, 110, 101]}]
    assert [entry["bytes"] for entry in second] == [[195], [169]]
    assert told[-1]["logprobs"] == first + second


def test_gaps_and_warnings_are_no_errors():
    assert speak(opened(), Gap(0, 1, "no_slot"), Warning_("no_text", "…")) == []


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (AtCapacity(), "server_error", "at_capacity"),
        (LimitReached("60 minutes"), "invalid_request_error", "session_expired"),
        (Unauthorized("no key"), "invalid_request_error", "invalid_api_key"),
        (BadValue("no", "session.x"), "invalid_request_error", "invalid_value"),
    ],
)
def test_errors_have_the_vendors_shape(error, kind, code):
    body = refusal(error)["error"]
    assert (body["type"], body["code"], body["message"]) == (kind, code, error.message)
    assert OpenAIRealtimeDialect().refusal(error) == {"error": body}
    if not isinstance(error, BadValue):
        [event] = speak(opened(), Error(error.code, error.message, error.fatal))
        assert event["error"] == body | {"event_id": None}


def test_the_native_protocol_has_no_pieces(tekken):
    """Nobody there can ask for them, and what is None is not told."""
    it = Stage(Echo(tekken))
    it.send(s16(voice(700), silence(900)))
    assert it.of("final")
    assert not [message for message in it.told if "pieces" in message]
