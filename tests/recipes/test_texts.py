import random

import pytest

from recipes.tiny import spell, texts


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety nine"),
        (105, "one hundred five"),
        (12_034, "twelve thousand thirty four"),
        (2_000_000, "two million"),
    ],
)
def test_cardinals(n, words):
    assert spell.cardinal(n) == words


def test_cardinal_refuses_what_it_cannot_say():
    with pytest.raises(ValueError, match="cannot spell"):
        spell.cardinal(10**9)


def test_ordinals_cover_every_day_of_a_month():
    assert len({spell.ordinal(day) for day in range(1, 32)}) == 31
    assert spell.ordinal(22) == "twenty second"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Hello, it's 1,250 Dollars!", "hello it's one thousand two hundred fifty dollars"),
        ("A B C", "a b c"),
        ("'quoted' twenty-one", "quoted twenty one"),
        ("caf\u00e9", None),
        ("", None),
    ],
)
def test_normal_form(text, normal):
    assert spell.normalise(text) == normal


@pytest.mark.parametrize("domain", texts.DOMAINS)
def test_every_domain_gives_words_only(domain):
    r = random.Random(1)
    for _ in range(200):
        name, text = texts.sample(r, {domain: 1.0})
        assert name == domain
        assert spell.normalise(text) == text.lower()
        assert len(text.split()) <= texts.MAX_WORDS


def test_templates_only_name_slots_that_exist():
    r = random.Random(2)
    for _ in range(3000):
        assert "{" not in texts.phrase(r)


def test_sentences_leave_out_figures_and_named_files(tmp_path):
    (tmp_path / "a.txt").write_text("This is fine.\nIt costs $4.\nThe NFL is back.\nOK\nThis is fine.\n")
    (tmp_path / "rare.txt").write_text("This one is skipped.\n")
    assert texts.sentences(tmp_path, skip=("rare",)) == ["this is fine"]


def test_a_folder_without_texts_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        texts.sentences(tmp_path)
