"""Who may connect: API keys, and the origin of pages. Both are decided before the upgrade.

A browser cannot set headers on a WebSocket, so a page offers its key as the subprotocol `key.<KEY>`, beside
`voxwire`, which is what the server then selects.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from realtime.errors import Unauthorized, VoxwireError

SUBPROTOCOL = "voxwire"
KEY_PREFIX = "key."


class ForbiddenOrigin(VoxwireError):
    """A page of another site: without this check any page could use a server on its reader's own machine."""

    code = "forbidden_origin"
    http_status = 403
    close_code = 1008


class Keyring:
    """The accepted keys, as digests of one length, so that a comparison takes the same time for every wrong key."""

    def __init__(self, keys: Iterable[str]):
        self._digests = [_digest(key) for key in keys]

    @property
    def open_to_all(self) -> bool:
        return not self._digests

    def check(self, authorization: str, subprotocols: Sequence[str]) -> None:
        """Raise Unauthorized unless a key is presented as bearer token or as subprotocol."""
        if self.open_to_all:
            return
        offered = _bearer(authorization) or _subprotocol_key(subprotocols)
        if not offered:
            raise Unauthorized("An API key is needed: send it as 'Authorization: Bearer <key>'.")
        digest = _digest(offered)
        if not any([hmac.compare_digest(digest, known) for known in self._digests]):
            raise Unauthorized("This API key is not known here.")


def selected_subprotocol(offered: Sequence[str]) -> str | None:
    """The one to answer with; browsers refuse a server that selects none of those they offered."""
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    return next((name for name in offered if name.startswith(KEY_PREFIX)), None)


def check_origin(origin: str | None, host: str, allowed: Sequence[str], bound_to_loopback: bool) -> None:
    """Raise ForbiddenOrigin for a page that is neither ours nor allowed. Programs send no origin and pass.

    On a loopback address "ours" means a loopback name too: a foreign name that was rebound to 127.0.0.1 sends an
    origin and a host that agree with each other.
    """
    if origin is None or "*" in allowed or origin.rstrip("/") in allowed:
        return
    try:
        page = urlsplit(origin)
    except ValueError:
        page = urlsplit("")
    same = page.netloc != "" and page.netloc.lower() == host.lower()
    if same and (not bound_to_loopback or is_loopback(page.hostname or "")):
        return
    raise ForbiddenOrigin("Pages of this origin may not connect; see the setting allowed_origins.")


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _bearer(authorization: str) -> str:
    scheme, _, key = authorization.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _subprotocol_key(subprotocols: Sequence[str]) -> str:
    names = (name for name in subprotocols if name.startswith(KEY_PREFIX))
    return next(names, "").removeprefix(KEY_PREFIX)
