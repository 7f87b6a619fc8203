"""Replays a golden conversation: a .jsonl file with what is sent, and in between what the client must be told.

One object a line:

    {"stage": {"query": {…}, "limits": {…}, "slots": 1}}      first line, all optional
    {"send": {…}}            a JSON text message              {"text": "…"}   any text message
    {"audio": [["voice", 800], ["silence", 500]]}             binary, in ms, as the stage's `encode` says
    {"bytes": "00ff"}        binary, in hexadecimal           {"slots": 1}    slots of the engine from now on
    {"call": "retry"}        a method of the session          {"told": {…}}   what the client is told, in order

`python -m tests.conversations.play FILE…` writes the `told` lines anew; read the difference before you keep it.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from realtime.session import SessionLimits
from tests.conversations.stage import Echo, Stage, s16, silence, voice
from tests.text.vocabulary import load_tekken


def play(lines, tekken, chunk_bytes=None, batch=1):
    """Run the sending lines; returns them with what was told after each."""
    stage, out = None, []
    for line in lines:
        if "told" in line:
            continue
        if stage is None:
            stage = _stage(line.get("stage", {}), tekken, batch)
            seen = 0
        if "stage" not in line:
            _act(stage, line, chunk_bytes)
        out.append((line, stage.told[seen:]))
        seen = len(stage.told)
    return out


def told(played):
    return [message for _line, messages in played for message in messages]


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _stage(setup, tekken, batch):
    limits = SessionLimits(**setup.get("limits", {}))
    return Stage(Echo(tekken, setup.get("slots", 99)), setup.get("query"), limits, batch=batch)


def _act(stage, line, chunk_bytes):
    match line:
        case {"send": message}:
            stage.send(message)
        case {"text": text}:
            stage.send(text)
        case {"bytes": data}:
            stage.send(bytes.fromhex(data))
        case {"audio": parts}:
            data = sound(parts, stage.session.options.channels)
            step = chunk_bytes or len(data)
            stage.send(*(data[at : at + step] for at in range(0, len(data), step)))
        case {"slots": slots}:
            stage.engine.slots = slots
        case {"call": method}:
            getattr(stage.session, method)()
            stage.settle()
        case _:
            raise ValueError(f"unknown line {line}")


def sound(parts, channels=1):
    """[["voice", 800], ["silence", 500]] → pcm_s16le at 16 kHz; with two channels a list of such a list each."""
    if channels == 1:
        return s16(*(_part(*part) for part in parts))
    rows = [np.concatenate([_part(*part) for part in row]) for row in parts]
    return s16(np.stack(rows, axis=1).reshape(-1))


def _part(kind, ms):
    return {"voice": voice, "silence": silence}[kind](ms)


def record(path):
    with tempfile.TemporaryDirectory() as folder:
        tekken = load_tekken(Path(folder))
    lines = []
    for line, messages in play(read(path), tekken):
        lines += [line, *({"told": message} for message in messages)]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        record(Path(name))
