"""docs/protocol.md is what others write clients from: it must name everything, and its examples must be true."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from realtime import errors, events
from realtime.dialects.base import Handshake
from realtime.dialects.native import _TYPES, OPTIONS, NativeDialect
from realtime.events import SessionOptions

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
NEVER_SENT = {"bad_config", "bad_checkpoint"}  # the server does not start with these


def examples():
    """Every JSON object of the page that is complete."""
    text = re.sub(r'\n\s+(?=[{"])', "", PAGE)
    lines = [line.lstrip("←→ ").strip("`") for line in text.splitlines()]
    return [
        line for line in lines if re.fullmatch(r'\{"type".*\}', line) and "…" not in line.replace('"…"', "")
    ]


def test_names_every_option_message_and_code():
    for name in OPTIONS:
        assert f"| `{name}` |" in PAGE
    for name in _TYPES.values():
        assert f"`{name}`" in PAGE
    for error in errors.SHARED_ERRORS[1:]:
        if error.code not in NEVER_SENT:
            assert f"`{error.code}`" in PAGE, error.code
    for reason in events.FinalReason.__args__:
        assert f"`{reason}`" in PAGE


def test_close_codes_are_those_of_the_errors():
    section = PAGE.split("## Errors and close codes")[1].split("##")[0]
    rows = re.findall(r"^\| (`.*?`) \| (yes|no) \| (\S+?) \|", section, re.M)
    known = {error.code: error for error in errors.SHARED_ERRORS}
    assert len(rows) > 8
    for codes, fatal, close in rows:
        for code in re.findall("`(.*?)`", codes):
            if code == "bad_message" and fatal == "yes":
                continue  # the wire below our messages
            assert known[code].fatal == (fatal == "yes"), code
            assert close in ("–", str(known[code].close_code)), code


def test_ranges_are_those_of_the_dialect():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.split("## Options")[1].split("##")[0], re.M))
    for name, kind in OPTIONS.items():
        if hasattr(kind, "low"):
            assert str(kind.low) in rows[name] and str(kind.high) in rows[name]
        elif name != "delay_ms":
            assert rows[name] == ", ".join(f"`{str(v).lower()}`" for v in kind.values)


def test_defaults_are_those_of_the_options():
    rows = dict(
        re.findall(r"^\| `(\w+)` \|.*?\| (\S+?)†? \|", PAGE.split("## Options")[1].split("##")[0], re.M)
    )
    query = {name: text.strip("`") for name, text in rows.items()}
    assert query.keys() == OPTIONS.keys()
    assert NativeDialect().open(Handshake(tuple(query.items())), SessionOptions()) == SessionOptions()


@pytest.mark.parametrize("text", examples())
def test_examples_are_messages(text):
    message = json.loads(text)
    kind = message.pop("type")
    classes = {name: cls for cls, name in _TYPES.items()}
    if kind not in classes:
        NativeDialect().decode(text)
        return
    message.pop("protocol", None)
    assert list(message) == [name for name in classes[kind].__slots__ if name in message]
    # A field that may be None is left out where it is.
    assert {field.name for field in fields(classes[kind]) if field.default is not None} <= set(message)


def test_the_examples_were_found():
    kinds = {json.loads(text)["type"] for text in examples()}
    assert set(_TYPES.values()) | {"end"} <= kinds
