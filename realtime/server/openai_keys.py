"""OpenAI's short-lived keys for pages, `POST /v1/realtime/client_secrets`, and the beta's `…/transcription_sessions`.

A session that is opened with such a key begins with the configuration that the key was made for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from realtime.dialects.openai_config import BadValue, SessionConfig, an_object, one_of, whole
from realtime.dialects.openai_realtime import refusal
from realtime.errors import VoxwireError
from realtime.server import door
from realtime.server.auth import Minted

if TYPE_CHECKING:
    from realtime.server.app import Service

PREFIX = "ek_"
TTL_S, SHORTEST_TTL_S, LONGEST_TTL_S = 600, 10, 7200


def add_routes(app: web.Application, service: Service) -> None:
    secrets = ClientSecrets(service)
    app.router.add_post("/v1/realtime/client_secrets", secrets.create)
    app.router.add_post("/v1/realtime/transcription_sessions", secrets.create_beta)


class ClientSecrets:
    def __init__(self, service: Service):
        self._service = service

    async def create(self, request: web.Request) -> web.Response:
        """`{expires_after?, session?}` → `{value, expires_at, session}`."""
        return await self._answer(request, self._mint)

    async def create_beta(self, request: web.Request) -> web.Response:
        """A flat session → the whole of it, with its `client_secret`."""
        return await self._answer(request, self._mint_beta)

    async def _answer(self, request: web.Request, mint: Callable[[Any], dict[str, Any]]) -> web.Response:
        try:
            door.check(self._service, request)
            body = mint(_json(await request.read()))
        except VoxwireError as error:
            return door.refuse(self._service, error, refusal(error))
        return web.json_response(body, headers={hdrs.CACHE_CONTROL: "no-store"})

    def _mint(self, body: Any) -> dict[str, Any]:
        fields = an_object(body, "body")
        config = SessionConfig().updated(an_object(fields.get("session"), "session", {}))
        key = self._key(config, _ttl_s(fields.get("expires_after")))
        session = {"id": _session_id(key)} | config.ga(self._model)
        return {"value": key.value, "expires_at": int(key.expires_at_s), "session": session}

    def _mint_beta(self, body: Any) -> dict[str, Any]:
        config = SessionConfig().updated(body)
        key = self._key(config, TTL_S)
        secret = {"value": key.value, "expires_at": int(key.expires_at_s)}
        return {"id": _session_id(key)} | config.beta(self._model) | {"client_secret": secret}

    def _key(self, config: SessionConfig, ttl_s: int) -> Minted:
        return self._service.keyring.mint(PREFIX, ttl_s, config)

    @property
    def _model(self) -> str:
        return self._service.engine.model_name


def _session_id(key: Minted) -> str:
    """A name for what the key stands for, from which nobody can guess the key."""
    return f"sess_{hashlib.sha256(key.value.encode()).hexdigest()[:24]}"


def _ttl_s(expires_after: Any) -> int:
    fields = an_object(expires_after, "expires_after", {})
    one_of(fields.get("anchor", "created_at"), ("created_at",), "expires_after.anchor")
    return whole(fields.get("seconds", TTL_S), SHORTEST_TTL_S, LONGEST_TTL_S, "expires_after.seconds")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise BadValue("The body is not valid JSON.", "body", "invalid_json") from None
