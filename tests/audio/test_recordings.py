"""The gate on recordings of people, which are not part of the repository."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from realtime.audio.gate import Gate, Passed
from realtime.audio.resample import resampler
from realtime.events import GateOptions

SPEECH = Path(os.environ.get("VOXWIRE_SPEECH") or Path(__file__).parents[2] / ".." / "shared" / "speech")
RATE_HZ = 16_000
PER_GROUP = 4
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
    return [load(SPEECH / "dev" / row["path"]) for rows in by_group.values() for row in rows[:PER_GROUP]]


def load(path: Path) -> np.ndarray:
    samples, from_hz = soundfile.read(path, dtype="float32", always_2d=True)
    resampler_ = resampler(from_hz)
    return np.concatenate((resampler_.push(np.ascontiguousarray(samples[:, 0])), resampler_.flush()))


def passed(samples: np.ndarray) -> np.ndarray:
    """Which samples the gate lets through, fed in frames of 80 ms: bool [n]."""
    gate, mask = Gate(GateOptions()), np.zeros(len(samples), bool)
    events = [event for at in range(0, len(samples), 1280) for event in gate.push(samples[at : at + 1280])]
    for event in events + gate.flush():
        if isinstance(event, Passed):
            mask[event.start_sample : event.start_sample + len(event.samples)] = True
    return mask


def is_speech(samples: np.ndarray) -> np.ndarray:
    """By energy: 60 ms at least 10 dB above the quietest and within 30 dB of the loudest: bool [n]."""
    whole = len(samples) // 320 * 320
    power = np.square(samples[:whole].reshape(-1, 320)).mean(axis=1) + 1e-12
    level_db = 10 * np.log10(np.convolve(power, np.ones(3) / 3, "same"))
    quietest, loudest = np.percentile(level_db, [5, 95])
    return np.pad(np.repeat(level_db > max(quietest + 10, loudest - 30), 320), (0, len(samples) - whole))


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return recordings()


def share_lost(clips: list[np.ndarray]) -> float:
    lost = total = 0
    for clip in clips:
        speech = is_speech(clip)
        lost += int((speech & ~passed(clip)).sum())
        total += int(speech.sum())
    return lost / total


def test_speech_passes(clips):
    assert share_lost(clips) < 0.002


def test_speech_of_a_quiet_microphone_passes(clips):
    quiet = [(np.round(clip * 0.03 * 32768) / 32768).astype(np.float32) for clip in clips]
    assert share_lost(quiet) < 0.005


@pytest.mark.parametrize("lead_s", [0.2, 1, 10, 60])
def test_silence_before_speech_changes_nothing_of_it(clips, lead_s):
    """What passes of a clip alone passes of the clip after silence: no word is clipped by having to wait for it."""
    lead = np.zeros(round(lead_s * RATE_HZ), np.float32)
    for clip in clips[::10]:
        alone, late = passed(clip), passed(np.concatenate((lead, clip)))[len(lead) :]
        speech = is_speech(clip)
        assert (speech & alone & ~late).sum() == 0


@pytest.mark.parametrize("kind", ["rain.flac", "fan_exercise_bike.flac"])
def test_steady_noise_does_not_hold_the_gate_open(kind):
    noise = load(SPEECH / "noise" / kind)
    minute = np.resize(noise, 60 * RATE_HZ)
    assert passed(minute)[5 * RATE_HZ :].mean() < 0.5
