"""Captions in a terminal: finals scroll up and stay, the partial and a status line live below them.

Where standard output is no terminal, each final becomes one plain line there, and everything else goes to
standard error. So `python -m client file talk.wav > talk.txt` holds the text alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from client.conversation import Happening, Reconnected, Retrying
from client.protocol import Done, Failed, Final, Gap, Partial, Ready, Warned

REFRESHES_PER_S = 12
CHANNEL_STYLES = ("cyan", "magenta")
METER_CELLS = 16
TIME_CELLS = 7  # 1:02:03
METER_FLOOR_DBFS = -60.0

Status = Callable[[], Text]


class Screen:
    """Shows what happens. A context manager; the live part is gone when it ends."""

    def __init__(
        self,
        status: Status | None = None,
        *,
        channels: int = 1,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ):
        self._stdout = stdout or sys.stdout
        self._channels = channels
        self._status = status
        self._partials: dict[int, Partial] = {}
        self._retrying: Retrying | None = None
        self._captioned = False
        self._out = Console(file=self._stdout, highlight=False) if self._stdout.isatty() else None
        self._err = self._out or Console(file=stderr or sys.stderr, highlight=False)
        self._live = self._make_live() if self._err.is_terminal else None

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._partials.clear()
            self._live.stop()

    def show(self, happening: Happening) -> None:
        """Take in one event or notice."""
        match happening:
            case Partial():
                self._partials[happening.channel] = happening
            case Final():
                self._partials.pop(happening.channel, None)
                self._final(happening)
            case Retrying():
                self._retry(happening)
            case Reconnected():
                self._retrying = None
                self.notice(f"Connected again; {seconds(happening.resent_ms)} of audio were sent again.")
            case Ready():
                self._retrying = None
            case Gap():
                self.notice(
                    f"Not transcribed: {clock(happening.from_ms)} to {clock(happening.to_ms)}"
                    + (f" ({happening.reason})." if happening.reason else "."),
                    "yellow",
                )
            case Warned() | Failed(fatal=False):
                self.notice(f"The server says: {happening.message} [{happening.code}]", "yellow")
            case Done():
                self._partials.clear()
                if not self._captioned:
                    self.notice("No speech was heard.")

    def notice(self, text: str, style: str = "dim") -> None:
        """A line that is no caption."""
        # Where lines are not looked at but kept, they stay whole.
        self._err.print(Text(printable(text), style=style), soft_wrap=not self._err.is_terminal)

    def _final(self, final: Final) -> None:
        if not final.text.strip():
            return
        self._captioned = True
        if self._out is not None:
            self._out.print(self._caption(final, "bold" if final.reason != "lost" else "dim"))
        else:
            label = f"[{final.channel + 1}] " if self._channels > 1 else ""
            print(f"{label}{printable(final.text.strip())}", file=self._stdout, flush=True)

    def _retry(self, retrying: Retrying) -> None:
        again = self._retrying is not None and self._retrying.why == retrying.why
        self._retrying = retrying
        self._partials.clear()
        if not again or self._live is None:
            self.notice(f"{retrying.why} Trying again in {max(1, round(retrying.wait_s))} s.", "yellow")

    # ------------------------------------------------------------ the live part

    def _make_live(self) -> Live:
        return Live(
            console=self._err,
            get_renderable=self._below,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _below(self) -> RenderableType:
        # Called in rich's refresh thread: take a snapshot before the loop changes it.
        partials = sorted(list(self._partials.values()), key=lambda partial: partial.channel)
        lines = [self._caption(partial, "dim italic", "…") for partial in partials if partial.text.strip()]
        if self._status is not None:
            lines.append(self._status_line())
        return Group(*lines)

    def _status_line(self) -> Text:
        line = self._status()
        if self._retrying is not None:
            line.append("  no connection", style="bold yellow")
        line.truncate(self._err.width - 1, overflow="ellipsis")
        return line

    def _caption(self, said: Partial | Final, style: str, mark: str = "") -> Table:
        """Time, channel and text side by side, so that a long text wraps under itself."""
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_column(width=TIME_CELLS, justify="right", style="dim")
        cells = [Text(clock(said.start_ms))]
        if self._channels > 1:
            row.add_column()
            cells.append(Text(str(said.channel + 1), style=CHANNEL_STYLES[said.channel % 2]))
        row.add_column()
        cells.append(Text(printable(said.text.strip()) + mark, style=style))
        row.add_row(*cells)
        return row


# ---------------------------------------------------------------- pieces of a status line


def meter(level_dbfs: float) -> Text:
    """A level bar: green, yellow near full scale, red where it clips."""
    share = 1 - max(METER_FLOOR_DBFS, min(0.0, level_dbfs)) / METER_FLOOR_DBFS
    cells = round(share * METER_CELLS)
    style = "red" if level_dbfs > -3 else "yellow" if level_dbfs > -12 else "green"
    return Text.assemble(("█" * cells, style), ("░" * (METER_CELLS - cells), "dim"))


def progress(done_ms: int, total_ms: int, width: int = 24) -> Text:
    share = min(1.0, done_ms / total_ms) if total_ms else 1.0
    cells = round(share * width)
    label = f" {clock(done_ms)} of {clock(total_ms)}"
    return Text.assemble(("━" * cells, "cyan"), ("━" * (width - cells) + label, "dim"))


def clock(ms: int) -> str:
    """0:07, 12:34 or 1:02:03."""
    total_s = max(0, ms) // 1000
    hours, rest = divmod(total_s, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def seconds(ms: int) -> str:
    return f"{ms / 1000:.1f} s"


def printable(text: str) -> str:
    """Without control characters: what a server sends must not move the cursor or colour the terminal."""
    return "".join(character if character.isprintable() or character == " " else " " for character in text)
