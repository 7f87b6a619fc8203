"""tekken.json and phones.json: what the decoder writes and what the auxiliary head names."""

import collections
import json
from pathlib import Path

from recipes.tiny import tokenizer
from recipes.tiny.espeak import PAUSE

VOCABULARY = 1280
RAREST_PHONE = 20


def phone_names(items: list[dict]) -> list[str]:
    """Silence first, then by frequency; phones that hardly occur are left out."""
    counts = collections.Counter(name for x in items for name, _ in x.get("phones", ()))
    names = [name for name, n in counts.most_common() if n >= RAREST_PHONE and name != PAUSE]
    return [PAUSE, *names]


def build(items: list[dict], more_texts: list[str], out: Path) -> None:
    """Writes out/tekken.json and out/phones.json from the index of a synthetic corpus and further texts."""
    counts = tokenizer.count_pieces([*(x["text"] for x in items), *more_texts])
    tokenizer.save(tokenizer.train(counts, VOCABULARY - tokenizer.SPECIALS - 256), out / "tekken.json")
    names = phone_names(items)
    (out / "phones.json").write_text(json.dumps(names))
    made = tokenizer.Tokenizer(out / "tekken.json")
    for name, texts in (("synthetic", [x["text"] for x in items]), ("further", more_texts)):
        words = [w for text in texts for w in text.split()]
        per_word = sum(len(made.word(w)) for w in words) / max(1, len(words))
        print(f"vocabulary {made.size}: {per_word:.2f} tokens a word in the {name} texts", flush=True)
    print(f"{len(names)} phones: {' '.join(names)}", flush=True)
