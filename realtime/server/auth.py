"""Who may connect: API keys, and the origin of pages. Both are decided before the upgrade.

A browser cannot set headers on a WebSocket, so a page offers its key among the subprotocols, beside one that the
server then selects. How it does that depends on whose SDK it uses:

    voxwire, key.KEY          realtime, openai-insecure-api-key.KEY          realtime, KEY          token, KEY
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from realtime.errors import Unauthorized, VoxwireError

SUBPROTOCOL = "voxwire"
KEY_PREFIXES = ("key.", "openai-insecure-api-key.")
KEY_FOLLOWS = ("realtime", "token", "bearer")  # names behind which the next one is the key itself
SCHEMES = ("bearer", "token")
MAX_MINTED = 10_000  # short-lived keys; the oldest is forgotten for the next


class ForbiddenOrigin(VoxwireError):
    """A page of another site: without this check any page could use a server on its reader's own machine."""

    code = "forbidden_origin"
    http_status = 403
    close_code = 1008


@dataclass(frozen=True, slots=True)
class Minted:
    """A short-lived key for a page, and what was agreed when it was made."""

    value: str
    kind: str  # the prefix of its value
    expires_at_s: float  # Unix time
    grant: Any


class Keyring:
    """The accepted keys, as digests of one length, so that a comparison takes the same time for every wrong key."""

    def __init__(self, keys: Iterable[str], now: Callable[[], float] = time.time):
        self._digests = [_digest(key) for key in keys]
        self._minted: dict[bytes, Minted] = {}  # by digest, oldest first
        self._now = now

    @property
    def open_to_all(self) -> bool:
        return not self._digests

    def mint(self, kind: str, ttl_s: float, grant: Any = None) -> Minted:
        """A new key that is good for `ttl_s`, for any number of connections where keys of this kind are taken."""
        minted = Minted(kind + secrets.token_hex(24), kind, self._now() + ttl_s, grant)
        if len(self._minted) >= MAX_MINTED:
            del self._minted[next(iter(self._minted))]
        self._minted[_digest(minted.value)] = minted
        return minted

    def check(self, authorization: str, subprotocols: Sequence[str] = (), short_lived: str = "") -> Any:
        """The grant of a minted key, else None. Raises Unauthorized unless a good key is presented.

        Of minted keys only those of the kind `short_lived` are good: a page that was given one for its own stream is
        not to read others' calls, or to make itself the next.
        """
        return self.check_key(_from_header(authorization) or _from_subprotocols(subprotocols), short_lived)

    def check_key(self, key: str, short_lived: str = "") -> Any:
        """Like `check`, for a key that came some other way."""
        digest = _digest(key)
        minted = self._minted.get(digest)
        if minted is not None and minted.expires_at_s > self._now():
            if minted.kind != short_lived:
                raise Unauthorized("A short-lived key opens nothing but the streams it was made for.")
            return minted.grant
        if self.open_to_all:
            return None
        if not key:
            raise Unauthorized("An API key is needed: send it as 'Authorization: Bearer <key>'.")
        if not any([hmac.compare_digest(digest, known) for known in self._digests]):
            raise Unauthorized("This API key is not known here.")
        return None


def selected_subprotocol(offered: Sequence[str], spoken: Sequence[str] = ()) -> str | None:
    """The one to answer with; browsers refuse a server that selects none of those they offered.

    `spoken` are those of the dialect. A key is repeated only where nothing else was offered.
    """
    for name in (*spoken, SUBPROTOCOL, *KEY_FOLLOWS):
        if name in offered:
            return name
    return next((name for name in offered if name.startswith(KEY_PREFIXES)), None)


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


def _from_header(authorization: str) -> str:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() == "basic":
        return _password(key)
    return key.strip() if scheme.lower() in SCHEMES else ""


def _password(encoded: str) -> str:
    """Of HTTP's basic scheme, for clients whose settings know a user and a password; any user will do."""
    try:
        user_and_password = base64.b64decode(encoded.strip(), validate=True).decode()
    except ValueError:
        return ""
    return user_and_password.partition(":")[2]


def _from_subprotocols(offered: Sequence[str]) -> str:
    for name in offered:
        for prefix in KEY_PREFIXES:
            if name.startswith(prefix):
                return name.removeprefix(prefix)
    return next((key for name, key in pairwise(offered) if name.lower() in KEY_FOLLOWS), "")
