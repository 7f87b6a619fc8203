"""Numbers as words, and the one normal form of text that training and scoring share."""

import random
import re


def words(text: str) -> list[str]:
    return text.split()


ONES = words("zero one two three four five six seven eight nine")
TEENS = words("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen")
TENS = words("twenty thirty forty fifty sixty seventy eighty ninety")
ORDINALS = words(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)


def cardinal(n: int, conjunction: str = " ") -> str:
    """0 <= n < 10^9 in words; `conjunction` stands between hundreds and the rest (" " or " and ")."""
    if not 0 <= n < 10**9:
        raise ValueError(f"cannot spell {n}: only 0 to 999,999,999")
    if n < 10:
        return ONES[n]
    if n < 20:
        return TEENS[n - 10]
    if n < 100:
        return TENS[n // 10 - 2] + (" " + ONES[n % 10] if n % 10 else "")
    if n < 1000:
        rest = conjunction + cardinal(n % 100) if n % 100 else ""
        return f"{ONES[n // 100]} hundred{rest}"
    size, name = (10**6, "million") if n >= 10**6 else (1000, "thousand")
    rest = " " + cardinal(n % size, conjunction) if n % size else ""
    return f"{cardinal(n // size, conjunction)} {name}{rest}"


def ordinal(n: int) -> str:
    """1 <= n <= 31 as a day of the month."""
    if not 1 <= n <= 31:
        raise ValueError(f"no day {n} in a month")
    if n <= 20:
        return ORDINALS[n - 1]
    return "thirtieth" if n == 30 else f"{TENS[n // 10 - 2]} {ORDINALS[n % 10 - 1]}"


def digits(r: random.Random, low: int, high: int, oh: float = 0.15) -> str:
    """A string of `low` to `high` random digits; with probability `oh` its zeros are said as "oh"."""
    words = [r.choice(ONES) for _ in range(r.randint(low, high))]
    if r.random() < oh:
        words = ["oh" if w == "zero" else w for w in words]
    return " ".join(words)


def normalise(text: str) -> str | None:
    """Lower case, letters and apostrophes only, numbers below a million spelled; None if anything is left."""
    text = text.lower().replace("\u2019", "'").replace("-", " ").replace("%", " percent")
    text = text.replace("&", " and ")
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"\d+", lambda m: f" {_digits_as_words(m[0])} ", text)
    text = re.sub(r"[.,;:!?\"()\[\]_*\u201c\u201d\u2014\u2013]", " ", text)
    text = re.sub(r"(?<![a-z])'|'(?![a-z])", " ", text)
    text = " ".join(text.split())
    return text if re.fullmatch(r"[a-z' ]+", text) else None


def _digits_as_words(figures: str) -> str:
    if len(figures) < 7:
        return cardinal(int(figures))
    return " ".join(ONES[int(c)] for c in figures)
