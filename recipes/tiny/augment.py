"""What rooms, noises and telephones do to speech: to the waveform first, then to the features."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from recipes.tiny.corpus import RATE
from recipes.tiny.mel import FLOOR

LIGHT = ("eq", "phone", "head")
FULL = ("speed", "noise", "warp", "eq", "phone", "reverb", "mask", "clip", "loss", "head")
KINDS = frozenset(FULL)
PACKET = RATE // 50


class Noises:
    """Coloured noises made here, and the recordings and room responses of a folder where there is one."""

    def __init__(self, folder: Path | None = None):
        self.coloured = coloured_noise()
        self.recorded, self.rooms = [], []
        for row in map(json.loads, (folder / "manifest.jsonl").open()) if folder else ():
            audio, rate = soundfile.read(folder / row["path"], dtype="float32", always_2d=True)
            if rate != RATE:
                raise ValueError(f"{folder / row['path']}: {rate} Hz, expected {RATE}")
            (self.rooms if row["kind"] == "rir" else self.recorded).append(audio[:, 0])

    def draw(self, r: np.random.Generator, samples: int) -> np.ndarray:
        """Float32 [samples] of one noise from a random place on, unit variance."""
        if self.recorded and r.random() < 0.5:
            noise = self.recorded[r.integers(len(self.recorded))]
        else:
            noise = self.coloured[r.integers(len(self.coloured))]
        start = r.integers(len(noise))
        noise = np.resize(np.concatenate([noise[start:], noise[:start]]), samples)
        return noise / (noise.std() + 1e-9)

    def room(self, r: np.random.Generator) -> np.ndarray:
        """A room response that begins with its direct sound, so that word times stay true."""
        if self.rooms and r.random() < 0.5:
            room = self.rooms[r.integers(len(self.rooms))]
            room = room[np.abs(room).argmax() :][: RATE // 2]
            return room / (np.abs(room[0]) + 1e-9)
        n = int(r.uniform(0.05, 0.35) * RATE)
        tail = np.exp(-np.arange(n) * r.uniform(4, 9) / n) * r.uniform(0.02, 0.12)
        room = (r.standard_normal(n) * tail).astype(np.float32)
        room[0] = 1
        return room


def coloured_noise(seconds: float = 16.384, count: int = 16) -> np.ndarray:
    """[count, samples] from white to brown, unit variance."""
    r = np.random.default_rng(1)
    spectrum = np.fft.rfft(r.standard_normal((count, int(seconds * RATE))))
    spectrum *= np.maximum(np.arange(spectrum.shape[1]), 50) ** -np.linspace(0, 1.2, count)[:, None]
    noise = np.fft.irfft(spectrum).astype(np.float32)
    return noise / noise.std(1, keepdims=True)


def reverberate(audio: np.ndarray, room: np.ndarray) -> np.ndarray:
    size = 1 << (len(audio) + len(room) - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(audio, size) * np.fft.rfft(room, size), size)[: len(audio)]
    return wet.astype(np.float32)


def gain(r: np.random.Generator) -> float:
    """From 26 dB below the level of the corpus to 5 above; now and then as little as 40 dB below."""
    return 10 ** r.uniform(-2 if r.random() < 0.15 else -1.3, 0.25)


def speed(r: np.random.Generator, wave: np.ndarray, kinds: set[str]) -> tuple[np.ndarray, float]:
    """Another tempo and, with it, another pitch and vocal tract -> (wave, how much faster it is)."""
    if "speed" not in kinds or r.random() > 0.4:
        return wave, 1.0
    factor = r.uniform(0.87, 1.16)
    return soxr.resample(wave, RATE * factor, RATE, quality="MQ"), factor


def mu_law(audio: np.ndarray) -> np.ndarray:
    """What 8 bit µ-law keeps of float32 audio in [-1, 1]."""
    code = np.sign(audio) * np.log1p(255 * np.abs(audio).clip(0, 1)) / np.log(256)
    code = np.round(code * 127) / 127
    return (np.sign(code) * (256 ** np.abs(code) - 1) / 255).astype(np.float32)


def clipped(r: np.random.Generator, audio: np.ndarray) -> np.ndarray:
    """As a microphone that was set too loud: cut at a level that speech often passes."""
    top = float(np.quantile(np.abs(audio), r.uniform(0.95, 0.998)))
    return audio.clip(-top, top) if top > 0 else audio


def lossy(r: np.random.Generator, audio: np.ndarray) -> np.ndarray:
    """Packets of 20 ms that did not arrive: silence, or the packet before once more."""
    repeats = r.random() < 0.5
    return without(audio, r.random(len(audio) // PACKET) < r.uniform(0.005, 0.04), repeats)


def without(audio: np.ndarray, lost: np.ndarray, repeats: bool = False) -> np.ndarray:
    """bool [packets], True where one is lost -> the audio with silence there, or with the packet before once more."""
    out = audio.copy()
    for i in np.flatnonzero(lost):
        before = out[max(0, i - 1) * PACKET :][:PACKET]
        out[i * PACKET :][:PACKET] = before if repeats else 0
    return out


def babble(r: np.random.Generator, samples: int, voice: Callable[[], np.ndarray]) -> np.ndarray:
    """Two to five voices that talk on without a pause, unit variance."""
    out = np.zeros(samples, np.float32)
    for _ in range(r.integers(2, 6)):
        at = int(r.uniform(0, 2) * RATE)
        while at < samples:
            wave = voice()[: samples - at]
            out[at : at + len(wave)] += wave
            at += max(len(wave), 1)
    return out / (out.std() + 1e-9)


def waveform(r: np.random.Generator, audio: np.ndarray, kinds: set[str], noises: Noises, voice) -> np.ndarray:
    """Room, background and telephone coding; `voice` draws an utterance for the babble."""
    if "reverb" in kinds and r.random() < 0.3:
        audio = reverberate(audio, noises.room(r))
    if "noise" in kinds and r.random() < 0.55:
        talking = r.random() < 0.1
        background = babble(r, len(audio), voice) if talking else noises.draw(r, len(audio))
        snr_db = r.uniform(15, 40) if talking else r.uniform(4, 40)
        audio = audio + background * (np.sqrt(np.mean(audio**2)) * 10 ** (-snr_db / 20) + 1e-5)
    elif r.random() < 0.5:
        audio = audio + r.standard_normal(len(audio)).astype(np.float32) * 10 ** r.uniform(-5, -3)
    if "clip" in kinds and r.random() < 0.1:
        audio = clipped(r, audio)
    if "phone" in kinds and r.random() < 0.2:
        audio = mu_law(audio)
    if "loss" in kinds and r.random() < 0.1:
        audio = lossy(r, audio)
    return audio.astype(np.float32)


def features(r: np.random.Generator, mel: torch.Tensor, kinds: set[str]) -> None:
    """Changes the features [128, frames] of the real audio in place; digital silence stays silent."""
    if "eq" in kinds and r.random() < 0.5:  # gain and a smooth frequency response, in log10 power / 4
        curve = np.interp(np.linspace(0, 5, mel.shape[0]), np.arange(6), r.normal(0, 0.12, 6))
        silent = mel <= FLOOR + 1e-4
        mel += torch.from_numpy(curve.astype(np.float32))[:, None]
        mel[silent] = FLOOR
    if "phone" in kinds and r.random() < 0.3:  # nothing above 3.4 to 4 kHz, little below 300 Hz
        mel[int(r.integers(88, 98)) :] = FLOOR
        if r.random() < 0.5:
            mel[: int(r.integers(2, 12))] -= r.uniform(0.1, 0.5)
    mel.clamp_min_(FLOOR)
    if "mask" in kinds and r.random() < 0.6:
        _mask(r, mel)


def _mask(r: np.random.Generator, mel: torch.Tensor) -> None:
    """Blanks some bands and some short times."""
    for _ in range(r.integers(1, 4)):
        at, width = r.integers(0, 120), r.integers(2, 18)
        mel[at : at + width] = FLOOR if r.random() < 0.5 else mel.mean()
    for _ in range(r.integers(0, 8)):
        at, width = r.integers(0, mel.shape[1]), r.integers(2, 14)
        mel[:, at : at + width] = mel.mean()
