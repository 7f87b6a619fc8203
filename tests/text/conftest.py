import base64
import json

import pytest

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


@pytest.fixture
def document():
    return tekken_document()


@pytest.fixture(scope="session")
def tekken(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "tekken.json"
    path.write_text(json.dumps(tekken_document()))
    return Tekken.load(path)


@pytest.fixture(scope="session")
def token(tekken):
    """The id of a byte string, or of P, W, EOS."""
    ids = {piece: tekken.n_special + rank for rank, piece in enumerate(tekken.pieces)}
    ids |= {"P": tekken.pad_id, "W": tekken.word_id, "EOS": 2}
    return lambda piece: ids[piece if piece in ids else piece.encode()]
