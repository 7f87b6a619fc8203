"""Latencies from a log with known moments."""

from __future__ import annotations

import pytest

from bench.latency import (
    Log,
    final_latencies_s,
    first_partials_s,
    frame_latencies_s,
    places,
    rows,
    word_latencies_s,
)
from bench.load import Pace
from client.protocol import Final, Partial, SpeechStarted, SpeechStopped, Word


def partial(text: str, audio_ms: int) -> Partial:
    return Partial(utterance=0, text=text, start_ms=0, audio_ms=audio_ms)


FINAL = Final(
    utterance=0,
    text="one twenty",
    start_ms=100,
    end_ms=900,
    words=(Word("one", 100, 400), Word("twenty", 500, 900)),
    reason="silence",
)


@pytest.fixture
def log() -> Log:
    """Chunks of 20 ms that leave on time, from second 10 on."""
    pace = Pace(10.0, chunk_ms=20)
    log = Log(pace, delay_ms=480, sent_s=[pace.due_s(chunk) for chunk in range(100)])
    log.events = [
        (10.30, SpeechStarted(at_ms=100)),
        (11.00, partial("one", 960)),
        (11.50, partial("one twen", 1440)),
        (11.60, SpeechStopped(at_ms=1000)),
        (11.65, partial("one twenty", 1500)),
        (11.70, FINAL),
    ]
    return log


def test_a_frame_counts_from_the_chunk_with_its_last_sample(log):
    # 960 ms end in chunk 48 with the look-ahead, which left at 10.98; 1440 ms in chunk 72, at 11.46.
    assert frame_latencies_s(log) == pytest.approx([0.02, 0.04])


def test_words_count_from_their_ends(log):
    begun, complete = word_latencies_s(log)
    # "one" ends at 400 ms, in chunk 20 (10.42); "twenty" at 900 ms, in chunk 45 (10.92).
    assert begun == pytest.approx([0.58, 0.58])
    assert complete == pytest.approx([0.58, 0.73])


def test_a_word_that_no_partial_shows_counts_at_its_final(log):
    log.events = [event for event in log.events if not isinstance(event[1], Partial)]
    begun, complete = word_latencies_s(log)
    assert begun == complete == pytest.approx([1.28, 0.78])


def test_finals_split_into_hangover_and_flush(log):
    assert final_latencies_s(log) == [pytest.approx((0.70, 0.60, 0.10))]


def test_a_final_by_length_has_no_end_of_speech(log):
    log.events[-1] = (11.70, Final(0, "one", 100, 400, (), "length"))
    assert final_latencies_s(log) == []


def test_the_first_partial_counts_from_the_onset(log):
    assert first_partials_s(log) == pytest.approx([0.90])


def test_places_of_repeated_words():
    words = tuple(Word(text, 0, 0) for text in ("to", "too", "to"))
    assert places(Final(0, " to too to", 0, 0, words)) == [(0, 2), (3, 6), (7, 9)]


def test_targets_are_judged_at_p95(log):
    table = {row[0].strip(): row for row in rows(log, [0.01], hangover_ms=500)}
    met, target = -1, -2
    assert table["carrying audio sent … partial"][target:] == [630, True]
    assert table["end of speech … final"][target:] == [600, False]
    assert table["connect … ready"][met] is None
