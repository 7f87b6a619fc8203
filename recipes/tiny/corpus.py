"""A corpus on disk: audio.i16 (16 kHz mono, all utterances behind one another) and index.jsonl.

A line of index.jsonl: offset and samples into audio.i16, text, voice, domain and, where known, words
[[word, end_s]] and phones [[name, start_s]]. No words at all are known words: nothing is to be written.
"""

import json
from collections import defaultdict
from functools import cached_property
from pathlib import Path

import numpy as np

RATE = 16000
PEAK = 16000


class Writer:
    """Appends utterances to a corpus folder; close() makes the index complete."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.samples = 0
        self._audio = (folder / "audio.i16").open("wb")
        self._index = (folder / "index.jsonl").open("w")

    def add(self, audio: np.ndarray, **item) -> None:
        """audio int16 [samples]; everything else becomes the utterance's line of the index."""
        audio.astype(np.int16).tofile(self._audio)
        row = {"offset": self.samples, "samples": len(audio), **item}
        self._index.write(json.dumps(row) + "\n")
        self.samples += len(audio)

    def close(self) -> None:
        self._audio.close()
        self._index.close()


def read_index(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "index.jsonl").open()]


def write_index(folder: Path, items: list[dict]) -> None:
    """Replaces the index in one step, so that a reader sees the old one or the new one."""
    draft = folder / "index.jsonl.new"
    draft.write_text("".join(json.dumps(x) + "\n" for x in items))
    draft.replace(folder / "index.jsonl")


def merge(parts: list[Path], folder: Path) -> None:
    """Joins corpus folders into one and removes them."""
    out = Writer(folder)
    for part in parts:
        audio = np.fromfile(part / "audio.i16", np.int16)
        for item in read_index(part):
            offset, samples = item.pop("offset"), item.pop("samples")
            out.add(audio[offset : offset + samples], **item)
        (part / "audio.i16").unlink()
        (part / "index.jsonl").unlink()
        part.rmdir()
    out.close()


class Corpus:
    """The utterances of a folder whose word times are known, to be drawn from with a weight.

    `domains` restricts it to some of its parts. Of its utterances the share `spliced` is to be cut at the words and put
    together anew (splice.py).
    """

    def __init__(
        self, folder: Path, weight: float = 1.0, domains: tuple[str, ...] = (), spliced: float = 0.0
    ):
        self.audio = np.memmap(folder / "audio.i16", dtype=np.int16, mode="r")
        self.items = [x for x in read_index(folder) if "words" in x]
        if domains:
            self.items = [x for x in self.items if x["domain"] in domains]
        self.weight, self.spliced = weight, spliced
        self.wordless = not any(x["words"] for x in self.items)
        if not self.items:
            raise ValueError(f"no utterance of {folder} has word times: align it first")

    @classmethod
    def named(cls, root: Path, name: str, weight: float, spliced: float = 0.0) -> "Corpus":
        """A corpus below `root` by the name a phase gives it: FOLDER, or FOLDER:DOMAIN,DOMAIN."""
        folder, _, domains = name.partition(":")
        return cls(root / folder, weight, tuple(filter(None, domains.split(","))), spliced)

    @cached_property
    def by_voice(self) -> dict[tuple[str, str], list[dict]]:
        """(domain, voice) -> its utterances that have words."""
        found = defaultdict(list)
        for item in self.items:
            if item["words"]:
                found[item["domain"], item["voice"]].append(item)
        return found

    def load(self, item: dict) -> np.ndarray:
        """float32 [samples] in [-1, 1)."""
        return load(self.audio, item)


def load(audio: np.ndarray, item: dict) -> np.ndarray:
    return audio[item["offset"] : item["offset"] + item["samples"]].astype(np.float32) / 32768


def to_peak(audio: np.ndarray) -> np.ndarray | None:
    """float32 [samples] of any scale -> int16 at a common peak; None for silence."""
    peak = float(np.abs(audio).max()) if len(audio) else 0.0
    return None if peak == 0 else (audio * (PEAK / peak)).astype(np.int16)
