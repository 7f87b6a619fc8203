"""A small byte-level BPE in the layout of tekken.json: control tokens below SPECIALS, then byte strings."""

import base64
import collections
import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path

SPECIALS = 40
BOS, EOS, PAD, WORD = 1, 2, 32, 33
NAMES = {
    0: "<unk>",
    BOS: "<s>",
    EOS: "</s>",
    3: "[INST]",
    4: "[/INST]",
    11: "<pad>",
    24: "[AUDIO]",
    25: "[BEGIN_AUDIO]",
    PAD: "[STREAMING_PAD]",
    WORD: "[STREAMING_WORD]",
}
PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
AUDIO = {
    "sampling_rate": 16000,
    "frame_rate": 12.5,
    "transcription_format": "streaming",
    "transcription_delay_ms": 480,
    "streaming_look_ahead_ms": 2.5,
    "streaming_look_back_ms": 52.5,
    "streaming_n_left_pad_tokens": 32,
    "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
}


def pieces(text: str) -> list[str]:
    """What PATTERN makes of lower-case words and apostrophes."""
    return re.findall(r"[ ']?[a-z]+|[ ']", text)


def count_pieces(texts: Iterable[str]) -> collections.Counter:
    """How often each piece occurs; every word has its leading space."""
    return collections.Counter(p for text in texts for word in text.split() for p in pieces(" " + word))


def train(counts: dict[str, int], merges: int) -> list[bytes]:
    """Pieces and how often they occur -> byte strings by rank: the 256 bytes, then the merges."""
    words = [([bytes([b]) for b in piece.encode()], n) for piece, n in counts.items()]
    vocabulary = [bytes([i]) for i in range(256)]
    for _ in range(merges):
        pairs: collections.Counter = collections.Counter()
        for parts, n in words:
            for pair in itertools.pairwise(parts):
                pairs[pair] += n
        if not pairs:
            break
        (left, right), _ = max(pairs.items(), key=lambda x: (x[1], x[0]))
        vocabulary.append(left + right)
        for parts, _ in words:
            _join(parts, left, right)
    return vocabulary


def _join(parts: list[bytes], left: bytes, right: bytes) -> None:
    i = 0
    while i < len(parts) - 1:
        if parts[i] == left and parts[i + 1] == right:
            parts[i : i + 2] = [left + right]
        i += 1


def save(vocabulary: list[bytes], path: Path) -> None:
    """Writes tekken.json."""
    config = {
        "pattern": PATTERN,
        "num_vocab_tokens": len(vocabulary),
        "default_vocab_size": SPECIALS + len(vocabulary),
        "default_num_special_tokens": SPECIALS,
        "version": "v11",
    }
    specials = [
        {"rank": i, "token_str": NAMES.get(i, f"<SPECIAL_{i}>"), "is_control": True} for i in range(SPECIALS)
    ]
    entries = [
        {
            "rank": i,
            "token_bytes": base64.b64encode(b).decode(),
            "token_str": b.decode("utf8", "replace") if i > 255 else None,
        }
        for i, b in enumerate(vocabulary)
    ]
    data = {"config": config, "vocab": entries, "special_tokens": specials, "audio": AUDIO}
    path.write_text(json.dumps(data, indent=0))


class Tokenizer:
    """Reads a tekken.json written by `save`."""

    def __init__(self, path: Path):
        data = json.loads(path.read_text())
        self.bytes = [base64.b64decode(v["token_bytes"]) for v in data["vocab"]]
        self.size = SPECIALS + len(self.bytes)
        self._ranks = {b: i for i, b in enumerate(self.bytes)}
        self._words: dict[str, list[int]] = {}

    def word(self, word: str) -> list[int]:
        """Ids of one lower-case word with its leading space."""
        if word not in self._words:
            ranks = [r for piece in pieces(" " + word) for r in self._bpe(piece.encode())]
            self._words[word] = [SPECIALS + r for r in ranks]
        return self._words[word]

    def _bpe(self, piece: bytes) -> list[int]:
        parts = [bytes([b]) for b in piece]
        while len(parts) > 1:
            joined = [self._ranks.get(a + b) for a, b in itertools.pairwise(parts)]
            known = [(rank, i) for i, rank in enumerate(joined) if rank is not None]
            if not known:
                break
            _, i = min(known)
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        return [self._ranks[p] for p in parts]

    def begins_word(self, token: int) -> bool:
        return token >= SPECIALS and self.bytes[token - SPECIALS].startswith(b" ")

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids, control tokens left out."""
        text = b"".join(self.bytes[i - SPECIALS] for i in ids if i >= SPECIALS)
        return text.decode("utf8", "replace").strip()
