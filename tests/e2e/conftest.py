"""The real server as a process, with the bundled model or the one that VOXWIRE_MODEL names."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "realtime" / "assets" / "demo.wav"
SCRIPT = ROOT / "realtime" / "assets" / "demo.json"
STOP_TIMEOUT_S = 30
SLOTS = 6


def environment() -> dict[str, str]:
    """No setting from outside but the model."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VOXWIRE_")}
    model = {"VOXWIRE_MODEL": os.environ["VOXWIRE_MODEL"]} if "VOXWIRE_MODEL" in os.environ else {}
    return kept | model | {"OMP_NUM_THREADS": "1"}


class RunningServer:
    def __init__(self, process: subprocess.Popen, log: Path):
        self.process = process
        self._log = log
        self.address = self._announced_address()

    @property
    def stream_url(self) -> str:
        return f"ws://{self.address}/v1/stream"

    def said(self) -> str:
        """What is in its log."""
        return self._log.read_text()

    def get(self, path: str) -> tuple[int, bytes]:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=30) as response:
            return response.status, response.read()

    def ready(self) -> dict:
        return json.loads(self.get("/readyz")[1])

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    def _announced_address(self) -> str:
        """Read what the server prints until it is complete; a server that dies ends its output."""
        said = ""
        while "Ctrl-C" not in said:
            line = self.process.stdout.readline()
            assert line, self.said()
            said += line
        return re.search(r"open +http://(\S+)", said)[1]


@contextmanager
def running_server(flags: Sequence[str] = ()) -> Iterator[RunningServer]:
    command = [sys.executable, "-m", "realtime.cli", "serve", "--port", "0", "--slots", str(SLOTS), *flags]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as sink:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=sink, text=True, env=environment(), cwd=ROOT
            )
        try:
            yield RunningServer(process, log)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            process.stdout.close()


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """One for all tests that leave it as they found it."""
    with running_server() as running:
        yield running
