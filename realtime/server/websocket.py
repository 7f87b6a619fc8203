"""The WebSocket carrier: everything that is decided before the upgrade, then a connection. Generic over dialects.

A refusal is an HTTP answer with a JSON body. The same address answers plain HTTP too, because a page cannot read why
its upgrade was refused and asks again with fetch.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from realtime.dialects.base import Dialect, Handshake
from realtime.errors import BadMessage, InternalError, VoxwireError
from realtime.events import SessionOptions
from realtime.server import auth, door
from realtime.server.admission import Seats
from realtime.server.connection import Carrier, Connection, Ending
from realtime.server.socket import Socket

if TYPE_CHECKING:
    from realtime.server.app import Service

log = logging.getLogger("voxwire.stream")

CLIENT_LEFT = 1006  # RFC 6455's name for an end without a close frame


class UpgradeRequired(VoxwireError):
    """A plain request to a stream's address that would have been admitted."""

    code = "upgrade_required"
    http_status = 426


class StreamEndpoint:
    """One path, one dialect."""

    def __init__(self, service: Service, new_dialect: Callable[[], Dialect], short_lived: str = ""):
        """`short_lived` is the kind of minted keys that may open its streams; empty none."""
        self._service = service
        self._new_dialect = new_dialect
        self._short_lived = short_lived

    async def handle(self, request: web.Request) -> web.StreamResponse:
        dialect = self._new_dialect()
        try:
            authorized = self._service.keyring.open_to_all or not _brings_key_later(request, dialect)
            grant = door.check(self._service, request, with_key=authorized, short_lived=self._short_lived)
            options = dialect.open(_handshake(request, grant), self._service.default_options)
            socket = self._socket(request, dialect)
            seats = self._service.admission.admit(options.channels)
        except VoxwireError as error:
            return self._refusal(error, dialect)
        try:
            if not authorized:
                seats.forfeit()  # nobody without a key keeps others out
            if not request.headers.get(hdrs.UPGRADE):
                return self._refusal(UpgradeRequired("Connect with a WebSocket."), dialect)
            socket.headers.update(dialect.headers())
            await socket.prepare(request)
            await serve(self._service, socket, dialect, options, seats, request.remote, authorized)
            _abort_unless_closed(request, socket)
            return socket
        finally:
            seats.close()

    # ------------------------------------------------------------ before the upgrade

    def _socket(self, request: web.Request, dialect: Dialect) -> Socket:
        selected = auth.selected_subprotocol(door.offered_subprotocols(request), dialect.subprotocols)
        largest_bytes = max(self._service.config.limits.max_message_bytes, dialect.largest_message_bytes)
        socket = Socket(
            dialect.encode,
            protocols=(selected,) if selected else (),
            max_msg_size=largest_bytes,
        )
        if request.headers.get(hdrs.UPGRADE) and not socket.can_prepare(request):
            raise BadMessage("This is no WebSocket handshake of version 13.")
        return socket

    def _refusal(self, error: VoxwireError, dialect: Dialect) -> web.Response:
        upgrade = {hdrs.UPGRADE: "websocket"} if isinstance(error, UpgradeRequired) else {}
        return door.refuse(
            self._service, error, dialect.refusal(error), {**upgrade, **dialect.headers(error)}
        )


async def serve(
    service: Service,
    socket: Carrier,
    dialect: Dialect,
    options: SessionOptions,
    seats: Seats,
    peer: str | None,
    authorized: bool = True,
) -> None:
    """One admitted client until it has left; the seats stay the caller's to close.

    `authorized` is False while a key is still to come, within a message.
    """
    session_id = secrets.token_hex(8)
    session = service.new_session(options, session_id)
    connection = Connection(
        socket=socket,
        dialect=dialect,
        authorize=service.keyring.check_key,
        authorized=authorized,
        announce=service.calls.open,
        session=session,
        seats=seats,
        exchange=service.exchange,
        metrics=service.metrics,
        limits=service.config.limits,
        drain_timeout_s=service.config.server.drain_timeout_s,
    )
    log.info("session %s opened by %s: %s", session_id, peer, _summary(options))
    ending = Ending.by(InternalError("The server failed on this stream."))
    service.enter(connection)
    try:
        ending = await connection.run()
    finally:
        service.leave(connection)
        code, reason = ending.code or socket.close_code or CLIENT_LEFT, ending.reason
        if socket.fault is not None:
            code, reason = socket.fault[0], socket.fault[1].code
        service.metrics.closes.labels(str(int(code))).inc()
        log.info("session %s closed: %d %s", session_id, code, reason)


def _brings_key_later(request: web.Request, dialect: Dialect) -> bool:
    return dialect.key_in_message and not request.headers.get(hdrs.AUTHORIZATION)


def _handshake(request: web.Request, grant: Any) -> Handshake:
    headers = {name.lower(): value for name, value in request.headers.items()}
    for secret in (hdrs.AUTHORIZATION, hdrs.COOKIE, hdrs.SEC_WEBSOCKET_PROTOCOL):
        headers.pop(secret.lower(), None)
    return Handshake(tuple(request.query.items()), headers, grant)


def _summary(options: SessionOptions) -> str:
    vad = "vad" if options.gate.enabled else "no vad"
    return f"{options.encoding} {options.sample_rate} Hz x{options.channels}, {options.delay_ms} ms, {vad}"


def _abort_unless_closed(request: web.Request, socket: Socket) -> None:
    """A client that did not answer the close must not keep what we still wanted to send it."""
    if request.transport is not None and socket.close_code in (None, CLIENT_LEFT):
        request.transport.abort()
