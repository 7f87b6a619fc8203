"""What a larger model would bring: the last phase once more from its end, by each size, over the same batches.

A larger model begins as the trained one (grow.py) and the learning rate falls to 0 within the steps, so that all sizes
can be compared when they are done. What a size costs a server is told by `bench capacity --model OUT/sizes/NAME`.
"""

import json
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

from recipes.tiny import evaluate, export, train
from recipes.tiny.tokenizer import Tokenizer
from recipes.tiny.train import Phase


@dataclass(frozen=True)
class Trained:
    """Of one size: million parameters, training speed in seconds of audio a second, loss, errors in percent."""

    name: str
    parameters_m: float
    audio_s_per_s: float
    loss: float
    wer: float


def compare(
    last: Phase, start: str, sizes: dict[str, dict[str, int]], steps: int, out: Path, speech: Path, text: Path
) -> list[Trained]:
    """Trains every size from the checkpoint `start` as the phase `last` does, exports it -> what came of it on the
    clips of out/heldout at 480 ms.
    """
    again = replace(last, start=start, steps=steps, minutes=0, decay=1.0, seed=last.seed + 1)
    phases = {name: replace(again, name=f"size_{name}", size=size) for name, size in sizes.items()}
    return [_one(name, phase, out, speech, text) for name, phase in phases.items()]


def _one(name: str, phase: Phase, out: Path, speech: Path, text: Path) -> Trained:
    checkpoint = out / "run" / f"{phase.name}.pt"
    if not checkpoint.exists():
        train.train(phase, out, speech / "noise", text=text)
    folder = out / "sizes" / name
    export.export(checkpoint, out / "tekken.json", folder)
    scored = evaluate.evaluate(export.load(folder), Tokenizer(folder / "tekken.json"), out / "heldout")
    errors, words = scored.errors()["all"]
    first, *later = map(json.loads, (out / "run" / f"{phase.name}.jsonl").open())
    rows = [row for row in later if "text" in row]  # every interruption leaves another head
    return Trained(
        name,
        first["parameters"] / 1e6,
        statistics.median(row["audio_s_per_s"] for row in rows),
        statistics.fmean(row["text"] for row in rows[len(rows) // 2 :]),
        100 * errors / words,
    )


def table(trained: list[Trained]) -> str:
    """A Markdown table, a row per size."""
    head = [
        "size",
        "M parameters",
        "trained, audio s per s",
        "training loss, second half",
        "unseen voices, WER %",
    ]
    rows = [head, ["---", *["--:"] * 4]]
    rows += [
        [t.name, f"{t.parameters_m:.1f}", f"{t.audio_s_per_s:.0f}", f"{t.loss:.3f}", f"{t.wer:.1f}"]
        for t in trained
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
