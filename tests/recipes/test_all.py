"""The recipe from end to end, on seconds of audio."""

import json
import random
from functools import partial

import numpy as np
import pytest
import soundfile

from realtime.model import weights
from recipes.tiny import align, corpus, heldout, plan, synth, texts, vocabulary
from recipes.tiny.__main__ import main
from recipes.tiny.average import Mean
from recipes.tiny.plan import Spoken
from recipes.tiny.synth import Cast, resampled
from recipes.tiny.tokenizer import Tokenizer
from recipes.tiny.train import Phase
from tests.recipes.test_synth import needs_synthesisers

TEXTS = ("call the office", "send a message to mary", "seven five", "stop the music")


def write(folder, waves, **fields):
    """Clips and their manifest: name -> int16 [samples] at 16 kHz."""
    folder.mkdir(parents=True)
    rows = []
    for (name, wave), text in zip(waves.items(), TEXTS, strict=False):
        soundfile.write(folder / name, wave, corpus.RATE)
        row = {"path": name, "text": text, "speaker": folder.name, "corpus": "an4", "group": "words"}
        rows.append({**row, **fields})
    (folder / "manifest.jsonl").write_text("".join(map("{}\n".format, map(json.dumps, rows))))


@pytest.fixture
def given(tmp_path):
    """The arguments of `all`, with folders of recordings and texts behind them."""
    cast = Cast(random.Random(0), held_out=False)
    spoken = [cast.espeak.speak(text.split(), "en-us") for text in TEXTS]
    waves = {f"{i}.wav": resampled(speech, 1.0) for i, speech in enumerate(spoken)}
    hiss = np.random.default_rng(0).integers(-3000, 3000, 2 * corpus.RATE).astype(np.int16)
    write(tmp_path / "speech" / "train", waves)
    write(tmp_path / "speech" / "dev", {"0.wav": waves["0.wav"]})
    write(tmp_path / "speech" / "noise", {"hiss.wav": hiss}, kind="fan")
    write(tmp_path / "others", {"0.wav": hiss})
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "some.txt").write_text("This is a sentence.\nThat is another one.\n")
    named = {name: str(tmp_path / name) for name in ("speech", "text", "others", "out")}
    return ["all", "--workers", "1", *(x for name, path in named.items() for x in (f"--{name}", path))]


@pytest.fixture
def short_plan(monkeypatch):
    phase = partial(Phase, ranks=1, batch=1, ticks=96)
    first = phase("first", {"domain": 1.0}, steps=2, aux_only_steps=1)
    silent = {"foreign": 0.3, "backward": 0.2, "scrambled": 0.2, "others": 0.2}
    then = phase("then", {"human": 1.0, **silent}, steps=2, start="first", decay=1.0, wordless_share=0.3)
    monkeypatch.setattr(plan, "PHASES", [first, then, Mean("mean", {"first": 0.5, "then": 0.5})])
    monkeypatch.setattr(plan, "ALIGN_AFTER", {"first": {"human": {}}})
    domain = Spoken("domain", 0.005, texts.MIX, {"espeak": 1.0, "flite": 1.0})
    foreign = Spoken(synth.FOREIGN, 0.002, {synth.FOREIGN: 1.0}, {"espeak": 1.0, "festival": 0.1})
    monkeypatch.setattr(plan, "SPOKEN", (domain, foreign))
    monkeypatch.setattr(vocabulary, "RAREST_PHONE", 1)
    monkeypatch.setattr(align, "WORST_SCORE", -100)  # nothing has been learned yet
    monkeypatch.setattr(heldout, "GROUPS", ("digits",))


@needs_synthesisers
def test_all_goes_from_texts_to_a_bundle_that_the_service_loads(given, short_plan, tmp_path, capsys):
    main(given)
    bundle = tmp_path / "out" / "bundle"
    assert weights.load(bundle).args.vocab_size == Tokenizer(bundle / "tekken.json").size
    printed = capsys.readouterr().out
    for folder in ("dev", "heldout"):
        assert f"\n{folder}\n\n| group | words | 480 ms |" in printed
    assert {row["domain"] for row in corpus.read_index(tmp_path / "out" / "corpus" / "human")} == {"an4"}
    main(["phones", "--out", str(tmp_path / "out"), "--speech", str(tmp_path / "speech")])
    assert "\ndev\n\n| group | phones | phones wrong, % |" in capsys.readouterr().out
