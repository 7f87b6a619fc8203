"""An exported folder -> the checkpoint that training goes on from, as if its phases had just been run.

The phone head is never exported, and recordings cannot be aligned without one: it is trained anew, on an encoder that
stays as it is. The optimisers begin anew.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from recipes.tiny import corpus, export, vocabulary
from recipes.tiny.model import Model
from recipes.tiny.train import Phase, Trainer, train

HEAD = Phase("", {}, steps=250, head_only=True, decay=0.8, batch=4)


def adopt(bundle: Path, name: str, out: Path, corpora: dict[str, float], noise: Path | None = None) -> Path:
    """Writes out/run/NAME.pt, with the tokenizer of the bundle and the phones of the first of the corpora."""
    shutil.copyfile(bundle / "tekken.json", out / "tekken.json")
    phones = vocabulary.phone_names(corpus.read_index(out / "corpus" / next(iter(corpora))))
    (out / "phones.json").write_text(json.dumps(phones))
    exported = export.load(bundle)
    model = Model(exported.p, len(phones))
    model.load_state_dict(exported.state_dict(), strict=False)
    (out / "run").mkdir(exist_ok=True)
    Trainer(model, HEAD.muon_lr, HEAD.adam_lr).save(out / "run" / f"{name}.bundle.pt")
    return train(replace(HEAD, name=name, corpora=corpora, start=f"{name}.bundle"), out, noise)
