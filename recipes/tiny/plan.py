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
MIXED = {(6, 6): 0.75, (3, 12): 0.25}
WIDER = {(6, 6): 0.45, (3, 3): 0.15, (12, 12): 0.15, (3, 12): 0.25}
"""Delays in tokens of 80 ms; one fixed delay first, because many at once teach nothing for long."""

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
        steps=1535,
        start="people",
        decay=1.0,
        delays=MIXED,
    ),
    Phase(
        "delays",
        {"domain": 3.0, "open": 0.4, CALLS: 1.2, READING: 0.2},
        steps=259,
        start="settle",
        decay=1.0,
        delays=WIDER,
        muon_lr=0.006,
        adam_lr=6e-4,
    ),
]
ALIGN_AFTER = ("open",)
"""Phases after which the recordings of people are aligned (again)."""
