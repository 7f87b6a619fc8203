"""Replays a golden conversation: a .jsonl file with what is sent, and in between what the client must be told.

One object a line:

    {"stage": {"query": {…}, "headers": {…}, "limits": {…}, "slots": 1}}      first line, all optional
    {"send": {…}}            a JSON text message              {"text": "…"}   any text message
    {"audio": [["voice", 800], ["silence", 500]]}             in ms, in the dialect's messages
    {"bytes": "00ff"}        binary, in hexadecimal           {"slots": 1}    slots of the engine from now on
    {"call": "retry"}        a method of the session          {"told": {…}}   what the client is told, in order

What subscribers are told stands among it as {"announce": …} and {"publish": …}.

A conversation in a folder is one of that dialect: its `form.py` has `new()`, which makes the dialect, and
`messages(channels)`, which puts audio, float32 [channels, n] at 16 kHz, into the messages of a client.

`python -m tests.conversations.play FILE…` writes the `told` lines anew; read the difference before you keep it.
"""

import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np

from realtime.session import SessionLimits
from tests.conversations.stage import Echo, Stage, s16, silence, voice
from tests.text.vocabulary import load_tekken


def play(lines, tekken, chunk_bytes=None, batch=1, form=None):
    """Run the sending lines; returns them with what was told after each."""
    stage, out = None, []
    for line in lines:
        if "told" in line:
            continue
        if stage is None:
            stage = _stage(line.get("stage", {}), tekken, batch, form)
            seen = 0
        if "stage" not in line:
            _act(stage, line, chunk_bytes, form)
        out.append((line, stage.told[seen:]))
        seen = len(stage.told)
    return out


def told(played):
    return [message for _line, messages in played for message in messages]


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _stage(setup, tekken, batch, form):
    limits = SessionLimits(**setup.get("limits", {}))
    dialect = form.new() if form else None
    engine = Echo(tekken, setup.get("slots", 99))
    return Stage(
        engine, setup.get("query"), limits, batch=batch, dialect=dialect, headers=setup.get("headers")
    )


def _act(stage, line, chunk_bytes, form):
    match line:
        case {"send": message}:
            stage.send(message)
        case {"text": text}:
            stage.send(text)
        case {"bytes": data}:
            stage.send(bytes.fromhex(data))
        case {"audio": parts} if form:
            stage.send(*form.messages(np.stack(_rows(parts))))
        case {"audio": parts}:
            data = sound(parts)
            step = chunk_bytes or len(data)
            stage.send(*(data[at : at + step] for at in range(0, len(data), step)))
        case {"slots": slots}:
            stage.engine.slots = slots
        case {"call": method}:
            getattr(stage.session, method)()
            stage.settle()
        case _:
            raise ValueError(f"unknown line {line}")


def sound(parts):
    """[["voice", 800], ["silence", 500]] → pcm_s16le at 16 kHz; of two such lists two channels, interleaved."""
    return s16(np.stack(_rows(parts), axis=1).reshape(-1))


def _rows(parts):
    """float32 [n] of each channel."""
    rows = [parts] if isinstance(parts[0][0], str) else parts
    return [np.concatenate([_part(*part) for part in row]) for row in rows]


def form_of(path):
    """The dialect's form of a conversation in a folder; None for the native ones, beside this file."""
    home = Path(__file__).parent
    return None if path.parent == home else import_module(f"tests.conversations.{path.parent.name}.form")


def _part(kind, ms):
    return {"voice": voice, "silence": silence}[kind](ms)


def record(path):
    with tempfile.TemporaryDirectory() as folder:
        tekken = load_tekken(Path(folder))
    lines = []
    for line, messages in play(read(path), tekken, form=form_of(path)):
        lines += [line, *({"told": message} for message in messages)]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        record(Path(name).resolve())
