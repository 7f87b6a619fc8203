"""Random English of everyday calls, by domain: words only, every number spelled, a capital letter is spelled out."""

import functools
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from recipes.tiny.spell import ONES, cardinal, digits, normalise, ordinal, words

MAX_WORDS = 24
LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
MONTHS = words("january february march april may june july august september october november december")
DAYS = words("monday tuesday wednesday thursday friday saturday sunday")
CONTROL = words("enter erase rubout start stop go help no yes repeat")
COMMANDS = words(
    "yes no up down left right on off stop go forward backward follow learn visual bed bird cat dog happy "
    "house marvin sheila tree wow start pause play next previous open close cancel help repeat back enter "
    "exit home menu mute louder quieter volume light lights lamp music radio alarm timer okay delete save "
    "send call answer hang hold enable disable upwards downwards robot search reset continue undo select "
    "erase rubout accept decline record resume redial transfer unmute"
)
PHRASES = """
turn on the {thing}|turn off the {thing}|switch the {thing} on|switch the {thing} off|turn the volume up
turn the volume down|set the volume to {num}|set a timer for {num} minutes|set an alarm for {time}
wake me up at {time}|what time is it|what is the weather today|play the next song|play some music
stop the music|skip this track|pause the video|open the {room} door|close the window
dim the {thing} in the {room}|set the temperature to {num} degrees|make it warmer|make it cooler
increase the {qty}|decrease the {qty}|turn the {qty} up in the {room}|turn down the {qty}
change the language|change language to english|bring me my {item}|go get the {item}
is it going to rain tomorrow|call {name}|send a message to {name}|remind me to call {name} at {time}
add {item} to the list|how many minutes are left|what is the temperature in the {room}
lock the front door|start the robot|go to the {room}|take the {item} to the {room}
hello|hi there|hello this is {name}|hello my name is {name}|good morning|good evening
good afternoon how can i help you|thank you for calling|how can i help you today
may i have your name please|what is your phone number|my phone number is {phone}|the number is {phone}
my number is {phone}|you can reach me at {phone}|please call me back at {phone}
could you spell your last name|it is spelled {spell}|my last name is {spell}|can you hear me
i can hear you|could you repeat that please|please say that again|one moment please
please hold the line|let me check that for you|can i speak to {name} please
i would like to speak to a manager|i have a question about my {item}|i am calling about my {item}
my account number is {digits}|the code is {digits}|my order number is {digits}
the reference number is {digits}|your order will arrive on {day}|i want to cancel my order
i would like to change my {item}|is there anything else i can help you with
no that is all thank you|thank you very much|thank you|you are welcome|have a nice day|goodbye|bye
see you tomorrow|i am sorry|i do not understand|that is correct|yes that is right|no that is wrong
what is your date of birth|i was born on {date}|my date of birth is {date}
the appointment is on {day} at {time}|i would like to make an appointment|can we meet at {time}
see you on {day}|the total is {money}|that will be {money}|it costs {money}
i would like a refund please|please enter your pin|press {digit} for sales|press {digit} for support
leave a message after the tone|your call is important to us|all our agents are busy
please stay on the line|my address is {address}|i live at {address}|the zip code is {digits}
are you still there|hold on a second|i will call you back later|what can i do for you
which one do you want|how do you spell that|the connection is bad|you are breaking up
can you speak up please|please speak slowly|sure no problem|of course|exactly|i think so
i will send you an email|did you get my message|my internet is not working|the screen is black
have you tried turning it off and on again|it does not work|how long will it take
it takes about {num} minutes|my password does not work|i forgot my password|thanks a lot
"""
SLOTS = {
    "thing": words("light lights lamp radio television heating fan music alarm camera heater oven printer"),
    "room": [*words("kitchen bedroom bathroom garage office washroom hall garden"), "living room"],
    "qty": words("volume heat temperature sound brightness lights"),
    "item": words(
        "shoes socks newspaper juice bill invoice order account phone contract card ticket milk bread book "
        "keys address"
    ),
    "name": words(
        "john mary peter anna david susan michael linda robert karen james lisa thomas sarah daniel emma paul "
        "laura mark julia frank helen george alice henry rose steven nancy smith brown miller wilson jones "
        "taylor clark lewis walker young"
    ),
    "street": words(
        "main oak park lake hill church river maple high garden forbes center walnut fifth penn market"
    ),
    "kind": words("street avenue road lane drive court place boulevard"),
    "city": [
        *words("pittsburgh boston chicago london dallas denver seattle paris berlin cleveland austin"),
        "new york",
    ],
}
TEMPLATES = [p for p in PHRASES.replace("\n", "|").split("|") if p]


def number(r: random.Random, low: int, high: int) -> str:
    return cardinal(r.randint(low, high), r.choice([" ", " ", " and "]))


def any_digits(r: random.Random) -> str:
    return digits(r, 1, 10)


def phone(r: random.Random) -> str:
    area, first, last = digits(r, 3, 3), digits(r, 3, 3), digits(r, 4, 4)
    pairs = f"{number(r, 1, 99)} {number(r, 1, 99)}"
    return r.choice([f"{area} {first} {last}", f"{first} {last}", f"{first} {pairs}"])


def time(r: random.Random) -> str:
    hour = cardinal(r.randint(1, 12))
    return r.choice(
        [
            hour,
            f"{hour} o'clock",
            f"{hour} {number(r, 10, 59)}",
            f"{hour} oh {number(r, 1, 9)}",
            f"half past {hour}",
            f"quarter to {hour}",
            f"{hour} {r.choice('AP')} M",
            f"{hour} thirty",
        ]
    )


def date(r: random.Random) -> str:
    day, month = r.randint(1, 31), r.choice(MONTHS)
    year = r.choice(
        [
            "",
            "",
            f" nineteen {number(r, 10, 99)}",
            f" two thousand {number(r, 1, 30)}",
            f" twenty {number(r, 10, 30)}",
        ]
    )
    return r.choice(
        [
            f"{month} {ordinal(day)}{year}",
            f"the {ordinal(day)} of {month}{year}",
            f"{ordinal(day)} of {month}{year}",
            f"{month} {cardinal(day)}{year}",
            f"{number(r, 1, 12)} {cardinal(day)} {number(r, 10, 99)}",
        ]
    )


def birthday(r: random.Random) -> str:
    """A date of the last century, as people say when they were born."""
    day, month, year = r.randint(1, 31), r.choice(MONTHS), number(r, 10, 99)
    century = r.choice(["nineteen ", "nineteen ", "nineteen ", "nineteen ", ""])
    return r.choice(
        [
            *[f"{month} {ordinal(day)} {century}{year}"] * 4,
            f"{r.choice(['', 'the '])}{ordinal(day)} of {month} {century}{year}",
            f"{month} {cardinal(day)} {century}{year}",
            f"{cardinal(day)} {month} {century}{year}",
            *[f"{cardinal(r.randint(1, 12))} {cardinal(day)} {year}"] * 3,
            digits(r, 5, 6),
        ]
    )


def money(r: random.Random) -> str:
    amount = number(r, 1, r.choice([99, 999, 9999])) + r.choice([" dollars", " euros", " pounds"])
    return amount + (f" and {number(r, 1, 99)} cents" if r.random() < 0.3 else "")


def spelled(r: random.Random) -> str:
    """A spelled name, or letters at random."""
    if r.random() < 0.6:
        return " ".join(r.choice(SLOTS["name"]).upper())
    return " ".join(r.choice(LETTERS) for _ in range(r.randint(2, 8)))


def letters_and_digits(r: random.Random) -> str:
    """Mixed letters and digits, or a control word, some letters and a number, as terminals were spoken to."""
    if r.random() < 0.5:
        return " ".join(r.choice(LETTERS + ONES) for _ in range(r.randint(2, 8)))
    letters = [r.choice(LETTERS) for _ in range(r.randint(0, 5))]
    return " ".join([r.choice(CONTROL), *letters, number(r, 0, r.choice([99, 999, 9999]))])


def address(r: random.Random) -> str:
    house = r.choice([number(r, 1, 99), number(r, 1, 999), f"{number(r, 10, 99)} {number(r, 10, 99)}"])
    street = r.choice(SLOTS["street"])
    street = " ".join(street.upper()) if r.random() < 0.2 else f"{street} {r.choice(SLOTS['kind'])}"
    city = r.choice(["", " " + r.choice(SLOTS["city"])])
    if city and r.random() < 0.3:
        city = f" {' '.join(city.strip().replace(' ', '').upper())} {digits(r, 5, 5)}"
    return f"{house} {street}{city}"


def command(r: random.Random) -> str:
    return " ".join(r.choice(COMMANDS) for _ in range(r.choice([1, 1, 1, 2, 3, 4, 5])))


def phrase(r: random.Random) -> str:
    """A call phrase with its slots filled, sometimes two behind one another."""
    fill: dict[str, Callable[[], str]] = {
        "num": lambda: number(r, 1, 60),
        "digit": lambda: r.choice(ONES),
        "digits": lambda: digits(r, 3, 9),
        "phone": lambda: phone(r),
        "time": lambda: time(r),
        "date": lambda: date(r),
        "day": lambda: r.choice(DAYS),
        "money": lambda: money(r),
        "address": lambda: address(r),
        "spell": lambda: spelled(r),
    }
    templates = [r.choice(TEMPLATES) for _ in range(r.choice([1, 1, 2]))]
    return re.sub(
        r"\{(\w+)\}",
        lambda m: fill[m[1]]() if m[1] in fill else r.choice(SLOTS[m[1]]),
        " ".join(templates),
    )


def numbers(r: random.Random) -> str:
    """A number, an amount, a date, a time or an address on its own."""
    kinds = [
        lambda: number(r, 0, r.choice([99, 999, 10**5])),
        lambda: money(r),
        lambda: date(r),
        lambda: date(r),
        lambda: time(r),
        lambda: r.choice(MONTHS + DAYS),
        lambda: address(r),
    ]
    return r.choice(kinds)()


SYLLABLES = {
    "latin": (words("b d f g k l m n p r s t v z br kl st tr"), list("aeiou"), ["", "", "n", "r", "s", "l"]),
    "greek": (list("βγδζθκλμνπρστφχ"), list("αεηιου"), ["", "ς", "ν"]),
    "cyrillic": (list("бвгджзклмнпрстчш"), list("аеиоуы"), ["", "", "н", "й", "т"]),
    "devanagari": (list("कखगचजटडतदनपबमयरलवशसह"), ["", "ा", "ि", "ी", "ु", "े", "ो"], ["", "", "", "न", "र"]),
    "arabic": (list("بتجحدرزسشعفقكلمنهوي"), ["َ", "ِ", "ُ", "ا", "ي", "و"], ["", "", "ن", "ر", "ل"]),
    "kana": (
        list("かきくけこさしすせそたちつてとなにのはひふまみもやよらりるれわ"),
        ["", "", "う", "い"],
        ["", "", "ん"],
    ),
    "hangul": (
        list("가나다라마바사아자하고노도로모보소조기니리미시지이어서저은는을를에의한"),
        [""],
        ["", "", "", "요"],
    ),
    "pinyin": (
        words("zh sh x q j ch b d g h l m n t z"),
        words("a ang ian ong uo i u ao ei ui"),
        list("1234"),
    ),
}
"""Of each script: what a syllable begins with, its vowel, and what may end it."""
WORD_LISTS = Path("/usr/share/dict")
LISTED = {
    "fr": "french",
    "de": "ngerman",
    "it": "italian",
    "es": "spanish",
    "nl": "dutch",
    "pt": "portuguese",
    "pt-br": "brazilian",
    "pl": "polish",
    "sv": "swedish",
    "da": "danish",
    "ca": "catalan",
    "uk": "ukrainian",
}
"""Languages whose words Debian's word lists hold."""
LIST_SIZE = 20_000


@functools.cache
def listed_words(language: str) -> list[str]:
    """Words of a language, every n-th of its list; none where the list is not installed."""
    path = WORD_LISTS / LISTED.get(language, "")
    if not path.is_file():
        return []
    found = path.read_text(encoding="utf-8", errors="ignore").split()
    return found[:: max(1, len(found) // LIST_SIZE)]


def foreign(r: random.Random, script: str = "latin", language: str = "") -> str:
    """Words of another language or of none, for its voice to say: speech of which nothing is to be written."""
    onsets, vowels, codas = SYLLABLES[script]
    known = listed_words(language) if r.random() < 0.75 else []

    def word() -> str:
        if known:
            return r.choice(known)
        return "".join(
            r.choice(onsets) + r.choice(vowels) + r.choice(codas) for _ in range(r.choice([1, 2, 2, 3, 4]))
        )

    return " ".join(word() for _ in range(r.randint(2, 12)))


DOMAINS: dict[str, Callable[[random.Random], str]] = {
    "digits": any_digits,
    "phone": phone,
    "numbers": numbers,
    "birthdays": birthday,
    "commands": command,
    "alnum": letters_and_digits,
    "spell": spelled,
    "phrases": phrase,
    "foreign": foreign,
}
MIX = {
    "digits": 2.5,
    "phone": 1.5,
    "numbers": 2.0,
    "commands": 3.0,
    "alnum": 1.2,
    "spell": 0.8,
    "phrases": 5.0,
}


def sample(r: random.Random, mix: dict[str, float], pool: Sequence[str] = ()) -> tuple[str, str]:
    """One (domain, text) of at most MAX_WORDS words; the domain "open" draws a sentence from `pool`."""
    while True:
        domain = r.choices(list(mix), list(mix.values()))[0]
        text = r.choice(pool) if domain == "open" else DOMAINS[domain](r)
        if len(text.split()) <= MAX_WORDS:
            return domain, text


def sentences(folder: Path, skip: Sequence[str] = (), low: int = 2, high: int = 16) -> list[str]:
    """Normalised sentences of every .txt of a folder, sorted; lines with figures or abbreviations are left out.

    Raises FileNotFoundError when the folder holds no text.
    """
    paths = [p for p in sorted(folder.glob("*.txt")) if p.stem not in skip]
    if not paths:
        raise FileNotFoundError(f"no .txt file in {folder}")
    found = set()
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.search(r"\d|[A-Z]{2,}|[@#<>=/\\{}|~^$]", line):
                continue
            text = normalise(line)
            if text and low <= len(text.split()) <= high:
                found.add(text)
    return sorted(found)
