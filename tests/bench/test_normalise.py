"""What counts as the same words."""

from __future__ import annotations

import pytest

from bench.normalise import normalise

CASES = {
    "Hello,   World!": "hello world",
    "It’s “fine” — isn't it?": "it's fine isn't it",
    "'quoted' rock 'n' roll": "quoted rock n roll",
    "twenty-one": "twenty one",
    "21": "twenty one",
    "0": "zero",
    "007": "zero zero seven",
    "100": "one hundred",
    "1,234": "one thousand two hundred thirty four",
    "1,23": "one twenty three",
    "305012": "three hundred five thousand twelve",
    "5551234567": "five five five one two three four five six seven",
    "A4 paper": "a four paper",
    "50% of R&D": "fifty percent of r and d",
    "P I T T": "p i t t",
    "Straße, naïve café": "straße naïve café",
    "cafe\u0301": "café",
    "他说，你好。": "他说 你好",
    "... ?!": "",
    "": "",
}


@pytest.mark.parametrize(("text", "words"), CASES.items())
def test_normalise(text, words):
    assert normalise(text) == words


def test_normalising_twice_changes_nothing():
    assert all(normalise(words) == words for words in CASES.values())
