"""Mistral's client sessions: short-lived keys for pages, `POST /v1/client/sessions`.

A page connects with such a key as its second subprotocol. It is good for any number of streams until it expires, but
not for the making of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from realtime.dialects.mistral_realtime import ClientSessionRequest, MistralRealtimeDialect
from realtime.errors import VoxwireError
from realtime.server import door

if TYPE_CHECKING:
    from realtime.server.app import Service

PATH = "/v1/client/sessions"
PREFIX = "rt_"
TTL_S = 900


@dataclass(frozen=True, slots=True)
class ClientSession:
    """What was agreed when the key was made."""

    model: str


def add_routes(app: web.Application, service: Service) -> None:
    app.router.add_post(PATH, ClientSessions(service).create)


class ClientSessions:
    def __init__(self, service: Service):
        self._service = service

    async def create(self, request: web.Request) -> web.Response:
        try:
            door.check(self._service, request)
            asked = ClientSessionRequest.parsed(await request.read())
        except VoxwireError as error:
            return door.refuse(self._service, error, MistralRealtimeDialect().refusal(error))
        key = self._service.keyring.mint(PREFIX, asked.ttl_seconds or TTL_S, ClientSession(asked.model))
        expires_at = datetime.fromtimestamp(int(key.expires_at_s), UTC).isoformat()
        body = {
            "object": "client.session",
            "purpose": asked.purpose,
            "expires_at": expires_at,
            "client_secret": {"value": key.value, "expires_at": expires_at},
        }
        return web.json_response(body, status=201, headers={hdrs.CACHE_CONTROL: "no-store"})
