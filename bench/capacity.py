"""How many streams of continuous speech, paced in real time, one server carries.

Levels of N streams are played one after another against one server, from load generators in processes of their own:
every stream says something else (clips in an order of its own, joined with pauses of 0.15-0.35 s), starts at
another moment and another phase of the 80 ms chunk, and keeps to an absolute clock. What is measured, over
`--seconds` in which all N speak:

tick          duration of one batched step, from the histogram on /metrics (percentiles interpolated in its buckets)
over 80 ms    share of the ticks that took longer than a frame lasts
lag           arrival of a partial less the moment at which the last audio that it heard was due to be sent
growth        slope of the lags over time, least squares
flush         from speech_stopped to its final, p95 (with the gate off there is no speech_stopped)
refused       connections answered 503; dropped: ended before `done`, or none came; stalled: a send held back over 1
              s, or a `gap` or `warning` message
differ        finals that differ (text or word times) from those of the same audio streamed alone before; as many
              streams as --reference allows, over the first --prefix seconds
holds         p99 tick within 80 ms, lag not growing by a frame over the window, nothing refused, dropped or stalled

The run stops after the first level that does not hold. Generator and server share the machine's cores: the CPU of
both is given in seconds per second, and how late the generator itself was (p99) as `late`.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass, field

from bench import load, server, speech, stats
from bench.load import Generators, Part, Plan, Played, Said, Seen
from bench.report import BenchError, Report, progress
from bench.server import Metrics, Server, Usage
from client.protocol import Options

FRAME_S = 0.08
LEVELS = "25,50,100,150,200,300,400,600"
RAMP_S_PER_STREAM = 0.04
TAIL_S = 1.0  # all streams speak on behind the window, so that no ending falls into it
CUT_MARGIN_MS = (
    4000  # the reference ends here and the stream beside others goes on: the longest delay and a word
)
COLUMNS = (
    "streams",
    "tick p50 ms",
    "p95",
    "p99",
    "over 80 ms %",
    "batch",
    "lag p50 ms",
    "p99",
    "max",
    "growth ms/min",
    "flush p95 ms",
    "refused",
    "dropped",
    "stalled",
    "server CPU",
    "generator CPU",
    "late ms",
    "RSS MiB",
    "fed %",
    "finals compared",
    "differ",
    "holds",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--streams", default=LEVELS, metavar="N,...", help="levels, rising (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=30, help="measured per level (default: %(default)g)")
    parser.add_argument("--vad", choices=("on", "off"), default="off", help="default: %(default)s")
    parser.add_argument("--delay-ms", type=int, help="default: the checkpoint's")
    parser.add_argument(
        "--speech", metavar="FOLDER", help="default: VOXWIRE_SPEECH, else the bundled demo's clips"
    )
    parser.add_argument("--generators", type=int, default=1, help="load processes (default: %(default)s)")
    parser.add_argument(
        "--reference", type=int, default=8, metavar="N", help="streams compared (default: %(default)s)"
    )
    parser.add_argument(
        "--prefix",
        type=float,
        default=60,
        metavar="S",
        help="seconds of each compared (default: %(default)g)",
    )
    parser.add_argument("--past-limit", action="store_true", help="go on after a level that does not hold")
    server.add_arguments(parser)


def run(options: argparse.Namespace) -> Report:
    levels = _levels(options.streams)
    place = speech.folder(options.speech)
    report = Report("Capacity: streams paced in real time", COLUMNS)
    flags = server.flags(options, slots=max(levels), max_connections=max(levels) + 16)
    with Generators(place, options.generators) as generators, Server(flags) as served:
        model = served.ready()["model"]
        bench = _Bench(options, generators, served)
        bench.make_reference(min(options.reference, levels[0]))
        shares = []
        for streams in levels:
            try:
                level = bench.play(streams)
            except (BenchError, OSError) as error:  # what the levels before have shown is kept
                report.notes.append(f"{streams} streams: {error}.")
                break
            report.rows.append(level.row())
            shares += [p.clip_share for p in level.seen.played if p.clip_share]
            progress(f"{streams} streams: {'hold' if level.holds else level.why}")
            if not level.holds:
                report.notes.append(f"{streams} streams: {level.why}.")
            if level.differing:
                report.notes.append(f"{streams} streams, first difference: {level.differing[0]}.")
            if not level.holds and not options.past_limit:
                break
        report.setting = {
            "model": model,
            "seconds per level": options.seconds,
            "vad": options.vad,
            "delay_ms": options.delay_ms or "of the checkpoint",
            "speech": place.name if place else "bundled demo",
            "speech share of the audio": f"{100 * sum(shares) / max(1, len(shares)):.0f} %",
            "generators": options.generators,
            "engine threads": options.threads or "torch's choice",
        }
    return report


def _levels(words: str) -> list[int]:
    try:
        levels = sorted({int(word) for word in words.split(",")})
    except ValueError:
        levels = []
    if not levels or levels[0] < 1:
        raise BenchError(f"--streams {words}: expected numbers of streams, like 50,100")
    return levels


# ---------------------------------------------------------------- one level


@dataclass(slots=True)
class Level:
    """What was measured with `streams` streams between two readings of the server."""

    streams: int
    seconds: float  # between the readings
    seen: Seen
    metrics: tuple[Metrics, Metrics]
    usage: tuple[Usage, Usage]
    compared: int = 0
    differing: list[str] = field(default_factory=list)

    @property
    def ticks(self) -> dict[float, float]:
        return stats.between(*(reading.histograms["tick_seconds"] for reading in self.metrics))

    @property
    def lags(self) -> list[tuple[float, float]]:
        return [lag for played in self.seen.played for lag in played.lags]

    @property
    def growth_ms_per_s(self) -> float:
        return 1000 * stats.slope([t for t, _ in self.lags], [lag for _, lag in self.lags])

    @property
    def refused(self) -> list[Played]:
        return [p for p in self.seen.played if p.refused]

    @property
    def dropped(self) -> list[Played]:
        return [p for p in self.seen.played if p.dropped]

    @property
    def stalled(self) -> list[Played]:
        return [p for p in self.seen.played if p.stalled or p.warnings]

    @property
    def holds(self) -> bool:
        return not self.why

    @property
    def why(self) -> str:
        """What does not hold; empty if all does."""
        if self.refused:
            return f"{len(self.refused)} refused, the first with: {self.refused[0].refused}"
        if self.dropped:
            return f"{len(self.dropped)} dropped, the first with: {self.dropped[0].dropped}"
        if self.stalled:
            return f"{len(self.stalled)} stalled"
        if not self.lags:
            return "no partial came, so no lag is known"
        p99_s = stats.histogram_percentile(self.ticks, 0.99)
        if not p99_s <= FRAME_S:
            return f"the p99 tick is {1000 * p99_s:.0f} ms"
        if self.growth_ms_per_s * self.seconds > 1000 * FRAME_S:
            return f"the lag grows by {60 * self.growth_ms_per_s:.0f} ms a minute"
        return ""

    def row(self) -> list:
        before, after = self.metrics
        tick_ms = [1000 * stats.histogram_percentile(self.ticks, share) for share in (0.5, 0.95, 0.99)]
        ticks = max(1.0, _grown(before, after, "tick_seconds_count"))
        lag = stats.spread([lag for _, lag in self.lags])
        audio_s = _grown(before, after, "audio_seconds_total")
        cpu_s = self.usage[1].cpu_s - self.usage[0].cpu_s
        return [
            self.streams,
            *tick_ms,
            100 * stats.share_above(self.ticks, FRAME_S),
            _grown(before, after, "batch_size_sum") / ticks,
            1000 * lag.p50,
            1000 * lag.p99,
            1000 * lag.max,
            60 * self.growth_ms_per_s,
            1000 * stats.percentile([s for p in self.seen.played for s in p.flushes_s], 0.95),
            len(self.refused),
            len(self.dropped),
            len(self.stalled),
            cpu_s / self.seconds,
            self.seen.cpu_s / self.seconds,
            1000 * stats.percentile([s for p in self.seen.played for s in p.late_s], 0.99),
            self.usage[1].rss_bytes / 2**20,
            100 * FRAME_S * _grown(before, after, "frames_total") / max(audio_s, 1e-9),
            self.compared,
            len(self.differing) if self.compared else None,
            self.holds,
        ]


def _grown(before: Metrics, after: Metrics, name: str) -> float:
    return after.value(name) - before.value(name)


class _Bench:
    def __init__(self, options: argparse.Namespace, generators: Generators, served: Server):
        self._generators, self._server = generators, served
        self._seconds = options.seconds
        self._prefix_s = min(options.prefix, options.seconds + load.SETTLE_S)
        self._options = Options(vad=options.vad == "on", delay_ms=options.delay_ms)
        self._reference: dict[int, list[Said]] = {}

    def make_reference(self, streams: int) -> None:
        """The finals of the first seconds of some streams, each alone on the server."""
        for seed in range(streams):
            progress(f"reference {seed + 1} of {streams}, alone")
            now = time.monotonic()
            self._generators.begin(self._plan([Part(seed, self._prefix_s)], (now, now)))
            played = self._generators.finish(60 + self._prefix_s).played[0]
            if played.dropped or played.refused:
                raise BenchError(f"a stream alone failed: {played.dropped or played.refused}")
            self._reference[seed] = played.finals

    def play(self, streams: int) -> Level:
        """All streams at once; the server is read when the last of them has settled, and at the end."""
        ramp_s = max(1.0, RAMP_S_PER_STREAM * streams)
        zero_s = time.monotonic() + 2 * load.CONNECT_AHEAD_S
        from_s = zero_s + ramp_s + load.SETTLE_S
        to_s = from_s + self._seconds
        # Seeds shuffled: the compared streams are spread over slots and phases.
        seeds = random.Random(streams).sample(range(streams), streams)
        begins = [zero_s + s for s in load.starts(streams, ramp_s)]
        parts = [Part(seed, to_s + TAIL_S - begin, begin) for seed, begin in zip(seeds, begins, strict=True)]
        self._generators.begin(self._plan(parts, (from_s, to_s)))
        readings = []
        for moment_s in (from_s, to_s):
            time.sleep(max(0.0, moment_s - time.monotonic()))
            readings.append((time.monotonic(), self._server.usage(), self._server.metrics()))
        seen = self._generators.finish(load.DONE_TIMEOUT_S + 30)
        moments, usage, metrics = zip(*readings, strict=True)
        level = Level(streams, moments[1] - moments[0], seen, metrics, usage)
        for played in seen.played:
            if played.seed in self._reference:
                self._compare(played, level)
        return level

    def _plan(self, parts: list[Part], window: tuple[float, float]) -> Plan:
        return Plan(self._server.url, self._options, tuple(parts), window)

    def _compare(self, played: Played, level: Level) -> None:
        cut_ms = int(1000 * self._prefix_s) - CUT_MARGIN_MS
        alone, beside = until(self._reference[played.seed], cut_ms), until(played.finals, cut_ms)
        level.compared += max(len(alone), len(beside))
        level.differing += [f"stream {played.seed}: {words}" for words in differences(alone, beside)]


def until(finals: list[Said], cut_ms: int) -> list[Said]:
    """Words that end by `cut_ms`, in their finals; a final that is cut keeps its whole words."""
    kept = [tuple(word for word in words if word[2] <= cut_ms) for _, words in finals]
    return [(" ".join(word[0] for word in words), words) for words in kept if words]


def differences(alone: list[Said], beside: list[Said]) -> list[str]:
    """A sentence for every final that differs, by place."""
    longest = max(len(alone), len(beside))
    pairs = [
        (alone[i] if i < len(alone) else ("", ()), beside[i] if i < len(beside) else ("", ()))
        for i in range(longest)
    ]
    return [
        f"final {i}: alone {a[0]!r}, beside others {b[0]!r}"
        + ("" if a[0] != b[0] else f"; times {_first_unequal(a[1], b[1])}")
        for i, (a, b) in enumerate(pairs)
        if a != b
    ]


def _first_unequal(a: tuple, b: tuple) -> str:
    one, other = next(pair for pair in zip(a, b, strict=False) if pair[0] != pair[1])
    return f"{one} and {other}"
