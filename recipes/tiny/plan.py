"""What the bundled model was made of, in order: the one place with the amounts."""

from recipes.tiny import texts
from recipes.tiny.train import Phase

SEED = 1
DOMAIN_HOURS, OPEN_HOURS = 10, 5
DOMAIN_MIX, OPEN_MIX = texts.MIX, {"open": 1.0}
RARE_TEXTS = ("novels_gutenberg", "speeches_us_presidents", "web_ewt", "assistant_snips")
"""Files of the text folder that are left out: many rare words and names."""

SYNTHETIC = {"domain": 3.0, "open": 1.0}
EVERYTHING = {"domain": 3.0, "open": 1.0, "human": 2.0}
MOSTLY_480_MS = {(6, 6): 0.6, (3, 12): 0.4}

PHASES = [
    Phase("start", SYNTHETIC, minutes=12, aux_only_steps=80, augment=("eq", "phone", "noise")),
    Phase("people", EVERYTHING, minutes=26, start="start"),
    Phase("settle", EVERYTHING, minutes=26, start="people", decay=1.0, delays=MOSTLY_480_MS),
]
ALIGN_AFTER = ("start", "people")
"""Phases after which the recordings of people are aligned (again)."""
