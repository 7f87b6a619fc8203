"""The TCP carrier: protocols that are a plain byte stream, each on a port of its own, beside the main one.

    connection ─► TcpEndpoint (admission) ─► Stream (bytes as they come) ─► the same Connection as a WebSocket's

These protocols know no keys and no handshake: who reaches the port is let in, see `check_keys`. A client that shuts
down its writing side still gets its answers; the dialect is told by an empty message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket as sockets
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import WSMessage, WSMsgType

from realtime.config import Config
from realtime.dialects.base import Dialect, Frame, Handshake
from realtime.errors import ConfigError, VoxwireError
from realtime.events import Error
from realtime.server import auth
from realtime.server.connection import FAREWELL_TIMEOUT_S, PORTION_BYTES
from realtime.server.socket import PEER_CLOSE_TIMEOUT_S, SOCKET_BUFFER_BYTES, WRITE_BUFFER_BYTES
from realtime.server.websocket import serve

if TYPE_CHECKING:
    from realtime.server.app import Service

log = logging.getLogger("voxwire.stream")

BACKLOG_CONNECTIONS = 128  # handshakes the kernel keeps for us while the loop is busy
END_OF_INPUT = WSMessage(WSMsgType.BINARY, b"", None)
GONE = WSMessage(WSMsgType.CLOSED, None, None)


class Stream:
    """A `Carrier` over a byte stream. What it hands out is cut anywhere; an empty message means that no more comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        """`reader` bounds what it buffers; the kernel and the writer are bounded here."""
        self.closed = False
        self.close_code: int | None = None  # a byte stream has none
        self.fault: tuple[int, VoxwireError] | None = None
        self._reader = reader
        self._writer = writer
        self._input_ended = False
        self._loss: asyncio.Task | None = None  # done when the connection is
        writer.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SOCKET_BUFFER_BYTES)

    @property
    def is_lost(self) -> bool:
        return self._writer.transport.is_closing()

    async def receive(self) -> WSMessage:
        if self._input_ended:
            await self._until_lost()
            return GONE
        data = await self._read()
        if data:
            return WSMessage(WSMsgType.BINARY, data, None)
        self._input_ended = True
        return GONE if self.is_lost else END_OF_INPUT

    async def send(self, frame: Frame) -> None:
        """Raises ConnectionError when the client is gone."""
        if self.closed or self.is_lost:
            raise ConnectionResetError("The client is gone.")
        self._writer.write(frame.encode() if isinstance(frame, str) else frame)
        try:
            await self._writer.drain()
        except OSError as error:
            raise ConnectionResetError("The client is gone.") from error

    async def close(self, *, code: int = 1000, message: bytes = b"") -> bool:
        """Shut down our half, and let the client find out before the connection is torn down.

        Closing with unread bytes in the kernel would reset the connection, and the reset overtakes the last words.
        The code is nobody's to see: a byte stream has no close frame.
        """
        if self.closed:
            return False
        self.closed = True
        try:
            async with asyncio.timeout(PEER_CLOSE_TIMEOUT_S):
                if not self.is_lost:
                    self._writer.write_eof()
                while not self._input_ended and await self._read():
                    pass
                self._writer.close()  # sends what is still buffered
                await self._until_lost()
        except (TimeoutError, OSError):
            self.abort()
        return True

    def abort(self) -> None:
        """Drop what is still to be sent. Idempotent, and harmless after a good close."""
        self.closed = True
        self._writer.transport.abort()

    async def _read(self) -> bytes:
        """Empty: no more will come."""
        try:
            return await self._reader.read(PORTION_BYTES)
        except OSError:
            return b""

    async def _until_lost(self) -> None:
        """Waits on a task: a cancelled reader must not cancel the wait for others."""
        if self._loss is None:
            self._loss = asyncio.get_running_loop().create_task(self._note_loss())
        await asyncio.wait([self._loss])

    async def _note_loss(self) -> None:
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class TcpEndpoint:
    """One port, one dialect."""

    def __init__(self, service: Service, new_dialect: Callable[[], Dialect]):
        self._service = service
        self._new_dialect = new_dialect

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client from its first byte until it has left."""
        stream, dialect = Stream(reader, writer), self._new_dialect()
        try:
            try:
                self._service.check_open()
                options = dialect.open(Handshake(), self._service.default_options)
                seats = self._service.admission.admit(options.channels)
            except VoxwireError as error:
                await self._refuse(stream, dialect, error)
                return
            try:
                await serve(self._service, stream, dialect, options, seats, _peer(writer))
            finally:
                seats.close()
        finally:
            stream.abort()  # a client that did not read in time must not keep what we still wanted to send it

    async def _refuse(self, stream: Stream, dialect: Dialect, error: VoxwireError) -> None:
        """There is no answer before the connection: the dialect says it, then the connection closes."""
        self._service.metrics.refusals.labels(error.code).inc()
        try:
            async with asyncio.timeout(FAREWELL_TIMEOUT_S):
                for frame in dialect.encode(Error(error.code, error.message, True)):
                    await stream.send(frame)
                await stream.close(code=error.close_code, message=error.code.encode())
        except (TimeoutError, ConnectionError):
            pass


class TcpPort:
    """A listening port and the clients on it: `start`, later `close`."""

    def __init__(self, endpoint: TcpEndpoint, listener: sockets.socket):
        """`listener` is bound, not yet listening."""
        self.port: int = listener.getsockname()[1]
        self._endpoint = endpoint
        self._listener = listener
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._accept, sock=self._listener, limit=PORTION_BYTES, backlog=BACKLOG_CONNECTIONS
        )

    async def close(self) -> None:
        """Close the port and cut off who is left. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            self._listener.close()
            return
        server.close()
        clients = list(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.get_running_loop().create_task(self._endpoint.handle(reader, writer))
        self._clients.add(client)
        client.add_done_callback(self._note_end)

    def _note_end(self, client: asyncio.Task) -> None:
        self._clients.discard(client)
        if not client.cancelled() and (error := client.exception()) is not None:
            log.error("a TCP client's handler failed", exc_info=error)


def check_keys(config: Config) -> None:
    """Raise ConfigError for a keyless port that would open a server with keys to its whole network."""
    wanted = [name for name, port in ports(config).items() if port]
    keyless = config.auth.tcp_without_keys or auth.is_loopback(config.server.host)
    if wanted and config.auth.api_keys and not keyless:
        raise ConfigError(
            f"{wanted[0]}_port: this protocol has no keys, but api_keys are set and {config.server.host} is no "
            "loopback address; set tcp_without_keys = on to let everybody use this port"
        )


def ports(config: Config) -> dict[str, int]:
    """The configured port of every protocol by its name; 0 is none."""
    return {"wyoming": config.server.wyoming_port, "audiosocket": config.server.audiosocket_port}


def _peer(writer: asyncio.StreamWriter) -> str | None:
    address = writer.get_extra_info("peername")
    return address[0] if address else None
