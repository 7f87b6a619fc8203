"""What the dialects of telephone calls share: the name under which a call is followed, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from realtime.dialects.base import Announce, shown
from realtime.errors import BadOption

MAX_NAME = 200
MAX_PARAMETERS = 64
MAX_TEXT = 500  # characters of anything else, names and values of parameters among them; Twilio takes no more
KEY_PARAMETER = "api_key"
NEVER_TOLD = {KEY_PARAMETER, "key", "token", "access_token", "authorization", "password", "secret"}


def short(value: Any) -> str:
    """A value of the carrier's as it is told to followers: a text, or what should have been one."""
    return (value if isinstance(value, str) else shown(value))[:MAX_TEXT]


def announcement(carrier: str, name: str, parameters: Mapping[str, Any], **details: Any) -> Announce:
    """`parameters` are what the caller's own application said; credentials and empty details are left out.

    Raises BadOption for a name that nobody could ask for.
    """
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise BadOption(f"The call needs a name of at most {MAX_NAME} characters.")
    told = {
        short(key): short(value)
        for key, value in list(parameters.items())[:MAX_PARAMETERS]
        if key.lower() not in NEVER_TOLD
    }
    known = {
        key: short(value) if isinstance(value, str) else value
        for key, value in details.items()
        if value not in ("", None)
    }
    return Announce(name, {"carrier": carrier, **known, "parameters": told})
