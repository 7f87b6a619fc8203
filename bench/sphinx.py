"""pocketsphinx as a peer: what one `pip install` gives somebody who wants English speech to text without a GPU.

Its own acoustic model, dictionary and language model, its defaults, whole clips: no streaming, which is to its
advantage. `pip install pocketsphinx==5.1.1`; nothing else of the project needs it.
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import soxr

from bench import speech
from bench.report import BenchError, progress
from bench.speech import RATE_HZ, Row


def name() -> str:
    """Raises BenchError where it is not installed."""
    try:
        return f"pocketsphinx {version('pocketsphinx')}"
    except ImportError:
        raise BenchError("--peer needs: pip install pocketsphinx==5.1.1") from None


def transcripts(clips: list[Row]) -> list[str]:
    """What it hears on every channel of every clip, in order."""
    from pocketsphinx import Decoder

    decoder, heard = Decoder(samprate=float(RATE_HZ), loglevel="FATAL"), []
    for done, row in enumerate(clips, 1):
        audio, rate_hz = speech.read(row.path)
        heard += [_hear(decoder, _at_16_khz(channel, rate_hz)) for channel in audio.T[: len(row.texts)]]
        if done % 50 == 0 or done == len(clips):
            progress(f"{done} of {len(clips)} clips by {name()}")
    return heard


def _at_16_khz(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """int16 [n] at any rate -> int16 [m] at 16 kHz."""
    if rate_hz == RATE_HZ:
        return np.ascontiguousarray(samples)
    return soxr.resample(samples, rate_hz, RATE_HZ)


def _hear(decoder, samples: np.ndarray) -> str:
    decoder.start_utt()
    decoder.process_raw(samples.tobytes(), no_search=False, full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""
