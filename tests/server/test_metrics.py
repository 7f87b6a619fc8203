"""Latencies from the order of events, and the registry."""

from __future__ import annotations

import pytest

from realtime.events import Final, Partial, SpeechStarted, SpeechStopped
from realtime.server.metrics import EventClock, Metrics

HANGOVER_S = 0.5


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"voxwire_{name}", labels) or 0.0


def final(reason: str = "silence", channel: int = 0) -> Final:
    return Final(0, "x", (), 0, 1, reason, channel)


def test_the_first_partial_is_measured_from_the_start_of_speech_once():
    metrics = Metrics()
    clock = EventClock(metrics)
    clock.note(SpeechStarted(0), 10.0, HANGOVER_S)
    clock.note(Partial(0, "a", "a", 0, 0), 10.7, HANGOVER_S)
    clock.note(Partial(0, "a b", " b", 0, 0), 12.0, HANGOVER_S)
    assert value(metrics, "first_partial_seconds_count") == 1
    assert value(metrics, "first_partial_seconds_sum") == pytest.approx(0.7)


def test_a_final_is_measured_from_the_end_of_speech_with_its_hangover():
    metrics = Metrics()
    clock = EventClock(metrics)
    clock.note(SpeechStopped(0), 10.0, HANGOVER_S)
    clock.note(final(), 10.1, HANGOVER_S)
    assert value(metrics, "final_after_speech_end_seconds_sum") == pytest.approx(0.6)
    assert value(metrics, "finals_total", reason="silence") == 1


def test_a_flush_is_no_end_of_speech():
    metrics = Metrics()
    clock = EventClock(metrics)
    clock.note(SpeechStopped(0), 10.0, HANGOVER_S)
    clock.note(final("flush"), 10.1, HANGOVER_S)
    assert value(metrics, "final_after_speech_end_seconds_count") == 0


def test_channels_have_clocks_of_their_own():
    metrics = Metrics()
    clock = EventClock(metrics)
    clock.note(SpeechStopped(0, channel=0), 1.0, HANGOVER_S)
    clock.note(SpeechStopped(0, channel=1), 5.0, HANGOVER_S)
    clock.note(final(channel=1), 5.1, HANGOVER_S)
    assert value(metrics, "final_after_speech_end_seconds_sum") == pytest.approx(0.6)


def test_the_gated_fraction_is_what_cost_no_frame():
    metrics = Metrics()
    metrics.heard(16.0, 0)
    metrics.heard(0.0, 50)  # 4 s
    assert value(metrics, "gated_fraction") == pytest.approx(0.75)
    metrics.heard(0.0, 1000)  # flush frames can cost more than the audio was
    assert value(metrics, "gated_fraction") == 0


def test_ticks_are_observed():
    metrics = Metrics()
    metrics.tick(0.02, 3, 7)
    assert value(metrics, "tick_seconds_count") == 1
    assert value(metrics, "batch_size_sum") == 3
    assert value(metrics, "backlog_frames") == 7


def test_two_servers_in_one_process_do_not_share_a_registry():
    first, second = Metrics(), Metrics()
    first.closes.labels("1000").inc()
    assert value(second, "closes_total", code="1000") == 0
