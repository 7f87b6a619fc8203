"""The gate on recordings of people, which are not part of the repository."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from bench.gate import at_level, is_speech, load, passed
from realtime.events import GateOptions

SPEECH = Path(os.environ.get("VOXWIRE_SPEECH") or Path(__file__).parents[2] / ".." / "shared" / "speech")
RATE_HZ = 16_000
PER_GROUP = 4
OPTIONS = GateOptions()
pytestmark = [
    pytest.mark.speech,
    pytest.mark.skipif(
        not (SPEECH / "dev").is_dir(), reason=f"no recordings at {SPEECH} (set VOXWIRE_SPEECH)"
    ),
]


def recordings() -> list[np.ndarray]:
    """A few clips of every group, one channel, at 16 kHz: float32 [n] each."""
    manifest = (SPEECH / "dev" / "manifest.jsonl").read_text().splitlines()
    by_group: dict[str, list[dict]] = {}
    for row in map(json.loads, manifest):
        by_group.setdefault(row["group"], []).append(row)
    return [load(SPEECH / "dev" / row["path"])[0] for rows in by_group.values() for row in rows[:PER_GROUP]]


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return recordings()


def share_lost(clips: list[np.ndarray]) -> float:
    lost = total = 0
    for clip in clips:
        speech = is_speech(clip)
        lost += int((speech & ~passed(clip, OPTIONS)).sum())
        total += int(speech.sum())
    return lost / total


def test_speech_passes(clips):
    assert share_lost(clips) < 0.002


def test_speech_of_a_quiet_microphone_passes(clips):
    quiet = [at_level(clip, -30) for clip in clips]
    assert share_lost(quiet) < 0.005


@pytest.mark.parametrize("lead_s", [0.2, 1, 10, 60])
def test_silence_before_speech_changes_nothing_of_it(clips, lead_s):
    """What passes of a clip alone passes of the clip after silence: no word is clipped by having to wait for it."""
    lead = np.zeros(round(lead_s * RATE_HZ), np.float32)
    for clip in clips[::10]:
        alone, late = passed(clip, OPTIONS), passed(np.concatenate((lead, clip)), OPTIONS)[len(lead) :]
        speech = is_speech(clip)
        assert (speech & alone & ~late).sum() == 0


@pytest.mark.parametrize("kind", ["rain.flac", "fan_exercise_bike.flac"])
def test_steady_noise_does_not_hold_the_gate_open(kind):
    noise = load(SPEECH / "noise" / kind)[0]
    minute = np.resize(noise, 60 * RATE_HZ)
    assert passed(minute, OPTIONS)[5 * RATE_HZ :].mean() < 0.5
