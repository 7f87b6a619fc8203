"""One measurement as one Markdown table, under a line that says where and when it was made."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class BenchError(Exception):
    """Why a measurement cannot be made: one sentence."""


def progress(words: str) -> None:
    """A line for whoever waits; never part of the result."""
    print(f"bench: {words}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class Table:
    """A further table of a report."""

    title: str
    columns: Sequence[str]
    rows: list[list[Any]]

    def markdown(self) -> str:
        return f"#### {self.title}\n\n{table(self.columns, self.rows)}"

    def fields(self) -> dict[str, Any]:
        return {"title": self.title, "columns": list(self.columns), "rows": self.rows}


@dataclass(slots=True)
class Report:
    """`rows` hold numbers where there are numbers: they are formatted here and exact in the JSON.

    `setting` says what was measured, `notes` what the reader must know; a column may be right of no number at all.
    """

    title: str
    columns: Sequence[str]
    rows: list[list[Any]] = field(default_factory=list)
    setting: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=lambda: machine())
    tables: list[Table] = field(default_factory=list)

    def markdown(self) -> str:
        setting = "; ".join(f"{name} {cell(value)}" for name, value in self.setting.items())
        head = [f"### {self.title}", "", " · ".join(self.machine.values())]
        head += ["", setting] if setting else []
        below = [*(further.markdown() for further in self.tables), *self.notes]
        return "\n".join([*head, "", table(self.columns, self.rows), *(f"\n{part}" for part in below)])

    def json(self) -> str:
        body = {
            "title": self.title,
            "machine": self.machine,
            "setting": self.setting,
            "columns": list(self.columns),
            "rows": self.rows,
            "notes": self.notes,
        }
        if self.tables:
            body["tables"] = [further.fields() for further in self.tables]
        return json.dumps(_finite(body), indent=1, default=str) + "\n"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; a column whose cells are all numbers stands right."""
    text = [[cell(value) for value in row] for row in rows]
    numeric = [all(not isinstance(row[i], str) for row in rows) for i in range(len(columns))]
    widths = [max(3, *(len(line[i]) for line in [list(columns), *text])) for i in range(len(columns))]
    rule = ["-" * (w - 1) + ":" if n else "-" * w for w, n in zip(widths, numeric, strict=True)]
    lines = [
        [value.rjust(w) if n else value.ljust(w) for value, w, n in zip(line, widths, numeric, strict=True)]
        for line in [list(columns), *text]
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def cell(value: Any) -> str:
    """A number with as many digits as it deserves; – where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if not isinstance(value, float) or math.isinf(value):
        return str(value)
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 or size == 0 else f"{value:.2f}"


def machine() -> dict[str, str]:
    """What was measured on, which code, when, and how busy the machine was already."""
    return {
        "cpu": f"{_cpu_model()}, {_cores()} cores",
        "python": f"Python {platform.python_version()}",
        "commit": f"commit {_commit()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load": f"load average before {os.getloadavg()[0]:.1f}",
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.split(":", 1)[1].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str:
    """Short hash, marked if the service or the benches differ from it; `unknown` outside a checkout."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "realtime", "client", "bench")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head + ("+changes" if changed else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _finite(value: Any) -> Any:
    """JSON knows neither NaN nor infinity."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
