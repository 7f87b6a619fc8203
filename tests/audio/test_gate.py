from __future__ import annotations

import itertools

import numpy as np
import pytest

from realtime.audio.gate import Closed, Gate, GateEvent, Opened, OpenGate, Passed, gate
from realtime.audio.hysteresis import State
from realtime.events import GateOptions
from tests.audio.chunking import cuts, ways_to_cut
from tests.audio.synthetic import RATE_HZ, click, noise, silence, speech

VAD_FRAME = 320


def run(gate_, samples: np.ndarray, sizes=(1280,)) -> list[GateEvent]:
    events = [event for chunk in cuts(samples, sizes) for event in gate_.push(chunk)]
    return merged(events + gate_.flush())


def merged(events: list[GateEvent]) -> list[GateEvent]:
    """Passed joined where one follows the other; a hole or a repeat stays visible."""
    result: list[GateEvent] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, Passed) and isinstance(last, Passed):
            assert event.start_sample == last.start_sample + len(last.samples)
            result[-1] = Passed(last.start_sample, np.concatenate((last.samples, event.samples)))
        else:
            result.append(event)
    return result


def utterances(events: list[GateEvent], samples: np.ndarray) -> list[tuple[int, int, int, int]]:
    """(start, onset, end of speech, end) of each, after checking that the dialogue is one and the audio true."""
    assert len(events) % 3 == 0
    result = []
    for opened, passed, closed in zip(events[::3], events[1::3], events[2::3], strict=True):
        assert (type(opened), type(passed), type(closed)) == (Opened, Passed, Closed)
        start, end = passed.start_sample, passed.start_sample + len(passed.samples)
        np.testing.assert_array_equal(passed.samples, samples[start:end])
        assert start <= opened.at_sample <= closed.at_sample <= end
        result.append((start, opened.at_sample, closed.at_sample, end))
    for before, after in itertools.pairwise(result):
        assert before[3] <= after[0], "heard twice"
    return result


def heard(samples: np.ndarray, options: GateOptions | None = None) -> list[tuple[int, int, int, int]]:
    return utterances(run(Gate(options or GateOptions()), samples), samples)


def assert_same(events: list[GateEvent], expected: list[GateEvent]) -> None:
    assert [type(event) for event in events] == [type(event) for event in expected]
    for a, b in zip(events, expected, strict=True):
        if isinstance(a, Passed):
            assert a.start_sample == b.start_sample
            np.testing.assert_array_equal(a.samples, b.samples)
        else:
            assert a == b


# ---------------------------------------------------------------- first words


@pytest.mark.parametrize("aggressiveness", range(4))
@pytest.mark.parametrize("lead_s", [0, 0.2, 1, 10, 60])
def test_first_words_are_whole(lead_s, aggressiveness):
    samples = np.concatenate([silence(lead_s), speech(1.0), silence(1.5)])
    ((start, onset, speech_end, end),) = heard(samples, GateOptions(aggressiveness=aggressiveness))
    begins, ends = round(lead_s * RATE_HZ), round((lead_s + 0.96) * RATE_HZ)
    assert start <= begins and ends <= end
    assert abs(onset - begins) <= 2 * VAD_FRAME
    assert abs(speech_end - ends) <= 4 * VAD_FRAME
    assert start == max(0, onset - 300 * 16)


@pytest.mark.parametrize("level", [0.003, 0.02, 0.3, 1.0])
def test_a_quiet_voice_is_whole_too(level):
    samples = np.concatenate([silence(10), speech(3.0, level), silence(1.5)])
    ((start, _, _, end),) = heard(samples)
    assert start <= 10 * RATE_HZ and end >= 12.96 * RATE_HZ


@pytest.mark.parametrize("lead_s", [0, 0.2, 1, 10])
def test_first_words_are_whole_beside_noise(lead_s):
    """Speech 20 dB above white noise that was there from the beginning."""
    voice = np.concatenate([silence(lead_s), speech(2.0, 0.3), silence(1.5)])
    samples = voice + noise(lead_s + 3.5, 0.005)
    passed = np.zeros(len(samples), bool)
    for start, _, _, end in heard(samples):
        passed[start:end] = True
    assert passed[voice != 0].all()


def test_a_soft_onset_is_whole():
    voice = speech(2.0)
    voice[: RATE_HZ // 4] *= np.linspace(0, 1, RATE_HZ // 4, dtype=np.float32)
    samples = np.concatenate([silence(5), voice, silence(1)])
    ((start, _, _, _),) = heard(samples)
    assert start <= 5 * RATE_HZ


# ---------------------------------------------------------------- timings


@pytest.mark.parametrize("pre_roll_ms", [0, 20, 300, 1000])
def test_pre_roll(pre_roll_ms):
    samples = np.concatenate([silence(3), speech(1), silence(1)])
    ((start, onset, _, _),) = heard(samples, GateOptions(pre_roll_ms=pre_roll_ms))
    assert onset - start == pre_roll_ms * 16


@pytest.mark.parametrize("hangover_ms", [100, 500, 1200])
def test_hangover(hangover_ms):
    samples = np.concatenate([silence(1), speech(1), silence(2)])
    ((_, _, speech_end, end),) = heard(samples, GateOptions(hangover_ms=hangover_ms))
    assert end - speech_end == hangover_ms * 16


def test_a_pause_shorter_than_the_hangover_does_not_cut():
    pause, long_pause = silence(0.35), silence(1.5)
    samples = np.concatenate([speech(1), pause, speech(1), long_pause, speech(1), silence(1)])
    assert len(heard(samples)) == 2


def test_a_longer_onset_rejects_shorter_sounds():
    samples = np.concatenate([silence(1), speech(0.16), silence(1)])
    assert len(heard(samples, GateOptions(onset_ms=60))) == 1
    assert heard(samples, GateOptions(onset_ms=400)) == []


def test_speech_right_after_closing_repeats_nothing():
    """The pre-roll of the second utterance would reach into the hangover of the first."""
    samples = np.concatenate([silence(1), speech(1), silence(0.3), speech(1), silence(1)])
    first, second = heard(samples, GateOptions(hangover_ms=100, pre_roll_ms=1000))
    assert second[0] == first[3]


@pytest.mark.parametrize("seed", range(4))
def test_a_conversation_loses_and_repeats_nothing(seed):
    rng = np.random.default_rng(seed)
    parts, spoken, at = [], [], 0
    for n in range(12):
        gap, voice = silence(rng.uniform(0, 2.5)), speech(rng.uniform(0.3, 1.5), rng.uniform(0.02, 0.5), n)
        spoken.append((at + len(gap), at + len(gap) + len(voice)))
        at = spoken[-1][1]
        parts += [gap, voice]
    samples = np.concatenate([*parts, silence(1)])
    passed = np.zeros(len(samples), bool)
    for start, _, _, end in heard(samples):
        passed[start:end] = True
    for start, end in spoken:
        assert passed[start:end].all()


# ---------------------------------------------------------------- equalities


@pytest.mark.parametrize("voice", ["clean", "noisy", "quiet"])
def test_any_chunking_equals_one_chunk(voice):
    samples = np.concatenate([silence(0.5), speech(0.7), silence(1.3), speech(0.5, seed=1), silence(0.33)])
    if voice == "noisy":
        samples += noise(len(samples) / RATE_HZ, 0.003)[: len(samples)]
    if voice == "quiet":
        samples *= 0.03
    whole = run(Gate(GateOptions()), samples, [len(samples)])
    assert len(whole) == 6
    for sizes in ways_to_cut(longest=5000, seed=2)[1:]:
        assert_same(run(Gate(GateOptions()), samples, sizes), whole)


def test_speech_is_passed_as_it_comes():
    """While somebody speaks nothing waits for the end of a VAD frame."""
    gate_ = Gate(GateOptions())
    gate_.push(speech(1))
    (passed,) = gate_.push(speech(1)[:7])
    assert (passed.start_sample, len(passed.samples)) == (RATE_HZ, 7)


# ---------------------------------------------------------------- noise


def test_silence_passes_nothing():
    assert heard(silence(30)) == []


def test_a_click_does_not_open():
    assert heard(click(3, at_s=1.003)) == []


@pytest.mark.parametrize("level", [0.001, 0.02, 0.2])
def test_steady_noise_does_not_hold_the_gate_open(level):
    samples = noise(30, level)
    assert sum(end - start for start, _, _, end in heard(samples)) < 5 * RATE_HZ
    assert (
        sum(end - start for start, _, _, end in heard(np.concatenate([silence(10), samples]))) < 6 * RATE_HZ
    )


# ---------------------------------------------------------------- flush


def test_flush_in_the_middle_of_speech_closes_and_goes_on_without_hole_or_repeat():
    samples = np.concatenate([silence(0.5), speech(2), silence(1)])
    at = round(1.613 * RATE_HZ)  # inside a syllable and inside a VAD frame
    gate_ = Gate(GateOptions())
    events = gate_.push(samples[:at]) + gate_.flush()
    assert gate_.state is State.QUIET
    events += gate_.push(samples[at:]) + gate_.flush()
    first, second = utterances(merged(events), samples)
    assert first[2] == first[3] == second[0] == at
    assert second[3] >= 2.46 * RATE_HZ


def test_flush_while_starting_passes_what_was_about_to_open():
    samples = np.concatenate([silence(1), speech(0.07)])
    gate_ = Gate(GateOptions(onset_ms=100))
    assert gate_.push(samples) == []
    assert gate_.state is State.STARTING
    ((start, onset, speech_end, end),) = utterances(merged(gate_.flush()), samples)
    assert start == onset - 4800 and abs(onset - RATE_HZ) <= 2 * VAD_FRAME
    assert speech_end == end == len(samples)


def test_flush_while_stopping_tells_the_end_of_speech():
    samples = np.concatenate([speech(1), silence(0.3)])
    gate_ = Gate(GateOptions())
    events = gate_.push(samples)
    assert gate_.state is State.STOPPING and gate_.is_open
    ((_, _, speech_end, end),) = utterances(merged(events + gate_.flush()), samples)
    assert abs(speech_end - RATE_HZ) < 5 * VAD_FRAME
    assert end == len(samples)


def test_flush_while_quiet_is_nothing():
    gate_ = Gate(GateOptions())
    assert gate_.flush() == []
    gate_.push(silence(1))
    assert gate_.flush() == gate_.flush() == []


def test_no_samples_are_no_event():
    gate_ = Gate(GateOptions())
    assert gate_.push(np.empty(0, np.float32)) == []
    assert gate_.heard_samples == 0


# ---------------------------------------------------------------- bounds


def test_silence_is_not_kept():
    gate_ = Gate(GateOptions())
    for _ in range(1000):
        gate_.push(silence(0.08))
    assert gate_.heard_samples - gate_._held.start <= (300 + 6 * 20 + 80) * 16 + RATE_HZ
    gate_.push(silence(60))
    assert (
        sum(len(chunk.base if chunk.base is not None else chunk) for chunk in gate_._held._chunks)
        < 2 * RATE_HZ
    )


def test_a_giant_chunk_holds_many_utterances():
    one = np.concatenate([speech(1), silence(1)])
    samples = np.tile(one, 30)
    assert (
        len(heard(samples))
        == len(utterances(run(Gate(GateOptions()), samples, [len(samples)]), samples))
        == 30
    )


# ---------------------------------------------------------------- vad=off


def test_open_gate_passes_everything_at_once():
    samples = np.concatenate([silence(1), noise(1, 0.1)])
    gate_ = OpenGate()
    opened, passed = gate_.push(samples[:7])
    assert opened == Opened(0)
    assert (passed.start_sample, len(passed.samples)) == (0, 7)
    assert gate_.is_open
    assert_same(run(OpenGate(), samples, [7, 0, 1000]), [Opened(0), Passed(0, samples), Closed(len(samples))])


def test_open_gate_without_audio_says_nothing():
    gate_ = OpenGate()
    assert gate_.push(np.empty(0, np.float32)) == gate_.flush() == []
    assert not gate_.is_open


def test_open_gate_goes_on_after_a_flush():
    gate_ = OpenGate()
    gate_.push(silence(1))
    assert gate_.flush() == [Closed(RATE_HZ)]
    assert gate_.flush() == []
    opened, passed = gate_.push(silence(1))
    assert opened == Opened(RATE_HZ) and passed.start_sample == RATE_HZ
    assert gate_.heard_samples == 2 * RATE_HZ


def test_the_options_choose():
    assert isinstance(gate(GateOptions()), Gate)
    assert isinstance(gate(GateOptions(enabled=False)), OpenGate)


@pytest.mark.parametrize("options", [GateOptions(), GateOptions(enabled=False)])
def test_what_is_forgotten_is_not_passed(options):
    talk = speech(0.8)
    it = gate(options)
    it.push(talk)
    it.forget()
    assert not it.is_open
    passed = [event for event in it.push(talk) + it.flush() if isinstance(event, Passed)]
    assert passed[0].start_sample == len(talk)
    assert sum(len(event.samples) for event in passed) == len(talk)


def test_a_successor_hears_the_pre_roll_again():
    hush = noise(1.0, 0.001)
    it = Gate(GateOptions(aggressiveness=2, pre_roll_ms=200))
    it.push(hush)
    assert it.flush() == []
    held = it.hand_over()
    assert held.start_sample == len(hush) - 200 * 16
    assert np.array_equal(held.samples, hush[held.start_sample :])
    after = gate(GateOptions(enabled=False), held.start_sample)
    [opened, passed] = after.push(held.samples)
    assert (opened.at_sample, passed.start_sample) == (held.start_sample, held.start_sample)
    assert after.hand_over().start_sample == len(hush)
