"""Log lines for people or for machines. Never a transcript, never a key."""

from __future__ import annotations

import json
import logging
import sys
import time

from aiohttp.http_exceptions import HttpProcessingError

from realtime.config import LogConfig


class JsonLines(logging.Formatter):
    """One JSON object per line; times in UTC."""

    converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class NotTheClientsFault(logging.Filter):
    """Drops the traces that the HTTP library prints for requests that are no HTTP."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def set_up(config: LogConfig) -> None:
    """Everything to stderr, the program's own output stays on stdout."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonLines() if config.format == "json" else text)
    logging.basicConfig(level=config.level.upper(), handlers=[handler], force=True)
    # It warns about every client that offers a subprotocol we do not speak.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    logging.getLogger("aiohttp.server").addFilter(NotTheClientsFault())
