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
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import soundfile
from rich.console import Console
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
    try:
        return _demo(Path(args.file) if args.file else None, args.url or None)
    except ClientError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


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
        outcome = asyncio.run(caption_file(recording, Job(address, os.environ.get("VOXWIRE_KEY"), options)))
    if file is None and not outcome.interrupted:
        console.print(compare(_said(), _heard(outcome)))
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


def _said() -> list[str]:
    script = json.loads(SCRIPT.read_text(encoding="utf-8"))
    return [word for utterance in script["utterances"] for word in _words(utterance["text"])]


def _heard(outcome: Outcome) -> list[str]:
    return _words(outcome.transcript.text())


def _words(text: str) -> list[str]:
    """Lower case, without punctuation: how it is written does not count as heard or not."""
    return re.findall(r"[\w']+", text.lower())


def compare(said: list[str], heard: list[str]) -> Text:
    """What was said above what was heard, differences coloured, and how many words are right."""
    said_line, heard_line = Text("said:  ", style="dim"), Text("heard: ", style="dim")
    right = 0
    for kind, a, b, c, d in difflib.SequenceMatcher(a=said, b=heard, autojunk=False).get_opcodes():
        same = kind == "equal"
        right += b - a if same else 0
        _append(said_line, said[a:b], "not dim green" if same else "not dim bold yellow")
        _append(heard_line, heard[c:d], "not dim green" if same else "not dim bold red")
    extra = len(heard) - right
    summary = f"{right} of {len(said)} words are right" + (
        f", {extra} heard otherwise or added." if extra else "."
    )
    return Text("\n").join([Text(), said_line, heard_line, Text(summary, style="bold")])


def _append(line: Text, words: list[str], style: str) -> None:
    if words:
        line.append(" ".join(words) + " ", style=style)


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
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=2) as response:
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
