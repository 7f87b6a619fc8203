"""What the log shows, and what it does not."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from realtime.config import LogConfig
from realtime.server import logs


@pytest.fixture(autouse=True)
def keep_logging():
    """`set_up` takes over the root logger; give it back to the test runner."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    server = logging.getLogger("aiohttp.server")
    filters = server.filters[:]
    yield
    root.handlers[:], server.filters[:] = handlers, filters
    root.setLevel(level)


def test_json_lines_are_json_with_the_trace_inside(capsys):
    logs.set_up(LogConfig("info", "json"))
    logging.getLogger("voxwire.test").info("session %s opened", "a1")
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logging.getLogger("voxwire.test").exception("failed")
    opened, failed = map(json.loads, capsys.readouterr().err.splitlines())
    assert (opened["level"], opened["logger"], opened["message"]) == (
        "info",
        "voxwire.test",
        "session a1 opened",
    )
    assert opened["time"].endswith("Z")
    assert "RuntimeError: broken" in failed["exception"]


def test_the_level_is_heeded(capsys):
    logs.set_up(LogConfig("warning", "text"))
    logging.getLogger("voxwire.test").info("quiet")
    logging.getLogger("voxwire.test").warning("loud")
    said = capsys.readouterr().err
    assert "quiet" not in said and "loud" in said


def test_requests_that_are_no_http_leave_no_trace_but_our_faults_do(capsys):
    logs.set_up(LogConfig("info", "text"))
    for error in (BadHttpMessage("no Host"), RuntimeError("ours")):
        try:
            raise error
        except Exception:
            logging.getLogger("aiohttp.server").error("Error handling request", exc_info=sys.exc_info())
    said = capsys.readouterr().err
    assert "no Host" not in said and "ours" in said
