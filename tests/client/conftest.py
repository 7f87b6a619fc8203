"""A loopback WebSocket server that plays one script a connection: the client is tested from outside the service."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import soundfile
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Response

READY = {"type": "ready", "session_id": "s", "model": "scripted", "sample_rate": 16000, "delay_ms": 480}
DONE = {"type": "done", "audio_ms": 1000, "speech_ms": 500, "utterances": 1}


@dataclass
class Refusal:
    """An answer instead of the upgrade."""

    status: int
    body: dict | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Seen:
    """One connection as the server saw it."""

    socket: ServerConnection
    query: dict[str, str]
    authorization: str | None
    audio: bytearray = field(default_factory=bytearray)
    texts: list[dict] = field(default_factory=list)

    async def say(self, *messages: dict) -> None:
        for message in messages:
            await self.socket.send(json.dumps(message))

    async def hear(self, n_bytes: int) -> None:
        """Read until `n_bytes` of audio are in."""
        while len(self.audio) < n_bytes:
            self._take(await self.socket.recv())

    async def hear_end(self) -> None:
        """Read until the client says `end`."""
        while not any(text["type"] == "end" for text in self.texts):
            self._take(await self.socket.recv())

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.audio += message
        else:
            self.texts.append(json.loads(message))


Script = Callable[[Seen], Awaitable[None]] | Refusal


class Scripted:
    def __init__(self, scripts: tuple[Script, ...]):
        self._scripts = list(scripts)
        self.seen: list[Seen] = []
        self.requests = 0
        self.url = ""

    def _request(self, connection, request) -> Response | None:
        self.requests += 1
        if not isinstance(self._scripts[0], Refusal):
            return None
        refusal = self._scripts.pop(0)
        body = json.dumps(refusal.body or {}).encode()
        headers = Headers({"Content-Length": str(len(body)), **refusal.headers})
        return Response(refusal.status, HTTPStatus(refusal.status).phrase, headers, body)

    async def _serve(self, socket: ServerConnection) -> None:
        request = socket.request
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        seen = Seen(socket, query, request.headers.get("Authorization"))
        self.seen.append(seen)
        await self._scripts.pop(0)(seen)


@pytest.fixture
def scripted():
    """`async with scripted(script, ...) as server`: the first connection gets the first script, and so on."""

    @asynccontextmanager
    async def run(*scripts: Script):
        server = Scripted(scripts)
        async with serve(server._serve, "127.0.0.1", 0, process_request=server._request) as listening:
            port = listening.sockets[0].getsockname()[1]
            server.url = f"ws://127.0.0.1:{port}/v1/stream"
            yield server

    return run


@pytest.fixture
def recording(tmp_path):
    """Writes a recording of a tone; returns its path."""

    def make(name="talk.wav", *, seconds=1.0, rate=16000, channels=1, **options):
        path = tmp_path / name
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
        soundfile.write(path, np.stack([tone] * channels, axis=1), rate, **options)
        return path

    return make
