"""Resident memory of the server: over hours of one stream, and over thousands of sessions.

hours      one session, speech without end sent faster than real time (as fast as the server takes it), until --hours
           of stream time are through or --limit-s of wall time have passed; --pause-s lets the gate close between
           utterances, which also makes the hours pass sooner
sessions   --sessions connections, --at-once at a time, each with 1-2 s of speech sent at once. Every fourth leaves
           without a word (the TCP connection is cut while audio is under way), every fourth closes without `end`, the
           others end in order and wait for `done`

Resident memory is read from /proc every --every-s. `warm` is the mean of the readings in the tenth of the run that
follows its first tenth, `end` that of the last tenth; `growth` is end less warm, `slope` the least-squares growth
behind the first tenth. Left over are slots and connections by the server's own metrics, and open files and threads
against those after a first session of a second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import socket
import struct
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from statistics import fmean

from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidHandshake

from bench import load, server, speech, stats
from bench.report import Report, progress
from bench.server import Server, Usage
from bench.speech import RATE_HZ, Tape
from client import protocol
from client.errors import ClientError
from client.protocol import Final, Options, Partial
from client.stream import Stream, connect

CHUNK_MS = 400  # of the long stream; far below the server's limit of one message
SETTLE_TIMEOUT_S = 30.0  # until everything has been given back
COLUMNS = (
    "run",
    "done",
    "wall s",
    "RSS MiB start",
    "warm",
    "end",
    "max",
    "growth",
    "slope",
    "slots left",
    "connections left",
    "files left",
    "threads left",
    "failed",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hours", type=float, default=10, help="stream time; 0 leaves it out (default: 10)")
    parser.add_argument("--sessions", type=int, default=2000, help="0 leaves it out (default: 2000)")
    parser.add_argument("--limit-s", type=float, default=7200, help="wall time a run (default: %(default)g)")
    parser.add_argument("--every-s", type=float, default=2, help="between readings (default: %(default)g)")
    parser.add_argument("--at-once", type=int, default=8, help="sessions at a time (default: %(default)s)")
    parser.add_argument("--vad", choices=("on", "off"), default="on", help="default: %(default)s")
    parser.add_argument("--delay-ms", type=int, help="default: the checkpoint's")
    parser.add_argument(
        "--pause-s", type=float, default=0.25, help="mean pause between utterances (default: %(default)g)"
    )
    parser.add_argument(
        "--speech", metavar="FOLDER", help="default: VOXWIRE_SPEECH, else the bundled demo's clips"
    )
    server.add_arguments(parser)


def run(options: argparse.Namespace) -> Report:
    place = speech.folder(options.speech)
    pause_s = (0.5 * options.pause_s, 1.5 * options.pause_s)
    tape = Tape(speech.clips(place, most_s=600), seed=1, gap_s=pause_s)
    report = Report("Resident memory of the server", COLUMNS)
    asked = Options(vad=options.vad == "on", delay_ms=options.delay_ms)
    for name, wanted, work in (("hours", options.hours, _hours), ("sessions", options.sessions, _sessions)):
        if wanted:
            # A server each: what one run left behind must not hide what the other takes.
            with Server(server.flags(options, slots=max(16, options.at_once))) as served:
                watch = Watch(served)
                progress(f"{wanted:g} {name}")
                warming = _session(served, asked, tape.read(RATE_HZ), in_order=True)
                working = work(served, asked, tape, options, watch)
                load.run_loop(_watched(warming, working, watch, options.every_s))
                report.rows.append(_row(name, watch))
                report.notes += watch.notes
                report.setting["model"] = served.ready()["model"]
    report.setting |= {
        "vad": options.vad,
        "speech": place.name if place else "bundled demo",
        "speech share": f"{tape.clip_samples / max(1, tape.samples):.0%}",
        "slope": "MiB an hour of stream time, or MiB per 1,000 sessions",
    }
    return report


# ---------------------------------------------------------------- watching


@dataclass(slots=True)
class Watch:
    """Readings of the server, each with the amount of work done until then."""

    served: Server
    done: float = 0.0  # hours of stream time, or sessions
    failed: int = 0
    readings: list[tuple[float, Usage]] = field(default_factory=list)
    before: Usage | None = None  # after a first session: what every server has opened by then
    notes: list[str] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)

    def read(self) -> None:
        self.readings.append((self.done, self.served.usage()))


async def _watched(warming: Coroutine, work: Coroutine, watch: Watch, every_s: float) -> None:
    """Run both; read at the beginning, every while during `work`, and when all is given back."""
    watch.read()
    await warming
    await _until_given_back(watch.served)
    watch.before = watch.served.usage()
    reader = asyncio.create_task(_read_often(watch, every_s))
    try:
        await work
        await _until_given_back(watch.served)
    finally:
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader
    watch.read()


async def _read_often(watch: Watch, every_s: float) -> None:
    told_s = time.monotonic()
    while True:
        await asyncio.sleep(every_s)
        watch.read()
        if time.monotonic() - told_s > 60:
            told_s = time.monotonic()
            progress(f"done {watch.done:.2f}, {watch.readings[-1][1].rss_bytes / 2**20:.1f} MiB")


async def _until_given_back(served: Server) -> None:
    """Slots and connections are zero, or the patience is at its end: the table then shows what is left."""
    deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
    while time.monotonic() < deadline_s:
        metrics = await asyncio.to_thread(served.metrics)
        if not metrics.value("slots_in_use") and not metrics.value("connections"):
            return
        await asyncio.sleep(0.2)


def _row(name: str, watch: Watch) -> list:
    first, last = watch.before, watch.readings[-1][1]
    metrics = watch.served.metrics()
    mib = [(done, usage.rss_bytes / 2**20) for done, usage in watch.readings]
    warm, end, per_unit = levels(mib)
    unit = "h of stream" if name == "hours" else "sessions"
    return [
        name,
        f"{watch.done:.2f} {unit}" if name == "hours" else f"{watch.done:.0f} {unit}",
        time.monotonic() - watch.began_s,
        mib[0][1],
        warm,
        end,
        max(value for _, value in mib),
        end - warm,
        per_unit * (1 if name == "hours" else 1000),
        int(metrics.value("slots_in_use")),
        int(metrics.value("connections")),
        last.open_files - first.open_files,
        last.threads - first.threads,
        watch.failed,
    ]


def levels(readings: list[tuple[float, float]]) -> tuple[float, float, float]:
    """(warm, end, slope) of readings (work done, value), by tenths of the work. NaN where nothing was read."""
    total = readings[-1][0]

    def mean(low: float, high: float) -> float:
        values = [value for done, value in readings if low * total <= done <= high * total]
        return fmean(values) if values else float("nan")

    warmed = [(done, value) for done, value in readings if done >= 0.1 * total]
    return mean(0.1, 0.2), mean(0.9, 1.0), stats.slope(*zip(*warmed, strict=True))


# ---------------------------------------------------------------- one long stream


async def _hours(
    served: Server, asked: Options, tape: Tape, options: argparse.Namespace, watch: Watch
) -> None:
    """`done` is what the model has heard, by its partials and finals; at the end what was sent."""
    deadline_s = time.monotonic() + options.limit_s
    async with await connect(served.url, asked, ping_interval_s=None) as stream:
        sender = asyncio.create_task(_send_hours(stream, tape, options.hours, deadline_s))
        try:
            async with asyncio.timeout(options.limit_s + 120):
                async for event in stream.events():
                    if isinstance(event, Partial):
                        watch.done = max(watch.done, event.audio_ms / 3.6e6)
                    elif isinstance(event, Final):
                        watch.done = max(watch.done, event.end_ms / 3.6e6)
            watch.done = await sender
        except (ClientError, TimeoutError) as error:
            watch.failed += 1
            watch.notes.append(f"hours: the stream broke off: {error or 'no end in time'}.")
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
    if watch.done < options.hours * 0.999 and not watch.failed:
        watch.notes.append(f"hours: stopped by --limit-s at {watch.done:.2f} of {options.hours:g} h.")


async def _send_hours(stream: Stream, tape: Tape, hours: float, deadline_s: float) -> float:
    """Hours sent. Backpressure paces it."""
    sent_ms = 0
    while sent_ms < hours * 3.6e6 and time.monotonic() < deadline_s:
        await stream.send(tape.read(RATE_HZ * CHUNK_MS // 1000))
        sent_ms += CHUNK_MS
    await stream.end()
    return sent_ms / 3.6e6


# ---------------------------------------------------------------- many sessions


async def _sessions(
    served: Server, asked: Options, tape: Tape, options: argparse.Namespace, watch: Watch
) -> None:
    deadline_s = time.monotonic() + options.limit_s
    numbers = iter(range(options.sessions))
    dice = random.Random(0)

    async def work() -> None:
        for number in numbers:
            if time.monotonic() > deadline_s:
                return
            audio = tape.read(int(dice.uniform(1, 2) * RATE_HZ))
            try:
                async with asyncio.timeout(60):
                    await (_cut_off if number % 4 == 3 else _session)(served, asked, audio, number % 4 != 1)
            except (ClientError, InvalidHandshake, OSError, TimeoutError) as error:
                watch.failed += 1
                watch.notes = watch.notes or [f"sessions: the first failure: {error or 'no end in time'}."]
            watch.done += 1

    await asyncio.gather(*(work() for _ in range(options.at_once)))
    if watch.done < options.sessions:
        watch.notes.append(f"sessions: stopped by --limit-s at {watch.done:.0f} of {options.sessions}.")


async def _session(served: Server, asked: Options, audio: bytes, in_order: bool) -> None:
    async with await connect(served.url, asked, ping_interval_s=None) as stream:
        await stream.send(audio)
        if in_order:
            await stream.end()
            async for _ in stream.events():
                pass


async def _cut_off(served: Server, asked: Options, audio: bytes, _: bool) -> None:
    """Reset the connection while the audio is under way: no close frame, not even the end of the TCP stream."""
    address = protocol.stream_url(served.url, asked)
    connection = await open_websocket(address, compression=None, ping_interval=None)
    await connection.send(audio)
    raw = connection.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()
    await connection.wait_closed()
