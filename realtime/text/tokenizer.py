"""tekken.json in, bytes out: what every token id of a checkpoint means.

Ids below `n_special` are control tokens and carry no text; id `n_special + rank` is the byte string of that
rank. A piece may be any bytes: characters are split across tokens, so decoding to text is
`words.WordDecoder`'s work.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime.errors import CheckpointError
from realtime.events import DELAYS_MS

PAD_NAME, WORD_NAME = "[STREAMING_PAD]", "[STREAMING_WORD]"
# Older files list no special tokens by name; these are the ids of the published checkpoints.
PAD_FALLBACK, WORD_FALLBACK = 32, 33


@dataclass(frozen=True, slots=True)
class Tekken:
    """The vocabulary and the audio block of one checkpoint."""

    n_special: int
    pieces: tuple[bytes, ...]  # by rank
    pad_id: int  # nothing to write in this frame
    word_id: int  # a group of words follows
    delay_ms: int  # the delay the checkpoint asks for, one of DELAYS_MS
    n_left_pad: int  # frames of zeros before the first real sample
    frame_rate: float  # Hz
    look_ahead_ms: float
    name: str = "tekken.json"

    @classmethod
    def load(cls, path: str | Path) -> Tekken:
        """Read a file. Raises CheckpointError that names the file and the field which is missing or wrong."""
        path = Path(path)
        data = _read(path)
        config = _Fields(path, "config", data.get("config"))
        n_special = config.integer("default_num_special_tokens", low=1)
        vocab_size = config.integer("default_vocab_size", low=n_special + 1)
        audio = _Fields(path, "audio", data.get("audio"))
        names = _special_ids(path, data.get("special_tokens"), n_special)
        return cls(
            n_special=n_special,
            pieces=_pieces(path, data.get("vocab"), vocab_size - n_special),
            pad_id=_control_id(path, names, PAD_NAME, PAD_FALLBACK, n_special),
            word_id=_control_id(path, names, WORD_NAME, WORD_FALLBACK, n_special),
            delay_ms=_delay(audio, "transcription_delay_ms"),
            n_left_pad=audio.integer("streaming_n_left_pad_tokens", low=0),
            frame_rate=audio.number("frame_rate", low=0),
            look_ahead_ms=audio.number("streaming_look_ahead_ms", low=0),
            name=str(path),
        )

    @property
    def vocab_size(self) -> int:
        """Control ids and pieces together: what the checkpoint's `vocab_size` must be."""
        return self.n_special + len(self.pieces)

    def piece(self, token: int) -> bytes:
        """The bytes of a token; b"" for control ids and for ids beyond the vocabulary."""
        rank = token - self.n_special
        return self.pieces[rank] if 0 <= rank < len(self.pieces) else b""


class _Fields:
    """One object of the file, read field by field with errors that say where."""

    def __init__(self, path: Path, name: str, value: Any):
        if not isinstance(value, Mapping):
            what = "is missing" if value is None else "is not an object"
            raise CheckpointError(f"{path}: {name} {what}; a streaming checkpoint's tekken.json has one.")
        self.path, self.name, self.value = path, name, value

    def integer(self, field: str, *, low: int) -> int:
        value = self.number(field, low=low)
        if value != int(value):
            raise self.wrong(field, "is not a whole number")
        return int(value)

    def number(self, field: str, *, low: float) -> float:
        value = self.value.get(field)
        if value is None:
            raise self.wrong(field, "is missing")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(field, f"is not a number: {value!r}")
        if not low <= value < float("inf"):
            raise self.wrong(field, f"is {value}, less than {low} or not finite")
        return value

    def wrong(self, field: str, what: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: {self.name}.{field} {what}.")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file.") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is not JSON ({error}); is it truncated?") from None
    if not isinstance(data, Mapping):
        raise CheckpointError(f"{path}: is not a JSON object.")
    return data


def _pieces(path: Path, vocab: Any, count: int) -> tuple[bytes, ...]:
    """The first `count` byte strings. A published file lists more than the model knows."""
    if not isinstance(vocab, list):
        raise CheckpointError(f"{path}: vocab is missing or not a list.")
    if len(vocab) < count:
        raise CheckpointError(f"{path}: vocab has {len(vocab)} entries, config asks for {count}.")
    pieces = []
    for rank, entry in enumerate(vocab[:count]):
        try:
            if entry["rank"] != rank:
                raise CheckpointError(f"{path}: vocab[{rank}].rank is {entry['rank']!r}, not {rank}.")
            pieces.append(base64.b64decode(entry["token_bytes"], validate=True))
        except (KeyError, TypeError, binascii.Error):
            raise CheckpointError(f"{path}: vocab[{rank}].token_bytes is missing or not base64.") from None
    return tuple(pieces)


def _special_ids(path: Path, specials: Any, n_special: int) -> dict[str, int]:
    """Names of control tokens to ids; empty where the file lists none."""
    ids = {}
    for index, entry in enumerate(specials or ()):
        try:
            name, rank = entry["token_str"], entry["rank"]
        except (KeyError, TypeError):
            raise CheckpointError(f"{path}: special_tokens[{index}] has no token_str or rank.") from None
        if not isinstance(rank, int) or not 0 <= rank < n_special:
            raise CheckpointError(f"{path}: special_tokens[{index}].rank is {rank!r}, not below {n_special}.")
        ids[name] = rank
    return ids


def _control_id(path: Path, names: Mapping[str, int], name: str, fallback: int, n_special: int) -> int:
    token = names.get(name, fallback)
    if token >= n_special:
        raise CheckpointError(f"{path}: special_tokens has no {name} and only {n_special} control ids.")
    return token


def _delay(audio: _Fields, field: str) -> int:
    value = audio.integer(field, low=DELAYS_MS[0])
    if value not in DELAYS_MS:
        raise audio.wrong(field, f"is {value}, none of {', '.join(map(str, DELAYS_MS))}")
    return value
