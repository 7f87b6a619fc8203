"""The bundled demo: a short call in a voice the model was not trained on."""

import json
import random
from pathlib import Path

import numpy as np
import soundfile
import soxr

from recipes.tiny import corpus
from recipes.tiny.espeak import PAUSE
from recipes.tiny.flite import Flite
from recipes.tiny.spell import digits

VOICE = "rms"
LEAD_S, PAUSE_S, TAIL_S = 0.6, (1.0, 1.6), 1.2
FLOOR_RMS = 1e-4


def lines(r: random.Random) -> list[str]:
    number, account = digits(r, 10, 10, oh=0), digits(r, 6, 6, oh=0)
    return [
        "hello what is your phone number",
        f"my phone number is {number}",
        "please hold the line",
        f"my account number is {account}",
    ]


def say(flite: Flite, text: str) -> tuple[np.ndarray, float, float]:
    """float32 audio at 16 kHz and where its speech starts and ends in seconds. Raises RuntimeError if flite fails."""
    speech = flite.speak(text.split(), VOICE)
    if speech is None:
        raise RuntimeError(f"flite cannot say {text!r}")
    audio = soxr.resample(speech.audio.astype(np.float32) / 32768, speech.rate, corpus.RATE)
    start_s = next(start for name, start in speech.phones if name != PAUSE)
    return audio, start_s, speech.word_ends_s[-1]


def make(folder: Path, seed: int = 0) -> None:
    """Writes demo.wav (16 kHz, mono, s16) and demo.json with what is said when."""
    r, noise = random.Random(seed), np.random.default_rng(seed)
    flite, parts, utterances, at = Flite(), [], [], 0

    def append(audio: np.ndarray) -> None:
        nonlocal at
        parts.append(audio)
        at += len(audio)

    append(np.zeros(int(LEAD_S * corpus.RATE)))
    for text in lines(r):
        audio, start_s, end_s = say(flite, text)
        begin_ms = at / corpus.RATE * 1000
        utterances.append(
            {
                "text": text,
                "start_ms": round(begin_ms + start_s * 1000),
                "end_ms": round(begin_ms + end_s * 1000),
            }
        )
        append(audio)
        append(np.zeros(int(r.uniform(*PAUSE_S) * corpus.RATE)))
    append(np.zeros(int(TAIL_S * corpus.RATE)))
    call = np.concatenate(parts)
    call = call * (0.5 / np.abs(call).max()) + noise.standard_normal(len(call)) * FLOOR_RMS
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "demo.wav", call, corpus.RATE, subtype="PCM_16")
    about = {
        "voice": f"flite cmu_us_{VOICE}, a synthetic voice that the bundled model was not trained on",
        "made_with": f"python -m recipes.tiny demo --out realtime/assets --seed {seed}",
        "utterances": utterances,
    }
    (folder / "demo.json").write_text(json.dumps(about, indent=2) + "\n")
    print(f"{folder / 'demo.wav'}: {len(call) / corpus.RATE:.1f} s", flush=True)
