"""tekken.json and phones.json from the corpora that there are."""

import collections
import json
from pathlib import Path

from recipes.tiny import corpus, tokenizer
from recipes.tiny.espeak import PAUSE

VOCABULARY = 1280
RAREST_PHONE = 20


def phone_names(items: list[dict]) -> list[str]:
    """Silence first, then by frequency; phones that hardly occur are left out."""
    counts = collections.Counter(name for x in items for name, _ in x.get("phones", ()))
    names = [name for name, n in counts.most_common() if n >= RAREST_PHONE and name != PAUSE]
    return [PAUSE, *names]


def build(folders: list[Path], out: Path) -> None:
    """Writes out/tekken.json and out/phones.json."""
    items = [x for folder in folders for x in corpus.read_index(folder)]
    counts = tokenizer.count_pieces(x["text"] for x in items)
    tokenizer.save(tokenizer.train(counts, VOCABULARY - tokenizer.SPECIALS - 256), out / "tekken.json")
    names = phone_names(items)
    (out / "phones.json").write_text(json.dumps(names))
    made = tokenizer.Tokenizer(out / "tekken.json")
    words = [w for x in items for w in x["text"].split()]
    per_word = sum(len(made.word(w)) for w in words) / len(words)
    print(f"vocabulary {made.size}, {per_word:.2f} tokens a word, {len(names)} phones", flush=True)
