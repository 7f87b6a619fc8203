"""Deepgram's live addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from aiohttp import web

from realtime.audio.containers import unpacker
from realtime.dialects.deepgram import DeepgramDialect
from realtime.dialects.deepgram_flux import FluxDialect
from realtime.server.clock import utc_now
from realtime.server.websocket import StreamEndpoint

if TYPE_CHECKING:
    from realtime.server.app import Service


def add_routes(app: web.Application, service: Service) -> None:
    app.router.add_get("/v1/listen", StreamEndpoint(service, _nova).handle)
    app.router.add_get("/v2/listen", StreamEndpoint(service, _flux).handle)


def _nova() -> DeepgramDialect:
    return DeepgramDialect(unpacker, str(uuid4()), utc_now())


def _flux() -> FluxDialect:
    return FluxDialect(unpacker, str(uuid4()))
