"""What Prometheus reads, in one registry per server. docs/operations.md explains every name."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from realtime.dialects.base import is_empty
from realtime.events import FRAME_MS, Error, Event, Final, Partial, SpeechStarted, SpeechStopped

disable_created_metrics()  # they would double the number of series and say nothing that a restart does not

# Around one frame: a tick longer than 80 ms falls behind live audio.
TICK_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.15, 0.25, 0.5, 1.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LATENCY_BUCKETS_S = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
LAG_BUCKETS_S = (0.08, 0.16, 0.24, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)


class Metrics:
    def __init__(self):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.slots = self._gauge("slots", "Streams that can speak at once.")
        self.slots_in_use = self._gauge("slots_in_use", "Slots that a stream holds.")
        self.connections = self._gauge(
            "connections", "Open streams, speaking or silent, and files on their way."
        )
        self.calls = self._gauge("calls", "Telephone calls whose transcript can be followed.")
        self.backlog_frames = self._gauge("backlog_frames", "Frames of 80 ms that wait for the engine.")
        self.gated_fraction = self._gauge(
            "gated_fraction", "Share of the received audio that cost the engine no frame, since start."
        )
        self.tick_seconds = self._histogram("tick_seconds", "Duration of one batched step.", TICK_BUCKETS_S)
        self.batch_size = self._histogram("batch_size", "Streams in one batched step.", BATCH_BUCKETS)
        self.lag_seconds = self._histogram(
            "lag_seconds",
            "From the moment a frame with sound was due in real time to its step.",
            LAG_BUCKETS_S,
        )
        self.first_partial_seconds = self._histogram(
            "first_partial_seconds", "From speech_started to the first partial.", LATENCY_BUCKETS_S
        )
        self.final_after_speech_end_seconds = self._histogram(
            "final_after_speech_end_seconds",
            "From the end of speech, hangover included, to its final.",
            LATENCY_BUCKETS_S,
        )
        self.audio_seconds = self._counter("audio_seconds", "Received audio, every channel counted.")
        self.frames = self._counter("frames", "Frames of 80 ms fed to the engine, flush frames included.")
        self.finals = self._counter("finals", "Finals by reason.", ("reason",))
        self.errors = self._counter("errors", "Errors told to clients, by code.", ("code",))
        self.refusals = self._counter(
            "refusals", "Connections refused before the upgrade, and requests, by cause.", ("cause",)
        )
        self.files = self._counter("files", "Files answered, by HTTP status.", ("status",))
        self.closes = self._counter("closes", "Streams ended, by WebSocket close code.", ("code",))
        self._info = Info("voxwire_model", "What is served.", registry=self.registry)
        self._audio_s = 0.0
        self._frames = 0

    def describe(self, model: str, device: str) -> None:
        self._info.info({"model": model, "device": device})

    def watch(self, gauge: Gauge, read: Callable[[], float]) -> None:
        """Read the gauge's value when it is asked for."""
        gauge.set_function(read)

    def tick(self, tick_seconds: float, batch: int, backlog_frames: int) -> None:
        """The engine's observer: called in its thread, once per tick."""
        self.tick_seconds.observe(tick_seconds)
        self.batch_size.observe(batch)
        self.backlog_frames.set(backlog_frames)

    def heard(self, audio_s: float, frames: int) -> None:
        """Audio that came in and frames that went on to the engine."""
        self.audio_seconds.inc(audio_s)
        self.frames.inc(frames)
        self._audio_s += audio_s
        self._frames += frames
        if self._audio_s > 0:
            self.gated_fraction.set(max(0.0, 1 - self._frames * FRAME_MS / 1000 / self._audio_s))

    def exposition(self) -> tuple[bytes, str]:
        """Body and content type of /metrics."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _gauge(self, name: str, words: str) -> Gauge:
        return Gauge(f"voxwire_{name}", words, registry=self.registry)

    def _counter(self, name: str, words: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"voxwire_{name}", words, labels, registry=self.registry)

    def _histogram(self, name: str, words: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"voxwire_{name}", words, buckets=buckets, registry=self.registry)


class EventClock:
    """Latencies of one stream, from the moments at which its events come out."""

    def __init__(self, metrics: Metrics):
        self._metrics = metrics
        self._started_s: dict[int, float] = {}
        self._stopped_s: dict[int, float] = {}

    def note(self, event: Event, now_s: float, hangover_s: float) -> None:
        if isinstance(event, SpeechStarted):
            self._started_s[event.channel] = now_s
        elif isinstance(event, Partial):
            started_s = self._started_s.pop(event.channel, None)
            if started_s is not None:
                self._metrics.first_partial_seconds.observe(now_s - started_s)
        elif isinstance(event, SpeechStopped):
            self._stopped_s[event.channel] = now_s
        elif isinstance(event, Final):
            stopped_s = self._stopped_s.pop(event.channel, None)
            if is_empty(event):
                return
            self._metrics.finals.labels(event.reason).inc()
            if stopped_s is not None and event.reason == "silence":
                waited_s = now_s - stopped_s + hangover_s
                self._metrics.final_after_speech_end_seconds.observe(waited_s)
        elif isinstance(event, Error):
            self._metrics.errors.labels(event.code).inc()
