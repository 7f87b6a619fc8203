"""What the gate passes and what it loses of recordings, per group, and what it costs. No model.

    python -m bench.gate ../shared/speech [--level-db -30] [--margin 0 --frame-margin 0 --max-gain 1]

The folder holds dev/manifest.jsonl and noise/manifest.jsonl, with `path` and `group` of each recording. Speech is
judged by energy (`is_speech`), a burst being 60 ms or more of it; one is lost if less than half of it passes. Noise
is repeated for a minute, of which the first five seconds, in which it may still be speech, do not count.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from realtime.audio import loudness
from realtime.audio.codecs import decoder
from realtime.audio.framer import FRAME_SAMPLES, Framer
from realtime.audio.gate import Gate, Passed
from realtime.audio.resample import SAMPLE_RATE_HZ, resampler
from realtime.events import GateOptions

BURST_SAMPLES = 960
BLOCK_SAMPLES = 320


def load(path: Path) -> list[np.ndarray]:
    """Every channel of a recording at 16 kHz: float32 [n] each."""
    samples, from_hz = soundfile.read(path, dtype="float32", always_2d=True)
    channels = []
    for channel in samples.T:
        resample = resampler(from_hz)
        channels.append(np.concatenate((resample.push(np.ascontiguousarray(channel)), resample.flush())))
    return channels


def passed(samples: np.ndarray, options: GateOptions) -> np.ndarray:
    """Which samples a fresh gate lets through: bool [n]."""
    gate, mask = Gate(options), np.zeros(len(samples), bool)
    for event in gate.push(samples) + gate.flush():
        if isinstance(event, Passed):
            mask[event.start_sample : event.start_sample + len(event.samples)] = True
    return mask


def is_speech(samples: np.ndarray) -> np.ndarray:
    """By energy: 60 ms at least 10 dB above the quietest and within 30 dB of the loudest: bool [n]."""
    whole = len(samples) // BLOCK_SAMPLES * BLOCK_SAMPLES
    power = np.square(samples[:whole].reshape(-1, BLOCK_SAMPLES)).mean(axis=1) + 1e-12
    level_db = 10 * np.log10(np.convolve(power, np.ones(3) / 3, "same"))
    quietest, loudest = np.percentile(level_db, [5, 95])
    blocks = level_db > max(quietest + 10, loudest - 30)
    return np.pad(np.repeat(blocks, BLOCK_SAMPLES), (0, len(samples) - whole))


def bursts(speech: np.ndarray) -> list[tuple[int, int]]:
    """Where `speech`, bool [n], is true for 60 ms or longer: (start, end) each."""
    edges = np.flatnonzero(np.diff(np.pad(speech, 1).astype(np.int8)))
    return [(a, b) for a, b in pairwise(edges.tolist()) if speech[a] and b - a >= BURST_SAMPLES]


def at_level(samples: np.ndarray, level_db: float) -> np.ndarray:
    """`samples` as a microphone that much quieter would have given them, in 16 bits."""
    return (np.round(samples * 10 ** (level_db / 20) * 32768) / 32768).clip(-1, 1).astype(np.float32)


def measure_speech(folder: Path, options: GateOptions, level_db: float) -> dict[str, np.ndarray]:
    """group → [samples, passed, of speech, of speech lost, bursts, bursts lost]."""
    groups: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(6, int))
    for row in _manifest(folder):
        for samples in load(folder / row["path"]):
            speech, mask = is_speech(samples), passed(at_level(samples, level_db), options)
            found = bursts(speech)
            lost = sum(mask[a:b].mean() < 0.5 for a, b in found)
            numbers = (len(mask), mask.sum(), speech.sum(), (speech & ~mask).sum(), len(found), lost)
            groups[row["group"]] += np.array(numbers, int)
    return groups


def measure_noise(folder: Path, options: GateOptions) -> dict[str, float]:
    """file → the fraction that passes after five seconds of a minute."""
    shares = {}
    for row in _manifest(folder):
        if row.get("kind") != "rir" and not row["path"].startswith("rir"):
            minute = np.resize(load(folder / row["path"])[0], 60 * SAMPLE_RATE_HZ)
            shares[row["path"]] = float(passed(minute, options)[5 * SAMPLE_RATE_HZ :].mean())
    return shares


def measure_cost_us(samples: np.ndarray, options: GateOptions) -> float:
    """CPU of one chunk of 80 ms through codec, gate and framer, the best of five runs."""
    data = (samples * 32767).astype("<i2").tobytes()
    step = 2 * FRAME_SAMPLES
    chunks = [data[at : at + step] for at in range(0, len(data), step)]
    return min(_run_once(chunks, options) for _ in range(5)) / len(chunks) * 1e6


def _run_once(chunks: list[bytes], options: GateOptions) -> float:
    decode, gate, framer = decoder("pcm_s16le"), Gate(options), Framer()
    begin = time.process_time()
    for chunk in chunks:
        for event in gate.push(decode.push(chunk)[0]):
            if isinstance(event, Passed):
                framer.push(event.samples)
    return time.process_time() - begin


def _manifest(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def _speech_table(groups: dict[str, np.ndarray]) -> Table:
    table = Table("group", "passed %", "speech lost %", "bursts lost", title="speech")
    for name, row in [*sorted(groups.items()), ("all", sum(groups.values()))]:
        samples, through, speech, lost, n_bursts, lost_bursts = row.tolist()
        share_lost = 100 * lost / max(1, speech)
        table.add_row(
            name, f"{100 * through / samples:.1f}", f"{share_lost:.3f}", f"{lost_bursts} of {n_bursts}"
        )
    return table


def _noise_table(shares: dict[str, float]) -> Table:
    table = Table("noise", "passed %", title="noise alone")
    for name, share in [*shares.items(), ("mean", float(np.mean(list(shares.values()))))]:
        table.add_row(name, f"{100 * share:.1f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="What the gate passes, loses and costs.")
    parser.add_argument("speech", type=Path, help="folder with dev/ and noise/")
    parser.add_argument("--aggressiveness", type=int, default=GateOptions().aggressiveness)
    parser.add_argument("--level-db", type=float, default=0.0, help="make the speech quieter by so much")
    parser.add_argument(
        "--margin", type=float, default=loudness.MARGIN, help="0 and 0: webrtcvad decides alone"
    )
    parser.add_argument("--frame-margin", type=float, default=loudness.FRAME_MARGIN)
    parser.add_argument(
        "--max-gain", type=float, default=loudness.MAX_GAIN, help="1: the detector hears it as it is"
    )
    arguments = parser.parse_args()
    loudness.MARGIN, loudness.FRAME_MARGIN = arguments.margin, arguments.frame_margin
    loudness.MAX_GAIN = arguments.max_gain
    options = GateOptions(aggressiveness=arguments.aggressiveness)

    console = Console()
    console.print(_speech_table(measure_speech(arguments.speech / "dev", options, arguments.level_db)))
    console.print(_noise_table(measure_noise(arguments.speech / "noise", options)))
    longest = max(_manifest(arguments.speech / "dev"), key=lambda row: row["seconds"])
    cost_us = measure_cost_us(load(arguments.speech / "dev" / longest["path"])[0], options)
    console.print(f"{cost_us:.1f} µs of CPU for 80 ms of speech (codec, gate, framer)")


if __name__ == "__main__":
    main()
