"""What the bundled model was made of, in order: the one place with the amounts."""

from dataclasses import dataclass

from recipes.tiny import augment, synth, texts
from recipes.tiny.average import Mean
from recipes.tiny.train import Phase

SEED = 1
RARE_TEXTS = ("novels_gutenberg", "speeches_us_presidents", "web_ewt", "assistant_snips")
"""Files of the text folder that are left out at first: many rare words and names."""


@dataclass(frozen=True)
class Spoken:
    """A corpus of synthetic speech: hours, how often each domain and each synthesiser is drawn, texts left out."""

    name: str
    hours: float
    mix: dict[str, float]
    engines: dict[str, float]
    skip: tuple[str, ...] = RARE_TEXTS


# More of what came out worst after the first five phases, and more of the voices that sound like people.
WEAK_MIX = {
    "digits": 1.0,
    "phone": 1.0,
    "numbers": 3.5,
    "commands": 5.0,
    "alnum": 2.0,
    "spell": 2.0,
    "phrases": 6.0,
}
CALL_MIX = {
    "digits": 1.2,
    "phone": 1.0,
    "numbers": 3.0,
    "birthdays": 3.0,
    "commands": 5.0,
    "alnum": 2.0,
    "spell": 2.5,
    "phrases": 7.0,
}
NATURAL = {"espeak": 3.5, "flite": 4.0, "festival": 0.9}
MORE_NATURAL = {"espeak": 3.0, "flite": 5.5, "festival": 1.5}
SPOKEN = (
    Spoken("domain", 10, texts.MIX, synth.ENGINES),
    Spoken("open", 5, {"open": 1.0}, synth.ENGINES),
    Spoken("weak", 6, WEAK_MIX, NATURAL),
    Spoken("more", 5, {"open": 1.0}, NATURAL),
    Spoken("varied", 8, {**WEAK_MIX, "digits": 1.5, "numbers": 4.5}, MORE_NATURAL),
    Spoken(synth.FOREIGN, 1, {synth.FOREIGN: 1.0}, {"espeak": 1.0}),
    Spoken("broad", 12, {"open": 1.0}, MORE_NATURAL, skip=("numbers_dates_generated",)),
    Spoken("calls", 9, CALL_MIX, MORE_NATURAL),
    Spoken("abroad", 3, {synth.FOREIGN: 1.0}, {"espeak": 4.0, "festival": 1.0}),
    Spoken("prose", 9, {"open": 1.0}, MORE_NATURAL, skip=("numbers_dates_generated",)),
    Spoken(
        "fresh", 12, {"open": 3.0, **dict.fromkeys(("numbers", "birthdays", "phrases"), 0.35)}, MORE_NATURAL
    ),
    Spoken(
        "books",
        14,
        {"open": 5.0, **dict.fromkeys(("numbers", "birthdays", "phrases"), 0.35)},
        MORE_NATURAL,
        skip=("numbers_dates_generated",),
    ),
)
BACKWARD_HOURS = 4
SCRAMBLED_HOURS = 6
EVERY = {"librispeech": 3, "kathleen": 3, "speechocean762": 6}
"""Of these recordings only every n-th is aligned the first time, which takes the longest."""

BEFORE_SPEED = tuple(kind for kind in augment.FULL if kind != "speed")
BEFORE_LOSS = tuple(kind for kind in BEFORE_SPEED if kind not in ("clip", "loss"))
"""Clipping and lost packets came late, another tempo last."""
CALLS = "human:an4,fsdd,speech_commands"
READING = "human:librispeech,kathleen,speechocean762,commonvoice,dctts_reader"
MIXED = {(6, 6): 0.75, (3, 12): 0.25}
WIDER = {(6, 6): 0.45, (3, 3): 0.15, (12, 12): 0.15, (3, 12): 0.25}
"""Delays in tokens of 80 ms; one fixed delay first, because many at once teach nothing for long."""

PHASES: list[Phase | Mean] = [
    Phase("start", {"domain": 1.0}, steps=351, aux_only_steps=100, augment=augment.LIGHT),
    Phase(
        "open",
        {"domain": 3.0, "open": 1.0},
        steps=189,
        start="start",
        augment=(*augment.LIGHT, "noise", "warp"),
    ),
    Phase(
        "people",
        {"domain": 3.0, "open": 0.6, CALLS: 1.2, READING: 0.4},
        steps=480,
        start="open",
        augment=BEFORE_LOSS,
    ),
    Phase(
        "settle",
        {"domain": 3.0, "open": 0.5, CALLS: 1.2, READING: 0.3},
        steps=1535,
        start="people",
        decay=1.0,
        delays=MIXED,
        augment=BEFORE_LOSS,
    ),
    Phase(
        "delays",
        {"domain": 3.0, "open": 0.4, CALLS: 1.2, READING: 0.2},
        steps=259,
        start="settle",
        decay=1.0,
        delays=WIDER,
        augment=BEFORE_LOSS,
        muon_lr=0.006,
        adam_lr=6e-4,
    ),
    Phase(
        "wide",
        {"domain": 1.4, "weak": 1.6, "open": 0.6, CALLS: 1.3, READING: 0.4},
        steps=2650,
        start="delays",
        delays={(6, 6): 0.55, (3, 3): 0.12, (12, 12): 0.1, (3, 12): 0.23},
        augment=BEFORE_LOSS,
        muon_lr=0.016,
        adam_lr=1.6e-3,
    ),
    Phase(
        "last",
        {"domain": 1.4, "weak": 1.6, "open": 0.35, "more": 0.35, "foreign": 0.2, CALLS: 1.4, READING: 0.4},
        steps=2405,
        start="wide",
        decay=1.0,
        delays={(6, 6): 0.52, (3, 3): 0.12, (12, 12): 0.12, (3, 12): 0.24},
        augment=BEFORE_SPEED,
        muon_lr=0.016,
        adam_lr=1.6e-3,
    ),
    Phase(
        "tempo",
        {
            "domain": 1.1,
            "weak": 1.8,
            "open": 0.35,
            "more": 0.35,
            "foreign": 0.15,
            CALLS: 1.5,
            READING: 0.5,
        },
        steps=1614,
        start="last",
        delays={(6, 6): 0.46, (3, 3): 0.11, (12, 12): 0.15, (3, 12): 0.28},
        muon_lr=0.016,
        adam_lr=1.6e-3,
    ),
    Phase(
        "varied",
        {
            "domain": 0.8,
            "weak": 1.2,
            "varied": 1.4,
            "open": 0.3,
            "more": 0.3,
            "foreign": 0.15,
            CALLS: 1.6,
            READING: 0.55,
        },
        steps=3820,
        start="tempo",
        decay=1.0,
        delays={(6, 6): 0.48, (3, 3): 0.11, (12, 12): 0.14, (3, 12): 0.27},
        muon_lr=0.016,
        adam_lr=1.6e-3,
    ),
    # Half of the seconds are people now, a fifth is synthetic speech of any text.
    Phase(
        "reading",
        {
            "domain": 0.3,
            "weak": 0.35,
            "varied": 0.45,
            CALLS: 0.56,
            "open": 0.2,
            "more": 0.2,
            "broad": 0.4,
            "human:librispeech": 0.195,
            "human:speechocean762": 0.23,
            "human:kathleen": 0.23,
            "human:commonvoice": 0.067,
            "human:dctts_reader": 0.02,
            "foreign": 0.04,
            "backward": 0.035,
        },
        steps=6686,
        start="varied",
        decay=0.55,
        delays={(6, 6): 0.46, (3, 3): 0.10, (12, 12): 0.17, (3, 12): 0.27},
        light_share=0.35,
        muon_lr=0.016,
        adam_lr=1.6e-3,
    ),
    # Reading alone forgets spelled letters and commands, and keeps most of what it learned at 80 %.
    Mean("mean", {"varied": 0.2, "reading": 0.8}),
    # Half of the seconds are people, a fifth is speech of which nothing is to be written.
    Phase(
        "fluent",
        {
            "calls": 10.26,
            "human:an4": 3.0,
            "human:fsdd": 1.54,
            "human:speech_commands": 1.5,
            "human:librispeech": 1.95,
            "human:speechocean762": 2.05,
            "human:kathleen": 1.49,
            "human:commonvoice": 0.66,
            "human:dctts_reader": 0.2,
            "prose": 6.47,
            "abroad": 0.9,
            "others": 0.7,
            "backward": 0.35,
            "scrambled": 0.5,
        },
        steps=9200,
        start="mean",
        decay=0.5,
        delays={(6, 6): 0.42, (3, 3): 0.10, (12, 12): 0.20, (3, 12): 0.28},
        light_share=0.35,
        wordless_share=0.08,
        batch=4,
        muon_lr=0.02,
        adam_lr=2e-3,
    ),
    Mean("softened", {"mean": 0.1, "fluent": 0.9}),
    # Digits of bad telephones came out worse than before.
    Phase(
        "polished",
        {
            "calls": 9.0,
            "human:an4": 3.8,
            "human:fsdd": 3.6,
            "human:speech_commands": 2.0,
            "human:librispeech": 1.7,
            "human:speechocean762": 1.8,
            "human:kathleen": 1.3,
            "human:commonvoice": 0.6,
            "human:dctts_reader": 0.2,
            "prose": 5.5,
            "abroad": 1.2,
            "others": 0.9,
            "backward": 0.35,
            "scrambled": 0.5,
        },
        steps=900,
        start="softened",
        decay=1.0,
        delays={(6, 6): 0.46, (3, 3): 0.10, (12, 12): 0.18, (3, 12): 0.26},
        light_share=0.35,
        wordless_share=0.12,
        batch=4,
        muon_lr=0.008,
        adam_lr=8e-4,
    ),
    Mean("bundled", {"mean": 0.1, "polished": 0.9}),
    # What limits it is the encoder, of which people who read ask most.
    Phase(
        "longer",
        {
            "calls": 8.0,
            "human:an4": 3.0,
            "human:fsdd": 2.2,
            "human:speech_commands": 1.8,
            "human:librispeech": 2.4,
            "human:speechocean762": 2.4,
            "human:kathleen": 1.5,
            "human:commonvoice": 0.8,
            "human:dctts_reader": 0.25,
            "prose": 7.0,
            "abroad": 0.8,
            "others": 0.6,
            "backward": 0.3,
            "scrambled": 0.4,
        },
        steps=5000,
        start="bundled",
        delays={(6, 6): 0.42, (3, 3): 0.10, (12, 12): 0.20, (3, 12): 0.28},
        light_share=0.4,
        wordless_share=0.08,
        batch=4,
        compiled=True,
        muon_lr=0.018,
        adam_lr=1.8e-3,
    ),
    # People of twenty other languages instead of four.
    Phase(
        "settled",
        {
            "calls": 8.5,
            "human:an4": 3.6,
            "human:fsdd": 2.8,
            "human:speech_commands": 1.9,
            "human:librispeech": 2.2,
            "human:speechocean762": 2.2,
            "human:kathleen": 1.4,
            "human:commonvoice": 0.8,
            "human:dctts_reader": 0.25,
            "prose": 6.5,
            "abroad": 0.8,
            "others": 1.35,
            "backward": 0.3,
            "scrambled": 0.4,
        },
        steps=6000,
        start="longer",
        decay=1.0,
        delays={(6, 6): 0.44, (3, 3): 0.10, (12, 12): 0.20, (3, 12): 0.26},
        light_share=0.4,
        wordless_share=0.08,
        batch=4,
        compiled=True,
        muon_lr=0.018,
        adam_lr=1.8e-3,
    ),
    Mean("eased", {"bundled": 0.1, "settled": 0.9}),
    # It had begun to know the sentences of people by heart, and the encoder still missed every third phone.
    Phase(
        "deeper",
        {
            "calls": 6.5,
            "fresh": 6.5,
            "human:an4": 3.6,
            "human:fsdd": 2.8,
            "human:speech_commands": 1.9,
            "human:librispeech": 3.0,
            "human:speechocean762": 2.4,
            "human:kathleen": 1.7,
            "human:commonvoice": 0.9,
            "human:dctts_reader": 0.3,
            "prose": 3.0,
            "abroad": 0.8,
            "others": 1.35,
            "backward": 0.3,
            "scrambled": 0.4,
        },
        spliced={
            "human:librispeech": 0.5,
            "human:kathleen": 0.4,
            "human:speechocean762": 0.3,
            "human:commonvoice": 0.3,
            "human:dctts_reader": 0.3,
        },
        own_share=0.4,
        size={"enc_layers": 6},
        steps=7000,
        start="eased",
        decay=0.6,
        delays={(6, 6): 0.44, (3, 3): 0.10, (12, 12): 0.20, (3, 12): 0.26},
        light_share=0.4,
        wordless_share=0.08,
        batch=4,
        compiled=True,
        muon_lr=0.018,
        adam_lr=1.8e-3,
        seed=2,
    ),
    Mean("steadied", {"eased": 0.1, "deeper": 0.9}),
    # Sentences that nobody said had made it readier to write down what is no English, and digits were worse.
    Phase(
        "rounded",
        {
            "calls": 7.5,
            "fresh": 5.0,
            "human:an4": 4.2,
            "human:fsdd": 4.4,
            "human:speech_commands": 2.1,
            "human:librispeech": 2.4,
            "human:speechocean762": 2.2,
            "human:kathleen": 1.5,
            "human:commonvoice": 0.9,
            "human:dctts_reader": 0.3,
            "prose": 3.0,
            "abroad": 1.0,
            "others": 2.4,
            "backward": 0.3,
            "scrambled": 0.4,
        },
        spliced={"human:librispeech": 0.25, "human:kathleen": 0.2, "human:commonvoice": 0.2},
        own_share=0.2,
        steps=1300,
        start="steadied",
        decay=1.0,
        delays={(6, 6): 0.46, (3, 3): 0.10, (12, 12): 0.18, (3, 12): 0.26},
        light_share=0.4,
        wordless_share=0.12,
        batch=4,
        compiled=True,
        muon_lr=0.012,
        adam_lr=1.2e-3,
        seed=3,
    ),
    # What it heard last was at the price of what it read before; their mean is better than each at nearly everything.
    Mean("blended", {"eased": 0.1, "deeper": 0.45, "rounded": 0.45}),
    # The encoder heard people that it does not know nearly as well as those it does (31 and 27 % of the phones wrong),
    # the decoder did not (48 and 30 % of the words): more layers for it, and more to read than anybody said.
    Phase(
        "reader",
        {
            "calls": 5.5,
            "books": 6.5,
            "fresh": 3.5,
            "human:an4": 4.0,
            "human:fsdd": 3.4,
            "human:speech_commands": 2.0,
            "human:librispeech": 3.0,
            "human:speechocean762": 2.3,
            "human:kathleen": 1.6,
            "human:commonvoice": 0.9,
            "human:dctts_reader": 0.3,
            "prose": 2.0,
            "abroad": 1.0,
            "others": 2.4,
            "backward": 0.3,
            "scrambled": 0.4,
        },
        spliced={
            "human:librispeech": 0.35,
            "human:kathleen": 0.3,
            "human:speechocean762": 0.2,
            "human:commonvoice": 0.2,
            "human:dctts_reader": 0.2,
        },
        own_share=0.3,
        collage_mix={"open": 6.0, "phrases": 0.5, "numbers": 0.3, "birthdays": 0.4},
        collage_skip=("numbers_dates_generated",),
        size={"enc_layers": 6, "layers": 4},
        steps=5300,
        start="blended",
        decay=0.6,
        delays={(6, 6): 0.44, (3, 3): 0.10, (12, 12): 0.20, (3, 12): 0.26},
        light_share=0.4,
        wordless_share=0.12,
        batch=4,
        compiled=True,
        muon_lr=0.018,
        adam_lr=1.8e-3,
        seed=4,
    ),
    # It read better than before, and heard digits and call phrases worse.
    Phase(
        "answered",
        {
            "calls": 9.0,
            "books": 4.0,
            "fresh": 2.0,
            "human:an4": 4.6,
            "human:fsdd": 4.8,
            "human:speech_commands": 2.1,
            "human:librispeech": 2.6,
            "human:speechocean762": 2.2,
            "human:kathleen": 1.5,
            "human:commonvoice": 0.9,
            "human:dctts_reader": 0.3,
            "prose": 1.5,
            "abroad": 1.0,
            "others": 3.2,
            "backward": 0.3,
            "scrambled": 0.4,
        },
        spliced={"human:librispeech": 0.25, "human:kathleen": 0.2, "human:commonvoice": 0.2},
        own_share=0.2,
        collage_mix={"open": 6.0, "phrases": 1.2, **dict.fromkeys(("numbers", "birthdays", "digits"), 0.5)},
        collage_skip=("numbers_dates_generated",),
        steps=1050,
        start="reader",
        decay=1.0,
        delays={(6, 6): 0.46, (3, 3): 0.10, (12, 12): 0.18, (3, 12): 0.26},
        light_share=0.4,
        wordless_share=0.14,
        batch=4,
        compiled=True,
        muon_lr=0.012,
        adam_lr=1.2e-3,
        seed=5,
    ),
]
SIZES = {
    "shipped": {},
    "larger_decoder": {"enc_layers": 6, "layers": 4, "hidden": 1024},
    "larger_encoder": {"enc_layers": 8},
}
"""What the stage `sizes` compares."""
ADOPT = {"calls": 1.0, "prose": 0.5}
"""Corpora by which an exported folder gets a new phone head."""
ALIGN_AFTER = {"open": EVERY, "delays": {}, "mean": {}}
"""Phases after which the recordings of people are aligned (again), and of which domains only every n-th."""
