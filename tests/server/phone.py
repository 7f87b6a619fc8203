"""Telephone systems as clients: the frames that Twilio, chan_websocket and AudioSocket put on the wire."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from websockets.asyncio.client import ClientConnection, connect

from realtime.server.app import TCP_DIALECTS, bind
from realtime.server.tcp import TcpEndpoint, TcpPort
from tests.server.fakes import TIMEOUT_S, House

SILENCE = b"\xff" * 160  # 20 ms
CALL = "CAc1b2e0a2f5d94f1c8f6b7a3d2e1f0a9b"
STREAM = "MZ18ad3ab5a668481ce02b83e7395059f0"
UUID = bytes.fromhex("40325ec25efd4bd3805f53576e581d13")
UUID_TEXT = "40325ec2-5efd-4bd3-805f-53576e581d13"


class Twilio:
    """One stream of a call. Every number is a string, as Twilio writes it."""

    def __init__(self, ws: ClientConnection, call: str = CALL, stream: str = STREAM):
        self.ws, self.call, self.stream = ws, call, stream
        self._sequence = 0
        self._packets = {"inbound": 0, "outbound": 0}

    async def start(self, *tracks: str, **parameters: str) -> None:
        await self._send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await self._numbered(
            "start",
            start={
                "accountSid": "AC0123456789abcdef0123456789abcdef",
                "streamSid": self.stream,
                "callSid": self.call,
                "tracks": list(tracks or ("inbound",)),
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": parameters,
            },
        )

    async def media(self, payload: bytes = SILENCE, track: str = "inbound") -> None:
        self._packets[track] += 1
        chunk = self._packets[track]
        stamp = (chunk - 1) * 20
        text = base64.b64encode(payload).decode()
        await self._numbered(
            "media", media={"track": track, "chunk": str(chunk), "timestamp": str(stamp), "payload": text}
        )

    async def silence(self, ms: int, *tracks: str) -> None:
        for _ in range(ms // 20):
            for track in tracks or ("inbound",):
                await self.media(track=track)

    async def dtmf(self, digit: str) -> None:
        await self._numbered("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    async def stop(self) -> None:
        """And, as Twilio does, leave without waiting for anything."""
        await self._numbered(
            "stop", stop={"accountSid": "AC0123456789abcdef0123456789abcdef", "callSid": self.call}
        )
        await self.ws.close()

    async def _numbered(self, event: str, **fields: dict) -> None:
        self._sequence += 1
        await self._send(
            {"event": event, "sequenceNumber": str(self._sequence), "streamSid": self.stream, **fields}
        )

    async def _send(self, message: dict) -> None:
        await self.ws.send(json.dumps(message))


def dial(address: str, path: str, **options) -> connect:
    options = {"compression": None, "proxy": None, "close_timeout": 2, "open_timeout": TIMEOUT_S} | options
    return connect(f"ws://{address}{path}", **options)


@asynccontextmanager
async def twilio(address: str, call: str = CALL, stream: str = STREAM, **options) -> AsyncIterator[Twilio]:
    async with dial(address, "/twilio", **options) as ws:
        yield Twilio(ws, call, stream)


def frame(kind: int, payload: bytes = b"") -> bytes:
    """One frame of AudioSocket."""
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


@asynccontextmanager
async def audiosocket(running: House) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """An AudioSocket port in a running house, and a client on it."""
    dialect = TCP_DIALECTS["audiosocket"](running.service)
    port = TcpPort(TcpEndpoint(running.service, dialect), bind("127.0.0.1", 0))
    await port.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield reader, writer
        writer.close()
        await running.until_all_left()
    finally:
        writer.close()
        await port.close()


@asynccontextmanager
async def events(address: str, path: str, **headers: str) -> AsyncIterator[tuple[int, AsyncIterator[dict]]]:
    """Server-sent events: the status, and the messages; each has its id under `id`, None for a partial."""
    headers = {"Accept": "text/event-stream"} | headers
    timeout = aiohttp.ClientTimeout(TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as client,
        client.get(f"http://{address}{path}", headers=headers) as response,
    ):
        yield response.status, _events(response)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[dict]:
    number = None
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "id":
            number = int(value)
        elif name == "data":
            yield json.loads(value) | {"id": number}
            number = None
