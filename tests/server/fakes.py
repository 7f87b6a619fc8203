"""A scripted engine with the real one's interface, and a server on a loopback port around it."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from realtime import config
from realtime.engine.stats import EngineStats
from realtime.errors import AtCapacity, EngineFailed
from realtime.events import Step
from realtime.server.app import Server, bind
from realtime.text.confidence import IDENTITY
from realtime.text.tokenizer import Tekken

PAD, WORD, N_SPECIAL = 32, 33, 40
TEKKEN = Tekken(
    n_special=N_SPECIAL,
    pieces=tuple(f" w{n}".encode() for n in range(100)),
    pad_id=PAD,
    word_id=WORD,
    delay_ms=480,
    n_left_pad=32,
    frame_rate=12.5,
    look_ahead_ms=2.5,
)
FRAME_BYTES = 2560  # 80 ms of 16-bit audio at 16 kHz
TIMEOUT_S = 30


class FakeStream:
    def __init__(self, engine: FakeEngine, lease: int, delay_tokens: int):
        self.engine, self.lease, self.delay_tokens = engine, lease, delay_tokens
        self.waiting: deque[np.ndarray] = deque()
        self.position = 0
        self.closed = False

    def feed(self, frame: np.ndarray) -> int:
        with self.engine.wake:
            if self.engine.failure:
                raise EngineFailed("The engine has failed.")
            self.waiting.append(frame)
            self.engine.wake.notify()
            return len(self.waiting)

    def close(self) -> None:
        with self.engine.wake:
            if not self.closed:
                self.closed = True
                self.engine.streams.remove(self)


class FakeEngine:
    """Answers every frame with a token: after the delay, a word every fourth frame.

    `hold()` stops the ticks until `go()`; `fail()` kills the thread.
    """

    model_name, device_name, bytes_per_slot, tekken = "fake", "cpu", 1024, TEKKEN
    calibration = IDENTITY

    def __init__(self, slots: int = 4):
        self.slots = slots
        self.failure: BaseException | None = None
        self.on_failure: Callable[[], None] | None = None
        self.stats = EngineStats()
        self.streams: list[FakeStream] = []
        self.wake = threading.Condition()
        self.most_waiting = 0
        self._leases = itertools.count(1)
        self._held = self._stopping = False
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="fake engine", daemon=True)

    @property
    def slots_in_use(self) -> int:
        return len(self.streams)

    def start(self, deliver: Callable[[list[Step]], None]) -> None:
        self._deliver = deliver
        self._thread.start()

    def open(self, delay_tokens: int) -> FakeStream:
        with self.wake:
            if self.failure:
                raise EngineFailed("The engine has failed.")
            if len(self.streams) == self.slots:
                raise AtCapacity()
            self.streams.append(FakeStream(self, next(self._leases), delay_tokens))
            return self.streams[-1]

    def stop(self) -> None:
        with self.wake:
            self._stopping = True
            self.wake.notify()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S)

    def hold(self) -> None:
        with self.wake:
            self._held = True

    def go(self) -> None:
        with self.wake:
            self._held = False
            self.wake.notify()

    def fail(self) -> None:
        with self.wake:
            self._fault = RuntimeError("scripted fault")
            self.wake.notify()

    def _main(self) -> None:
        try:
            while (batch := self._collect()) is not None:
                self._deliver([self._step(stream) for stream in batch])
                self.stats.tick(0.001, len(batch), 0)
        except RuntimeError as error:
            with self.wake:
                self.failure = error
            if self.on_failure:
                self.on_failure()

    def _collect(self) -> list[FakeStream] | None:
        with self.wake:
            self.wake.wait_for(lambda: self._stopping or self._fault or (not self._held and self._ready()))
            if self._stopping:
                return None
            if self._fault:
                raise self._fault
            batch = self._ready()
            self.most_waiting = max(self.most_waiting, *(len(stream.waiting) for stream in batch))
            for stream in batch:
                stream.waiting.popleft()
            return batch

    def _ready(self) -> list[FakeStream]:
        return [stream for stream in self.streams if stream.waiting]

    def _step(self, stream: FakeStream) -> Step:
        n = stream.position
        stream.position += 1
        free = n - stream.delay_tokens - 1
        token = PAD
        if free >= 0 and free % 4 == 0:
            token = WORD
        elif free >= 0 and free % 4 == 1:
            token = N_SPECIAL + free // 4 % 100
        return Step(stream.lease, n, token, -0.1)


class House:
    """A running server and a hand to reach it with."""

    def __init__(self, server: Server, engine: FakeEngine):
        self.server, self.service, self.engine = server, server.service, engine
        self.address = f"127.0.0.1:{server.port}"

    def stream(self, query: str = "vad=off", **options) -> connect:
        """A client of another implementation than the server's."""
        options = {
            "compression": None,
            "proxy": None,
            "close_timeout": 2,
            "open_timeout": TIMEOUT_S,
        } | options
        return connect(f"ws://{self.address}/v1/stream?{query}", **options)

    async def get(self, path: str, **options) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of an HTTP request."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S)) as client,
            client.get(f"http://{self.address}{path}", **options) as response,
        ):
            return response.status, response.headers, await response.read()

    async def until_all_left(self) -> None:
        """Every connection is over, and everything it had is back."""
        await asyncio.wait_for(self.service._all_left.wait(), TIMEOUT_S)
        assert self.engine.slots_in_use == 0
        assert len(self.service.exchange) == 0
        admission = self.service.admission
        assert (admission.leased, admission.connections, admission.free) == (0, 0, self.engine.slots)

    def metric(self, name: str, **labels: str) -> float:
        return self.service.metrics.registry.get_sample_value(f"voxwire_{name}", labels) or 0.0


@asynccontextmanager
async def house(slots: int = 4, **settings: object) -> AsyncIterator[House]:
    """A server with a fake engine. Leaving checks that no slot, lease or task is left."""
    environ = {f"VOXWIRE_{name.upper()}": str(value) for name, value in settings.items()}
    loaded = config.load({"port": "0"}, environ)
    tasks_before = asyncio.all_tasks()
    engine = FakeEngine(slots)
    server = Server(loaded, engine, bind("127.0.0.1", 0))
    await server.start()
    running = House(server, engine)
    try:
        yield running
        await running.until_all_left()
    finally:
        await server.close()
    left = [task for task in asyncio.all_tasks() - tasks_before if not task.done()]
    assert not left, left


async def read(ws: ClientConnection) -> dict:
    """The next message."""
    return json.loads(await asyncio.wait_for(ws.recv(), TIMEOUT_S))


async def read_until(ws: ClientConnection, kind: str) -> list[dict]:
    """Messages up to and with the first of type `kind`."""
    messages = []
    while not messages or messages[-1]["type"] != kind:
        messages.append(await read(ws))
    return messages


async def read_all(ws: ClientConnection) -> list[dict]:
    """Messages until the server closes."""
    messages = []
    try:
        while True:
            messages.append(await read(ws))
    except ConnectionClosed:
        return messages


async def until(condition: Callable[[], bool]) -> None:
    """Give others their turn until `condition` holds; fails after `TIMEOUT_S`."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.002)


def audio(frames: int) -> bytes:
    """Silence of so many frames; the fake engine hears words in it."""
    return bytes(frames * FRAME_BYTES)


def noise(frames: int) -> bytes:
    """Sound of so many frames, which is what lag is measured by."""
    return np.random.default_rng(0).integers(-99, 99, frames * FRAME_BYTES // 2, dtype=np.int16).tobytes()


def text_of(messages: list[dict]) -> str:
    """The transcript: all finals."""
    return " ".join(message["text"] for message in messages if message["type"] == "final")
