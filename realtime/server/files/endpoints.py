"""The vendors' addresses for files: `add_routes` is all that the application has to know."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

from aiohttp import hdrs, web

from realtime.audio.codecs import MAX_CHANNELS
from realtime.dialects.deepgram_files import DeepgramFiles, url_refusal
from realtime.dialects.files import BadField, Fields, FileDialect, Heard, Unboxed
from realtime.dialects.mistral_files import MistralFiles, is_mistral
from realtime.dialects.openai_files import OpenAIFiles
from realtime.errors import AtCapacity, BadAudio, InternalError, VoxwireError
from realtime.server import door
from realtime.server.admission import Seats
from realtime.server.files.response import Response
from realtime.server.files.run import FileRun, file_options, in_thread
from realtime.server.files.upload import Receiver, Upload
from realtime.server.media import Media, Raw, has_container

if TYPE_CHECKING:
    from realtime.server.app import Service

log = logging.getLogger("voxwire.files")

LEAST_PLACES, PLACES_PER_SLOT = 8, 2  # uploads that may be on disk at once
OUR_FAULT = "The server failed on this file."
CLIENT_LEFT = 499  # nobody reads it; the log and the tests do
RAW_FORMATS = {"pcm_s16le": "s16le", "pcm_f32le": "f32le", "mulaw": "mulaw", "alaw": "alaw"}


def add_routes(app: web.Application, service: Service) -> None:
    files, models = FileEndpoints(service), Models(service)
    app.router.add_post("/v1/audio/transcriptions", files.transcriptions)
    app.router.add_post("/v1/audio/translations", files.translations)
    app.router.add_post("/v1/listen", files.listen)
    app.router.add_get("/v1/models", models.every)
    app.router.add_get("/v1/models/{id:.+}", models.one)


class NoSuchModel(VoxwireError):
    code = "model_not_found"
    http_status = 404


@dataclass(slots=True)
class Call:
    """A request, and what is known of its vendor so far."""

    request: web.Request
    vendor: type[FileDialect]
    id: str

    @classmethod
    def of(cls, request: web.Request, vendor: type[FileDialect] | None = None) -> Call:
        if vendor is None:
            vendor = _vendor(request, None)
        return cls(request, vendor, str(uuid4()))

    @property
    def is_lost(self) -> bool:
        """Whether the client is gone."""
        transport = self.request.transport
        return transport is None or transport.is_closing()


class Door:
    """Who may ask, and the vendor's words for those who may not."""

    def __init__(self, service: Service):
        self._service = service

    async def answered(
        self, call: Call, work: Callable[[Call], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """What `work` answers, or why not."""
        try:
            door.check(self._service, call.request)
            return await work(call)
        except VoxwireError as error:
            return self._refusal(call, error)
        except ConnectionError:
            log.info("request %s: the client left", call.id)
            return web.Response(status=CLIENT_LEFT)
        except Exception:
            log.exception("request %s failed", call.id)
            return self._refusal(call, InternalError(OUR_FAULT))

    def _refusal(self, call: Call, error: VoxwireError) -> web.Response:
        vendor = call.vendor
        return door.refuse(
            self._service, error, vendor.refusal(error, call.id), vendor.headers(call.id, error)
        )


class FileEndpoints:
    """Every file is received, then heard, then answered; `service` lends the engine."""

    def __init__(self, service: Service):
        self._service = service
        self._door = Door(service)
        limits = service.config.limits
        self._receiver = Receiver(limits.max_upload_bytes, limits.idle_timeout_s)
        self._places = max(LEAST_PLACES, PLACES_PER_SLOT * service.engine.slots)

    # ------------------------------------------------------------ handlers

    async def transcriptions(self, request: web.Request) -> web.StreamResponse:
        return await self._answered(Call.of(request), self._transcribe_form)

    async def translations(self, request: web.Request) -> web.StreamResponse:
        return await self._answered(Call.of(request), self._refuse_translation)

    async def listen(self, request: web.Request) -> web.StreamResponse:
        return await self._answered(Call.of(request, DeepgramFiles), self._transcribe_body)

    async def _answered(
        self, call: Call, work: Callable[[Call], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        answer = await self._door.answered(call, work)
        self._service.metrics.files.labels(str(answer.status)).inc()
        return answer

    async def _refuse_translation(self, call: Call) -> web.StreamResponse:
        raise BadField("Translation is not offered: the model writes what it hears.", "model", "unsupported")

    async def _transcribe_form(self, call: Call) -> web.StreamResponse:
        with self._place(), Upload(self._receiver.largest_bytes) as upload:
            fields = Fields(await self._receiver.form(call.request, upload))
            call.vendor = _vendor(call.request, fields)
            dialect = call.vendor(fields)
            if "file" not in fields:
                raise BadField("The form has no file.", "file", "missing_required_parameter")
            return await self._transcribe(call, dialect, upload)

    async def _transcribe_body(self, call: Call) -> web.StreamResponse:
        dialect = DeepgramFiles(Fields(call.request.query.items()))
        if call.request.content_type == "application/json":
            raise url_refusal()
        with self._place(), Upload(self._receiver.largest_bytes) as upload:
            await self._receiver.body(call.request, upload)
            return await self._transcribe(call, dialect, upload)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Room for one more upload, asked for before it is read."""
        if not self._places or self._service.admission.free < 1:
            raise AtCapacity()
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1

    # ------------------------------------------------------------ from upload to answer

    async def _transcribe(self, call: Call, dialect: FileDialect, upload: Upload) -> web.StreamResponse:
        self._service.check_open()
        try:
            with closing(await in_thread(_opened, upload.file, dialect.unboxed)) as media:
                return await self._hear(call, dialect, upload, media)
        except BadAudio as error:
            raise BadAudio(f"The file cannot be transcribed: {error.message}.") from None

    async def _hear(
        self, call: Call, dialect: FileDialect, upload: Upload, media: Media
    ) -> web.StreamResponse:
        service, channels = self._service, _channels(dialect, media)
        seats = service.admission.admit(channels)
        try:
            run = self._run(call, dialect, media, channels, seats)
            service.enter(run)
            try:
                return await self._say(call, dialect, upload, run)
            finally:
                service.leave(run)
                run.close()
                log.info("request %s: %.1f s of audio, %d finals", call.id, run.fed_s, len(run.finals))
        finally:
            seats.close()

    async def _say(
        self, call: Call, dialect: FileDialect, upload: Upload, run: FileRun
    ) -> web.StreamResponse:
        answer = Response(
            call.request,
            dialect,
            headers=call.vendor.headers(call.id),
            slow_reader_s=self._service.config.limits.slow_reader_s,
        )
        try:
            await run.run(answer.tell)
            heard = Heard(
                model=self._service.engine.model_name,
                finals=tuple(run.finals),
                audio_ms=run.audio_ms,
                channels=run.channels,
                request_id=call.id,
                created=datetime.now(UTC).isoformat(),
                sha256=upload.sha256,
            )
            return await answer.finish(heard)
        except ConnectionError:
            raise
        except Exception as fault:
            if not answer.has_begun:
                raise
            error = fault if isinstance(fault, VoxwireError) else InternalError(OUR_FAULT)
            log.error("request %s failed on its way: %s", call.id, error.code, exc_info=fault)
            self._service.metrics.errors.labels(error.code).inc()
            return await answer.break_off(error)

    def _run(self, call: Call, dialect: FileDialect, media: Media, channels: int, seats: Seats) -> FileRun:
        service = self._service
        options = file_options(dialect.options(service.default_options), channels)
        return FileRun(
            media=media,
            session=service.new_session(options, call.id),
            seats=seats,
            exchange=service.exchange,
            metrics=service.metrics,
            limits=service.config.limits,
            drain_timeout_s=service.config.server.drain_timeout_s,
            is_lost=lambda: call.is_lost,
        )


class Models:
    """The one model that is served, under its name."""

    def __init__(self, service: Service):
        self._door = Door(service)
        name = service.engine.model_name
        self._card = {
            "id": name,
            "object": "model",
            "created": int(time.time()),
            "owned_by": "voxwire",
            # Mistral's clients ask for these two.
            "type": "base",
            "capabilities": {"audio_transcription": True, "audio_transcription_realtime": True},
        }

    async def every(self, request: web.Request) -> web.StreamResponse:
        return await self._door.answered(Call.of(request), self._every)

    async def one(self, request: web.Request) -> web.StreamResponse:
        return await self._door.answered(Call.of(request), self._one)

    async def _every(self, call: Call) -> web.Response:
        return _json(call, {"object": "list", "data": [self._card]})

    async def _one(self, call: Call) -> web.Response:
        if call.request.match_info["id"] != self._card["id"]:
            raise NoSuchModel(f"This server has the model {self._card['id']} and no other.")
        return _json(call, self._card)


def _json(call: Call, body: dict[str, Any]) -> web.Response:
    headers = {hdrs.CACHE_CONTROL: "no-store", **call.vendor.headers(call.id)}
    return web.json_response(body, headers=headers)


def _vendor(request: web.Request, fields: Fields | None) -> type[FileDialect]:
    """Whose client this is, of those who share a path; `fields` once the form was read."""
    return MistralFiles if is_mistral(fields, request.headers.get(hdrs.USER_AGENT, "")) else OpenAIFiles


def _channels(dialect: FileDialect, media: Media) -> int:
    """Channels to transcribe, each of which takes a slot."""
    if not dialect.multichannel:
        return 1
    if media.channels > MAX_CHANNELS:
        raise BadField(
            f"multichannel takes files of {MAX_CHANNELS} channels; this one has {media.channels}.",
            "multichannel",
        )
    return media.channels


def _opened(file: BinaryIO, unboxed: Unboxed | None) -> Media:
    """Clients name the encoding of a WAV file too: what has a container is read by what that says."""
    if unboxed is None or has_container(file):
        return Media(file)
    return Media(file, Raw(RAW_FORMATS[unboxed.encoding], unboxed.sample_rate, unboxed.channels))
