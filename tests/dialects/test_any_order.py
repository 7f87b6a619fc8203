"""Commands of well-meaning clients in any order, with an engine that keeps up or does not: what each vendor's clients
count on holds. Everything follows from a seed.
"""

import json
import random

import numpy as np
import pytest

from realtime.session import SessionLimits
from tests.conversations.deepgram import form as deepgram
from tests.conversations.flux import form as flux
from tests.conversations.mistral import form as mistral
from tests.conversations.openai import form as openai
from tests.conversations.stage import Echo, Stage, silence, voice
from tests.conversations.vllm import form as vllm
from tests.conversations.vosk import form as vosk
from tests.conversations.wyoming import form as wyoming

STEPS = 14
SEEDS = range(6)
RAW = {"encoding": "linear16", "sample_rate": "16000"}


def talk(form, tekken, seed, commands, end, query=None):
    """A conversation of sound and commands in any order, brought to its end. Slots may be scarce at first, and what
    was said meanwhile be lost.
    """
    rng = random.Random(f"{form.__name__} {seed}")
    engine, limits = Echo(tekken, rng.choice((0, 1, 99))), SessionLimits(max_wait_ms=2000)
    stage = Stage(engine, query, limits, dialect=form.new(), lazy=rng.random() < 0.5)
    sent = []
    for _ in range(STEPS):
        command = rng.choice(commands) if rng.random() < 0.5 else sound(form, rng)
        for message in command if isinstance(command, list) else [command]:
            stage.send(message)
            sent.append(message)
        if rng.random() < 0.3:
            stage.run(rng.choice((1, 5, None)))
    sent += end
    stage.send(*end)
    engine.slots = 99
    stage.session.retry()
    stage.settle()
    stage.run()
    return stage, sent


def sound(form, rng):
    kind = voice if rng.random() < 0.6 else silence
    return list(form.messages(kind(rng.choice((20, 200, 700, 1500)))[np.newaxis]))


def count(sent, message):
    return sum(one == message for one in sent)


seeds = pytest.mark.parametrize("seed", SEEDS)

# ---------------------------------------------------------------- OpenAI

TRANSCRIPTION = "conversation.item.input_audio_transcription"
BUFFER = "input_audio_buffer"
COMMIT, CLEAR = {"type": f"{BUFFER}.commit"}, {"type": f"{BUFFER}.clear"}


def update(turns):
    return {"type": "session.update", "session": {"audio": {"input": {"turn_detection": turns}}}}


@seeds
def test_openai_every_committed_item_is_completed_once(seed, tekken):
    turns = [
        update(None),
        update({"type": "server_vad"}),
        update({"type": "semantic_vad", "eagerness": "high"}),
    ]
    stage, sent = talk(openai, tekken, seed, [COMMIT, CLEAR, *turns], [update(None), COMMIT])
    committed = [m["item_id"] for m in stage.of(f"{BUFFER}.committed")]
    completed = stage.of(f"{TRANSCRIPTION}.completed")
    assert [m["item_id"] for m in completed] == committed
    assert len(set(committed)) == len(committed)
    deltas = {}
    for delta in stage.of(f"{TRANSCRIPTION}.delta"):
        deltas[delta["item_id"]] = deltas.get(delta["item_id"], "") + delta["delta"]
    assert [m["transcript"] for m in completed] == [deltas.get(item, "") for item in committed]
    assert all(m["usage"]["seconds"] >= 0 for m in completed)
    assert len(stage.of(f"{BUFFER}.cleared")) == count(sent, CLEAR)
    stops = [m["item_id"] for m in stage.of(f"{BUFFER}.speech_stopped")]
    assert set(stops) <= set(committed)


# ---------------------------------------------------------------- Mistral, vLLM: sums

FLUSH, END = {"type": "input_audio.flush"}, {"type": "input_audio.end"}
FINAL = {"type": f"{BUFFER}.commit", "final": True}


@seeds
@pytest.mark.parametrize("turns", [None, {}])
def test_mistral_every_flush_has_a_sum(seed, turns, tekken):
    first = {"type": "session.update", "session": {"turn_detection": turns}}
    stage, sent = talk(mistral, tekken, seed, [FLUSH, FLUSH, first], [END])
    assert len(stage.of("transcription.done")) == count(sent, FLUSH) + 1
    assert summed(stage, "transcription.text.delta", "text", "transcription.done") == [
        m["text"] for m in stage.of("transcription.done")
    ]
    turn = [m["type"] for m in stage.told if m["type"].startswith("turn.")]
    assert turn == ["turn.start", "turn.end"] * (len(turn) // 2)


@seeds
def test_vllm_every_final_commit_has_a_sum(seed, tekken):
    stage, sent = talk(vllm, tekken, seed, [FINAL, {"type": f"{BUFFER}.commit"}], [FINAL])
    done = stage.of("transcription.done")
    assert len(done) == count(sent, FINAL)
    assert summed(stage, "transcription.delta", "delta", "transcription.done") == [m["text"] for m in done]


def summed(stage, delta, field, done):
    """The deltas before each sum, joined."""
    sums, text = [], ""
    for message in stage.told:
        if message["type"] == delta:
            text += message[field]
        elif message["type"] == done:
            sums, text = [*sums, text.strip()], ""
    return sums


# ---------------------------------------------------------------- vosk, Wyoming


@seeds
def test_vosk_every_message_has_an_answer(seed, tekken):
    stage, sent = talk(vosk, tekken, seed, [{"reset": 1}], [{"eof": 1}])
    assert len(stage.told) == len(sent)


@seeds
def test_wyoming_every_request_has_a_transcript(seed, tekken):
    start = wyoming.event("audio-start", {"rate": 16000, "width": 2, "channels": 1})
    stop = wyoming.event("audio-stop")
    stage, sent = talk(wyoming, tekken, seed, [start, stop, wyoming.event("describe")], [start, stop, b""])
    requests = "".join(frame_type(m) for m in stage.told)
    assert requests.count("transcript ") == count(sent, stop)
    assert set(
        requests.replace("info ", "").replace("transcript-chunk ", "").split("transcript-stop ")[:-1]
    ) == {"transcript-start transcript "}


def frame_type(told):
    """Of a frame as the stage shows it: header and data are no JSON together."""
    return json.loads(told["text"].partition("\n")[0] if "text" in told else json.dumps(told))["type"] + " "


# ---------------------------------------------------------------- Deepgram

FINALIZE, CLOSE = {"type": "Finalize"}, {"type": "CloseStream"}


@seeds
@pytest.mark.parametrize("more", [{}, {"channels": "2", "multichannel": "true"}, {"endpointing": "false"}])
def test_deepgram_windows_follow_each_other(seed, more, tekken):
    query = RAW | {"interim_results": "true", "utterance_end_ms": "1000", "vad_events": "true"} | more
    stage, sent = talk(deepgram, tekken, seed, [FINALIZE, {"type": "KeepAlive"}], [CLOSE], query)
    channels = int(more.get("channels", 1))
    results = stage.of("Results")
    assert sum(m["from_finalize"] for m in results) == count(sent, FINALIZE) * channels
    for channel in range(channels):
        at = 0.0
        for result in (m for m in results if m["channel_index"] == [channel, channels]):
            assert result["start"] == pytest.approx(at)
            assert result["duration"] >= 0
            assert result["is_final"] or not (result["speech_final"] or result["from_finalize"])
            at = result["start"] + result["duration"] if result["is_final"] else at
            for word in result["channel"]["alternatives"][0]["words"]:
                assert result["start"] <= word["start"] <= word["end"]
    assert stage.told[-1]["type"] == "Metadata"


@seeds
@pytest.mark.parametrize("more", [{}, {"eager_eot_threshold": "0.5"}, {"eot_threshold": "1"}])
def test_flux_turns_begin_and_end(seed, more, tekken):
    force = {"type": "ForceEndTurn"}
    stage, _ = talk(flux, tekken, seed, [force, {"type": "Configure", "thresholds": {}}], [force], RAW | more)
    assert [m["sequence_id"] for m in stage.told] == list(range(len(stage.told)))
    index, open_, eager = 0, False, False
    for turn in stage.of("TurnInfo"):
        event = turn["event"]
        assert turn["turn_index"] == index
        assert open_ != (event == "StartOfTurn")
        assert eager or event != "TurnResumed"
        assert turn["audio_window_start"] <= turn["audio_window_end"]
        open_, eager = event != "EndOfTurn", event == "EagerEndOfTurn"
        index += not open_
    assert not open_
