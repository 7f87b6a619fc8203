import numpy as np
import pytest

from recipes.tiny import corpus, data, splice
from recipes.tiny.espeak import PAUSE
from tests.recipes.conftest import TONES_HZ, WORD_S

RATE = corpus.RATE
ITEM = {
    "words": [("one", 0.5), ("two", 0.9), ("three", 1.4)],
    "phones": [(PAUSE, 0.0), ("w", 0.2), ("t", 0.5), ("u", 0.7), ("T", 1.0)],
}
WAVE = np.arange(int(1.5 * RATE), dtype=np.float32)


@pytest.fixture
def tones(toy):
    return corpus.Corpus(toy / "corpus" / "toy")


def heard(wave: np.ndarray) -> str:
    """The word whose tone it is."""
    hz = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() * RATE / len(wave)
    return min(TONES_HZ, key=lambda word: abs(TONES_HZ[word] - hz))


def test_an_excerpt_has_the_words_that_end_in_it_and_the_phones_that_sound_in_it():
    item, wave = splice.excerpt(ITEM, WAVE, 0.6, 1.4)
    assert item["words"] == [("two", pytest.approx(0.3)), ("three", pytest.approx(0.8))]
    assert item["phones"] == [("t", 0.0), ("u", pytest.approx(0.1)), ("T", pytest.approx(0.4))]
    assert wave[0] == int(0.6 * RATE)
    assert len(wave) == pytest.approx(0.8 * RATE, abs=1)


def test_an_excerpt_without_phones_has_none():
    item, _ = splice.excerpt({"words": ITEM["words"]}, WAVE, 0.5, 0.9)
    assert item == {"words": [("two", pytest.approx(0.4))]}


def test_joined_pieces_keep_their_times_and_do_not_click():
    pieces = [({"words": [(w, 0.25)], "phones": [(w, 0.0)]}, np.ones(RATE // 2, np.float32)) for w in "ab"]
    item, wave = splice.joined(pieces)
    assert item == {"words": [("a", 0.25), ("b", 0.75)], "phones": [("a", 0.0), ("b", 0.5)]}
    assert len(wave) == RATE
    assert np.abs(np.diff(wave, prepend=0, append=0)).max() < 0.02


def test_joined_pieces_have_phones_only_where_all_do():
    wave = np.ones(RATE, np.float32)
    item, _ = splice.joined([({"words": [], "phones": []}, wave), ({"words": []}, wave)])
    assert "phones" not in item


def test_every_word_of_a_spliced_sentence_sounds_where_its_times_say(tones):
    r = np.random.default_rng(0)
    said = {tuple(word for word, _ in item["words"]) for item in tones.items}
    new = 0
    for item in tones.items[:20]:
        made, wave = splice.sentence(r, tones, item)
        new += tuple(word for word, _ in made["words"]) not in said
        assert made["words"][-1][1] == pytest.approx(len(wave) / RATE, abs=1e-3)
        for word, end in made["words"]:
            assert heard(wave[int((end - WORD_S) * RATE) : int(end * RATE)]) == word
        assert [name for name, _ in made["phones"]] == [word for word, _ in made["words"]]
    assert new > 15


def test_without_its_head_a_recording_begins_with_its_first_sound_or_within_it():
    r, cuts = np.random.default_rng(0), []
    for _ in range(50):
        item, wave = splice.without_head(r, ITEM, WAVE)
        cuts.append(wave[0] / RATE)
        assert [word for word, _ in item["words"]] == ["one", "two", "three"]
        assert item["words"][0][1] == pytest.approx(0.5 - cuts[-1], abs=1e-3)
        assert item["phones"][-1] == ("T", pytest.approx(1.0 - cuts[-1], abs=1e-3))
    assert min(cuts) < 0.18
    assert max(cuts) > 0.25


def test_a_recording_that_holds_no_sound_keeps_its_head():
    silent = {"words": [], "phones": [(PAUSE, 0.0)]}
    item, wave = splice.without_head(np.random.default_rng(0), silent, WAVE)
    assert item is silent
    assert wave is WAVE


def test_sequences_splice_the_corpora_that_are_to_be_spliced(sequences, monkeypatch):
    calls = []
    monkeypatch.setattr(data.splice, "sentence", lambda *a: calls.append(a) or splice_nothing(*a))
    sequences.at(0)
    assert not calls
    sequences.corpora[0].spliced = 1.0
    sequences.at(0)
    assert calls


def splice_nothing(r, corpus_, item):
    return item, corpus_.load(item)
