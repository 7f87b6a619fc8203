"""Log-mel against the definition, written a second time in numpy, and against mistral_common's filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from realtime.model.args import AudioArgs
from realtime.model.mel import LogMel, mel_filters
from tests import signals


def by_definition(samples: np.ndarray) -> np.ndarray:
    """One DFT at a time in float64. [n_mels, n]."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    basis = np.exp(-2j * np.pi * np.outer(np.arange(201), np.arange(400)) / 400)
    filters = mel_filters(AudioArgs()).numpy().astype(np.float64)
    columns = []
    for start in range(0, len(samples) - 399, 160):
        power = np.abs(basis @ (samples[start : start + 400] * window)) ** 2
        columns.append((np.maximum(np.log10(np.maximum(power @ filters, 1e-10)), -6.5) + 4) / 4)
    return np.stack(columns, 1)


def test_equals_the_definition():
    samples = signals.babble(0.6, seed=4)
    ours = LogMel(AudioArgs())(torch.from_numpy(samples)[None])[0].numpy()
    assert np.abs(ours - by_definition(samples.astype(np.float64))).max() < 1e-4  # float32 near the floor


def test_filters_equal_mistral_common():
    audio = pytest.importorskip("mistral_common.audio")
    theirs = audio.mel_filter_bank(201, 128, 0.0, 8000.0, 16000)
    assert np.abs(mel_filters(AudioArgs()).numpy() - theirs).max() < 1e-7


def test_silence_is_the_floor():
    assert (LogMel(AudioArgs())(torch.zeros(1, 1520)) == -0.625).all()


def test_windows_in_pieces_equal_the_whole_to_the_last_bit():
    samples = torch.from_numpy(signals.babble(0.8, seed=5))[None]
    mel = LogMel(AudioArgs())
    whole = mel(samples[:, : 240 + 1280 * 9])
    pieces = [mel(samples[:, 1280 * k : 1280 * k + 1520]) for k in range(9)]
    assert torch.equal(whole, torch.cat(pieces, -1))
