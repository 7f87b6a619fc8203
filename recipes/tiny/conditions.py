"""The same recordings of people again and again: quiet, loud, clipped, from afar, by telephone, in noise.

What each of these costs is the difference to `as recorded`, clip by clip. The noises and rooms are those of the folder
of noises, which training draws from as well: others may cost more.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from recipes.tiny import augment, corpus, evaluate

GROUPS = ("alnum_addresses", "alnum_control", "alnum_phone_numbers", "alnum_spelled_names", "digits8k")
"""What the bundled model hears well enough for a difference to mean something."""
CLIPPED_SHARE = 0.05
LOST_SHARE = 0.03
PHONE_HZ = 8000

Change = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def make(speech: Path, folder: Path, seed: int = 0) -> int:
    """Writes FLAC files and manifest.jsonl (path, text, group, seconds) -> the number of clips.

    `speech` holds noise/ and dev/. Raises ValueError if dev/ has none of GROUPS.
    """
    folder.mkdir(parents=True, exist_ok=True)
    changes, rows = _changes(augment.Noises(speech / "noise")), []
    for number, (text, audio) in enumerate(_recordings(speech / "dev")):
        for name, change in changes.items():
            r = np.random.default_rng([seed, number])
            changed, rate = change(r, audio), PHONE_HZ if name == "telephone" else corpus.RATE
            path = f"{number:03d}_{name.replace(' ', '_').replace('%', 'percent')}.flac"
            soundfile.write(folder / path, changed.clip(-1, 1), rate, subtype="PCM_16")
            seconds = round(len(changed) / rate, 3)
            rows.append({"path": path, "text": text, "group": name, "seconds": seconds})
    if not rows:
        raise ValueError(f"{speech / 'dev'} has no recordings of the groups {', '.join(GROUPS)}")
    (folder / "manifest.jsonl").write_text("".join(json.dumps(x) + "\n" for x in rows))
    return len(rows)


def _recordings(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """(text, float32 at 16 kHz with its peak at half of full scale) of every clip."""
    for group, text, audio in evaluate.read_clips(folder):
        if group in GROUPS:
            yield text, audio * (0.5 / (np.abs(audio).max() + 1e-9))


def _changes(noises: augment.Noises) -> dict[str, Change]:
    def noise(snr_db: float) -> Change:
        return lambda r, x: x + noises.draw(r, len(x)) * (_rms(x) * 10 ** (-snr_db / 20))

    return {
        "as recorded": lambda r, x: x,
        "20 dB quieter": lambda r, x: x * 0.1,
        "40 dB quieter": lambda r, x: x * 0.01,
        "clipped": lambda r, x: x / max(1e-9, float(np.quantile(np.abs(x), 1 - CLIPPED_SHARE))),
        "far": lambda r, x: augment.reverberate(x, noises.room(r)) * 0.1,
        "telephone": lambda r, x: augment.mu_law(soxr.resample(x, corpus.RATE, PHONE_HZ)),
        "3 % lost": _lossy,
        "noise at 20 dB": noise(20),
        "noise at 10 dB": noise(10),
        "noise at 0 dB": noise(0),
    }


def _lossy(r: np.random.Generator, x: np.ndarray) -> np.ndarray:
    return augment.without(x, r.random(-(-len(x) // augment.PACKET)) < LOST_SHARE)


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))
