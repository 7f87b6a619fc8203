import json
import math
from functools import partial

import numpy as np
import pytest
import soundfile
import torch

from realtime.model.blanks import BlankPenalty
from recipes.tiny import evaluate
from recipes.tiny.data import LEFT_TOKENS
from recipes.tiny.evaluate import Scored, distance
from recipes.tiny.tokenizer import PAD, SPECIALS
from tests import checkpoints


@pytest.mark.parametrize(
    ("reference", "heard", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a c", 1),
        ("a b", "a x b", 1),
        ("a b", "", 2),
        ("", "a", 1),
        ("a b", "b a", 2),
    ],
)
def test_word_errors(reference, heard, errors):
    assert distance(reference.split(), heard.split()) == errors


def test_groups_are_summed_by_words_not_by_clips():
    scored = Scored([("x", "a b c d", "a b c d"), ("x", "a", "b"), ("y", "a", "")])
    assert scored.errors() == {"all": (2, 6), "x": (1, 5), "y": (1, 1)}
    assert "| x | 5 | 20.0 |" in evaluate.table({"480 ms": scored})


def test_words_where_nothing_was_said_are_counted_apart():
    scored = Scored([("x", "a b", "a"), ("music", "", "la la"), ("music", "", "la")])
    assert scored.errors() == {"all": (1, 2), "music": (3, 0), "x": (1, 2)}
    assert "| music | 0 | 3 words |" in evaluate.table({"480 ms": scored})


def test_a_word_is_written_if_its_first_piece_was_probable_enough(toy_tokenizer):
    tokens, logprobs = [1, 32], [0.0, 0.0]
    for word, first in (("one", 0.9), ("zebra", 0.3), ("two", 0.5)):
        pieces = toy_tokenizer.word(word)
        tokens += [33, *pieces]
        logprobs += [-5.0, math.log(first), *[-5.0] * (len(pieces) - 1)]
    text = partial(evaluate.written, toy_tokenizer, tokens, logprobs)
    assert text(0.0) == "one zebra two"
    assert text(0.4) == "one two"
    assert text(0.6) == "one"
    assert text(0.95) == ""


def test_one_channel_clips_are_read_and_of_other_languages_nothing_is_to_be_written(tmp_path):
    rows = [
        {"path": "a.flac", "text": "One.", "group": "g"},
        {"path": "a.flac", "text": "uno", "group": "other_lang"},
        {"path": "a.flac", "text": ["one", "two"], "group": "two_channel"},
    ]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    soundfile.write(tmp_path / "a.flac", np.zeros(800), 8000)
    [(group, text, audio), (other, nothing, _)] = evaluate.read_clips(tmp_path)
    assert (group, text, audio.shape) == ("g", "one", (1600,))
    assert (other, nothing) == ("other_lang", "")


def test_a_clip_is_heard_alike_alone_and_in_a_batch(small_model):
    small_model.embedding.audio_language_projection[2].weight.data.mul_(50)  # tokens follow the audio
    r = np.random.default_rng(0)
    waves = [(r.standard_normal(n) * 0.1).astype(np.float32) for n in (4000, 20000)]
    together = evaluate.transcribe(small_model, waves, 6)
    alone = [evaluate.transcribe(small_model, [w], 6)[0] for w in waves]
    assert [tokens for tokens, _ in together] == [tokens for tokens, _ in alone]
    for (_, one), (_, other) in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert any(t >= SPECIALS for t in together[1][0])


def test_a_limit_takes_clips_of_every_group_spread_over_it(tmp_path):
    texts = ["one", "two", "three", "four", "five"]
    rows = [{"path": "a.flac", "text": t, "corpus": c} for c in "ab" for t in texts[: 5 if c == "a" else 1]]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    soundfile.write(tmp_path / "a.flac", np.zeros(800), 16000)
    found = [(group, text) for group, text, _ in evaluate.read_clips(tmp_path, limit=2)]
    assert found == [("a", "one"), ("a", "three"), ("b", "one")]
    assert len(evaluate.read_clips(tmp_path)) == 6


@torch.no_grad()
def test_a_penalty_lets_the_runner_up_through_when_a_server_would(small_model):
    """The pad is always ahead, by 1.28 logits: as tests/model/test_precision.py has it for what serves."""
    embeddings = small_model.embedding.tok_embeddings.weight.zero_()
    embeddings[PAD], embeddings[77] = 0.1, 0.08
    small_model.norm = checkpoints.Ones()  # logits are then 64 times these numbers
    wave = np.zeros(60 * 1280, np.float32)

    def heard(penalty: BlankPenalty | None) -> list[int]:
        [(tokens, _)] = evaluate.transcribe(small_model, [wave], 6, penalty)
        return tokens[LEFT_TOKENS + 6 + 1 :]

    assert set(heard(None)) == {PAD}
    written = heard(BlankPenalty(after=20, slope=0.5, limit=7.0))
    assert written.index(77) == 23  # 23 pads in a row: 3 over, 1.5 logits weaker
    assert written[24] == PAD  # a word ends the run
    assert set(heard(BlankPenalty(after=20, slope=0.5, limit=1.0))) == {PAD}
