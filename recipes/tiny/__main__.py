"""python -m recipes.tiny STAGE ...: one command a stage, and `all` for the whole way from texts to the bundle."""

import argparse
import json
import random
import sys
import time
from pathlib import Path

import torch

from realtime.model.blanks import BlankPenalty
from realtime.text.confidence import CALIBRATION_FILE, Calibration
from recipes.tiny import (
    adopt,
    align,
    average,
    conditions,
    corpus,
    demo,
    evaluate,
    export,
    heldout,
    human,
    nothing,
    others,
    phones,
    plan,
    sizes,
    synth,
    texts,
    train,
    vocabulary,
)
from recipes.tiny.spell import normalise
from recipes.tiny.tokenizer import Tokenizer

FURTHER_SENTENCES = 8000
BUNDLE = Path("realtime/assets/tiny")


def synth_stage(a: argparse.Namespace) -> None:
    pools = {skip: texts.sentences(a.text, skip) for skip in {spoken.skip for spoken in plan.SPOKEN}}
    for spoken in _to_say(a):
        folder, hours, pool = a.out / "corpus" / spoken.name, spoken.hours * a.scale, pools[spoken.skip]
        synth.synthesise(
            folder,
            hours,
            spoken.mix,
            pool,
            spoken.engines,
            workers=a.workers,
            seed=a.seed + plan.SPOKEN.index(spoken),
            kokoro=a.kokoro,
        )


def _to_say(a: argparse.Namespace) -> list[plan.Spoken]:
    return [spoken for spoken in plan.SPOKEN if not a.only or spoken.name in a.only]


def human_stage(a: argparse.Namespace) -> None:
    rows = human.read_manifest(a.speech / "train")
    human.check_speakers(rows, human.read_manifest(a.speech / "dev"))
    human.convert(a.speech / "train", a.out / "corpus" / "human", seed=a.seed)
    human.backward(a.out / "corpus" / "human", a.out / "corpus" / "backward", plan.BACKWARD_HOURS, a.seed)


def others_stage(a: argparse.Namespace) -> None:
    others.convert(a.others, a.out / "corpus" / "others", seed=a.seed)


def vocabulary_stage(a: argparse.Namespace) -> None:
    pool = texts.sentences(a.text, plan.RARE_TEXTS)
    more = random.Random(a.seed).sample(pool, min(FURTHER_SENTENCES, len(pool)))
    said = (normalise(x["text"]) for x in corpus.read_index(a.out / "corpus" / "human"))
    vocabulary.build(corpus.read_index(a.out / "corpus" / "domain"), [*more, *filter(None, said)], a.out)


def train_stage(a: argparse.Namespace) -> None:
    for phase in _to_do(a.out / "run"):
        if isinstance(phase, average.Mean):
            checkpoint = average.average(phase, a.out / "run")
        else:
            checkpoint = train.train(phase, a.out, a.speech / "noise", _minutes_left(a), a.text)
        if checkpoint is None:
            sys.exit(
                f"the {a.minutes:g} minutes are over within phase {phase.name}: the next call goes on from there"
            )
        if phase.name in plan.ALIGN_AFTER:
            _align(a, checkpoint, plan.ALIGN_AFTER[phase.name])


def _to_do(run: Path) -> list[train.Phase | average.Mean]:
    """What comes behind the last step of the plan that is done."""
    done = [i for i, step in enumerate(plan.PHASES) if (run / f"{step.name}.pt").exists()]
    if done:
        print(f"{plan.PHASES[done[-1]].name} is done", flush=True)
        return plan.PHASES[done[-1] + 1 :]
    return plan.PHASES


def _minutes_left(a: argparse.Namespace) -> float:
    """Of --minutes; never quite none, because 0 stands for no limit."""
    return max(a.minutes - (time.monotonic() - a.began) / 60, 0.01) if a.minutes else 0.0


def _align(a: argparse.Namespace, checkpoint: Path, corpora: dict[str, dict[str, int]]) -> None:
    phones, root = json.loads((a.out / "phones.json").read_text()), a.out / "corpus"
    for name, every in corpora.items():
        align.align(checkpoint, phones, root / name, every, a.workers)
    if "human" in corpora:
        human.scrambled(root / "human", root / "scrambled", plan.SCRAMBLED_HOURS, a.seed)


def align_stage(a: argparse.Namespace) -> None:
    _align(a, a.checkpoint or _last(a), {name: {} for name in a.only or ("human", *plan.UNTIMED)})


def _last(a: argparse.Namespace) -> Path:
    return a.out / "run" / f"{plan.PHASES[-1].name}.pt"


def adopt_stage(a: argparse.Namespace) -> None:
    last = plan.PHASES[-1].name
    print(adopt.adopt(a.bundle or BUNDLE, last, a.out, plan.ADOPT, a.speech / "noise"), flush=True)


def export_stage(a: argparse.Namespace) -> None:
    export.export(a.checkpoint or _last(a), a.out / "tekken.json", a.bundle or a.out / "bundle")


def evaluate_stage(a: argparse.Namespace) -> None:
    """Prints one table for each folder of clips, with a column per delay."""
    torch.set_num_threads(a.workers)
    checkpoint = a.checkpoint or a.out / "bundle"
    tekken = checkpoint / "tekken.json" if checkpoint.is_dir() else a.out / "tekken.json"
    model, tokenizer = export.load(checkpoint), Tokenizer(tekken)
    shipped = Calibration.load(tekken.with_name(CALIBRATION_FILE)).unwritten_below
    penalty = BlankPenalty.load(tekken.parent) if a.blank_penalty is None else a.penalty
    for folder in a.clips or [a.speech / "dev", a.out / "heldout"]:
        if a.unwritten_below:
            delay = a.delays_ms[0] // 80
            by = evaluate.thresholds(model, tokenizer, folder, a.unwritten_below, delay, a.limit, penalty)
            scored = {f"below {threshold:g}": one for threshold, one in by.items()}
        else:
            scored = {
                f"{ms} ms": evaluate.evaluate(model, tokenizer, folder, ms // 80, shipped, a.limit, penalty)
                for ms in a.delays_ms
            }
        print(f"\n{folder.name}\n\n{evaluate.table(scored)}", flush=True)
        if a.transcripts:
            evaluate.write(scored, a.transcripts.with_name(f"{a.transcripts.stem}_{folder.name}.jsonl"))


def phones_stage(a: argparse.Namespace) -> None:
    torch.set_num_threads(a.workers)
    names = json.loads((a.out / "phones.json").read_text())
    model = align.load_aligner(a.checkpoint or _last(a), names)
    for folder in a.clips or [a.speech / "dev"]:
        scored = phones.evaluate_phones(model, names, folder, a.limit)
        print(f"\n{folder.name}\n\n{evaluate.table({'phones wrong, %': scored}, 'phones')}", flush=True)


def sizes_stage(a: argparse.Namespace) -> None:
    last = next(step for step in reversed(plan.PHASES) if isinstance(step, train.Phase))
    compared = sizes.compare(last, plan.PHASES[-1].name, plan.SIZES, a.steps, a.out, a.speech, a.text)
    print(f"\n{sizes.table(compared)}", flush=True)


def heldout_stage(a: argparse.Namespace) -> None:
    print(heldout.make(a.out, seed=a.seed), "clips in", a.out)


def nothing_stage(a: argparse.Namespace) -> None:
    print(nothing.make(a.speech, a.out, seed=a.seed), "clips in", a.out)


def conditions_stage(a: argparse.Namespace) -> None:
    print(conditions.make(a.speech, a.out, seed=a.seed), "clips in", a.out)


def demo_stage(a: argparse.Namespace) -> None:
    demo.make(a.out, seed=a.seed)


def all_stage(a: argparse.Namespace) -> None:
    for stage in (
        synth_stage,
        human_stage,
        others_stage,
        vocabulary_stage,
        train_stage,
        export_stage,
    ):
        stage(a)
    heldout.make(a.out / "heldout")
    evaluate_stage(a)


STAGES = {
    "synth": (synth_stage, "make the synthetic corpora in out/corpus"),
    "human": (human_stage, "convert the recordings of speech/train to out/corpus/human"),
    "others": (others_stage, "convert recordings in other languages to out/corpus/others"),
    "vocabulary": (vocabulary_stage, "make out/tekken.json and out/phones.json"),
    "train": (train_stage, "run the phases of plan.py, with the alignments between them"),
    "align": (align_stage, "find word times in out/corpus/human with a checkpoint"),
    "adopt": (adopt_stage, "make an exported folder the checkpoint that training goes on from"),
    "export": (export_stage, "write a checkpoint as params.json, consolidated.safetensors, tekken.json"),
    "evaluate": (evaluate_stage, "word error rates of a checkpoint or an exported folder"),
    "phones": (phones_stage, "phone error rates of the encoder of a checkpoint"),
    "sizes": (sizes_stage, "train the last phase on with larger models, and print what that brings"),
    "heldout": (heldout_stage, "make the clips in voices that training never hears, with a manifest.jsonl"),
    "nothing": (nothing_stage, "make ten minutes of music, noises and foreign speech, with a manifest.jsonl"),
    "conditions": (
        conditions_stage,
        "make people's recordings quiet, clipped, far, noisy, ..., with a manifest.jsonl",
    ),
    "demo": (demo_stage, "make demo.wav and demo.json"),
    "all": (all_stage, "everything from synth to evaluate"),
}


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m recipes.tiny", description=__doc__)
    stages = parser.add_subparsers(dest="stage", required=True)
    for name, (_, about) in STAGES.items():
        p = stages.add_parser(name, help=about, description=about)
        p.add_argument("--out", type=Path, required=True, help="folder of everything that is made")
        p.add_argument(
            "--speech", type=Path, help="folder with train/, dev/ and noise/, a manifest.jsonl in each"
        )
        p.add_argument("--others", type=Path, help="folder of recordings of people who speak other languages")
        p.add_argument("--kokoro", type=Path, help="folder with kokoro.onnx and voices/*.bin")
        p.add_argument("--text", type=Path, help="folder of .txt files, a sentence a line")
        p.add_argument(
            "--seed",
            type=int,
            default=plan.SEED if name not in ("heldout", "nothing", "conditions", "demo") else 0,
        )
        p.add_argument("--workers", type=int, default=2, help="processes or threads")
        p.add_argument("--scale", type=float, default=1.0, help="share of the planned hours to synthesise")
        p.add_argument("--checkpoint", type=Path, help=".pt file or exported folder, default: the last")
        p.add_argument("--bundle", type=Path, help="where to export to, default: out/bundle; what to adopt")
        p.add_argument("--clips", type=Path, nargs="*", help="folders with a manifest.jsonl to evaluate on")
        p.add_argument("--only", nargs="*", help="of `synth` and `align`: names of corpora, default: all")
        p.add_argument(
            "--unwritten-below",
            type=float,
            nargs="*",
            help="of `evaluate`: thresholds to compare at the first delay, default: that of confidence.json",
        )
        p.add_argument(
            "--blank-penalty",
            type=float,
            nargs="*",
            metavar="N",
            help="of `evaluate`: after, slope and limit, or nothing for none, default: blank_penalty.json",
        )
        p.add_argument("--limit", type=int, default=0, help="clips of each group to evaluate (0: all)")
        p.add_argument("--delays-ms", type=int, nargs="*", default=[480])
        p.add_argument(
            "--steps", type=int, default=200, help="of `sizes`, for each size (default: %(default)s)"
        )
        p.add_argument(
            "--minutes",
            type=float,
            default=0,
            help="`train` stops after so many, to be gone on with (0: at the end)",
        )
        p.add_argument("--transcripts", type=Path, help="write what was heard, a file per folder of clips")
    a = parser.parse_args(argv)
    for need, users in (
        ("speech", ("human", "train", "adopt", "sizes", "nothing", "conditions", "all")),
        ("text", ("synth", "vocabulary", "train", "sizes", "all")),
        ("others", ("others", "all")),
    ):
        if a.stage in users and getattr(a, need) is None:
            parser.error(f"{a.stage} needs --{need}")
    if a.stage == "synth" and (unknown := set(a.only or ()) - {spoken.name for spoken in plan.SPOKEN}):
        parser.error(f"plan.py has no corpus {', '.join(sorted(unknown))}")
    if a.stage in ("synth", "all") and a.kokoro is None and any("kokoro" in x.engines for x in _to_say(a)):
        parser.error(f"{a.stage} needs --kokoro, or --only corpora that do without")
    if a.stage in ("evaluate", "phones") and not a.clips and not a.speech:
        parser.error(f"{a.stage} needs --speech or --clips")
    if a.stage in ("align", "phones") and a.checkpoint and a.checkpoint.is_dir():
        parser.error(f"{a.stage} needs a .pt file: an exported folder has no phone head, `adopt` trains one")
    try:
        a.penalty = None
        if a.blank_penalty:
            after, slope, limit = a.blank_penalty
            a.penalty = BlankPenalty(after, slope, limit)
    except ValueError as error:
        parser.error(f"--blank-penalty takes after, slope and limit: {error}")
    if any(ms <= 0 or ms % 80 for ms in a.delays_ms):
        parser.error("delays are positive multiples of 80 ms")
    return a


def main(argv: list[str]) -> None:
    a = _arguments(argv)
    a.began = time.monotonic()
    STAGES[a.stage][0](a)


if __name__ == "__main__":
    main(sys.argv[1:])
