"""Training: one process a core or one on a GPU, gradients averaged once a step, the schedule by steps or minutes."""

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F

from recipes.tiny import augment, data, texts
from recipes.tiny.collage import Collage, Written
from recipes.tiny.corpus import Corpus
from recipes.tiny.data import FRAMES_PER_TICK, IGNORE, LEFT_TOKENS, Batch, Sequences
from recipes.tiny.grow import grow
from recipes.tiny.model import Model, params
from recipes.tiny.optim import average_gradients, joined, optimisers
from recipes.tiny.precision import has_half
from recipes.tiny.teachers import Teachers
from recipes.tiny.tokenizer import SPECIALS, Tokenizer

WARM_UP_STEPS = 50
GRADIENT_NORM = 2.0
LOG_EVERY_S, SAVE_EVERY_S = 30, 120


@dataclass
class Phase:
    """One stretch of training. It ends after `steps` or `minutes`, whichever comes first; 0 = no such limit."""

    name: str
    corpora: dict[str, float]
    """name as in Corpus.named -> weight in utterances"""
    spliced: dict[str, float] = field(default_factory=dict)
    """name of a corpus -> share of its utterances that are put together anew from words of the same voice"""
    own_share: float = 0.0
    """share of the written pieces that the decoder has behind it as it would have written them itself"""
    collage_mix: dict[str, float] = field(default_factory=dict)
    """domain as in texts.sample -> how often the decoder reads a sentence of it beside the speech; none: it does not"""
    collage_weight: float = 0.5
    """of the loss of those sentences"""
    collage_skip: tuple[str, ...] = ()
    """files of the text folder that those sentences are not from"""
    teachers: tuple[str, ...] = ()
    """phases and means whose mean probabilities it learns beside what was said, wherever that is English"""
    taught_share: float = 0.5
    """how much of the loss they are there"""
    steps: int = 0
    minutes: float = 0
    start: str | None = None
    """phase to go on from; None begins from nothing"""
    aux_only_steps: int = 0
    """so many steps of the run train the encoder with the phone head alone"""
    head_only: bool = False
    """train nothing but the phone head, on an encoder that stays as it is"""
    aux_weight: float = 0.3
    decay: float = 0.0
    """last share of the phase in which the learning rate falls linearly to 0"""
    averaged: float = 0.0
    """last share of the phase over whose steps the weights are averaged: their mean is what the phase ends with"""
    delays: dict[tuple[int, int], float] = field(default_factory=lambda: {(6, 6): 1.0})
    size: dict[str, int] = field(default_factory=dict)
    """arguments of model.params other than its own, none: the size of the start; a larger model begins as that one"""
    augment: tuple[str, ...] = augment.FULL
    light_share: float = 0.0
    """share of the sequences that get augment.LIGHT instead"""
    wordless_share: float = 0.0
    """share of the sequences that hold no words at all, from the corpora without"""
    batch: int = 2
    """sequences a step and rank"""
    gpu_batch: int = 96
    """sequences a step on a GPU, which has one rank; the steps stay as many"""
    ticks: int = 288
    muon_lr: float = 0.02
    adam_lr: float = 2e-3
    ranks: int = 2
    compiled: bool = False
    """let torch.compile join what lies between the products: a sixth faster, costs half a minute and a C++ compiler"""
    seed: int = 1


class Trainer:
    """Model, optimisers and the number of steps taken: everything a checkpoint holds.

    Products of matrices are taken in bfloat16 where the hardware has it; weights, sums and optimisers stay in float32.
    """

    def __init__(self, model: Model, muon_lr: float, adam_lr: float):
        self.model, self.device = model, next(model.parameters()).device
        self.step_number = self.phase_began = 0
        self.optimisers = optimisers(model, muon_lr, adam_lr)
        self.base_lrs = (muon_lr, adam_lr)
        self.collage: Collage | None = None
        self.teachers: Teachers | None = None
        self.mean: dict[str, torch.Tensor] = {}
        self.averaged_steps = 0

    @property
    def phase_steps(self) -> int:
        """Steps since the phase began, those before an interruption too."""
        return self.step_number - self.phase_began

    def step(
        self,
        batch: Batch,
        lr_factor: float = 1.0,
        aux_weight: float = 0.3,
        aux_only: bool = False,
        head_only: bool = False,
        own_share: float = 0.0,
    ) -> dict:
        """One update -> the losses by name."""
        batch = batch.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_half(self.device.type)):
            losses = self._losses(batch, aux_weight, aux_only or head_only, head_only, own_share)
        loss = losses["aux"] if aux_only or head_only else losses["text"] + aux_weight * losses.get("aux", 0)
        if "collage" in losses:
            loss = loss + self.collage.weight * losses["collage"]
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.model)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
        for optimiser, lr in zip(self.optimisers, self.base_lrs, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = lr * lr_factor
            optimiser.step()
        self.step_number += 1
        return {name: value.item() for name, value in losses.items()}

    def _losses(
        self,
        batch: Batch,
        aux_weight: float,
        aux_only: bool,
        head_only: bool = False,
        own_share: float = 0.0,
    ) -> dict[str, torch.Tensor]:
        with torch.set_grad_enabled(not head_only):
            frames = self.model.encode(batch.mel)
        losses = {}
        if aux_weight or aux_only:
            logits = self.model.aux(frames).flatten(0, 1)
            losses["aux"] = F.cross_entropy(logits, batch.phones.flatten(), ignore_index=IGNORE)
        if not aux_only:
            losses["text"] = self._text_loss(frames, batch, own_share, self.teachers)
        if self.collage:
            self.collage.memory.add(frames, batch.heard)
            if collage := self.collage.batch(self.step_number, len(frames)):
                collage = collage.to(self.device)
                losses["collage"] = self._text_loss(collage.frames, collage, own_share)
        return losses

    def _text_loss(
        self,
        frames: torch.Tensor,
        batch: Batch | Written,
        own_share: float,
        teachers: Teachers | None = None,
    ) -> torch.Tensor:
        audio = self.model.adapt(frames)
        tokens = self._own(audio, batch, own_share) if own_share else batch.tokens
        logits = self.model.decode(audio, tokens, batch.delay)
        targets = batch.targets.flatten()
        losses = F.cross_entropy(logits.flatten(0, 1), targets, ignore_index=IGNORE, reduction="none")
        if teachers:
            losses = teachers.blend(losses.view_as(batch.targets), logits, batch, tokens)
        return losses.sum() / (targets != IGNORE).sum()

    @torch.no_grad()
    def _own(self, audio: torch.Tensor, batch: Batch | Written, share: float) -> torch.Tensor:
        """The tokens [B, T] with this share of the pieces as the decoder writes them behind the true ones.

        So it learns to hear on after its own mistakes, which it never makes while it is shown what was said (Bengio et
        al. 2015, scheduled sampling; in two passes: Mihaylova and Martins 2019). Where it would write no piece, or
        where none belongs, nothing changes: what may follow what stays as it is.
        """
        written = self.model.decode(audio, batch.tokens, batch.delay)[:, :-1].argmax(-1)
        true = batch.tokens[:, 1:]
        pieces = (true >= SPECIALS) & (written >= SPECIALS)
        r = torch.Generator().manual_seed(self.step_number)  # the same when the step is taken again
        chosen = pieces & (torch.rand(true.shape, generator=r) < share).to(true.device)
        return torch.cat([batch.tokens[:, :1], torch.where(chosen, written, true)], 1)

    @torch.no_grad()
    def add_to_mean(self) -> None:
        """Takes the weights as they are into the mean of those of earlier calls (Izmailov et al. 2018)."""
        self.averaged_steps += 1
        for name, weight in self.model.state_dict().items():
            if name in self.mean:
                self.mean[name].lerp_(weight, 1 / self.averaged_steps)
            else:
                self.mean[name] = weight.clone()

    def take_mean(self) -> None:
        """The weights become their mean, if there is one."""
        if self.mean:
            self.model.load_state_dict(self.mean)
            self.mean, self.averaged_steps = {}, 0

    def save(self, path: Path) -> None:
        """Rank 0 writes; every rank has to call it, because each keeps its share of Muon's momentum."""
        muon, adam = (o.state_dict() for o in self.optimisers)
        shares = [muon]
        if dist.is_initialized():
            shares = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
            dist.gather_object(muon, shares)
            if dist.get_rank():
                return
        draft = path.with_suffix(".new")
        torch.save(
            {
                "model": self.model.state_dict(),
                "params": self.model.p,
                "step": self.step_number,
                "phase_began": self.phase_began,
                "optimisers": [joined(shares), adam],
                "mean": self.mean,
                "averaged_steps": self.averaged_steps,
            },
            draft,
        )
        draft.replace(path)

    def restore(self, path: Path) -> None:
        """Goes on from a checkpoint, of any number of ranks and any device.

        One of a smaller model is grown, and its optimisers and steps begin anew. Raises ValueError if it cannot be.
        """
        saved = torch.load(path, weights_only=True, map_location="cpu")
        if saved["params"] != self.model.p:
            grow(saved["model"], self.model)
            return
        self.model.load_state_dict(saved["model"])
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.step_number, self.phase_began = saved["step"], saved["phase_began"]
        self.mean = {name: weight.to(self.device) for name, weight in saved.get("mean", {}).items()}
        self.averaged_steps = saved.get("averaged_steps", 0)


def lr_factor(steps: int, done: float, decay: float) -> float:
    """Linear warm-up by the steps of the phase, constant, and linear to 0 over its last `decay`; done in 0..1."""
    warm = min(1.0, (steps + 1) / WARM_UP_STEPS)
    return warm * min(1.0, (1 - done) / decay) if decay else warm


def progress(phase: Phase, steps: int, seconds: float) -> float:
    """Share of the phase that is over, the same on every rank."""
    by_steps = steps / phase.steps if phase.steps else 0.0
    by_time = seconds / 60 / phase.minutes if phase.minutes else 0.0
    done = torch.tensor([max(by_steps, by_time)])
    if dist.is_initialized():
        dist.broadcast(done, 0)
    return done.item()


class Log:
    """Mean losses and throughput every LOG_EVERY_S, as lines of log.jsonl and on the terminal."""

    def __init__(self, path: Path, audio_seconds_per_step: float):
        self.file, self.began, self.shown = path.open("a"), time.monotonic(), time.monotonic()
        self.audio_seconds, self.sums, self.count = audio_seconds_per_step, {}, 0

    def write(self, **row) -> None:
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        print(json.dumps(row), flush=True)

    def add(self, step: int, factor: float, losses: dict[str, float]) -> None:
        self.count += 1
        for name, value in losses.items():
            total, n = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + value, n + 1
        if time.monotonic() - self.shown >= LOG_EVERY_S:
            self.flush(step, factor)

    def flush(self, step: int, factor: float) -> None:
        """Writes the means since the last row, if there is anything to take them of."""
        if not self.count:
            return
        now = time.monotonic()
        means = {name: round(total / n, 4) for name, (total, n) in self.sums.items()}
        speed = round(self.count * self.audio_seconds / (now - self.shown), 1)
        minutes = round((now - self.began) / 60, 1)
        self.write(minutes=minutes, step=step, lr=round(factor, 3), **means, audio_s_per_s=speed)
        self.shown, self.sums, self.count = now, {}, 0


@dataclass(frozen=True)
class Machine:
    """Where a phase runs: processes, and how many batches of the phase make one of a process."""

    device: str
    ranks: int
    shards: int

    @classmethod
    def here(cls, phase: Phase) -> "Machine":
        """One process on a GPU where there is one, otherwise the phase's ranks on the CPU."""
        if torch.cuda.is_available():
            return cls("cuda", 1, phase.gpu_batch // phase.batch)
        return cls("cpu", phase.ranks, 1)

    @property
    def loaders(self) -> int:
        """Processes that prepare batches while the GPU computes; a CPU prepares its own."""
        return 0 if self.shards == 1 else os.cpu_count() or 1


def run(
    rank: int,
    phase: Phase,
    machine: Machine,
    out: Path,
    noise: Path | None,
    port: int,
    minutes: float = 0,
    text: Path | None = None,
) -> None:
    """One rank of a phase; rank 0 logs and saves."""
    torch.manual_seed(phase.seed)
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")  # on a CPU this changes nothing
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=machine.ranks)
    try:
        _run(rank, phase, machine, out, noise, minutes, text)
    finally:
        dist.destroy_process_group()


def _run(
    rank: int,
    phase: Phase,
    machine: Machine,
    out: Path,
    noise: Path | None,
    minutes: float,
    text: Path | None,
) -> None:
    tokenizer, phones = Tokenizer(out / "tekken.json"), json.loads((out / "phones.json").read_text())
    model = Model(_params(phase, tokenizer, out / "run"), len(phones)).to(machine.device)
    trainer = Trainer(model, phase.muon_lr, phase.adam_lr)
    _begin(trainer, phase, out / "run")
    if phase.teachers:
        ended = [out / "run" / f"{name}.pt" for name in phase.teachers]
        trainer.teachers = Teachers.load(ended, phase.taught_share, machine.device)
    if phase.compiled:
        for m in (model, *(trainer.teachers.models if trainer.teachers else ())):
            m.encode, m.decode = torch.compile(m.encode), torch.compile(m.decode)
    corpora = [
        Corpus.named(out / "corpus", name, weight, phase.spliced.get(name, 0.0))
        for name, weight in phase.corpora.items()
    ]
    sequences = Sequences(
        corpora,
        tokenizer,
        phones,
        augment.Noises(noise),
        phase.batch,
        phase.ticks,
        phase.delays,
        phase.augment,
        phase.seed,
        rank,
        phase.light_share,
        phase.wordless_share,
    )
    if phase.collage_mix:
        pool = texts.sentences(text, phase.collage_skip)
        trainer.collage = Collage(sequences, phase.collage_mix, pool, phase.collage_weight)
    batches = data.batches(sequences, trainer.step_number, machine.shards, machine.loaders)
    sequences_a_step = machine.ranks * machine.shards * phase.batch
    audio_seconds = sequences_a_step * (phase.ticks - LEFT_TOKENS) * 0.08
    log = Log(out / "run" / f"{phase.name}.jsonl", audio_seconds) if rank == 0 else None
    if log:
        weights = sum(p.numel() for n, p in trainer.model.named_parameters() if not n.startswith("aux"))
        log.write(
            parameters=weights,
            device=machine.device,
            sequences=sequences_a_step,
            phase={k: str(v) for k, v in asdict(phase).items()},
        )
    _loop(trainer, phase, batches, log, out / "run", minutes)


def _params(phase: Phase, tokenizer: Tokenizer, folder: Path) -> dict:
    """The tree of params.json: of the size that the phase names, else of what it goes on from."""
    source = _source(phase, folder)
    if source and not phase.size:
        return torch.load(source, weights_only=True, mmap=True)["params"]
    return params(tokenizer.size, **phase.size)


def _part(phase: Phase, folder: Path) -> Path:
    """The checkpoint of a phase that is not over."""
    return folder / f"{phase.name}.part.pt"


def _source(phase: Phase, folder: Path) -> Path | None:
    """Where the phase was interrupted, or the end of the phase it starts from; None begins from nothing."""
    if _part(phase, folder).exists():
        return _part(phase, folder)
    return folder / f"{phase.start}.pt" if phase.start else None


def _begin(trainer: Trainer, phase: Phase, folder: Path) -> None:
    source = _source(phase, folder)
    if source:
        trainer.restore(source)
    if source != _part(phase, folder):
        trainer.phase_began = trainer.step_number


def _loop(
    trainer: Trainer, phase: Phase, batches: Iterator[Batch], log: Log | None, folder: Path, minutes: float
) -> None:
    """Steps until the phase is over, which leaves its checkpoint, or until `minutes` are, which leaves its part."""
    began, saves = time.monotonic(), 0
    while True:
        seconds = time.monotonic() - began
        done = progress(phase, trainer.phase_steps, seconds)
        if done >= 1:
            break
        if minutes and _together(seconds > minutes * 60):
            trainer.save(_part(phase, folder))
            return
        factor = lr_factor(trainer.phase_steps, done, phase.decay)
        aux_only = trainer.step_number < phase.aux_only_steps
        losses = trainer.step(
            next(batches), factor, phase.aux_weight, aux_only, phase.head_only, phase.own_share
        )
        if done >= 1 - phase.averaged:
            trainer.add_to_mean()
        if log:
            log.add(trainer.step_number, factor, losses)
        if _together(seconds // SAVE_EVERY_S > saves):
            saves = int(seconds // SAVE_EVERY_S)
            trainer.save(_part(phase, folder))
    trainer.take_mean()
    trainer.save(folder / f"{phase.name}.pt")
    if log:
        log.flush(trainer.step_number, lr_factor(trainer.phase_steps, done, phase.decay))
        _part(phase, folder).unlink(missing_ok=True)


def _together(decision: bool) -> bool:
    """Rank 0 decides for all."""
    flag = torch.tensor([int(decision)])
    if dist.is_initialized():
        dist.broadcast(flag, 0)
    return bool(flag.item())


def train(
    phase: Phase, out: Path, noise: Path | None = None, minutes: float = 0, text: Path | None = None
) -> Path | None:
    """Runs a phase -> its checkpoint, out/run/NAME.pt, or None if it took more than `minutes` (0 = any number).

    noise and text are the folders of recordings and of sentences. A phase that was interrupted goes on from where it
    was last saved. Raises ValueError if it has no end, splices a corpus that it does not draw from or reads sentences
    without a folder of them, and FileExistsError if it is over.
    """
    if not (phase.steps or phase.minutes):
        raise ValueError(f"phase {phase.name} needs steps or minutes")
    if unknown := phase.spliced.keys() - phase.corpora.keys():
        raise ValueError(
            f"phase {phase.name} splices {', '.join(sorted(unknown))}, which it does not draw from"
        )
    if phase.collage_mix and not text:
        raise ValueError(f"phase {phase.name} reads sentences: it needs the folder of texts")
    if phase.ticks % 96 or phase.ticks * FRAMES_PER_TICK % 64:
        raise ValueError(f"{phase.ticks} ticks are no multiple of the windows")
    checkpoint = out / "run" / f"{phase.name}.pt"
    if checkpoint.exists():
        raise FileExistsError(f"{checkpoint} exists: remove it to train this phase again")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    machine = Machine.here(phase)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    torch.multiprocessing.spawn(run, (phase, machine, out, noise, port, minutes, text), machine.ranks)
    return checkpoint if checkpoint.exists() else None
