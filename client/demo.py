"""`make demo`: a bundled conversation, or a recording of one's own, at the pace it was spoken.

It goes to a running server or to one that is started here and ended afterwards. This module needs the whole
project; it is no part of the client package that installs alone.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import IO

import soundfile
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client import protocol
from client.captions import Job, Outcome, caption_file
from client.errors import EXIT_INTERRUPTED, EXIT_USAGE, ClientError, Unreachable
from client.files import FileSource
from client.protocol import Options

ASSETS = Path(__file__).parent.parent / "realtime" / "assets"
RECORDING = ASSETS / "demo.wav"
SCRIPT = ASSETS / "demo.json"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0
ADDRESS = re.compile(r"https?://[\w.\-\[\]:]+:\d+")


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    _end_in_order_on_signals()
    try:
        return _demo(Path(args.file) if args.file else None, args.url or os.environ.get("VOXWIRE_URL"))
    except ClientError as error:
        print(f"demo: {error.advice()}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        return EXIT_INTERRUPTED


def _end_in_order_on_signals() -> None:
    """However the demo is ended, the server that it started must not survive it."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m client.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--file", default="", help="a recording instead of the bundled conversation")
    parser.add_argument("--url", default="", help="a running server (default: port 8000, else a new one)")
    return parser


def _demo(file: Path | None, url: str | None) -> int:
    console = Console(highlight=False)
    recording = file or RECORDING
    options = Options(channels=_channels(recording))
    FileSource(recording, channels=options.channels).close()
    with _server(url, console) as address:
        if file is None:
            console.print(_introduction())
        job = Job(address, os.environ.get("VOXWIRE_KEY"), options, keep=True)
        outcome = asyncio.run(caption_file(recording, job))
    if file is None and not outcome.interrupted:
        console.print(Text(), compare(_said(), _heard(outcome)))
    return outcome.exit_code


def _channels(path: Path) -> int:
    """2 for a recording with two channels. A file that cannot be read is left to FileSource to explain."""
    try:
        return 2 if soundfile.info(str(path)).channels == 2 else 1
    except (soundfile.LibsndfileError, TypeError, OSError):
        return 1


def _introduction() -> Text:
    voice = json.loads(SCRIPT.read_text(encoding="utf-8"))["voice"]
    return Text(f"The bundled conversation, spoken by {voice}.", style="dim")


# ---------------------------------------------------------------- said against heard


def _said() -> list[list[str]]:
    """The words of each utterance of the script."""
    script = json.loads(SCRIPT.read_text(encoding="utf-8"))
    return [_words(utterance["text"]) for utterance in script["utterances"]]


def _heard(outcome: Outcome) -> list[str]:
    return _words(outcome.transcript.text())


def _words(text: str) -> list[str]:
    """Lower case, without punctuation: how it is written does not count as heard or not."""
    return re.findall(r"[\w']+", text.lower())


def compare(said: list[list[str]], heard: list[str]) -> Table:
    """Each utterance as it was said and as it was heard, differences coloured; then the count."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=7, justify="right", style="dim")
    right = 0
    for pairs in _by_utterance(said, heard):
        right += sum(a == b for a, b in pairs)
        table.add_row("said", _line(pairs, side=0, other="yellow"))
        table.add_row("heard", _line(pairs, side=1, other="red"))
        table.add_row()
    total = sum(map(len, said))
    wrong = f", {len(heard) - right} heard otherwise or added" if len(heard) > right else ""
    table.add_row("", Text(f"{right} of {total} words are right{wrong}.", style="bold"))
    return table


def _by_utterance(said: list[list[str]], heard: list[str]) -> list[list[tuple[str, str]]]:
    """Pairs of a said and a heard word, an empty string where one is missing; one list an utterance."""
    flat = [word for words in said for word in words]
    utterance_of = [n for n, words in enumerate(said) for _ in words]
    pairs: list[list[tuple[str, str]]] = [[] for _ in said]
    for _, a, b, c, d in difflib.SequenceMatcher(a=flat, b=heard, autojunk=False).get_opcodes():
        for n, pair in enumerate(zip_longest(flat[a:b], heard[c:d], fillvalue="")):
            at = min(a + n, max(a, b - 1), len(flat) - 1)
            pairs[utterance_of[at]].append(pair)
    return pairs


def _line(pairs: list[tuple[str, str]], side: int, other: str) -> Text:
    styled = ((pair[side], "green" if pair[0] == pair[1] else f"bold {other}") for pair in pairs)
    return Text(" ").join(Text(word, style=style) for word, style in styled if word)


# ---------------------------------------------------------------- the server


@contextmanager
def _server(url: str | None, console: Console) -> Iterator[str]:
    """The address of the server to use: the named one, one that runs on the default port, or our own."""
    if url is not None:
        yield url
    elif _is_ready("http://127.0.0.1:8000"):
        console.print(Text("Using the server that runs on port 8000.", style="dim"))
        yield protocol.DEFAULT_URL
    else:
        with _own_server(console) as address:
            yield address


@contextmanager
def _own_server(console: Console) -> Iterator[str]:
    with tempfile.TemporaryFile("a+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            [*_command(), "serve", "--host", "127.0.0.1", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the captions; the server is needed for their last words
        )
        try:
            with console.status("Starting a server…"):
                address = _wait_until_ready(process, log)
            console.print(Text(f"Started a server for this demo on {address}.", style="dim"))
            yield address
        finally:
            _stop(process)


def _command() -> list[str]:
    beside = Path(sys.executable).with_name("voxwire")
    found = str(beside) if beside.exists() else shutil.which("voxwire")
    if found is None:
        raise NoServer("The command `voxwire` is missing. Run `make setup` first.")
    return [found]


class NoServer(ClientError):
    """The demo's own server cannot be started."""

    exit_code = EXIT_USAGE


def _wait_until_ready(process: subprocess.Popen, log: IO[str]) -> str:
    """The address that the server prints, once it is ready. Raises NoServer with the end of its output."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        printed = _printed(log)
        if process.poll() is not None:
            raise NoServer(f"The server ended at once (status {process.returncode}):\n{_tail(printed)}")
        address = ADDRESS.search(printed)
        if address is not None and _is_ready(address.group()):
            return address.group()
        time.sleep(0.1)
    raise Unreachable(f"The server was not ready after {START_TIMEOUT_S:g} s:\n{_tail(_printed(log))}")


def _printed(log: IO[str]) -> str:
    # Opened for appending: reading from the start does not move where the server writes.
    log.seek(0)
    return log.read()


def _tail(printed: str) -> str:
    return "\n".join(printed.splitlines()[-15:])


def _is_ready(address: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{address}/readyz", timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
