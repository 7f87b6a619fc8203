"""The body of a request to a temporary file, in bounded memory.

The file has no name: it is gone with its last handle, whatever ends the request or the process.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, web

from realtime.errors import AtCapacity, BadMessage, MessageTooLarge, VoxwireError

CHUNK_BYTES = 64 * 1024
WRITE_BYTES = 1024 * 1024  # handed to the disk at once
FIELD_BYTES = 64 * 1024  # a longer value is none that is read here
FORM_BYTES = 1024 * 1024  # of a form without a file
MAX_PARTS = 1000
FILE_FIELD = "file"

T = TypeVar("T")


class UploadStalled(VoxwireError):
    code = "request_timeout"
    http_status = 408


class Upload:
    """Bytes of a client on disk: `write` them all, then `finish`. Leaving the context deletes them."""

    def __init__(self, largest_bytes: int):
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self.n_bytes = 0
        self._largest_bytes = largest_bytes
        self._pending = bytearray()
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    @property
    def sha256(self) -> str:
        """Of everything written, in hexadecimal."""
        return self._hash.hexdigest()

    async def write(self, data: bytes) -> None:
        """Raises MessageTooLarge, or AtCapacity where the disk is full."""
        self.n_bytes += len(data)
        if self.n_bytes > self._largest_bytes:
            raise too_large(self._largest_bytes)
        self._pending += data
        if len(self._pending) >= WRITE_BYTES:
            await self._to_disk()

    async def finish(self) -> None:
        """To be read from its start now."""
        await self._to_disk()
        await asyncio.to_thread(self.file.seek, 0)

    async def _to_disk(self) -> None:
        data, self._pending = self._pending, bytearray()
        try:
            await asyncio.to_thread(self._put, data)
        except OSError:
            raise AtCapacity("The server has no room for this file.") from None

    def _put(self, data: bytearray) -> None:
        self._hash.update(data)
        self.file.write(data)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Reads requests within the operator's limits."""

    largest_bytes: int
    stall_s: float  # without a byte; 0 waits for ever

    def check_size(self, request: web.Request) -> None:
        """Raise MessageTooLarge before anything was read, for a client that tells the size."""
        if (request.content_length or 0) > self.largest_bytes + FORM_BYTES:
            raise too_large(self.largest_bytes)

    async def form(self, request: web.Request, upload: Upload) -> list[tuple[str, str]]:
        """Fields of a form, but its file, which goes to `upload`. Raises BadMessage, UploadStalled, MessageTooLarge.

        Raises ConnectionError when the client is gone.
        """
        self.check_size(request)
        if request.content_type == "application/x-www-form-urlencoded":
            return await self._urlencoded(request)
        if request.content_type != "multipart/form-data":
            raise BadMessage("The body must be multipart/form-data with the audio as its field 'file'.")
        try:
            fields = await self._multipart(request, upload)
        except (ValueError, AssertionError, web.RequestPayloadError):
            raise BadMessage("The multipart body is malformed or breaks off.") from None
        await upload.finish()
        return fields

    async def body(self, request: web.Request, upload: Upload) -> None:
        """The body is the file. Raises as `form` does."""
        self.check_size(request)
        async for chunk in self._chunks(request):
            await upload.write(chunk)
        await upload.finish()

    async def _multipart(self, request: web.Request, upload: Upload) -> list[tuple[str, str]]:
        reader, fields, unread_bytes = await request.multipart(), [], 0
        for _ in range(MAX_PARTS):
            part = await self._timely(reader.next())
            if part is None:
                return fields
            if not isinstance(part, BodyPartReader):
                raise BadMessage("A multipart body within the multipart body is not read.")
            if part.name == FILE_FIELD and not upload.n_bytes:
                fields.append((FILE_FIELD, part.filename or ""))
                async for chunk in self._part_chunks(part):
                    await upload.write(chunk)
                continue
            value = bytearray()
            async for chunk in self._part_chunks(part):
                unread_bytes += len(chunk)
                if unread_bytes > self.largest_bytes:
                    raise too_large(self.largest_bytes)
                if len(value) <= FIELD_BYTES:
                    value += chunk
            if part.name and len(value) <= FIELD_BYTES:
                fields.append((part.name, value.decode("utf-8", "replace")))
        raise BadMessage(f"The form has more than {MAX_PARTS} fields.")

    async def _part_chunks(self, part: BodyPartReader) -> AsyncIterator[bytes]:
        while chunk := await self._timely(part.read_chunk(CHUNK_BYTES)):
            yield chunk

    async def _urlencoded(self, request: web.Request) -> list[tuple[str, str]]:
        body = bytearray()
        async for chunk in self._chunks(request):
            body += chunk
            if len(body) > FORM_BYTES:
                raise too_large(FORM_BYTES)
        try:
            return parse_qsl(body.decode("utf-8", "replace"), True, max_num_fields=MAX_PARTS)
        except ValueError:
            raise BadMessage(f"The form has more than {MAX_PARTS} fields.") from None

    async def _chunks(self, request: web.Request) -> AsyncIterator[bytes]:
        try:
            while chunk := await self._timely(request.content.read(CHUNK_BYTES)):
                yield chunk
        except web.RequestPayloadError:
            raise BadMessage("The body breaks off.") from None

    async def _timely(self, reading: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self.stall_s or None):
                return await reading
        except TimeoutError:
            raise UploadStalled(f"No byte of the file for {self.stall_s:g} s.") from None


def too_large(largest_bytes: int) -> MessageTooLarge:
    return MessageTooLarge(f"The file is larger than the {largest_bytes} bytes that this server takes.")
