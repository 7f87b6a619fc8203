"""One WebSocket stream: audio goes in by `send`, events come out of `events()`.

    async with await connect(url, Options(), key) as stream:
        await stream.send(pcm)
        await stream.end()
        async for event in stream.events(): ...

No queue and no task of its own: a send costs one frame, an event one JSON object. Reconnecting is the
business of `client.conversation`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from socket import SO_SNDBUF, SOL_SOCKET
from time import time
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from client import protocol
from client.errors import BadInput, BadReply, Busy, ClientError, Lost, Refused, Unauthorized, Unreachable

SEND_BUFFER_BYTES = 128 * 1024  # the kernel would otherwise take minutes of audio that nobody has heard
# Close codes after which a new connection may do better: going away, internal error, try again later, none.
RETRY_CLOSE_CODES = frozenset({1001, 1006, 1011, 1012, 1013, 1014, None})


class Stream:
    """An open stream. Also an async context manager that closes it."""

    def __init__(self, socket: ClientConnection):
        self._socket = socket
        self._failure: protocol.Failed | None = None

    async def send(self, audio: bytes) -> None:
        """Send audio in the encoding of the options; waits while the server does not read. Raises Lost."""
        await self._send(audio)

    async def flush(self) -> None:
        """Ask for a final of what was said so far; the stream stays open."""
        await self._send(protocol.FLUSH)

    async def end(self) -> None:
        """No more audio: the last finals and `Done` follow."""
        await self._send(protocol.END)

    async def keepalive(self) -> None:
        await self._send(protocol.KEEPALIVE)

    async def events(self) -> AsyncIterator[protocol.Event]:
        """Events until and with `Done`. Raises Lost if the connection ends before it, BadReply otherwise."""
        try:
            async for message in self._socket:
                if not isinstance(message, str):
                    raise BadReply("The server sent binary data; this is not a voxwire stream.")
                event = protocol.parse(message)
                if isinstance(event, protocol.Failed):
                    self._failure = event
                yield event
                if isinstance(event, protocol.Done):
                    return
        except ConnectionClosed:
            pass
        raise self._lost()

    async def close(self) -> None:
        await self._socket.close()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _send(self, message: str | bytes) -> None:
        try:
            await self._socket.send(message)
        except ConnectionClosed as closed:
            raise self._lost() from closed

    def _lost(self) -> Lost:
        code, reason = self._socket.close_code, self._socket.close_reason
        retry = code in RETRY_CLOSE_CODES
        if self._failure is not None and self._failure.fatal:
            return Lost(
                f"The server ended the stream: {self._failure.message}",
                retry=retry,
                code=code,
                reason_code=self._failure.code,
            )
        detail = f"close code {code}" + (f": {reason}" if reason else "")
        if code in (None, 1006):
            detail = "no farewell from the server"
        return Lost(f"The connection was lost ({detail}).", retry=retry, code=code)


async def connect(
    url: str = protocol.DEFAULT_URL,
    options: protocol.Options | None = None,
    key: str | None = None,
    *,
    open_timeout_s: float = 10,
    ping_interval_s: float | None = 5,
    ping_timeout_s: float | None = 15,
) -> Stream:
    """Open a stream.

    Pings find a dead network; pass `ping_interval_s=None` when sending faster than the server reads, because
    a ping waits behind the audio. Raises BadInput, Unreachable, Unauthorized, Busy or Refused.
    """
    try:
        address = protocol.stream_url(url, options or protocol.Options())
    except ValueError as error:
        raise BadInput(str(error)) from None
    try:
        socket = await open_websocket(
            address,
            additional_headers={"Authorization": f"Bearer {key}"} if key else None,
            compression=None,  # audio does not deflate, it only costs
            proxy=None if _is_loopback(address) else True,
            open_timeout=open_timeout_s,
            close_timeout=2,
            ping_interval=ping_interval_s,
            ping_timeout=ping_timeout_s,
            max_size=2**22,  # no final comes near it; a foreign server might
        )
    except InvalidStatus as error:
        raise _refusal(error, address) from None
    except (InvalidURI, InvalidHandshake) as error:
        raise Refused(f"{_place(address)} is not a voxwire server ({error}).") from None
    except TimeoutError:
        raise Unreachable(f"{_place(address)} did not answer within {open_timeout_s:g} s.") from None
    except OSError as error:
        raise _no_server(address, error) from None
    socket.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES)
    return Stream(socket)


def _is_loopback(address: str) -> bool:
    return urlsplit(address).hostname in ("127.0.0.1", "::1", "localhost")


def _place(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _no_server(address: str, error: OSError) -> Unreachable:
    reason = error.strerror or str(error)
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        reason = "nothing listens there"
    hint = "Start one with `voxwire serve`, or" if _is_loopback(address) else "Is it running? Otherwise"
    return Unreachable(f"No server at {_place(address)}: {reason}.", f"{hint} name another with --url.")


def _refusal(error: InvalidStatus, address: str) -> ClientError:
    status = error.response.status_code
    said = _said(error.response.body)
    if status == 401:
        return Unauthorized(
            f"The server wants a valid API key (401{said}).", "Pass --key or set VOXWIRE_KEY."
        )
    if status == 503:
        wait_s = retry_after_s(error.response.headers.get("Retry-After"))
        return Busy(f"The server is busy (503{said}).", wait_s)
    if status == 400:
        return BadInput(f"The server does not take this stream{said or ' (400)'}.")
    if status in (502, 504):
        return Unreachable(f"The gateway in front of {_place(address)} finds no server ({status}).")
    if status == 404:
        return Refused(f"There is no stream at {_place(address)} (404): is it a voxwire server?")
    return Refused(f"The server refused the stream ({status}{said}).")


def _said(body: bytes | bytearray | None) -> str:
    """What the body of a refusal says, as `: sentence`; empty if it is not ours."""
    try:
        message = json.loads(bytes(body or b""))
        message = message.get("error", message)
        return f": {message['message']}".rstrip(".")
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""


def retry_after_s(header: str | None, now: float | None = None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or an HTTP date; None if it holds neither."""
    if header is None:
        return None
    try:
        return max(0.0, float(int(header)))
    except (ValueError, OverflowError):
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - (time() if now is None else now))
    except ValueError:
        return None
