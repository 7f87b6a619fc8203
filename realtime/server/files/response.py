"""The answer to one file: one body at its end, or server-sent events on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from aiohttp import hdrs, web

from realtime.dialects.files import FileDialect, Heard
from realtime.errors import VoxwireError
from realtime.events import Event

# The last one asks proxies not to collect what is meant to be read at once.
EVENT_STREAM = {hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


class Response:
    """`tell` it what is said, then `finish` it, or `break_off`. Raises ConnectionError when the client is gone."""

    def __init__(
        self, request: web.Request, dialect: FileDialect, *, headers: Mapping[str, str], slow_reader_s: float
    ):
        self._request = request
        self._dialect = dialect
        self._headers = {hdrs.CACHE_CONTROL: "no-store", **headers}
        self._slow_reader_s = slow_reader_s
        self._stream: web.StreamResponse | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the client was promised a good answer: a status of 200 is out."""
        return self._stream is not None

    async def tell(self, events: Iterable[Event]) -> None:
        if self._dialect.streams:
            await self._send([frame for event in events for frame in self._dialect.encode(event)])

    async def finish(self, heard: Heard) -> web.StreamResponse:
        if not self._dialect.streams:
            answer = self._dialect.answer(heard)
            headers = self._headers | {hdrs.CONTENT_TYPE: answer.content_type}
            return web.Response(body=answer.body.encode(), headers=headers)
        return await self._end(self._dialect.done(heard))

    async def break_off(self, error: VoxwireError) -> web.StreamResponse:
        """Tell the error as an event; only when `has_begun`."""
        return await self._end(self._dialect.failure(error))

    async def _end(self, frames: list[str]) -> web.StreamResponse:
        stream = await self._send(frames)
        async with self._in_time():
            await stream.write_eof()
        return stream

    async def _send(self, frames: list[str]) -> web.StreamResponse:
        if self._stream is None:
            self._stream = web.StreamResponse(headers=self._headers | EVENT_STREAM)
            await self._stream.prepare(self._request)
        if frames:
            async with self._in_time():
                await self._stream.write("".join(frames).encode())
        return self._stream

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """A client that does not read holds a slot for nothing: it is cut off."""
        try:
            async with asyncio.timeout(self._slow_reader_s):
                yield
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionResetError from None
