"""How many streams the streaming class of transformers carries beside our engine: same checkpoint, same run.

The checkpoint is converted to the Hugging Face layout in a temporary folder and used as its users do: one
generate() call per stream, fed by a generator of mel chunks that its own feature extractor computes from 80 ms of
audio each. All audio is there beforehand and is taken as fast as possible: a stream keeps real time if it ends no
later than its audio would, so the slowest stream decides. Tried are one process with K threads, and one process per
core with K threads each, where every thread has a stream of its own (torch takes one core per thread; a first row
shows one stream with all cores); K doubles while all streams keep real time and is then narrowed down. Weights are
shared within a process.

Our engine runs in this process on the same audio, every stream at another place of it, all streams in lockstep: no
stream waits for audio, so that every tick is full. It carries N streams if the p99 tick stays below 80 ms, which is
stricter than what is asked of transformers. `audio s per s` is the throughput reached with that many streams. No
sockets and no gate on either side. `equal tokens` is how many of the tokens of the first stream both agree on.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from bench import speech, stats
from bench.report import BenchError, Report, progress
from bench.speech import RATE_HZ, Tape
from realtime.audio.framer import Framer
from realtime.config import BUNDLED_MODEL
from realtime.events import Step
from realtime.text.tokenizer import Tekken

FRAME_S, FRAME_SAMPLES = 0.08, 1280
MEL_PER_FRAME, HOP_SAMPLES, WINDOW_SAMPLES = 8, 160, 400
BOS, THEIR_PAD = 1, 11
GIVE_UP = 1.15  # a stream this much slower than real time is stopped
LONGEST_ROUND_S = 300.0
TAPES = 32
LEAD_FRAMES = 3  # frames of every stream that wait in the engine
COLUMNS = (
    "implementation",
    "how",
    "streams",
    "tick p50 ms",
    "p99",
    "slowest stream, s per s",
    "audio s per s",
    "equal tokens",
    "real time",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default=BUNDLED_MODEL, help="folder in the native layout (default: bundled)"
    )
    parser.add_argument("--seconds", type=float, default=30, help="audio per stream (default: %(default)g)")
    parser.add_argument("--delay-ms", type=int, help="default: the checkpoint's")
    parser.add_argument(
        "--speech", metavar="FOLDER", help="default: VOXWIRE_SPEECH, else the bundled demo's clips"
    )
    parser.add_argument("--threads", type=int, help="torch threads of our engine (default: torch's choice)")
    parser.add_argument(
        "--most", type=int, default=64, help="most streams tried of transformers (default: 64)"
    )
    parser.add_argument(
        "--narrow", type=int, default=3, help="rounds of narrowing down (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> Report:
    place, model = speech.folder(options.speech), Path(options.model)
    tekken = Tekken.load(model / "tekken.json")
    delay_tokens = (options.delay_ms or tekken.delay_ms) // 80
    tapes = [_audio(place, seed, options.seconds) for seed in range(TAPES)]
    report = Report("Streams beside transformers", COLUMNS)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        from bench import hf_layout

        hf_layout.write(model, Path(folder))
        job = Job(folder, tapes, delay_tokens, tekken.pad_id, tekken.n_left_pad)
        theirs, carried, tokens = _their_rows(job, cores, options)
    ours, our_carried, equal = _our_rows(options, tapes, delay_tokens, tokens)
    ours[0][COLUMNS.index("equal tokens")] = equal
    report.rows = theirs + ours
    report.setting = {
        "model": model.name,
        "audio per stream s": options.seconds,
        "speech": place.name if place else "bundled demo",
        "delay_ms": 80 * delay_tokens,
        "transformers carries": carried,
        "our engine carries": our_carried,
        "ratio": our_carried / carried if carried else float("inf"),
    }
    return report


def _audio(place: Path | None, seed: int, seconds: float) -> np.ndarray:
    """float32 [n] of continuous speech."""
    tape = Tape(_clips(place), seed)
    return np.frombuffer(tape.read(int(seconds * RATE_HZ)), "<i2").astype(np.float32) / 32768


_CLIPS: dict[Path | None, list[np.ndarray]] = {}


def _clips(place: Path | None) -> list[np.ndarray]:
    if place not in _CLIPS:
        _CLIPS[place] = speech.clips(place, most_s=600)
    return _CLIPS[place]


def largest(holds: Callable[[int], bool], first: int, most: int, narrow: int) -> int:
    """The largest number found for which `holds`: doubling from `first`, then `narrow` halvings of the last gap.

    0 if it does not hold for `first`; `holds` is taken to be true below every number for which it is.
    """
    good, bad, tried = 0, most + 1, first
    while tried <= most:
        if not holds(tried):
            bad = tried
            break
        good, tried = tried, 2 * tried
    for _ in range(narrow):
        middle = (good + bad) // 2
        if middle in (good, bad) or not good:
            break
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return good


# ---------------------------------------------------------------- transformers


@dataclass(frozen=True, slots=True)
class Job:
    folder: str  # Hugging Face layout
    tapes: list[np.ndarray]
    delay_tokens: int
    pad_id: int
    left_pad: int


@dataclass(slots=True)
class Heard:
    """One stream of generate()."""

    audio_s: float = 0.0
    wall_s: float = 0.0
    ticks_s: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    complete: bool = False


def _their_rows(job: Job, cores: int, options: argparse.Namespace) -> tuple[list[list], int, list[int]]:
    """Rows, the streams carried by the better of both ways, and the tokens of the first tape."""
    rows: list[list] = []
    first_tokens: list[int] = []

    def attempt(peers: Peers, streams: int, torch_threads: int, how: str) -> bool:
        heard, wall_s = peers.round(streams, torch_threads)
        keeps = all(h.complete and h.wall_s <= h.audio_s for h in heard)
        ticks_ms = [1000 * tick for h in heard for tick in h.ticks_s]
        rows.append(
            [
                "transformers",
                how,
                streams,
                stats.percentile(ticks_ms, 0.5),
                stats.percentile(ticks_ms, 0.99),
                max(h.wall_s / h.audio_s for h in heard),
                sum(h.audio_s for h in heard) / wall_s,
                None,
                keeps,
            ]
        )
        if not first_tokens and heard[0].complete:
            first_tokens.extend(heard[0].tokens)
        progress(f"transformers, {how}, {streams} streams: {'keep' if keeps else 'fall behind'} real time")
        return keeps

    with Peers(job, cores) as peers:
        attempt(peers.first(), 1, cores, f"1 process, 1 stream on {cores} cores")
        by_threads = largest(
            lambda k: attempt(peers.first(), k, 1, "1 process, a thread a stream"),
            1,
            options.most,
            options.narrow,
        )
        how = f"{cores} processes, a thread a stream"
        by_processes = cores * largest(
            lambda k: attempt(peers, cores * k, 1, how), 1, options.most // cores, options.narrow
        )
    return rows, max(by_threads, by_processes), first_tokens


class Peers:
    """A context of processes that each hold the model and run rounds of generate() calls in threads."""

    def __init__(self, job: Job, count: int):
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_peer, args=(theirs, job), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Peers:
        for pipe in self._pipes:
            _receive(pipe)
        return self

    def __exit__(self, *exception: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(5)
            if process.is_alive():
                process.kill()

    def first(self) -> Peers:
        """The first process alone."""
        alone = copy.copy(self)
        alone._pipes = self._pipes[:1]
        return alone

    def round(self, streams: int, torch_threads: int) -> tuple[list[Heard], float]:
        """`streams` calls at once, shared among the processes; what they heard, and the time until the last ended."""
        started = time.perf_counter()
        for i, pipe in enumerate(self._pipes):
            pipe.send((list(range(streams))[i :: len(self._pipes)], torch_threads))
        heard = [h for pipe in self._pipes for h in _receive(pipe)]
        return heard, time.perf_counter() - started


def _receive(pipe: Connection):
    if not pipe.poll(LONGEST_ROUND_S):
        raise BenchError(f"transformers gave no answer within {LONGEST_ROUND_S:.0f} s")
    try:
        return pipe.recv()
    except EOFError:
        raise BenchError("a process with transformers died") from None


def _peer(pipe: Connection, job: Job) -> None:
    """The life of such a process: lists of tapes in, what was heard out, until the pipe is closed."""
    import torch
    from transformers import VoxtralRealtimeFeatureExtractor, VoxtralRealtimeForConditionalGeneration
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message="Using the model-agnostic default `max_length`")
    model = VoxtralRealtimeForConditionalGeneration.from_pretrained(job.folder, dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None  # a live stream ends with its audio
    model.generation_config.pad_token_id = THEIR_PAD
    extractor = VoxtralRealtimeFeatureExtractor(
        feature_size=128, n_fft=WINDOW_SAMPLES, win_length=WINDOW_SAMPLES, hop_length=HOP_SAMPLES
    )
    _generate(model, extractor, job, job.tapes[0][: 3 * RATE_HZ])  # warm
    pipe.send(True)
    while True:
        try:
            tapes, torch_threads = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        torch.set_num_threads(torch_threads)
        pipe.send(_together(model, extractor, job, tapes))


def _together(model, extractor, job: Job, tapes: Sequence[int]) -> list[Heard]:
    """A thread per stream. The class keeps on itself whether its stream has ended, so each has a shallow copy."""
    heard: list[Heard] = [Heard() for _ in tapes]

    def work(place: int) -> None:
        audio = job.tapes[tapes[place] % len(job.tapes)]
        heard[place] = _generate(copy.copy(model), extractor, job, audio)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(tapes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return heard


def _generate(model, extractor, job: Job, audio: np.ndarray) -> Heard:
    import torch

    heard = Heard(audio_s=len(audio) / RATE_HZ)
    prompt = [BOS] + [job.pad_id] * (job.left_pad + job.delay_tokens)
    started = time.perf_counter()
    moments: list[float] = []
    ids = model.generate(
        input_ids=torch.tensor([prompt]),
        input_features=_mel_chunks(extractor, job, audio, moments, started + GIVE_UP * heard.audio_s, heard),
        num_delay_tokens=job.delay_tokens,
        do_sample=False,
    )
    heard.wall_s = time.perf_counter() - started
    heard.ticks_s = np.diff(moments[1:]).tolist()  # without the prompt
    heard.tokens = ids[0, len(prompt) :].tolist()
    return heard


def _mel_chunks(
    extractor, job: Job, audio: np.ndarray, moments: list[float], give_up_s: float, heard: Heard
) -> Iterator:
    """As in the class's documentation: the prompt's audio first, then the window of one token after another."""

    def mel(samples: np.ndarray, center: bool):
        return extractor(samples, sampling_rate=RATE_HZ, center=center, return_tensors="pt").input_features

    frames = (job.delay_tokens + 1) * MEL_PER_FRAME
    silence = np.zeros(job.left_pad * FRAME_SAMPLES, np.float32)
    moments.append(time.perf_counter())
    yield mel(
        np.concatenate((silence, audio[: (frames - 1) * HOP_SAMPLES + WINDOW_SAMPLES // 2])), center=True
    )
    size = MEL_PER_FRAME * HOP_SAMPLES + WINDOW_SAMPLES
    while (start := frames * HOP_SAMPLES - WINDOW_SAMPLES // 2) + size <= len(audio):
        moments.append(time.perf_counter())
        if moments[-1] > give_up_s:
            return
        yield mel(audio[start : start + size], center=False)
        frames += MEL_PER_FRAME
    heard.complete = True


# ---------------------------------------------------------------- our engine


def _our_rows(
    options: argparse.Namespace, tapes: list[np.ndarray], delay_tokens: int, theirs: list[int]
) -> tuple[list[list], int, str]:
    """Rows, the streams carried, and how many tokens of the first tape are those of transformers."""
    rows: list[list] = []
    framed = [np.stack(Framer().push(tape)) for tape in tapes]
    equal = "–"

    def attempt(streams: int) -> bool:
        nonlocal equal
        run_ = _lockstep(options, framed, streams, delay_tokens)
        keeps = stats.percentile(run_.ticks_s, 0.99) < FRAME_S
        if equal == "–":
            ours = run_.tokens[delay_tokens + 1 :]
            count = min(len(ours), len(theirs))
            same = sum(a == b for a, b in zip(ours[:count], theirs[:count], strict=True))
            equal = f"{same} of {count}"
        rows.append(
            [
                "voxwire",
                f"1 process, {options.threads or 'all'} torch threads, lockstep",
                streams,
                1000 * stats.percentile(run_.ticks_s, 0.5),
                1000 * stats.percentile(run_.ticks_s, 0.99),
                run_.wall_s / run_.audio_s,
                streams * run_.audio_s / run_.wall_s,
                None,
                keeps,
            ]
        )
        progress(f"our engine, {streams} streams: p99 tick {rows[-1][4]:.1f} ms")
        return keeps

    attempt(1)
    return rows, largest(attempt, 25, 1600, options.narrow), equal


@dataclass(slots=True)
class Lockstep:
    audio_s: float  # per stream
    wall_s: float = 0.0
    ticks_s: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)  # of the first stream


def _lockstep(
    options: argparse.Namespace, framed: list[np.ndarray], streams: int, delay_tokens: int
) -> Lockstep:
    """All frames of one tape for every stream, each beginning at another frame of another tape, as fast as it goes."""
    from realtime.engine import load_engine

    engine = load_engine(options.model, slots=streams, threads=options.threads)
    ticks = len(framed[0])
    run_ = Lockstep(ticks * FRAME_S)
    done, finished = [0], threading.Event()
    opened = [engine.open(delay_tokens) for _ in range(streams)]
    numbers = {stream.lease: number for number, stream in enumerate(opened)}

    def frame(number: int, position: int) -> np.ndarray:
        tape = framed[number % len(framed)]
        return tape[(position + 7 * (number // len(framed))) % len(tape)]

    def deliver(steps: list[Step]) -> None:
        for step in steps:
            number, position = numbers[step.lease], step.position + LEAD_FRAMES
            if position < ticks:
                opened[number].feed(frame(number, position))
        if steps[0].lease == opened[0].lease:
            run_.tokens.append(steps[0].token)
        done[0] += len(steps)
        if done[0] == ticks * streams:
            finished.set()

    for number, stream in enumerate(opened):
        for position in range(LEAD_FRAMES):
            stream.feed(frame(number, position))
    engine.stats.observers.append(lambda tick_s, batch, backlog: run_.ticks_s.append(tick_s))
    engine.on_failure = finished.set
    started = time.perf_counter()
    engine.start(deliver)
    if not finished.wait(LONGEST_ROUND_S):
        raise BenchError(f"our engine did not end {streams} streams within {LONGEST_ROUND_S:.0f} s")
    run_.wall_s = time.perf_counter() - started
    engine.stop()
    if engine.failure is not None:
        raise BenchError(f"our engine failed: {engine.failure!r}")
    return run_
