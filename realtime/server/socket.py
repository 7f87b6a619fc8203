"""aiohttp's WebSocket with bounded buffers, and with a word of explanation before it closes for a fault on the wire."""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import Callable

from aiohttp import WSCloseCode, WSMsgType, web

from realtime.dialects.base import Frame
from realtime.errors import BadMessage, MessageTooLarge, VoxwireError
from realtime.events import Error, Event

# The kernel would otherwise hold minutes of audio and thousands of captions of a client that does not keep up.
SOCKET_BUFFER_BYTES = 128 * 1024
WRITE_BUFFER_BYTES = 16 * 1024
PEER_CLOSE_TIMEOUT_S = 3.0  # for the client's half of the close handshake
# What the library finds wrong on its own, below our messages.
WIRE_FAULTS: dict[int, Callable[[], VoxwireError]] = {
    WSCloseCode.MESSAGE_TOO_BIG: lambda: MessageTooLarge("The message is larger than this server takes."),
    WSCloseCode.PROTOCOL_ERROR: lambda: BadMessage("The WebSocket frames break RFC 6455."),
    WSCloseCode.INVALID_TEXT: lambda: BadMessage("The text message is not UTF-8."),
}


class Socket(web.WebSocketResponse):
    """The library closes for wire faults inside receive() and leaves nobody else a chance to speak: `close` speaks."""

    def __init__(self, encode: Callable[[Event], list[Frame]], **options):
        super().__init__(
            timeout=PEER_CLOSE_TIMEOUT_S,
            compress=False,  # captions are small, and deflating costs memory per connection
            writer_limit=0,  # every send waits while the client does not read
            **options,
        )
        self._encode = encode
        self._request: web.BaseRequest | None = None
        self.fault: tuple[int, VoxwireError] | None = None  # what the library closed for, and with which code

    async def prepare(self, request: web.BaseRequest):
        writer = await super().prepare(request)
        self._request = request
        transport = request.transport
        if transport is not None:
            transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
            raw = transport.get_extra_info("socket")
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, SOCKET_BUFFER_BYTES)
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        return writer

    async def send(self, frame: Frame) -> None:
        """Raises ConnectionError once the explanation of a fault on the wire has begun: it is the last word."""
        if self.fault is not None:
            raise ConnectionResetError("The connection is being closed for a fault on the wire.")
        await self._put(frame)

    async def _put(self, frame: Frame) -> None:
        await (self.send_str(frame) if isinstance(frame, str) else self.send_bytes(frame))

    @property
    def is_lost(self) -> bool:
        """Whether the connection is known to be gone, which receive() tells only those who call it."""
        return self._request is not None and self._request.transport is None

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        if code in WIRE_FAULTS and self.fault is None and not self.closed:
            self.fault = int(code), WIRE_FAULTS[code]()
            await self._explain(*self.fault)
        return await super().close(code=code, message=message, drain=drain)

    async def _explain(self, code: int, fault: VoxwireError) -> None:
        """Say what is wrong, close our half, and let the client find out before the connection is torn down.

        Closing with unread bytes of a giant message in the kernel would reset the connection, and the reset overtakes
        the explanation.
        """
        assert self._request is not None
        transport = self._request.transport
        try:
            async with asyncio.timeout(PEER_CLOSE_TIMEOUT_S):
                for frame in self._encode(Error(fault.code, fault.message, True)):
                    await self._put(frame)
                await self.send_frame(code.to_bytes(2, "big") + fault.code.encode(), WSMsgType.CLOSE)
                if transport is not None and transport.can_write_eof():
                    transport.write_eof()
                while self._request.transport is not None:
                    await asyncio.sleep(
                        0.02
                    )  # the library discards what comes and tells nobody when the peer leaves
        except (TimeoutError, ConnectionError):
            pass
