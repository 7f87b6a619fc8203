import json

import numpy as np
import pytest
import soundfile

from recipes.tiny import evaluate
from recipes.tiny.evaluate import Scored, distance
from recipes.tiny.tokenizer import SPECIALS


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
    assert "| x | 5 | 20.0 |" in evaluate.table({6: scored})


def test_only_english_one_channel_clips_are_read(tmp_path):
    rows = [
        {"path": "a.flac", "text": "One.", "group": "g"},
        {"path": "a.flac", "text": "uno", "group": "other_lang"},
        {"path": "a.flac", "text": ["one", "two"], "group": "two_channel"},
    ]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    soundfile.write(tmp_path / "a.flac", np.zeros(800), 8000)
    [(group, text, audio)] = evaluate.read_clips(tmp_path)
    assert (group, text, audio.shape) == ("g", "one", (1600,))


def test_a_clip_is_heard_alike_alone_and_in_a_batch(small_model):
    small_model.embedding.audio_language_projection[2].weight.data.mul_(50)  # tokens follow the audio
    r = np.random.default_rng(0)
    waves = [(r.standard_normal(n) * 0.1).astype(np.float32) for n in (4000, 20000)]
    together = evaluate.transcribe(small_model, waves, 6)
    alone = [evaluate.transcribe(small_model, [w], 6)[0] for w in waves]
    assert together == alone
    assert any(t >= SPECIALS for t in together[1])
