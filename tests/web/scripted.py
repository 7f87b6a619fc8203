"""A server whose every word is scripted by the test: the page's files, and a WebSocket that says what it is told.

It sends the content security policy of the real one: a test that passes shows that nothing inline or foreign is used.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import WSMsgType, web

from realtime.server.http import content_security_policy

WEB = Path(__file__).parents[2] / "web"


class Conversation:
    """One connection of the page: what it sent, and the words to answer with."""

    def __init__(self, server: ScriptedServer, request: web.Request, socket: web.WebSocketResponse):
        self.server = server
        self.query = dict(request.query)
        self.protocols = [p.strip() for p in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        self.socket = socket
        self.audio = bytearray()
        self.sizes: list[int] = []  # of the binary messages, bytes
        self.texts: list[str] = []
        self._news = asyncio.Event()

    @property
    def audio_ms(self) -> float:
        frame_bytes = 2 * int(self.query["channels"])
        return len(self.audio) / frame_bytes * 1000 / int(self.query["sample_rate"])

    async def read(self) -> None:
        async for message in self.socket:
            if message.type is WSMsgType.BINARY:
                self.audio += message.data
                self.sizes.append(len(message.data))
            elif message.type is WSMsgType.TEXT:
                self.texts.append(message.data)
            self._news.set()
            self.server.news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()

    async def heard(self, ms: float) -> None:
        await self.until(lambda: self.audio_ms >= ms)

    async def ended(self) -> None:
        await self.until(lambda: '{"type":"end"}' in self.texts)

    async def cue(self, name: str) -> None:
        """Wait until the test fires `name`."""
        await self.server.cue(name).wait()

    async def say(self, kind: str, **fields) -> None:
        await self.socket.send_json({"type": kind, **fields})

    async def ready(self, model: str = "scripted-tiny", **fields) -> None:
        await self.say(
            "ready",
            **{"session_id": "s", "model": model, "sample_rate": 16000, "delay_ms": 480, "protocol": 1}
            | fields,
        )

    async def partial(self, utterance: int, text: str, start_ms: int = 0, channel: int = 0) -> None:
        await self.say(
            "partial",
            utterance=utterance,
            text=text,
            delta=text,
            start_ms=start_ms,
            audio_ms=round(self.audio_ms),
            channel=channel,
        )

    async def final(
        self,
        utterance: int,
        text: str,
        start_ms: int = 0,
        channel: int = 0,
        reason: str = "silence",
        word_ms: int = 300,
        confidences: dict[str, float] | None = None,
    ) -> None:
        """Words follow each other without holes, `word_ms` each."""
        words = [
            {
                "text": word,
                "start_ms": start_ms + i * word_ms,
                "end_ms": start_ms + (i + 1) * word_ms,
                "confidence": (confidences or {}).get(word, 0.95),
            }
            for i, word in enumerate(text.split())
        ]
        await self.say(
            "final",
            utterance=utterance,
            text=text,
            words=words,
            start_ms=start_ms,
            end_ms=start_ms + len(words) * word_ms,
            channel=channel,
            reason=reason,
        )

    async def done(self) -> None:
        await self.say("done", audio_ms=round(self.audio_ms), speech_ms=0, utterances=0)
        await self.socket.close(code=1000)

    async def break_off(self) -> None:
        """As a cut cable or a killed server looks: no close frame."""
        transport = self.socket._req.transport
        if transport is not None:
            transport.abort()


Script = Callable[[Conversation], Awaitable[None]]


class ScriptedServer:
    """Runs in a thread of its own on a free loopback port; `script` plays for every connection."""

    def __init__(self, mount: str = "/"):
        self.mount = mount
        self.script: Script = silent
        self.refusal: Callable[[web.Request], web.Response | None] = lambda request: None
        self.ready: Callable[[], web.Response] = lambda: web.json_response({"status": "ready"})
        self.conversations: list[Conversation] = []
        self.news = threading.Event()
        self._cues: dict[str, asyncio.Event] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    # ---------------------------------------------------------------- the test's side

    def start(self) -> ScriptedServer:
        self._thread.start()
        self._call(self._start())
        return self

    def stop(self) -> None:
        self._call(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.mount}"

    def reset(self) -> None:
        self.__dict__.update(
            script=silent,
            refusal=lambda request: None,
            ready=lambda: web.json_response({"status": "ready"}),
            conversations=[],
            _cues={},
        )

    def fire(self, name: str) -> None:
        self._loop.call_soon_threadsafe(lambda: self.cue(name).set())

    def wait(self, condition: Callable[[], bool], timeout_s: float = 20) -> None:
        """Block until the conversations have come so far."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "the page did not send what the test waits for"
            self.news.clear()
            self.news.wait(0.2)

    def cut(self) -> None:
        """Cut the latest connection without a word."""
        self._call(self.conversations[-1].break_off())

    def go_away(self) -> None:
        """Stop listening and cut every connection; the port stays ours for `come_back`."""
        self._call(self._runner.cleanup())

    def come_back(self) -> None:
        self._call(self._start(self.port))

    # ---------------------------------------------------------------- inside the loop

    def cue(self, name: str) -> asyncio.Event:
        return self._cues.setdefault(name, asyncio.Event())

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_get(f"{self.mount}v1/stream", self._stream)
        app.router.add_get(f"{self.mount}readyz", self._readyz)
        app.router.add_get(self.mount, self._index)
        app.router.add_static(self.mount, WEB)
        app.on_response_prepare.append(self._add_policy)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    async def _add_policy(self, request, response) -> None:
        response.headers["Content-Security-Policy"] = content_security_policy(request.host)
        response.headers["Cache-Control"] = "no-store"

    async def _index(self, request) -> web.FileResponse:
        return web.FileResponse(WEB / "index.html")

    async def _readyz(self, request) -> web.Response:
        return self.ready()

    async def _stream(self, request) -> web.StreamResponse:
        refused = self.refusal(request)
        if refused is not None:
            return refused
        if "Upgrade" not in request.headers:
            return web.json_response({"type": "error", "code": "upgrade_required"}, status=426)
        socket = web.WebSocketResponse(protocols=("voxwire",))
        await socket.prepare(request)
        conversation = Conversation(self, request, socket)
        self.conversations.append(conversation)
        reading = asyncio.create_task(conversation.read())
        playing = asyncio.create_task(self.script(conversation))
        try:
            await asyncio.wait([reading, playing], return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
            await reading
        finally:
            playing.cancel()
        return socket


async def silent(conversation: Conversation) -> None:
    """Takes the audio and says nothing but what the protocol demands."""
    await conversation.ready()
    await conversation.ended()
    await conversation.done()
