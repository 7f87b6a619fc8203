"""Everything on the port that is no stream: the page, its files, health, readiness, metrics."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from realtime.errors import InternalError, VoxwireError

if TYPE_CHECKING:
    from realtime.server.app import Service

log = logging.getLogger("voxwire.http")

WEB_FOLDER = Path(__file__).parents[2] / "web"
# By suffix, because a bare machine's own table may lack some. What is not here is not served.
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".wav": "audio/wav",
}
NOT_SERVED = {"tests", "test", "node_modules"}
SECURITY_HEADERS = {
    hdrs.SERVER: "voxwire",  # instead of the library's and the interpreter's versions
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self' blob:; style-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob:; font-src 'self'; manifest-src 'self'; connect-src 'self' {sockets}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page_files(folder: Path = WEB_FOLDER) -> dict[str, Path]:
    """URL path → file, for every file that may be served. The list is fixed at start, so no request names a file."""
    files = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part in NOT_SERVED or part.startswith(".") for part in parts)
        if path.is_file() and path.suffix in CONTENT_TYPES and not hidden:
            files["/" + "/".join(parts)] = path
    if "/index.html" in files:
        files["/"] = files["/index.html"]
    return files


class Pages:
    def __init__(self, folder: Path = WEB_FOLDER):
        self._files = page_files(folder)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = self._files.get(request.path)
        if path is None:
            raise web.HTTPNotFound
        # Names carry no version: always ask, answer 304 while nothing changed.
        headers = {hdrs.CACHE_CONTROL: "no-cache", hdrs.CONTENT_TYPE: CONTENT_TYPES[path.suffix]}
        if path.suffix == ".html":
            headers["Content-Security-Policy"] = content_security_policy(request.host)
        return web.FileResponse(path, headers=headers)


def content_security_policy(host: str) -> str:
    """Browsers differ on whether 'self' covers ws:, so the page's own host is named as well."""
    plain = host.replace(".", "").replace(":", "").replace("-", "").replace("[", "").replace("]", "")
    sockets = f"ws://{host} wss://{host}" if plain.isalnum() and plain.isascii() else ""
    return POLICY.format(sockets=sockets).replace(" ;", ";")


class Probes:
    """For supervisors, load balancers and Prometheus."""

    def __init__(self, service: Service):
        self._service = service

    async def health(self, request: web.Request) -> web.Response:
        """The process runs and its loop turns."""
        return _json({"status": "ok"})

    async def ready(self, request: web.Request) -> web.Response:
        """New streams are welcome."""
        service = self._service
        try:
            service.check_open()
        except VoxwireError as error:
            return error_response(error.http_status, error.code, error.message)
        slots = {"slots": service.engine.slots, "slots_in_use": service.admission.leased}
        return _json({"status": "ready", "model": service.engine.model_name, **slots})

    async def metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._service.metrics.exposition()
        return web.Response(
            body=body, headers={hdrs.CONTENT_TYPE: content_type, hdrs.CACHE_CONTROL: "no-store"}
        )


def error_response(status: int, code: str, message: str) -> web.Response:
    return _json({"type": "error", "code": code, "message": message, "fatal": True}, status)


def _json(body: dict, status: int = 200) -> web.Response:
    return web.json_response(body, status=status, headers={hdrs.CACHE_CONTROL: "no-store"})


@web.middleware
async def json_errors(request: web.Request, handler) -> web.StreamResponse:
    """The library's own refusals (404, 405, 413) in the same shape as ours; our faults without their text."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = error_response(error.status, error.reason.lower().replace(" ", "_"), f"{error.reason}.")
        if hdrs.ALLOW in error.headers:
            response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return response
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return error_response(500, InternalError.code, "The server failed on this request.")


async def add_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    if response.status != 101:
        response.headers.update(SECURITY_HEADERS)
