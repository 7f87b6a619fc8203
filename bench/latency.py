"""How late partials and finals of one stream are that is sent at the pace it is spoken.

The audio is utterances with pauses of 1.2-2 s between them, sent in chunks of --chunk-ms on an absolute clock: a
chunk leaves when its last sample has been spoken. `spoken` is the moment of a sample on that clock; `sent` is the
moment at which the chunk that carries it actually left, which is up to one chunk later.

ready              from the beginning of the TCP connect to the `ready` message (once a connection)
first partial      from `spoken` of speech_started.at_ms to the arrival of the next partial
frame              arrival of a partial less `sent` of the last audio that the model had heard for it
                   (partial.audio_ms and the look-ahead of 2.5 ms): network, queue, tick and nothing else
carried by         frame + the delay: a token speaks about the audio up to one delay before what the model has heard,
                   so this is how long after "the audio that carries them" a partial arrives, by the model's own clock
word begun         arrival of the first partial that shows the beginning of a word less `sent` of the end of that
                   word; the end is the one in the final, which the model tells in steps of 80 ms (the middle of the
                   step is taken). In the same row as delay + rest; by construction rest holds 40 ms (half a step) +
                   80 ms (the marker of a word takes one step, its text follows in the next)
word complete      the same for the first partial that shows the whole word: every further token of it is 80 ms more
end of speech      arrival of a final (reason silence) less `spoken` of speech_stopped.at_ms, the end of speech by the
                   gate's estimate; its parts are
  hangover         until speech_stopped arrives: the hangover itself, the rest of the chunk, the network
  flush            from then until the final: silent frames through the model, delay + 1 + 10 at most

Targets: end of speech <= hangover + 100 ms (p95); partials <= delay + 150 ms (p95).
"""

from __future__ import annotations

import argparse
import asyncio
import time
from bisect import bisect_right
from dataclasses import dataclass, field

from bench import load, server, speech, stats
from bench.load import Pace
from bench.report import BenchError, Report, progress
from bench.server import Server
from bench.speech import RATE_HZ, Tape
from client.errors import ClientError
from client.protocol import Final, Options, Partial, Ready, SpeechStarted, SpeechStopped
from client.stream import Stream, connect

GAP_S = (1.2, 2.0)
CONNECTIONS = 20  # for the time to `ready`
FINAL_SLACK_MS, PARTIAL_SLACK_MS = 100, 150
COLUMNS = ("from … to", "count", "p50 ms", "p95", "p99", "max", "rest p95", "target p95", "met")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=120, help="of audio (default: %(default)g)")
    parser.add_argument(
        "--speech", metavar="FOLDER", help="clips of a manifest (default: the bundled demo's utterances)"
    )
    parser.add_argument("--chunk-ms", type=int, default=20, help="audio a message (default: %(default)s)")
    parser.add_argument("--delay-ms", type=int, help="default: the checkpoint's")
    parser.add_argument("--hangover-ms", type=int, default=500, help="of the gate (default: %(default)s)")
    server.add_arguments(parser)


def run(options: argparse.Namespace) -> Report:
    place = speech.folder(options.speech) if options.speech else None
    tape = Tape(speech.clips(place), seed=1, gap_s=GAP_S)
    with Server(server.flags(options)) as served:
        wanted = Options(delay_ms=options.delay_ms, hangover_ms=options.hangover_ms)
        progress(f"{options.seconds:g} s of audio at the pace it is spoken")
        try:
            ready_s = load.run_loop(_connect_often(served.url, wanted))
            log = load.run_loop(_listen(served.url, wanted, tape, options.seconds, options.chunk_ms))
        except ClientError as error:
            raise BenchError(f"the stream broke off: {error}") from None
        report = Report("Latency of one stream", COLUMNS, rows(log, ready_s, options.hangover_ms))
        report.setting = {
            "model": served.ready()["model"],
            "audio s": options.seconds,
            "speech share": f"{100 * tape.clip_samples / tape.samples:.0f} %",
            "speech": place.name if place else "bundled demo",
            "chunks of ms": options.chunk_ms,
            "delay_ms": log.delay_ms,
            "hangover_ms": options.hangover_ms,
            "engine threads": options.threads or "torch's choice",
        }
    return report


# ---------------------------------------------------------------- the stream


@dataclass(slots=True)
class Log:
    """Everything that arrived, with the moment, and when every chunk left."""

    pace: Pace
    delay_ms: int = 0
    sent_s: list[float] = field(default_factory=list)  # by chunk
    events: list[tuple[float, object]] = field(default_factory=list)

    def spoken_s(self, at_ms: float) -> float:
        return self.pace.start_s + at_ms / 1000

    def sample_sent_s(self, sample: int) -> float:
        return self.sent_s[min(self.pace.chunk_of(sample), len(self.sent_s) - 1)]


async def _connect_often(url: str, options: Options) -> list[float]:
    """Seconds to `ready`, one connection after another."""
    took_s = []
    for _ in range(CONNECTIONS):
        before = time.monotonic()
        async with await connect(url, options) as stream:
            async for event in stream.events():
                if isinstance(event, Ready):
                    break
            took_s.append(time.monotonic() - before)
    return took_s


async def _listen(url: str, options: Options, tape: Tape, seconds: float, chunk_ms: int) -> Log:
    async with await connect(url, options) as stream:
        log = Log(Pace(time.monotonic() + 0.5, chunk_ms))
        sender = asyncio.create_task(_send(stream, log, tape, seconds))
        try:
            async with asyncio.timeout(seconds + 30):
                async for event in stream.events():
                    log.events.append((time.monotonic(), event))
                    if isinstance(event, Ready):
                        log.delay_ms = event.delay_ms
        except TimeoutError:
            raise BenchError("the server did not end the stream") from None
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
    return log


async def _send(stream: Stream, log: Log, tape: Tape, seconds: float) -> None:
    for chunk in range(log.pace.chunk_of(int(seconds * RATE_HZ))):
        data = tape.read(log.pace.chunk_samples)
        await load.sleep_until(log.pace.due_s(chunk))
        log.sent_s.append(time.monotonic())
        await stream.send(data)
    await stream.end()


# ---------------------------------------------------------------- what follows from a log


def rows(log: Log, ready_s: list[float], hangover_ms: int) -> list[list]:
    """The table, in ms."""
    delay_ms = log.delay_ms
    frames_s = frame_latencies_s(log)
    begun_s, complete_s = word_latencies_s(log)
    ends = final_latencies_s(log)
    partial_ms, final_ms = delay_ms + PARTIAL_SLACK_MS, hangover_ms + FINAL_SLACK_MS
    return [
        _row("connect … ready", ready_s),
        _row("speech started … first partial", first_partials_s(log)),
        _row("frame sent … partial", frames_s),
        _row("carrying audio sent … partial", [s + delay_ms / 1000 for s in frames_s], delay_ms, partial_ms),
        _row("word's end sent … word begun", begun_s, delay_ms, partial_ms),
        _row("word's end sent … word complete", complete_s, delay_ms, partial_ms),
        _row("end of speech … final", [total for total, _, _ in ends], hangover_ms, final_ms),
        _row("  of it hangover", [hangover for _, hangover, _ in ends], hangover_ms),
        _row("  of it flush", [flush for _, _, flush in ends]),
    ]


def _row(
    name: str, values_s: list[float], known_ms: float | None = None, target_ms: float | None = None
) -> list:
    """`known_ms` is the part that is no latency of the server's: the delay or the hangover."""
    found = stats.spread([1000 * value for value in values_s])
    rest = None if known_ms is None else found.p95 - known_ms
    met = None if target_ms is None or not found.count else bool(found.p95 <= target_ms)
    return [name, found.count, found.p50, found.p95, found.p99, found.max, rest, target_ms, met]


def first_partials_s(log: Log) -> list[float]:
    found, onset_s = [], None
    for at_s, event in log.events:
        if isinstance(event, SpeechStarted):
            onset_s = log.spoken_s(event.at_ms)
        elif isinstance(event, Partial) and onset_s is not None:
            found.append(at_s - onset_s)
            onset_s = None
    return found


def frame_latencies_s(log: Log) -> list[float]:
    """Of partials while speech goes on: those of a flush hear silence that nobody sent."""
    found, speaking = [], False
    for at_s, event in log.events:
        if isinstance(event, SpeechStarted | SpeechStopped):
            speaking = isinstance(event, SpeechStarted)
        elif isinstance(event, Partial) and speaking:
            found.append(at_s - log.sent_s[min(log.pace.chunk_heard(event.audio_ms), len(log.sent_s) - 1)])
    return found


def word_latencies_s(log: Log) -> tuple[list[float], list[float]]:
    """(begun, complete) of every word of a final, by the partials of its utterance; a word that only the final shows
    counts at the final."""
    begun, complete = [], []
    partials: list[tuple[float, int]] = []  # (arrival, characters shown), rising
    for at_s, event in log.events:
        if isinstance(event, Partial):
            partials.append((at_s, len(event.text.strip())))
        elif isinstance(event, Final):
            shown, at = [n for _, n in partials], [s for s, _ in partials] + [at_s]
            for word, (start, end) in zip(event.words, places(event), strict=True):
                sent_s = log.sample_sent_s(word.end_ms * RATE_HZ // 1000)
                begun.append(at[bisect_right(shown, start)] - sent_s)
                complete.append(at[bisect_right(shown, end - 1)] - sent_s)
            partials = []
    return begun, complete


def places(final: Final) -> list[tuple[int, int]]:
    """Where each word of a final stands in its text, from its first character to behind its last."""
    found, position, text = [], 0, final.text.strip()
    for word in final.words:
        position = text.index(word.text, position)
        found.append((position, position + len(word.text)))
        position += len(word.text)
    return found


def final_latencies_s(log: Log) -> list[tuple[float, float, float]]:
    """(total, hangover, flush) of every final that a silence brought."""
    found, stopped = [], None
    for at_s, event in log.events:
        if isinstance(event, SpeechStopped):
            stopped = (at_s, log.spoken_s(event.at_ms))
        elif isinstance(event, Final) and event.reason == "silence" and stopped is not None:
            told_s, spoken_s = stopped
            found.append((at_s - spoken_s, told_s - spoken_s, at_s - told_s))
            stopped = None
    return found
