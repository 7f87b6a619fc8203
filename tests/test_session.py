import gc
import itertools
import math
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soxr

from realtime.audio.gate import Passed
from realtime.errors import BadOption
from realtime.events import (
    Audio,
    Clear,
    Configure,
    End,
    Error,
    Final,
    Flush,
    GateOptions,
    KeepAlive,
    Partial,
    Ready,
    Reconfigure,
    SessionOptions,
    Step,
)
from realtime.session import Feed, Open, Release, Session, SessionLimits
from realtime.text.confidence import Calibration
from tests.conversations.stage import Echo, Script, Stage, s16, silence, voice
from tests.text.vocabulary import load_tekken

D = 6
OPEN_GATE = SessionOptions(gate=GateOptions(enabled=False))


@pytest.fixture(scope="module")
def tekken(tmp_path_factory):
    return load_tekken(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def session(tekken):
    def make(options=None, **limits):
        limits = SessionLimits(**limits)
        return Session(options or SessionOptions(), tekken, session_id="s", model="m", limits=limits)

    return make


@pytest.fixture
def stage(tekken):
    return lambda *script, query=None, **limits: Stage(
        Script(tekken, *script) if script else Echo(tekken), query, SessionLimits(**limits)
    )


def kinds(effects):
    return [type(effect) for effect in effects]


def positions(effects):
    """The effects, a run of frames as its length."""
    out = []
    for effect in effects:
        if not isinstance(effect, Feed):
            out.append(type(effect).__name__)
        elif out and isinstance(out[-1], int):
            out[-1] += 1
        else:
            out.append(1)
    return out


# ---------------------------------------------------------------- frames


def test_begins_with_ready_and_asks_for_a_lease_per_channel(session):
    one = session()
    assert one.events() == [Ready("s", "m", 16000, 480)]
    assert one.effects() == [Open(0, D)]
    two = session(SessionOptions(channels=2, delay_ms=2400, sample_rate=8000))
    assert two.events() == [Ready("s", "m", 8000, 2400)]
    assert two.effects() == [Open(0, 30), Open(1, 30)]
    assert two.events() == [] == two.effects()


def test_a_frame_goes_out_with_its_last_sample(session):
    """No frame waits for more audio than the model's look-ahead of 40 samples."""
    it = session(OPEN_GATE)
    it.effects()
    it.opened(0, 1)
    for n in range(5):
        it.receive(Audio(bytes(2 * (40 if n == 0 else 1280) - 2)))
        assert it.effects() == []
        it.receive(Audio(bytes(2)))
        assert kinds(it.effects()) == [Feed]
    assert it.backlog_frames == 5


def test_frames_are_the_audio_then_zeros(session):
    it = session(OPEN_GATE)
    it.opened(0, 1)
    audio = voice(1000)[:12_345]
    it.receive(Audio(s16(audio)))
    it.receive(End())
    frames = np.concatenate([effect.frame for effect in it.effects() if isinstance(effect, Feed)])
    heard = np.frombuffer(s16(audio), "<i2") / np.float32(32768)
    assert np.array_equal(frames[1240 : 1240 + 12_345], heard)
    assert not frames[:1240].any()
    assert not frames[1240 + 12_345 :].any()
    whole = -(-(12_345 - 40) // 1280) + 1
    assert len(frames) == 1280 * (whole + D + 1 + 10)


def test_silence_makes_no_frames_and_speech_is_drained_at_once(session):
    it = session()
    it.effects()
    it.opened(0, 1)
    it.receive(Audio(s16(silence(5000))))
    assert it.effects() == []
    it.receive(Audio(s16(voice(640), silence(2000))))
    [frames] = positions(it.effects())
    # 300 ms of pre-roll, 500 of hangover, what the VAD adds, and the drain.
    assert (640 + 300 + 500) / 80 <= frames - (D + 11) <= (640 + 300 + 500 + 160) / 80


def test_frames_wait_for_the_lease(session):
    it = session(OPEN_GATE)
    assert kinds(it.effects()) == [Open]
    it.receive(Audio(bytes(2 * 16_000)))
    assert it.effects() == []
    assert it.backlog_frames == 0
    assert it.lag_ms == 1000
    it.opened(0, 5)
    assert positions(it.effects()) == [13]
    assert it.lag_ms == 13 * 80


def test_backlog_counts_down_with_steps(session, tekken):
    it = session(OPEN_GATE)
    it.opened(0, 5)
    it.receive(Audio(bytes(2 * 16_000)))
    it.advance([Step(5, n, tekken.pad_id, 0.0) for n in range(4)])
    assert it.backlog_frames == 9


# ---------------------------------------------------------------- leases


def test_the_lease_is_given_back_in_a_long_silence_and_taken_again(stage):
    it = stage(release_after_ms=2000)
    it.send(s16(voice(600), silence(1900)))
    assert it.streams == {0: 1}
    it.send(s16(silence(1200)))
    assert it.streams == {}
    it.send(s16(silence(60_000)))
    assert it.engine.opened == 1
    it.send(s16(voice(600), silence(1000)))
    assert it.streams == {0: 2}
    assert [final["text"][:7] for final in it.of("final")] == ["one two"] * 2
    first, second = it.of("final")
    assert second["start_ms"] - first["start_ms"] == pytest.approx(600 + 1900 + 1200 + 60_000, abs=200)


def test_a_lease_that_nobody_speaks_on_is_given_back(stage):
    it = stage(release_after_ms=2000)
    it.send(s16(silence(3000)))
    assert it.streams == {}


@pytest.mark.parametrize("query", [{}, {"vad": "off"}])
def test_release_after_0_keeps_the_lease(stage, query):
    it = stage(query=query, release_after_ms=0)
    it.send(s16(voice(600), silence(30_000), voice(600), silence(1000)))
    assert it.engine.opened == 1
    assert it.streams == {0: 1}


def test_without_gate_the_lease_is_kept(stage):
    it = stage(query={"vad": "off"}, release_after_ms=1000)
    it.send(s16(silence(5000)))
    assert it.streams == {0: 1}


def test_rest_gives_back_what_is_idle_only(stage):
    it = stage()
    it.send(s16(voice(600)))
    it.session.rest()
    it.settle()
    assert it.streams == {0: 1}
    it.send(s16(silence(1000)))
    it.session.rest()
    it.settle()
    assert it.streams == {}
    it.send(s16(voice(600), silence(1000)))
    assert len(it.of("final")) == 2


def test_speech_behind_silent_frames_goes_on_with_the_same_lease(tekken):
    it = Stage(Echo(tekken), lazy=True)
    it.send(s16(voice(600), silence(600)))
    it.run(ticks=12)
    assert it.of("final") == []
    it.send(s16(voice(600), silence(600)))
    it.run()
    first, second = it.of("final")
    assert (first["text"], second["text"]) == ("one two wonderful", "three. hello worldé")
    assert it.engine.opened == 1
    assert second["words"][0]["start_ms"] >= 1100
    assert second["words"][-1]["end_ms"] == pytest.approx(1800, abs=120)


def test_steps_of_a_former_lease_mean_nothing(session, tekken):
    it = session(OPEN_GATE)
    it.opened(0, 7)
    it.receive(Audio(bytes(2 * 16_000)))
    it.events()
    it.advance([Step(6, 10, tekken.n_special + ord("x"), 0.0)])
    assert it.events() == []
    assert it.backlog_frames == 13


def test_refused_asks_again_with_new_audio_or_when_told(session):
    it = session(OPEN_GATE)
    it.effects()
    it.refused(0)
    assert it.is_waiting
    it.receive(Audio(bytes(2 * 16 * 100)))
    assert it.effects() == []
    it.receive(Audio(bytes(2 * 16 * 100)))
    assert it.effects() == [Open(0, D)]
    it.refused(0)
    it.retry()
    it.retry()
    assert it.effects() == [Open(0, D)]
    it.opened(0, 3)
    assert not it.is_waiting
    assert positions(it.effects()) == [3]


def test_a_finished_session_asks_for_nothing(session):
    it = session()
    it.effects()
    it.refused(0)
    it.receive(End())
    assert it.finished
    it.retry()
    assert it.effects() == []


def test_a_lease_can_be_refused_after_a_silence(stage):
    it = stage(release_after_ms=1000)
    it.send(s16(voice(600), silence(3000)))
    it.engine.slots = 0
    it.send(s16(voice(600), silence(1000)))
    assert len(it.of("final")) == 1
    it.engine.slots = 1
    it.send(s16(silence(200)))
    assert [final["text"][:7] for final in it.of("final")] == ["one two"] * 2


def test_audio_without_a_slot_is_bounded_and_the_loss_is_told(session):
    it = session(OPEN_GATE, max_wait_ms=3000)
    it.refused(0)
    for _ in range(100):
        it.receive(Audio(bytes(2 * 1600)))
        if Open in kinds(it.effects()):
            it.refused(0)
        assert it.lag_ms <= 3000
    gaps = [(e.from_ms, e.to_ms) for e in it.events() if not isinstance(e, Ready)]
    assert gaps[0][0] == 0
    assert all(a[1] == b[0] for a, b in itertools.pairwise(gaps))
    assert gaps[-1][1] + it.lag_ms == 10_000
    assert len(gaps) <= 10


def test_configure_swaps_leases_even_before_they_came(session):
    it = session()
    assert it.effects() == [Open(0, 6)]
    it.receive(Configure(SessionOptions(channels=2, delay_ms=80, gate=GateOptions(enabled=False))))
    assert it.effects() == [Release(0), Open(0, 1), Open(1, 1)]
    it.opened(0, 1)  # the answer to the first Open, void by now
    it.receive(Audio(bytes(4 * 640)))
    assert it.effects() == []
    it.opened(0, 2)
    it.refused(1)
    it.receive(Audio(bytes(4 * 640)))
    assert [(e.channel, type(e)) for e in it.effects()] == [(0, Feed)]
    assert it.is_waiting


def test_configure_after_the_lease_came_gives_it_back(session):
    it = session()
    it.effects()
    it.opened(0, 1)
    it.receive(Configure(SessionOptions(delay_ms=80)))
    assert it.effects() == [Release(0), Open(0, 1)]


# ---------------------------------------------------------------- text


def said(final):
    return [word["text"] for word in final["words"]]


def test_times_are_those_of_the_stream_through_gated_silence(stage):
    it = stage(release_after_ms=0)
    it.send(s16(silence(3000), voice(480), silence(20_000), voice(480), silence(1000)))
    for final, at_ms in zip(it.of("final"), (3000, 23_480), strict=True):
        assert final["words"][-1]["end_ms"] == pytest.approx(at_ms + 480, abs=120)
        assert at_ms - 120 <= final["start_ms"]
    assert [m["at_ms"] for m in it.of("speech_started")] == pytest.approx([3000, 23_480], abs=80)
    assert [m["at_ms"] for m in it.of("speech_stopped")] == pytest.approx([3480, 23_960], abs=160)


def test_a_start_by_estimate_does_not_reach_back_over_a_gated_silence(stage):
    """The second word is long, and its utterance begins with it: its start stays near its end."""
    word = {2 + D: "W", 3 + D: " hello"}
    second = {41 + n: piece for n, piece in enumerate(["W", " won", *["der"] * 6])}
    it = stage(word | second, release_after_ms=0)
    it.send(s16(voice(500), silence(8000), voice(500), silence(1000)))
    word = it.of("final")[1]["words"][0]
    assert word["text"] == "won" + "der" * 6
    assert 8100 <= word["start_ms"] < word["end_ms"] <= 9600


def test_interim_off_sends_finals_only(stage):
    it = stage(query={"interim": "false"})
    it.send(s16(voice(900), silence(1000)))
    assert it.of("partial") == []
    assert len(it.of("final")) == 1


def test_noise_without_words_makes_no_final(stage):
    it = stage({})
    it.send(s16(voice(600), silence(1000)))
    assert [m["type"] for m in it.told] == ["ready", "speech_started", "speech_stopped"]
    assert it.send({"type": "end"})[0]["utterances"] == 0


def test_eos_is_no_end(stage):
    it = stage({9: "W", 10: " hello", 11: "EOS", 14: "W", 15: " world"})
    it.send(s16(voice(1500), silence(1000)))
    assert it.text == "hello world"


def test_text_of_the_last_silent_frame_belongs_to_what_was_said_before(stage):
    frames = -(-(8000 - 40) // 1280) + 1
    last = frames + D + 11 - 1
    it = stage({last - 1: "W", last: " hello", last + 1: "W", last + 2: " world"}, query={"vad": "off"})
    it.send(s16(voice(500)), {"type": "flush"}, s16(voice(500)), {"type": "flush"})
    assert [m["text"] for m in it.of("final")] == ["hello", "world"]


def test_a_final_does_not_wait_for_all_silent_frames(tekken):
    """The hangover was silence already: a few ticks after the gate closes, two pads show that nothing is owed."""
    stage = Stage(Echo(tekken), lazy=True)
    stage.send(s16(voice(500), silence(400)))
    stage.run()
    stage.send(s16(silence(300)))  # now the gate closes
    ticks = 0
    while not any(event["type"] == "final" for event in stage.told):
        assert stage.session.backlog_frames, "the drain ended without a final"
        stage.run(1)
        ticks += 1
    assert ticks < D + 1 + 10
    assert stage.session.backlog_frames >= 8
    assert [event["type"] for event in stage.run()] == []  # the rest of the drain has nothing to add


def test_text_that_comes_later_than_the_pads_promised_is_not_lost(tekken):
    """A model that pauses in the middle of what it owes: the rest gets a final of its own, with the same drain."""
    frames = -(-8000 // 1280)
    late = frames + D + 12
    stage = Stage(Script(tekken, {frames + D: "W", frames + D + 1: " one", late: "W", late + 1: " two"}))
    told = stage.send(s16(voice(500), silence(1000)))
    assert [(e["text"], e["reason"]) for e in told if e["type"] == "final"] == [
        ("one", "silence"),
        ("two", "silence"),
    ]
    assert [e["utterance"] for e in told if e["type"] == "final"] == [0, 1]


def test_a_character_left_incomplete_is_shown(stage):
    it = stage({9: "W", 10: " hello", 11: b"\xc3"}, query={"vad": "off"})
    it.send(s16(voice(500)), {"type": "flush"})
    assert it.of("partial")[-1]["text"] == it.of("final")[0]["text"] == "hello�"


def test_without_gate_a_pause_in_the_text_ends_the_utterance(stage):
    words = {10: "W", 11: " hello", 22: "W", 23: " world", 60: "W", 61: " one"}
    it = stage(words, query={"vad": "off"})
    it.send(s16(silence(8000)))
    assert [(m["text"], m["reason"]) for m in it.of("final")] == [
        ("hello world", "silence"),
        ("one", "silence"),
    ]
    assert it.of("speech_started") == [] == it.of("speech_stopped")
    slower = stage(words, query={"vad": "off", "hangover_ms": "3000"})
    slower.send(s16(silence(10_000)))
    assert [m["text"] for m in slower.of("final")] == ["hello world one"]


def test_the_longest_utterance_is_cut_between_words(stage):
    it = stage(query={"max_utterance_ms": "2000"}, release_after_ms=0)
    it.send(s16(voice(12_000), silence(1000)))
    finals = it.of("final")
    whole = stage(release_after_ms=0)
    whole.send(s16(voice(12_000), silence(1000)))
    assert it.text == whole.text
    assert [w for f in finals for w in said(f)] == said(whole.of("final")[0])
    assert {f["reason"] for f in finals[:-1]} == {"length"}
    assert all(f["end_ms"] - f["start_ms"] <= 2000 for f in finals)


def test_speech_without_text_is_warned_of_once(stage):
    it = stage({9: "W", 10: " hello"}, {}, no_text_frames=50)
    it.send(s16(voice(10_000)))
    [warning] = it.of("warning")
    assert warning["code"] == "no_text"
    assert warning["to_ms"] - warning["from_ms"] == 50 * 80
    it.send({"type": "flush"}, s16(voice(10_000)))
    assert len(it.of("warning")) == 2


def test_silence_without_text_is_not_warned_of(stage):
    for query in ({}, {"vad": "off"}):
        it = stage({}, query=query, no_text_frames=50)
        it.send(s16(silence(10_000)))
        assert it.of("warning") == []


# ---------------------------------------------------------------- commands


def test_a_flush_is_always_answered_by_one_final(stage):
    it = stage()
    flush = {"type": "flush"}
    assert [m["reason"] for m in it.send(flush) if m["type"] == "final"] == ["flush"]
    it.send(s16(voice(700)))
    assert [(m["reason"], said(m) != []) for m in it.send(flush) if m["type"] == "final"] == [("flush", True)]
    it.send(s16(silence(2000)))
    assert [(m["reason"], said(m)) for m in it.send(flush) if m["type"] == "final"] == [("flush", [])]


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_a_flush_hears_what_the_resampler_still_holds(stage, rate):
    sound = soxr.resample(voice(1000), 16000, rate)
    query = {"sample_rate": str(rate), "vad": "off"}
    it, ended = stage(query=query), stage(query=query)
    it.send(s16(sound), {"type": "flush"}, {"type": "flush"})
    ended.send(s16(sound), {"type": "end"})
    heard = [np.concatenate([frame for _, frame in a.engine.frames]) for a in (it, ended)]
    assert np.array_equal(*heard)
    it.send(s16(sound), {"type": "end"})
    assert it.of("done")[0]["audio_ms"] == it.of("done")[0]["speech_ms"] == 2000


def test_a_flush_behind_a_silence_waits_for_its_final(tekken):
    it = Stage(Echo(tekken), lazy=True, query={"interim": "false"})
    it.send(s16(voice(700), silence(1000)), {"type": "flush"})
    assert it.of("final") == []
    it.run()
    assert [(m["reason"], said(m) != []) for m in it.of("final")] == [("silence", True), ("flush", False)]


def test_flushes_cannot_pile_up(tekken):
    it = Stage(Echo(tekken), lazy=True, limits=SessionLimits(max_flushes=3))
    it.send(s16(voice(700)), *[{"type": "flush"}] * 4)
    assert it.told[-1] == {
        "type": "error",
        "code": "limit_reached",
        "message": it.told[-1]["message"],
        "fatal": True,
    }
    assert it.session.failure.close_code == 1008
    assert it.send({"type": "flush"}, s16(voice(100))) == []


def test_end_drains_both_channels_then_done(tekken):
    audio = s16(np.stack([voice(900), silence(900)], axis=1).reshape(-1))
    it = Stage(Echo(tekken), {"channels": "2", "interim": "false"}, lazy=True)
    it.send(audio, {"type": "end"})
    assert it.of("done") == []
    assert not it.session.finished
    it.run()
    assert [m["type"] for m in it.told[-2:]] == ["final", "done"]
    assert it.of("done")[0] == {"type": "done", "audio_ms": 900, "speech_ms": 900, "utterances": 1}
    assert it.session.finished
    assert it.streams == {}


def test_after_done_nothing_is_heard(stage):
    it = stage()
    it.send({"type": "end"})
    assert it.send(s16(voice(500)), {"type": "flush"}, {"type": "end"}, {"type": "configure"}) == []


@pytest.mark.parametrize(
    "command",
    [Flush(), End(), Configure(SessionOptions()), Reconfigure(SessionOptions()), Clear(), KeepAlive()],
)
def test_commands_after_end(session, command):
    it = session(OPEN_GATE)
    it.receive(Audio(bytes(3200)))
    it.receive(End())
    it.events()
    it.receive(command)
    errors = [(e.code, e.fatal) for e in it.events() if isinstance(e, Error)]
    assert errors == ([] if isinstance(command, KeepAlive) else [("out_of_order", False)])


def test_audio_after_end_is_told_once(session):
    it = session(OPEN_GATE)
    it.receive(Audio(bytes(3200)))
    it.receive(End())
    it.events()
    for _ in range(3):
        it.receive(Audio(bytes(3200)))
    assert [type(event) for event in it.events()] == [Error]


def test_half_a_sample_at_the_end_is_told_and_the_rest_is_said(stage):
    it = stage()
    it.send(s16(voice(700)) + b"\x00")
    answers = it.send({"type": "end"})
    assert [m["code"] for m in answers if m["type"] == "error"] == ["bad_audio"]
    assert it.of("final")[0]["reason"] == "end"
    assert answers[-1]["type"] == "done"


def test_options_without_a_decoder(tekken):
    with pytest.raises(BadOption):
        Session(SessionOptions(encoding="opus"), tekken, session_id="s", model="m")


def test_a_session_abandoned_in_any_state_holds_nothing_alive(tekken):
    """Disconnects: the session has no threads, timers or cycles through anything outside."""
    for messages in ([], [s16(voice(500))], [s16(voice(500)), {"type": "flush"}], [{"type": "end"}]):
        it = Stage(Echo(tekken), lazy=True)
        it.send(*messages)
        before = [obj for obj in gc.get_objects() if type(obj) is Session]
        assert it.session in before
        it.session = None
        del before
        gc.collect()
        assert not [obj for obj in gc.get_objects() if type(obj) is Session]


# ---------------------------------------------------------------- clear


def order(stage, *commands):
    """What is told of commands that the native protocol does not have."""
    seen = len(stage.told)
    for command in commands:
        stage.receive(command)
        stage.settle()
    return stage.told[seen:]


def heard_by(engine):
    """All samples but zeros that the engine was fed, in order."""
    frames = [frame for _, frame in engine.frames]
    samples = np.concatenate(frames) if frames else np.empty(0, np.float32)
    return samples[samples != 0]


def as_sent(*parts):
    """What of `parts` the engine may hear: float32, without the zeros."""
    samples = np.frombuffer(s16(*parts), "<i2") / np.float32(32768)
    return samples[samples != 0]


@pytest.mark.parametrize("query", [{}, {"vad": "off"}])
def test_what_is_cleared_gets_no_final_and_does_not_come_back(stage, query):
    it = stage(query=query)
    it.send(s16(voice(900)))
    assert it.of("partial")
    assert order(it, Clear()) == []
    it.send(s16(silence(300), voice(500), silence(1000)), {"type": "flush"})
    first, *rest = it.of("final")
    # The lease is a fresh one: the engine begins to count anew.
    assert first["text"] == "one"
    assert [final["text"] for final in rest] in ([], [""])
    assert first["words"][0]["end_ms"] == pytest.approx(900 + 300 + 500, abs=120)
    assert first["utterance"] == it.of("partial")[0]["utterance"] + 1
    assert it.engine.opened == 2


def test_clear_keeps_what_is_owed(tekken):
    """A flush asked for the first words before the others were cleared: its final comes, whole and alone."""
    it = Stage(Echo(tekken), {"vad": "off"}, lazy=True)
    it.send(s16(voice(500)), {"type": "flush"}, s16(voice(1500)))
    order(it, Clear())
    it.send(s16(voice(500)), {"type": "flush"})
    it.run()
    assert [final["text"] for final in it.of("final")] == ["one two", "one two"]
    assert it.engine.opened == 2


def test_clear_while_a_pause_is_drained_keeps_that_utterance(tekken):
    it = Stage(Echo(tekken), lazy=True)
    it.send(s16(voice(500), silence(700)))
    it.run(ticks=8)
    order(it, Clear())
    it.run()
    assert [(final["text"], final["reason"]) for final in it.of("final")] == [("one two", "silence")]
    assert it.session.backlog_frames == 0


def test_clear_drops_what_waits_for_a_slot(session):
    it = session(OPEN_GATE)
    it.refused(0)
    it.receive(Audio(s16(voice(500))))
    it.receive(Flush())
    it.receive(Audio(s16(voice(900))))
    it.receive(Clear())
    assert it.lag_ms == 500
    it.receive(Clear())
    assert it.lag_ms == 500


def test_clear_while_a_lease_is_asked_for(session):
    it = session(OPEN_GATE)
    it.effects()
    it.receive(Audio(s16(voice(500))))
    it.receive(Clear())
    it.receive(Audio(s16(voice(80))))
    assert it.effects() == []
    it.opened(0, 1)
    assert positions(it.effects()) == [1]


def test_clear_keeps_a_lease_that_heard_nothing_since_the_last_final(stage):
    it = stage(query={"vad": "off"})
    order(it, Clear())
    order(it, Clear())
    it.send(s16(voice(500)), {"type": "flush"})
    order(it, Clear())
    assert it.engine.opened == 1


def test_clear_without_end_takes_no_room(session):
    it = session(OPEN_GATE)
    it.refused(0)
    it.receive(Audio(s16(voice(500))))
    it.receive(Flush())
    for _ in range(500):
        it.receive(Audio(s16(voice(20))))
        it.receive(Clear())
    assert len(it._channels[0]._queue) < 10


def test_clear_forgets_the_pre_roll_and_half_a_sample(stage):
    it = stage(query={"vad": "off"})
    it.send(s16(voice(300))[:-1])
    order(it, Clear())
    it.engine.frames.clear()
    it.send(s16(voice(500)), {"type": "flush"})
    assert np.array_equal(heard_by(it.engine), as_sent(voice(500)))
    gated = stage()
    hum = 0.001 * voice(300)
    gated.send(s16(silence(1000), hum))
    order(gated, Clear())
    gated.send(s16(voice(500)), {"type": "flush"})
    assert np.array_equal(heard_by(gated.engine), as_sent(voice(500)))


def test_a_flush_behind_a_clear_says_nothing(stage):
    it = stage(query={"vad": "off"})
    it.send(s16(voice(900)))
    order(it, Clear())
    [final] = it.send({"type": "flush"})
    assert (final["text"], final["words"], final["start_ms"]) == ("", [], 900)


def test_clear_at_another_rate_keeps_the_clock(stage):
    """What the resampler holds is dropped as well, and its time is not lost."""
    it = stage(query={"vad": "off", "sample_rate": "24000"})
    for _ in range(3):
        it.send(bytes(2 * 24 * 1000))
        order(it, Clear())
    assert it.send({"type": "end"})[-1]["audio_ms"] == 3000
    assert it.of("final") == [] or it.of("final")[-1]["end_ms"] == 3000


def test_changes_of_options_without_end_are_refused(session):
    it = session(OPEN_GATE)
    it.refused(0)
    it.receive(Audio(s16(voice(500))))
    it.receive(Flush())
    for n in range(500):
        it.receive(Reconfigure(SessionOptions(delay_ms=80 + 80 * (n % 2))))
    assert len(it._channels[0]._queue) < 300
    assert it.failure.code == "limit_reached"


def test_the_same_options_again_cost_no_lease(session):
    it = session(OPEN_GATE)
    it.effects()
    it.opened(0, 1)
    for _ in range(3):
        it.receive(Reconfigure(it.options))
    assert it.effects() == []
    assert [event for event in it.events() if not isinstance(event, Ready)] == []


def test_what_is_cleared_is_not_speech(stage):
    it = stage()
    it.send(s16(voice(900)))
    order(it, Clear())
    assert it.send({"type": "end"})[-1] == {"type": "done", "audio_ms": 900, "speech_ms": 0, "utterances": 0}


# ---------------------------------------------------------------- other options in mid-stream

VAD_OFF = SessionOptions(gate=GateOptions(enabled=False))


def test_other_options_before_any_audio_are_those_of_the_stream(session):
    it = session()
    it.effects()
    it.receive(Reconfigure(SessionOptions(channels=2, delay_ms=80)))
    assert positions(it.effects()) == ["Release", "Open", "Open"]


def test_the_same_options_cut_nothing(stage):
    it = stage(query={"vad": "off"})
    it.send(s16(voice(250)))
    assert [m["type"] for m in order(it, Reconfigure(it.session.options))] == ["ready"]
    it.send(s16(voice(250)), {"type": "flush"})
    assert [final["text"] for final in it.of("final")] == ["one two"]
    assert it.engine.opened == 1


CHANGES = {
    "delay": (VAD_OFF, SessionOptions(delay_ms=80, gate=GateOptions(enabled=False))),
    "gate off": (SessionOptions(), VAD_OFF),
    "gate on": (VAD_OFF, SessionOptions()),
    "hangover": (SessionOptions(), SessionOptions(gate=GateOptions(hangover_ms=900))),
}


@pytest.mark.parametrize("at_ms", [100, 430, 520, 700, 990, 1300])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("lazy", [False, True])
def test_a_change_loses_no_audio(tekken, change, at_ms, lazy):
    """Wherever it comes, before, within and behind speech: the engine hears every sample of it once."""
    before, after = CHANGES[change]
    talk = np.concatenate([silence(500), voice(500), silence(300), voice(700), silence(1200)])
    it = Stage(Echo(tekken), defaults=before, lazy=lazy)
    it.send(s16(talk[: at_ms * 16]))
    order(it, Reconfigure(after))
    it.send(s16(talk[at_ms * 16 :]), {"type": "end"})
    it.run()
    assert np.array_equal(heard_by(it.engine), as_sent(talk))
    [done] = it.of("done")
    assert done["audio_ms"] == len(talk) // 16
    ends = [word["end_ms"] for final in it.of("final") for word in final["words"]]
    assert ends == sorted(ends)
    assert ends[-1] == pytest.approx(2000, abs=120)


def test_a_change_within_speech_closes_the_utterance_as_silence_does(stage):
    it = stage()
    it.send(s16(silence(300), voice(700)))
    told = order(it, Reconfigure(VAD_OFF))
    assert [m["type"] for m in told if m["type"] != "partial"] == ["speech_stopped", "ready", "final"]
    assert told[-1]["reason"] == "silence"
    it.send(s16(voice(500)), {"type": "flush"})
    assert [final["utterance"] for final in it.of("final")] == [0, 1]
    assert it.engine.opened == 2


def test_a_change_in_silence_makes_no_final(stage):
    it = stage()
    it.send(s16(silence(1000)))
    assert [m["type"] for m in order(it, Reconfigure(VAD_OFF))] == ["ready"]


def test_another_delay_takes_another_lease(session, tekken):
    it = session(OPEN_GATE)
    it.opened(0, 1)
    it.receive(Audio(bytes(2 * 16_000)))
    it.effects()
    it.receive(Reconfigure(SessionOptions(delay_ms=80, gate=GateOptions(enabled=False))))
    [drain] = positions(it.effects())
    assert drain == 1 + D + 11
    it.advance([Step(1, n, tekken.pad_id, 0.0) for n in range(13 + drain)])
    assert it.effects() == [Release(0), Open(0, 1)]


def test_a_change_while_a_lease_is_asked_for_or_refused(session):
    it = session(OPEN_GATE)
    it.effects()
    it.receive(Audio(s16(voice(500))))
    it.receive(Reconfigure(SessionOptions(delay_ms=80, gate=GateOptions(enabled=False))))
    it.receive(Audio(s16(voice(500))))
    assert it.effects() == []
    it.refused(0)
    it.retry()
    assert it.effects() == [Open(0, D)]
    it.opened(0, 1)
    assert sum(isinstance(effect, Feed) for effect in it.effects()) == 8 + D + 11


def test_another_rate_and_encoding(stage):
    """Half a sample of the old encoding is nothing to the new one; the clock goes on."""
    it = stage(query={"vad": "off", "interim": "false"})
    it.send(s16(voice(500)) + b"\x01")
    slower = SessionOptions(encoding="mulaw", sample_rate=8000, gate=GateOptions(enabled=False))
    ready = order(it, Reconfigure(slower))[0]
    assert (ready["type"], ready["sample_rate"]) == ("ready", 8000)
    it.send(b"\xff" * 8000)
    order(it, Reconfigure(VAD_OFF))
    it.send(s16(voice(500)), {"type": "end"})
    assert it.of("error") == []
    assert it.of("done")[0]["audio_ms"] == 2000
    assert [final["text"] for final in it.of("final") if final["text"]] == ["one two", "one two"]
    assert it.of("final")[-1]["end_ms"] == pytest.approx(2000, abs=120)


def test_the_number_of_channels_stays(session):
    it = session()
    it.receive(Audio(bytes(320)))
    it.events()
    it.receive(Reconfigure(SessionOptions(channels=2)))
    [error] = it.events()
    assert (error.code, error.fatal) == ("out_of_order", False)


# ---------------------------------------------------------------- pieces


def test_pieces_are_told_to_those_who_asked(tekken):
    for logprobs in (True, False):
        options = SessionOptions(logprobs=logprobs, max_utterance_ms=2000, gate=GateOptions(enabled=False))
        it = Session(options, tekken, session_id="s", model="m")
        captions = captions_of(it, Echo(tekken), s16(voice(4000)))
        assert {type(caption) for caption in captions} == {Partial, Final}
        if not logprobs:
            assert {caption.pieces for caption in captions} == {None}
            continue
        for caption in captions:
            text = b"".join(piece.text for piece in caption.pieces)
            assert text.decode("utf-8", "ignore") == caption.text
            said = len(caption.text.split())
            assert sum(piece.logprob for piece in caption.pieces) == -0.25 * said


class Unsure(Echo):
    """Hardly believes every other word."""

    words = 0

    def tick(self):
        return [self._doubted(step) for step in super().tick()]

    def _doubted(self, step):
        self.words += step.token == self.tekken.word_id
        return replace(step, logprob=step.logprob * 20) if self.words % 2 else step


def test_what_is_not_written_is_missing_from_texts_words_and_pieces_alike(tekken):
    options = SessionOptions(logprobs=True, max_utterance_ms=2000, gate=GateOptions(enabled=False))
    everything, doubting = (
        captions_of(
            Session(
                options, tekken, session_id="s", model="m", calibration=Calibration(unwritten_below=below)
            ),
            Unsure(tekken),
            s16(voice(4000)),
        )
        for below in (0.0, 0.5)
    )
    finals, fewer = ([c for c in captions if isinstance(c, Final)] for captions in (everything, doubting))
    said = " ".join(c.text for c in finals).split()
    assert " ".join(c.text for c in fewer).split() == said[1::2]
    for caption in doubting:
        assert b"".join(p.text for p in caption.pieces).decode("utf-8", "ignore") == caption.text
    for final in fewer:
        assert [word.text for word in final.words] == final.text.split()


def test_confidence_is_what_the_checkpoint_makes_of_its_scores(tekken):
    calibration = Calibration(scale=1.5, offset=-1.0)
    for options, audio in (
        (SessionOptions(), s16(voice(2000), silence(1500))),
        (SessionOptions(gate=GateOptions(enabled=False)), s16(voice(2000))),
    ):
        raw = Session(options, tekken, session_id="s", model="m")
        calibrated = Session(options, tekken, session_id="s", model="m", calibration=calibration)
        expected = round(calibration.probability(math.exp(-0.25)), 4)
        assert {word.confidence for word in words_of(raw, Echo(tekken), audio)} == {0.7788}
        assert {word.confidence for word in words_of(calibrated, Echo(tekken), audio)} == {expected}


def test_a_change_of_options_keeps_the_calibration(tekken):
    it = Session(
        SessionOptions(), tekken, session_id="s", model="m", calibration=Calibration(1.0, math.log(2))
    )
    it.receive(Configure(SessionOptions(gate=GateOptions(enabled=False))))
    it.refused(0)  # what was asked for before
    words = words_of(it, Echo(tekken), s16(voice(2000)))
    odds = 2 * math.exp(-0.25) / (1 - math.exp(-0.25))
    assert {word.confidence for word in words} == {round(odds / (1 + odds), 4)}


def words_of(session, engine, audio):
    finals = [caption for caption in captions_of(session, engine, audio) if isinstance(caption, Final)]
    return [word for final in finals for word in final.words]


def captions_of(session, engine, audio):
    """Partials and finals of a whole stream."""
    lease = engine.open(D)
    session.effects()
    session.opened(0, lease)
    session.receive(Audio(audio))
    session.receive(End())
    for effect in session.effects():
        if isinstance(effect, Feed):
            engine.feed(lease, effect.frame)
    while steps := engine.tick():
        session.advance(steps)
    return [event for event in session.events() if isinstance(event, Partial | Final)]


# ---------------------------------------------------------------- bounds


def reachable(root):
    """How many objects hang on `root`, arrays by their bytes; code and modules do not count."""
    seen, queue, total = {id(root)}, [root], 0
    while queue:
        obj = queue.pop()
        total += obj.nbytes if isinstance(obj, np.ndarray) and obj.base is None else 1
        for child in gc.get_referents(obj):
            if id(child) not in seen and not isinstance(child, type | types.ModuleType | types.FunctionType):
                seen.add(id(child))
                queue.append(child)
    return total


DAYS = {
    "talk": ({}, [voice(700), silence(900)]),
    "cut": ({"max_utterance_ms": "1000", "vad": "off"}, [voice(1600)]),
    "pauses": ({"vad": "off"}, [voice(400), silence(2000)]),
    "silence": ({"vad": "off"}, [silence(1600)]),
    "long silences": ({}, [voice(400), silence(4000)]),
}


@pytest.mark.parametrize("engine", [Echo, Script])
@pytest.mark.parametrize("day", DAYS)
def test_memory_does_not_grow_with_the_stream(tekken, day, engine):
    query, parts = DAYS[day]
    it = Stage(engine(tekken), query, SessionLimits(release_after_ms=3000))
    audio = s16(*parts)

    def stream(seconds):
        for _ in range(int(seconds * 32_000 / len(audio))):
            it.send(audio)
            it.told.clear()
            it.engine.frames.clear()
        return reachable(it.session)

    stream(40)  # the look-back of the timeline fills
    small = stream(20)
    assert stream(200) < small + 300


def test_memory_does_not_grow_with_clears_and_changes(tekken):
    it = Stage(Echo(tekken), defaults=SessionOptions(logprobs=True))
    audio = s16(voice(700), silence(900), voice(300))

    def stream(times):
        for n in range(times):
            it.send(audio)
            order(it, Clear())
            it.send(audio)
            order(it, Reconfigure(SessionOptions(logprobs=True, delay_ms=80 * (1 + n % 4))))
            it.told.clear()
            it.engine.frames.clear()
        return reachable(it.session)

    stream(8)
    small = stream(8)
    assert stream(48) < small + 300


def test_crumbs_that_wait_for_a_lease_are_joined(session):
    it = session(OPEN_GATE)
    it.refused(0)
    audio = s16(voice(1000))
    for at in range(0, len(audio), 2):
        it.receive(Audio(audio[at : at + 2]))
        if Open in kinds(it.effects()):
            it.refused(0)
    assert it.lag_ms == 1000
    assert len([obj for obj in gc.get_objects() if type(obj) is Passed]) < 50
    it.retry()
    it.opened(0, 1)
    heard = np.concatenate([effect.frame for effect in it.effects() if isinstance(effect, Feed)])[1240:]
    assert np.array_equal(heard, (np.frombuffer(audio, "<i2") / np.float32(32768))[: len(heard)])


def test_imports_no_torch_and_no_asyncio():
    import subprocess
    import sys

    code = (
        "import sys, realtime.session, realtime.dialects.native, realtime.text.subtitles\n"
        "print(sorted({'torch', 'asyncio', 'aiohttp'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[1]
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert out.stdout.strip() == "[]"


def test_final_is_the_last_event_of_its_utterance(stage):
    it = stage()
    it.send(s16(voice(700), silence(900), voice(700), silence(900)), {"type": "end"})
    seen = set()
    for message in it.told:
        if message["type"] in ("partial", "final"):
            assert message["utterance"] not in seen
        if message["type"] == "final":
            seen.add(message["utterance"])
    assert seen == {0, 1}


def test_events_are_the_vocabulary(session):
    it = session(OPEN_GATE)
    it.receive(Flush())
    assert it.events()[1:] == [Final(0, "", (), 0, 0, "flush", 0)]
