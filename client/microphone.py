"""The microphone as a source. PortAudio captures in its own thread; everything else happens in the event
loop.

`sounddevice` is imported on first use: it raises OSError where PortAudio is missing, and files need neither.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from client.errors import DeviceError
from client.protocol import MAX_RATE_HZ, MIN_RATE_HZ
from client.source import CHUNK_MS, Chunk, level_dbfs

WANTED_RATE_HZ = 16_000  # what the model hears; other rates are resampled by the server
QUEUE_S = 10.0  # audio kept while the connection is slow or away; after that the oldest is dropped


@dataclass(frozen=True, slots=True)
class Device:
    index: int
    name: str
    host_api: str
    channels: int
    default_rate_hz: int
    is_default: bool


@dataclass(frozen=True, slots=True)
class Capture:
    """How a device is opened: `channels` are captured, mixed to mono when the stream wants fewer."""

    device: Device
    sample_rate: int
    channels: int


def portaudio() -> ModuleType:
    """The `sounddevice` module. Raises DeviceError where PortAudio is missing."""
    try:
        import sounddevice
    except OSError:
        raise DeviceError(
            f"PortAudio is missing, so no microphone can be opened. {_install_hint()}"
        ) from None
    return sounddevice


def _install_hint() -> str:
    if sys.platform.startswith("linux"):
        return "Install it: `apt install libportaudio2` (Debian, Ubuntu), `dnf install portaudio` (Fedora)."
    return "Reinstall the package `sounddevice`, which brings it along."


def input_devices() -> list[Device]:
    """All devices with inputs, in PortAudio's order. Raises DeviceError where PortAudio fails."""
    sd = portaudio()
    try:
        found, host_apis = sd.query_devices(), sd.query_hostapis()
    except sd.PortAudioError as error:
        raise DeviceError(f"The sound system does not answer: {_reason(error)}") from None
    default = _default_index(sd)
    return [
        Device(
            index=index,
            name=info["name"],
            host_api=host_apis[info["hostapi"]]["name"],
            channels=info["max_input_channels"],
            default_rate_hz=round(info["default_samplerate"]),
            is_default=index == default,
        )
        for index, info in enumerate(found)
        if info["max_input_channels"] > 0
    ]


def _default_index(sd: ModuleType) -> int:
    """Index of the default input, -1 if there is none."""
    return sd.default.device[0] if sd.default.device[0] >= 0 else _query_default(sd)


def _query_default(sd: ModuleType) -> int:
    try:
        return sd.query_devices(kind="input")["index"]
    except (sd.PortAudioError, ValueError, KeyError):
        return -1


def choose_device(devices: list[Device], wanted: str | None) -> Device:
    """The device with the index or the name part `wanted`, or the default one. Raises DeviceError."""
    if not devices:
        raise DeviceError(
            "No microphone was found. Plug one in (in a container or over ssh there is usually none), "
            "or caption a recording: python -m client file talk.wav"
        )
    if wanted is None:
        return next((device for device in devices if device.is_default), devices[0])
    if wanted.isdecimal():
        matches = [device for device in devices if device.index == int(wanted)]
    else:
        matches = _by_name(devices, wanted)
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise DeviceError(f"No input device matches {wanted!r}. See: python -m client devices")
    names = ", ".join(f"{device.index}: {device.name} ({device.host_api})" for device in matches)
    raise DeviceError(f"{wanted!r} matches several devices; choose one by its number: {names}")


def _by_name(devices: list[Device], part: str) -> list[Device]:
    """Devices whose name contains `part`; the exact name wins, then the default device's sound system."""
    matches = [device for device in devices if part.lower() in device.name.lower()]
    exact = [device for device in matches if device.name.lower() == part.lower()]
    matches = exact or matches
    home = next((device.host_api for device in devices if device.is_default), None)
    return [device for device in matches if device.host_api == home] or matches


def plan_capture(device: Device, channels: int) -> Capture:
    """How to open it: at 16 kHz, else at its own rate, else at any the server takes. Raises DeviceError."""
    sd = portaudio()
    if channels > device.channels:
        raise DeviceError(f"{device.name!r} has one channel; --channels 2 needs a device with two.")
    rates = [WANTED_RATE_HZ, device.default_rate_hz, 48_000, 44_100, 32_000, 24_000, 8_000]
    captured = [channels, 2] if channels == 1 and device.channels >= 2 else [channels]
    refusal = ""
    for n_channels in captured:
        for rate in dict.fromkeys(rate for rate in rates if MIN_RATE_HZ <= rate <= MAX_RATE_HZ):
            try:
                sd.check_input_settings(
                    device=device.index, channels=n_channels, dtype="int16", samplerate=rate
                )
                return Capture(device, rate, n_channels)
            except (sd.PortAudioError, ValueError) as error:
                refusal = _reason(error)
    raise DeviceError(f"{device.name!r} cannot be opened: {refusal}")


def _reason(error: Exception) -> str:
    """PortAudio's own words, without the code that follows them."""
    return str(error).split(" [PaErrorCode")[0].rstrip(".") + "."


class Microphone:
    """A running capture.

    Bounded: when nobody reads for `queue_s`, the oldest audio is dropped and counted in `dropped_ms`; the time of
    the later chunks still counts it. The queue is filled in PortAudio's thread, so that it stays bounded even
    while the loop is busy.
    """

    def __init__(self, capture: Capture, channels: int = 1, queue_s: float = QUEUE_S):
        self.sample_rate = capture.sample_rate
        self.channels = channels
        self.dropped_ms = 0
        self.overflows = 0  # times PortAudio itself lost samples, it does not say how many
        self.ever_heard = False  # anything but digital silence
        self._capture = capture
        self._limit_samples = int(queue_s * capture.sample_rate)
        self._lock = threading.Lock()  # guards the queue and its counts
        self._queue: deque[Chunk] = deque()
        self._queued_samples = 0
        self._captured_samples = 0
        self._newest = b""
        self._waking = False  # a wake-up is on its way to the loop: one is enough
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived = asyncio.Event()
        self._ended = False
        self._failure: DeviceError | None = None
        self._stream: Any = None

    def start(self) -> None:
        """Open the device. Raises DeviceError. Call inside the event loop."""
        sd = portaudio()
        self._loop = asyncio.get_running_loop()
        try:
            self._stream = sd.RawInputStream(
                device=self._capture.device.index,
                samplerate=self.sample_rate,
                channels=self._capture.channels,
                dtype="int16",
                blocksize=self.sample_rate * CHUNK_MS // 1000,
                callback=self._captured,
                finished_callback=self._finished,
            )
            self._stream.start()
        except sd.PortAudioError as error:
            raise DeviceError(f"{self._capture.device.name!r} cannot be opened: {_reason(error)}") from None

    async def read(self) -> Chunk | None:
        while (chunk := self._take()) is None:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        if not self.ever_heard:
            self.ever_heard = any(chunk.data)
        return chunk if self._capture.channels == self.channels else _mixed(chunk)

    def stop(self) -> None:
        """Close the device; what is in the queue may still be read."""
        self._ended = True
        self._arrived.set()
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    @property
    def position_ms(self) -> int:
        """How much was captured so far."""
        return 1000 * self._captured_samples // self.sample_rate

    @property
    def level_dbfs(self) -> float:
        """Loudness of the newest chunk."""
        return level_dbfs(self._newest)

    def _take(self) -> Chunk | None:
        with self._lock:
            if not self._queue:
                return None
            chunk = self._queue.popleft()
            self._queued_samples -= chunk.n_samples
            return chunk

    # ------------------------------------------------------------ in PortAudio's thread

    def _captured(self, data: Any, n_samples: int, when: Any, status: Any) -> None:
        if self._ended:
            return
        with self._lock:
            self._newest = bytes(data)
            self._queue.append(Chunk(self._captured_samples, n_samples, self._newest))
            self._captured_samples += n_samples
            self._queued_samples += n_samples
            self.overflows += bool(status and status.input_overflow)
            while self._queued_samples > self._limit_samples:
                dropped = self._queue.popleft().n_samples
                self._queued_samples -= dropped
                self.dropped_ms += 1000 * dropped // self.sample_rate
        self._wake()

    def _finished(self) -> None:
        """PortAudio ended the stream: by our stop, or because the device is gone."""
        if not self._ended:
            self._failure = DeviceError(f"The microphone {self._capture.device.name!r} went away.")
            self._wake()

    def _wake(self) -> None:
        if not self._waking:
            self._waking = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._awake)

    def _awake(self) -> None:
        self._waking = False
        self._arrived.set()


def _mixed(chunk: Chunk) -> Chunk:
    """Two captured channels as one."""
    pairs = np.frombuffer(chunk.data, "<i2").reshape(-1, 2)
    return replace(chunk, data=pairs.mean(axis=1).astype("<i2").tobytes())
