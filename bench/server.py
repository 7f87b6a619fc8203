"""`voxwire serve` as a process of its own on a free loopback port, watched from outside and ended by its id."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench.report import ROOT, BenchError

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SERVE = (sys.executable, "-m", "realtime.cli", "serve")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of every bench that starts a server."""
    group = parser.add_argument_group("server")
    group.add_argument("--model", help="checkpoint folder (default: the bundled model)")
    group.add_argument("--threads", type=int, help="torch threads of the engine (default: torch's choice)")
    group.add_argument("--server-flags", default="", metavar="'FLAGS'", help="more flags of voxwire serve")


def flags(options: argparse.Namespace, **settings: object) -> list[str]:
    """Flags of `voxwire serve`: settings of the bench, then what the user gave, which wins."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items() if value is not None]
    if options.model:
        words.append(f"--model={options.model}")
    if options.threads:
        words.append(f"--threads={options.threads}")
    return [*words, *shlex.split(options.server_flags)]


class Server:
    """A context: inside it the server is ready. Raises BenchError with the end of its log if it does not become so."""

    def __init__(self, flags: Sequence[str] = (), command: Sequence[str] = SERVE):
        self._command = [*command, "--host=127.0.0.1", "--port=0", "--log-level=warning", *flags]
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - see _stop
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/stream"

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=_environment(),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a Ctrl-C is ours: the server is ended in order
        )
        try:
            self._until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def check(self) -> None:
        """Raise BenchError if the server has died."""
        if self._process is None or self._process.poll() is not None:
            raise BenchError(f"the server is gone: {self.log_end()}")

    def log_end(self, lines: int = 5) -> str:
        """The end of what the server printed, on one line."""
        return " | ".join(self._printed().strip().splitlines()[-lines:]) or "it said nothing"

    def _printed(self) -> str:
        if self._log.closed:
            return ""
        self._log.seek(0)
        return self._log.read()

    def get(self, path: str, timeout_s: float = 10.0) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=timeout_s) as answer:
            return answer.read().decode()

    def ready(self) -> dict:
        """What /readyz says: model, slots."""
        return json.loads(self.get("/readyz"))

    def metrics(self) -> Metrics:
        return Metrics.parse(self.get("/metrics"))

    def usage(self) -> Usage:
        self.check()
        return usage(self.pid)

    def _until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            self.check()
            self.port = self.port or self._announced_port()
            if self.port:
                try:
                    self.ready()
                    return
                except (OSError, ValueError):
                    pass
            time.sleep(0.1)
        raise BenchError(f"the server was not ready within {START_TIMEOUT_S:g} s: {self.log_end()}")

    def _announced_port(self) -> int:
        match = re.search(r"http://127\.0\.0\.1:(\d+)", self._printed())
        return int(match[1]) if match else 0

    def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log.close()


def _environment() -> dict[str, str]:
    """Without settings of ours from outside: a bench measures what its command line says."""
    return {name: value for name, value in os.environ.items() if not name.startswith("VOXWIRE_")}


# ---------------------------------------------------------------- what can be seen of a process


@dataclass(frozen=True, slots=True)
class Usage:
    cpu_s: float  # user and system, all threads
    rss_bytes: int
    threads: int
    open_files: int


def usage(pid: int) -> Usage:
    """Read /proc. Raises BenchError if the process is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError as error:
        raise BenchError(f"process {pid} cannot be watched: {error}") from None
    cpu_s = (int(stat[11]) + int(stat[12])) / TICKS_PER_S
    return Usage(cpu_s, int(stat[21]) * PAGE_BYTES, int(stat[17]), files)


@dataclass(frozen=True, slots=True)
class Metrics:
    """One reading of /metrics, names without the prefix `voxwire_`."""

    values: dict[str, float]  # by name, labelled samples added up
    histograms: dict[str, dict[float, float]]  # cumulative: upper bound → count

    @classmethod
    def parse(cls, text: str) -> Metrics:
        values: dict[str, float] = {}
        histograms: dict[str, dict[float, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix("voxwire_")
                if name.endswith("_bucket"):
                    buckets = histograms.setdefault(name.removesuffix("_bucket"), {})
                    buckets[float(sample.labels["le"])] = sample.value
                else:
                    values[name] = values.get(name, 0.0) + sample.value
        return cls(values, histograms)

    def value(self, name: str) -> float:
        """0 for a labelled counter that never counted."""
        return self.values.get(name, 0.0)
