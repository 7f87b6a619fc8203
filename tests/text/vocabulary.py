"""A small tekken.json for tests that need no model."""

import base64
import json
from pathlib import Path

from realtime.text.tokenizer import Tekken

WORDS = [b" hello", b" world", b" won", b"der", b"ful", b".", b" one", b" two", b" three", b" a b", b"\n"]
WORDS += ["你好".encode(), "世界".encode(), "。".encode(), "「".encode(), b"'s", b" four", b" "]


def tekken_document(words=WORDS, n_special=40, delay_ms=480):
    """A file in the layout of the checkpoints: control ids, 256 bytes, `words`."""
    vocab = [bytes([n]) for n in range(256)] + list(words)
    entries = [{"rank": n, "token_bytes": base64.b64encode(b).decode()} for n, b in enumerate(vocab)]
    names = {1: "<s>", 2: "</s>", 32: "[STREAMING_PAD]", 33: "[STREAMING_WORD]"}
    return {
        "config": {"default_num_special_tokens": n_special, "default_vocab_size": n_special + len(vocab)},
        "vocab": entries,
        "special_tokens": [{"rank": n, "token_str": names.get(n, f"<S{n}>")} for n in range(n_special)],
        "audio": {
            "frame_rate": 12.5,
            "transcription_delay_ms": delay_ms,
            "streaming_look_ahead_ms": 2.5,
            "streaming_n_left_pad_tokens": 32,
        },
    }


def load_tekken(folder: Path, **options) -> Tekken:
    path = folder / "tekken.json"
    path.write_text(json.dumps(tekken_document(**options)))
    return Tekken.load(path)


def token_ids(tekken: Tekken) -> dict[bytes, int]:
    return {piece: tekken.n_special + rank for rank, piece in enumerate(tekken.pieces)}
