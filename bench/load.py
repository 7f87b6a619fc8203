"""Streams paced in real time from processes of their own, and what they saw.

Every stream says something else (a tape of its own seed), begins at another moment, and sends by an absolute clock:
chunk k is due when its last sample would have been spoken, and never leaves earlier; lateness does not add up. The
clock is CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from bench import speech
from bench.report import BenchError
from bench.speech import RATE_HZ, Tape
from client import protocol
from client.errors import Busy, ClientError, Lost
from client.protocol import Options
from client.stream import Stream, connect

CHUNK_MS = 80
SETTLE_S = 2.0  # between the last stream's first audio and the beginning of what is measured
CONNECT_AHEAD_S = 1.0  # a connection is opened this long before its first audio is due
STALLED_S = 1.0  # a send that takes longer was held back by the server
DONE_TIMEOUT_S = 30.0  # from the end of a stream's audio to `done`
TIMER_S = 0.001
TURN_S = 0.004  # chunks due within a turn leave together at its end: fewer wake-ups, at most so much later
LOAD_TIMEOUT_S = 120.0  # for a generator to start and read its clips
LOOK_AHEAD_SAMPLES = 40  # a frame of the model ends this much behind its 80 ms


# ---------------------------------------------------------------- pure: when what is due


@dataclass(frozen=True, slots=True)
class Pace:
    """The absolute schedule of one stream: chunk k is due at `start_s` + (k + 1) chunks."""

    start_s: float
    chunk_ms: int = CHUNK_MS

    @property
    def chunk_samples(self) -> int:
        return RATE_HZ * self.chunk_ms // 1000

    def due_s(self, chunk: int) -> float:
        return self.start_s + (chunk + 1) * self.chunk_ms / 1000

    def chunk_of(self, sample: int) -> int:
        """The chunk that carries a sample of the stream."""
        return max(0, sample) // self.chunk_samples

    def chunk_heard(self, audio_ms: int) -> int:
        """The chunk that the model's frame ending at `audio_ms` waited for: its look-ahead is the next chunk's."""
        return self.chunk_of(audio_ms * RATE_HZ // 1000 + LOOK_AHEAD_SAMPLES - 1)


def turn_s(due_s: float) -> float:
    """The end of the turn in which something is due."""
    return math.ceil(due_s / TURN_S) * TURN_S


def starts(streams: int, ramp_s: float, chunk_ms: int = CHUNK_MS) -> list[float]:
    """When each of the streams begins, from 0: spread over the ramp, and evenly over the phase of a chunk."""
    chunk_s = chunk_ms / 1000
    return [int(ramp_s * i / streams / chunk_s) * chunk_s + chunk_s * i / streams for i in range(streams)]


# ---------------------------------------------------------------- what is to be played, what was seen


@dataclass(frozen=True, slots=True)
class Part:
    """One stream of a plan. Times are CLOCK_MONOTONIC; `start_s` None means as fast as the server takes it."""

    seed: int
    length_s: float
    start_s: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`window`: the time from which lags are kept and over which the generator's CPU is counted."""

    url: str
    options: Options
    parts: tuple[Part, ...]
    window: tuple[float, float]


Said = tuple[str, tuple[tuple[str, int, int], ...]]  # a final: text, words as (text, start_ms, end_ms)


@dataclass(slots=True)
class Played:
    """What one stream saw. A lag is from the moment the last audio that a partial heard was due, to its arrival."""

    seed: int
    refused: str = ""
    dropped: str = ""
    stalled: bool = False
    warnings: int = 0  # `warning` and `gap` messages
    lags: list[tuple[float, float]] = field(default_factory=list)  # (arrival, lag) in s
    flushes_s: list[float] = field(default_factory=list)  # from speech_stopped to its final
    finals: list[Said] = field(default_factory=list)
    clip_share: float = 0.0  # of what was sent
    late_s: list[float] = field(default_factory=list)  # of the generator, per chunk


@dataclass(slots=True)
class Seen:
    """What one generator saw."""

    played: list[Played]
    cpu_s: float  # of the generator within the window


# ---------------------------------------------------------------- one stream


class Player:
    """Plays one part of a plan over one connection."""

    def __init__(self, plan: Plan, part: Part, clips: Sequence[np.ndarray]):
        self._plan, self._part = plan, part
        self._pace = Pace(part.start_s or 0.0)
        self._tape = Tape(clips, part.seed)
        self._stopped_s: dict[int, float] = {}
        self._is_ended = False
        self.played = Played(part.seed)

    async def play(self) -> Played:
        if self._part.start_s is not None:
            await sleep_until(self._part.start_s - CONNECT_AHEAD_S)
        try:
            stream = await connect(
                self._plan.url, self._plan.options, open_timeout_s=20, ping_interval_s=None
            )
        except Busy as error:
            self.played.refused = str(error)
            return self.played
        except ClientError as error:
            self.played.dropped = str(error)
            return self.played
        async with stream:
            sender = asyncio.create_task(self._send(stream))
            try:
                async with asyncio.timeout(self._patience_s()) as self._deadline:
                    async for event in stream.events():
                        self._note(event, time.monotonic())
            except TimeoutError:
                self.played.dropped = f"no `done` within {DONE_TIMEOUT_S:g} s of the end of its audio"
            except ClientError as error:
                self.played.dropped = str(error)
            finally:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
        if not self._is_ended and not self.played.dropped:
            self.played.dropped = "the server ended the stream before its end"
        self.played.clip_share = self._tape.clip_samples / max(1, self._tape.samples)
        return self.played

    def _patience_s(self) -> float | None:
        """A paced stream must be done soon after its audio is; without pace the owner of the plan waits as it likes."""
        if self._part.start_s is None:
            return None
        return self._part.start_s + self._part.length_s - time.monotonic() + DONE_TIMEOUT_S

    async def _send(self, stream: Stream) -> None:
        pace, paced = self._pace, self._part.start_s is not None
        with contextlib.suppress(Lost):  # the reader meets the same end and knows the reason
            for chunk in range(pace.chunk_of(int(self._part.length_s * RATE_HZ))):
                data = self._tape.read(pace.chunk_samples)
                if paced:
                    await sleep_until(turn_s(pace.due_s(chunk)))
                before = time.monotonic()
                if paced:
                    self.played.late_s.append(before - pace.due_s(chunk))
                await stream.send(data)
                if paced and time.monotonic() - before > STALLED_S:
                    self.played.stalled = True
            await stream.end()
            self._is_ended = True

    def _note(self, event: protocol.Event, now_s: float) -> None:
        played = self.played
        match event:
            case protocol.Partial(audio_ms=audio_ms) if self._plan.window[0] <= now_s <= self._plan.window[1]:
                due_s = self._pace.due_s(self._pace.chunk_heard(audio_ms))
                played.lags.append((now_s, now_s - due_s))
            case protocol.SpeechStopped(channel=channel):
                self._stopped_s[channel] = now_s
            case protocol.Final():
                played.finals.append((event.text, tuple((w.text, w.start_ms, w.end_ms) for w in event.words)))
                stopped_s = self._stopped_s.pop(event.channel, None)
                if stopped_s is not None and event.reason == "silence":
                    played.flushes_s.append(now_s - stopped_s)
            case protocol.Gap() | protocol.Warned():
                played.warnings += 1
            case protocol.Failed():
                played.dropped = played.dropped or f"{event.code}: {event.message}"


async def sleep_until(moment_s: float) -> None:
    """Never earlier, whatever the resolution of the loop's timers: uvloop's is a millisecond, and it rounds down."""
    while (ahead_s := moment_s - time.monotonic()) > 0:
        await asyncio.sleep(ahead_s + TIMER_S)


async def play_all(plan: Plan, clips: Sequence[np.ndarray]) -> Seen:
    """All parts of a plan at once."""
    cpu_s: list[float] = []

    async def count(moment_s: float) -> None:
        await sleep_until(moment_s)
        cpu_s.append(time.process_time())

    players = [Player(plan, part, clips).play() for part in plan.parts]
    played = await asyncio.gather(*players, *(count(moment_s) for moment_s in plan.window))
    return Seen(list(played[: len(plan.parts)]), cpu_s[1] - cpu_s[0])


def run_loop(main):
    """As the server does: uvloop where it exists."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


# ---------------------------------------------------------------- processes


class Generators:
    """A context of `count` processes that play plans; their clips are read once."""

    def __init__(self, place: Path | None, count: int = 1):
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_generator, args=(theirs, place), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Generators:
        try:
            for pipe in self._pipes:
                _receive(pipe, LOAD_TIMEOUT_S)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def begin(self, plan: Plan) -> None:
        """Hand the parts out; `finish` collects."""
        for i, pipe in enumerate(self._pipes):
            pipe.send(Plan(plan.url, plan.options, plan.parts[i :: len(self._pipes)], plan.window))

    def finish(self, timeout_s: float) -> Seen:
        """What all of them saw, streams in the order of their seeds."""
        seen = [_receive(pipe, timeout_s) for pipe in self._pipes]
        played = sorted((p for s in seen for p in s.played), key=lambda p: p.seed)
        return Seen(played, sum(s.cpu_s for s in seen))

    def _stop(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(5)
            if process.is_alive():
                process.kill()


def _receive(pipe: Connection, timeout_s: float):
    if not pipe.poll(max(0.0, timeout_s)):
        raise BenchError(f"a load generator gave no answer within {timeout_s:.0f} s")
    try:
        answer = pipe.recv()
    except EOFError:
        raise BenchError("a load generator died") from None
    if isinstance(answer, BenchError):
        raise answer
    return answer


def _generator(pipe: Connection, place: Path | None) -> None:
    """The life of a load generator: plans in, what was seen out, until the pipe is closed."""
    try:
        clips = speech.clips(place)
        pipe.send(True)
        while True:
            pipe.send(run_loop(play_all(pipe.recv(), clips)))
    except BenchError as error:
        pipe.send(error)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass
