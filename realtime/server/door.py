"""The way in, the same for every address: the origin of a page, the key, and whether anybody is still let in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from realtime.errors import AtCapacity, Unauthorized, VoxwireError
from realtime.server import auth

if TYPE_CHECKING:
    from realtime.server.app import Service

RETRY_AFTER_S = 5


def check(
    service: Service,
    request: web.Request,
    *,
    with_key: bool = True,
    short_lived: str = "",
    needs_origin: bool = False,
) -> Any:
    """What was agreed with the bearer of this key, if it is a minted one; those of the kind `short_lived` are taken.

    `with_key` False leaves the key for later. `needs_origin` is for what a page reads without sending an origin, which
    it does from its own host only: a name that was rebound to this machine would be that.

    Raises ForbiddenOrigin, Unauthorized, ShuttingDown, EngineFailed.
    """
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None and needs_origin:
        origin = f"https://{request.host}"
    auth.check_origin(origin, request.host, service.config.server.allowed_origins, service.on_loopback)
    grant = None
    if with_key:
        authorization = request.headers.get(hdrs.AUTHORIZATION, "")
        grant = service.keyring.check(authorization, offered_subprotocols(request), short_lived)
    service.check_open()
    return grant


def offered_subprotocols(request: web.Request) -> list[str]:
    offered = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [name.strip() for line in offered for name in line.split(",") if name.strip()]


def refuse(
    service: Service, error: VoxwireError, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> web.Response:
    """The answer that refuses, counted. `body` and `headers` are the vendor's; what everybody says is added."""
    service.metrics.refusals.labels(error.code).inc()
    told = refusal_headers(error) | dict(headers or {})
    return web.json_response(body, status=error.http_status, headers=told)


def refusal_headers(error: VoxwireError) -> dict[str, str]:
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    if error.http_status == 503:
        retry_after_s = error.retry_after_s if isinstance(error, AtCapacity) else RETRY_AFTER_S
        headers[hdrs.RETRY_AFTER] = str(retry_after_s)
    elif isinstance(error, Unauthorized):
        headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="voxwire"'
    return headers
