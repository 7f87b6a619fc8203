"""Telephone calls: where their audio comes in, and where others follow what is said.

    GET /twilio, /asterisk         audio, and no text back: these understand none
    GET /jambonz, /freeswitch      audio, and text back
    GET /v1/calls, /v1/calls/{id}  what calls of the first kind say: a WebSocket, server-sent events, JSON

docs/dialects/calls.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, WSMsgType, hdrs, web

from realtime.dialects.asterisk import AsteriskDialect
from realtime.dialects.base import to_json
from realtime.dialects.freeswitch import FreeswitchDialect
from realtime.dialects.jambonz import JambonzDialect
from realtime.dialects.native import NativeDialect
from realtime.dialects.twilio import TwilioDialect
from realtime.errors import AtCapacity, BadMessage, SlowReader, VoxwireError
from realtime.events import Error
from realtime.server import auth, door
from realtime.server.hub import Entry, NoSuchCall
from realtime.server.socket import WRITE_BUFFER_BYTES, Socket
from realtime.server.websocket import CLIENT_LEFT, StreamEndpoint

if TYPE_CHECKING:
    from realtime.server.app import Service

MAX_FOLLOWERS = 1000
MAX_MESSAGE_BYTES = 4096  # of a follower, who has nothing to say
WAIT_S = 300.0  # how long a follower may be ahead of its call
HEARTBEAT_S = 15.0  # a follower that is gone is noticed; a proxy sees that the answer lives
RETRY_MS = 3000  # after which a browser asks again when its answer broke off
EVENT_STREAM = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"
NO_STORE = {hdrs.CACHE_CONTROL: "no-store"}

Send = Callable[[Entry], Awaitable[None]]


def add_routes(app: web.Application, service: Service) -> None:
    app.router.add_get("/twilio", StreamEndpoint(service, TwilioDialect).handle)
    app.router.add_get("/asterisk", StreamEndpoint(service, AsteriskDialect).handle)
    app.router.add_get("/jambonz", StreamEndpoint(service, JambonzDialect).handle)
    app.router.add_get("/freeswitch", StreamEndpoint(service, FreeswitchDialect).handle)
    endpoint = CallsEndpoint(service)
    app.router.add_get("/v1/calls", endpoint.list)
    app.router.add_get("/v1/calls/{call:.+}", endpoint.one, allow_head=False)


class CallsEndpoint:
    def __init__(self, service: Service):
        self._service = service
        self._native = NativeDialect()
        self._followers = 0

    async def list(self, request: web.Request) -> web.StreamResponse:
        try:
            self._check(request)
        except VoxwireError as error:
            return self._refusal(error)
        calls = [call.describe() for call in self._service.calls.running()]
        return web.Response(text=to_json({"calls": calls}), content_type="application/json", headers=NO_STORE)

    async def one(self, request: web.Request) -> web.StreamResponse:
        """The call, in the form that the client can take."""
        try:
            self._check(request)
            if request.headers.get(hdrs.UPGRADE):
                return await self._over_socket(request)
            if _wants_events(request):
                return await self._as_events(request)
            return self._so_far(request)
        except VoxwireError as error:
            return self._refusal(error)

    # ------------------------------------------------------------ before the answer

    def _check(self, request: web.Request) -> None:
        door.check(self._service, request, needs_origin=self._service.keyring.open_to_all)

    @contextmanager
    def _seat(self) -> Iterator[None]:
        if self._followers >= MAX_FOLLOWERS:
            raise AtCapacity("As many follow calls as may.")
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1

    def _refusal(self, error: VoxwireError) -> web.Response:
        return door.refuse(self._service, error, self._native.refusal(error))

    # ------------------------------------------------------------ three forms

    def _so_far(self, request: web.Request) -> web.Response:
        call = self._service.calls.get(request.match_info["call"])
        if call is None:
            raise NoSuchCall("There is no call of this name.")
        # The messages are JSON already.
        messages = f'"messages":[{",".join(call.so_far())}]'
        text = f"{to_json(call.describe())[:-1]},{messages}}}"
        return web.Response(text=text, content_type="application/json", headers=NO_STORE)

    async def _over_socket(self, request: web.Request) -> web.StreamResponse:
        selected = auth.selected_subprotocol(door.offered_subprotocols(request))
        socket = Socket(
            self._native.encode,
            protocols=(selected,) if selected else (),
            max_msg_size=MAX_MESSAGE_BYTES,
            heartbeat=2 * HEARTBEAT_S,
        )
        if not socket.can_prepare(request):
            raise BadMessage("This is no WebSocket handshake of version 13.")
        with self._seat():
            await socket.prepare(request)
            error = await self._relay(
                request, 0, lambda entry: socket.send(entry.text), _until_closed(socket)
            )
            if isinstance(error, SlowReader):
                _abort(request)
            elif error is not None:
                await self._last_words(error, lambda entry: socket.send(entry.text))
                await socket.close(code=error.close_code, message=error.code.encode())
            else:
                await socket.close(code=WSCloseCode.OK)
            if socket.close_code in (None, CLIENT_LEFT):
                _abort(request)
        return socket

    async def _as_events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events. A browser that comes back goes on where it was, and is told 204 when there is no more."""
        call, after = self._service.calls.get(request.match_info["call"]), _last_event_id(request)
        if call is not None and call.stopped_at is not None and after == call.last_sequence:
            return web.Response(status=204, headers=NO_STORE)
        headers = {hdrs.CONTENT_TYPE: EVENT_STREAM, "X-Accel-Buffering": "no", **NO_STORE}
        response = web.StreamResponse(headers=headers)

        async def send(entry: Entry) -> None:
            number = f"id: {entry.sequence}\n" if entry.sequence is not None else ""
            await response.write(f"{number}data: {entry.text}\n\n".encode())

        with self._seat():
            await response.prepare(request)
            if request.transport is not None:
                request.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
            error = await self._relay(request, after, send, _beat(response))
            if isinstance(error, SlowReader):
                _abort(request)
            elif error is not None:
                await self._last_words(error, send)
        return response

    # ------------------------------------------------------------ following

    async def _relay(
        self, request: web.Request, after: int, send: Send, gone: Coroutine[Any, Any, None]
    ) -> VoxwireError | None:
        """Until the call is over or the follower is `gone`; or the error that stopped it."""
        loop = asyncio.get_running_loop()
        following = loop.create_task(self._follow(request.match_info["call"], after, send))
        tasks = (following, loop.create_task(gone))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return following.result() if following.done() else None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, call_id: str, after: int, send: Send) -> VoxwireError | None:
        limit_s = self._service.config.limits.slow_reader_s
        try:
            call = await self._service.calls.wait_for(call_id, WAIT_S)
            async with aclosing(call.follow(after if after <= call.last_sequence else 0)) as entries:
                async for entry in entries:
                    async with asyncio.timeout(limit_s):
                        await send(entry)
        except TimeoutError:
            return SlowReader("The follower does not read what the call says.")
        except ConnectionError:
            return None
        except VoxwireError as error:
            return error
        return None

    async def _last_words(self, error: VoxwireError, send: Send) -> None:
        [text] = self._native.encode(Error(error.code, error.message, True))
        try:
            async with asyncio.timeout(self._service.config.limits.slow_reader_s):
                await send(Entry(text))
        except (TimeoutError, ConnectionError):
            pass


async def _until_closed(socket: Socket) -> None:
    """Read, because only so pings are answered and losses noticed. What a follower says means nothing."""
    while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
        await asyncio.sleep(0)


async def _beat(response: web.StreamResponse) -> None:
    """Comments, until the client is gone."""
    try:
        await response.write(f"retry: {RETRY_MS}\n\n".encode())
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await response.write(b":\n\n")
    except ConnectionError:
        pass


def _wants_events(request: web.Request) -> bool:
    return EVENT_STREAM in request.headers.get(hdrs.ACCEPT, "") or request.query.get("stream") == "sse"


def _last_event_id(request: web.Request) -> int:
    text = request.headers.get(LAST_EVENT_ID, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _abort(request: web.Request) -> None:
    """What is still unsent is not kept for a follower that does not read."""
    if request.transport is not None:
        request.transport.abort()
