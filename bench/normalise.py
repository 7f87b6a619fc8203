"""The one form in which reference and transcript are compared, so that only words count.

In this order: lower case (Unicode NFC); typographic apostrophes to '; "%" to "percent", "&" to "and", hyphens and
dashes to spaces; commas inside numbers dropped; figures spelled as words (below a million as a number, longer ones
figure by figure); everything but letters, marks and apostrophes inside words to spaces. Nothing is made equal that
sounds different, and little that sounds alike: "oh" stays different from "zero", "o'clock" from "oclock", "mr" from
"mister".
"""

from __future__ import annotations

import re
import unicodedata

ONES = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *(
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ),
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
LONGEST_NUMBER = 6  # figures; a longer row is a code


def normalise(text: str) -> str:
    """Words with one space between them; empty for a text without words."""
    text = unicodedata.normalize("NFC", text).lower().replace("\u2019", "'").replace("\u2018", "'")
    text = text.replace("%", " percent ").replace("&", " and ")
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"[0-9]+", lambda match: f" {spell(match[0])} ", text)
    text = "".join(c if c == "'" or unicodedata.category(c)[0] in "LM" else " " for c in text)
    text = re.sub(r"(?<!\w)'|'(?!\w)", " ", text)
    return " ".join(text.split())


def spell(figures: str) -> str:
    """Figures as words; those with a leading zero and long ones figure by figure."""
    if len(figures) > LONGEST_NUMBER or (figures[0] == "0" and len(figures) > 1):
        return " ".join(ONES[int(figure)] for figure in figures)
    return cardinal(int(figures))


def cardinal(n: int) -> str:
    """0 <= n < 1,000,000 in words."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f" {ONES[n % 10]}" if n % 10 else "")
    size, name = (1000, "thousand") if n >= 1000 else (100, "hundred")
    return f"{cardinal(n // size)} {name}" + (f" {cardinal(n % size)}" if n % size else "")
