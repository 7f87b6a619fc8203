"""What the bundled model was made of, in order: the one place with the amounts."""

from recipes.tiny import augment, texts
from recipes.tiny.train import Phase

SEED = 1
DOMAIN_HOURS, OPEN_HOURS = 10, 5
DOMAIN_MIX, OPEN_MIX = texts.MIX, {"open": 1.0}
RARE_TEXTS = ("novels_gutenberg", "speeches_us_presidents", "web_ewt", "assistant_snips")
"""Files of the text folder that are left out: many rare words and names."""
EVERY = {"librispeech": 3, "kathleen": 3, "speechocean762": 6}
"""Of these recordings only every n-th is aligned and used: read English is not what this version is for."""

CALLS = "human:an4,fsdd,speech_commands"
READING = "human:librispeech,kathleen,speechocean762,commonvoice,dctts_reader"
MOSTLY_480_MS = {(6, 6): 0.75, (3, 12): 0.25}

PHASES = [
    Phase("start", {"domain": 1.0}, steps=351, aux_only_steps=100, augment=augment.LIGHT),
    Phase(
        "open",
        {"domain": 3.0, "open": 1.0},
        steps=189,
        start="start",
        augment=(*augment.LIGHT, "noise", "warp"),
    ),
    Phase("people", {"domain": 3.0, "open": 0.6, CALLS: 1.2, READING: 0.4}, steps=480, start="open"),
    Phase(
        "settle",
        {"domain": 3.0, "open": 0.5, CALLS: 1.2, READING: 0.3},
        steps=1500,
        start="people",
        decay=1.0,
        delays=MOSTLY_480_MS,
    ),
]
ALIGN_AFTER = ("open", "people")
"""Phases after which the recordings of people are aligned (again)."""
