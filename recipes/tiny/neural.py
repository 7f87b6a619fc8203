"""Two neural synthesisers, which sound like people: hibari (one voice, bent to many) and Kokoro-82M (28, and mixtures).

Neither tells when a word ends: align.py finds that, as in recordings. Kokoro (hexgrad, Apache-2.0) has the better
voices and speaks twice as fast as people do on one core; hibari (M. Williams, Apache-2.0), which learned one of those
voices from it, a hundred times. The packages are asked for when they are used, and only then.
"""

import json
import random
from functools import cached_property
from pathlib import Path

import numpy as np

from recipes.tiny.espeak import Espeak
from recipes.tiny.speech import Speech

RATE = 24000
BATCH = 10
"""So many utterances are said by one voice."""
PACE = (0.75, 1.3)
PITCH = (0.5, 1.25)
"""Of hibari's voice, a woman's at 200 Hz."""
TRACT_OF_PITCH = 0.35
"""Who speaks lower has a longer vocal tract: a man half as high one that is a fifth longer."""
ALONE = 0.5
"""Share of the voices of Kokoro that are nobody's mixture."""
FOREIGN_PHONEMES = str.maketrans({"g": "ɡ", "͡": "", "ɫ": "l", "ʏ": "y"})
Voice = dict
"""What a voice needs to be drawn once and to speak often, and its `name`."""


def _session(path: Path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Phonemes:
    """Text -> phonemes in Kokoro's alphabet, by hibari; of another language by espeak-ng.

    Raises ModuleNotFoundError where hibari is not installed.
    """

    def __init__(self):
        from hibari import g2p, tts

        self._english = {british: g2p.G2P(british=british) for british in (False, True)}
        self.ids: dict[str, int] = json.loads((Path(tts.ASSETS) / "vocab.json").read_text())

    def english(self, words: list[str], ending: str, british: bool = False) -> list[int] | None:
        """Ids of words, capitals being letters; None where nothing is left of them."""
        text = " ".join("[A](/ˈA/)" if word == "A" else word for word in words)
        return self._known(self._english[british](text + ending))

    def foreign(self, espeak: Espeak, text: str, language: str) -> list[int] | None:
        return self._known(espeak.ipa(text, language).translate(FOREIGN_PHONEMES))

    def _known(self, phonemes: str) -> list[int] | None:
        return [self.ids[c] for c in phonemes if c in self.ids] or None


class Hibari:
    """hibari's own voice, with other pitches and vocal tracts: its network tells them apart, so both can be bent."""

    def __init__(self):
        from hibari import tts

        self._model = _session(Path(tts.ASSETS) / "hibari.onnx")

    def voice(self, r: random.Random, foreign: bool = False) -> Voice:
        """One like any other, whatever language it is to speak."""
        pitch = float(np.exp(r.uniform(*np.log(PITCH))))
        tract = pitch**TRACT_OF_PITCH * r.uniform(0.93, 1.07)
        return {"name": f"hibari-{pitch:.2f}-{tract:.2f}", "pitch": pitch, "tract": tract, "british": False}

    def speak(self, ids: list[int], voice: Voice, pace: float, r: random.Random) -> np.ndarray:
        """float32 [samples] at RATE."""
        from hibari import dsp

        feeds = {"ids": np.array([[0, *ids, 0]]), "speed": np.array([pace], np.float32)}
        *parts, f0 = (x[0] for x in self._model.run(None, feeds))
        noise = np.random.default_rng(r.getrandbits(32))
        return dsp.synth(*(bent(x, voice["tract"]) for x in parts), f0 * voice["pitch"], noise)


def bent(spectrum: np.ndarray, factor: float) -> np.ndarray:
    """float32 [bins, frames] with what is at a frequency moved to `factor` times it."""
    at = np.minimum(np.arange(len(spectrum)) / factor, len(spectrum) - 1)
    low = np.minimum(at.astype(int), len(spectrum) - 2)
    share = (at - low)[:, None].astype(np.float32)
    return spectrum[low] * (1 - share) + spectrum[low + 1] * share


class Kokoro:
    """A folder with kokoro.onnx (v1.0) and voices/*.bin. Raises FileNotFoundError where they are missing."""

    def __init__(self, folder: Path):
        voices = sorted((folder / "voices").glob("*.bin"))
        if not voices or not (folder / "kokoro.onnx").exists():
            raise FileNotFoundError(f"{folder} must hold kokoro.onnx and voices/*.bin")
        self._styles = {path.stem: np.fromfile(path, np.float32).reshape(-1, 256) for path in voices}
        self._folder = folder

    @cached_property
    def _model(self):
        return _session(self._folder / "kokoro.onnx")

    def voice(self, r: random.Random, foreign: bool = False) -> Voice:
        """One of those that speak English, or two of the same accent mixed; of any language for foreign speech."""
        names = [name for name in self._styles if foreign or name[0] in "ab"]
        first = r.choice(names)
        second = r.choice([name for name in names if foreign or name[0] == first[0]])
        share = 1.0 if r.random() < ALONE else r.uniform(0.25, 0.75)
        style = share * self._styles[first] + (1 - share) * self._styles[second]
        name = first if share == 1 else f"{first}-{share:.2f}-{second}"
        return {"name": f"kokoro-{name}", "style": style, "british": first[0] == "b"}

    def speak(self, ids: list[int], voice: Voice, pace: float, r: random.Random) -> np.ndarray:
        """float32 [samples] at RATE."""
        style = voice["style"]
        feeds = {
            "tokens": np.array([[0, *ids, 0]]),
            "style": style[min(len(ids), len(style)) - 1][None],
            "speed": np.array([pace], np.float32),
        }
        return self._model.run(None, feeds)[0].ravel()


def spoken(wave: np.ndarray, foreign: bool = False) -> Speech:
    """float32 [samples] at RATE -> speech whose words are still to be found, foreign speech having none."""
    audio = np.clip(wave * 32767, -32768, 32767).astype(np.int16)
    return Speech(audio, RATE, [] if foreign else None, None)
