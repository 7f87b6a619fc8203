"""A toy corpus: each word is a tone, so that nothing has to be synthesised or recorded."""

import functools
import socket

import numpy as np
import pytest
import torch

from recipes.tiny import augment, corpus, train, vocabulary
from recipes.tiny.data import Sequences
from recipes.tiny.model import Model, params
from recipes.tiny.tokenizer import Tokenizer

TONES_HZ = {"one": 300, "two": 700, "three": 1500, "four": 2600}
WORD_S = 0.3


def tone(word: str) -> np.ndarray:
    t = np.arange(int(WORD_S * corpus.RATE)) / corpus.RATE
    return (np.sin(2 * np.pi * TONES_HZ[word] * t) * 12000).astype(np.int16)


@pytest.fixture
def toy(tmp_path):
    """A working folder with corpus/toy, tekken.json and phones.json."""
    r = np.random.default_rng(0)
    writer = corpus.Writer(tmp_path / "corpus" / "toy")
    for _ in range(40):
        words = list(r.choice(list(TONES_HZ), r.integers(1, 5)))
        starts = [WORD_S * i for i in range(len(words))]
        writer.add(
            np.concatenate([tone(w) for w in words]),
            text=" ".join(words),
            voice="tone",
            domain="digits",
            words=[(w, s + WORD_S) for w, s in zip(words, starts, strict=True)],
            phones=list(zip(words, starts, strict=True)),
        )
    writer.close()
    vocabulary.build(corpus.read_index(tmp_path / "corpus" / "toy"), ["five six seven eight nine"], tmp_path)
    return tmp_path


@pytest.fixture
def toy_tokenizer(toy) -> Tokenizer:
    return Tokenizer(toy / "tekken.json")


@pytest.fixture
def sequences(toy, toy_tokenizer) -> Sequences:
    kinds = ("eq", "phone")
    return Sequences(
        [corpus.Corpus(toy / "corpus" / "toy")],
        toy_tokenizer,
        ["_", *TONES_HZ],
        augment.Noises(),
        batch=1,
        ticks=96,
        kinds=kinds,
    )


@pytest.fixture
def small_params():
    """Vocabulary size -> params of a model that trains within seconds."""
    return functools.partial(
        params,
        dim=64,
        layers=1,
        heads=2,
        head_dim=32,
        hidden=96,
        window=32,
        enc_dim=64,
        enc_layers=1,
        enc_heads=2,
        enc_head_dim=32,
        enc_hidden=96,
    )


@pytest.fixture
def small_model(toy_tokenizer, small_params) -> Model:
    torch.manual_seed(0)
    return Model(small_params(toy_tokenizer.size), phones=1 + len(TONES_HZ))


def train_here(phase, out, noise=None, minutes=0, text=None):
    """As train.train does, without a process of its own."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    (out / "run").mkdir(exist_ok=True)
    train.run(0, phase, train.Machine("cpu", 1, 1), out, noise, port, minutes, text)
    return out / "run" / f"{phase.name}.pt"
