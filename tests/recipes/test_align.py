import numpy as np

from recipes.tiny import align, corpus
from recipes.tiny.align import Chain, viterbi
from recipes.tiny.train import Trainer
from tests.recipes.conftest import TONES_HZ, WORD_S

PHONES = ["_", "a", "b"]


def frames(*ids: int) -> np.ndarray:
    """Log posteriors that are sure of the given phones."""
    p = np.full((len(ids), len(PHONES)), 0.01)
    p[np.arange(len(ids)), ids] = 0.98
    return np.log(p).astype(np.float32)


def test_viterbi_finds_the_path_that_brute_force_finds():
    r = np.random.default_rng(0)
    optional = np.array([True, False, False, True, False, True])
    for _ in range(30):
        scores = r.standard_normal((7, 6)).astype(np.float32)
        got = viterbi(scores, optional)
        assert np.isclose(scores[np.arange(7), got].sum(), brute_force(scores, optional), atol=1e-5)


def brute_force(scores, optional):
    last = len(optional) - 1

    def best(t, s):
        if t == len(scores) - 1:
            return scores[t, s] if s == last or (optional[last] and s == last - 1) else -np.inf
        following = [s, s + 1] + ([s + 2] if s + 1 <= last and optional[s + 1] else [])
        return scores[t, s] + max(best(t + 1, n) for n in following if n <= last)

    return max(best(0, 0), best(0, 1) if optional[0] else -np.inf)


def test_words_end_where_their_last_phone_ends():
    chain = Chain([["a", "b"], ["a"]], {p: i for i, p in enumerate(PHONES)})
    score, path = chain.align(frames(0, 0, 1, 1, 2, 2, 2, 0, 1, 1, 1, 0))
    assert chain.word_ends_s(path) == [0.14, 0.22]
    assert chain.phone_starts(path, PHONES) == [
        ("_", 0.0),
        ("a", 0.04),
        ("b", 0.08),
        ("_", 0.14),
        ("a", 0.16),
        ("_", 0.22),
    ]
    assert score > -0.1


def test_speech_without_any_silence_aligns():
    chain = Chain([["a"], ["b"]], {p: i for i, p in enumerate(PHONES)})
    _, path = chain.align(frames(1, 1, 2, 2, 2))
    assert chain.word_ends_s(path) == [0.04, 0.1]


def test_audio_shorter_than_its_phones_is_refused():
    chain = Chain([["a", "b", "a"]], {p: i for i, p in enumerate(PHONES)})
    assert chain.align(frames(1, 2, 1)) is None


def test_texts_of_many_phones_align():
    chain = Chain([["a", "b"]] * 100, {p: i for i, p in enumerate(PHONES)})
    _, path = chain.align(frames(*[1, 1, 2, 2] * 100))
    assert chain.word_ends_s(path) == [round(0.08 * (i + 1), 3) for i in range(100)]


def test_what_fits_its_text_badly_is_listed_worst_first(tmp_path):
    items = [
        {"text": "one", "score": -3.0, "files": ["a.wav"]},
        {"text": "two", "score": -0.5, "words": [["two", 0.3]]},
        {"text": "three four", "score": -4.5, "files": ["b.wav", "c.wav"]},
        {"text": "too long for its audio"},
    ]
    align._report(tmp_path, items)
    rows = [line.split("\t") for line in (tmp_path / "misaligned.txt").read_text().splitlines()]
    assert rows == [["-4.5", "b.wav c.wav", "three four"], ["-3.0", "a.wav", "one"]]


def test_a_corpus_is_aligned_in_its_order_by_several_processes(toy, small_model, monkeypatch):
    monkeypatch.setattr(align, "Espeak", lambda: None)
    monkeypatch.setattr(align, "pronounce", lambda espeak, item, known: [[w] for w in item["text"].split()])
    monkeypatch.setattr(align, "BATCH", 7)
    Trainer(small_model, 0.02, 2e-3).save(toy / "any.pt")
    folder = toy / "corpus" / "toy"
    before = corpus.read_index(folder)
    after = align.align(toy / "any.pt", ["_", *TONES_HZ], folder, {"digits": 2}, workers=2)
    assert [x["text"] for x in after] == [x["text"] for x in corpus.read_index(folder)]
    assert [x["offset"] for x in after] == [x["offset"] for x in before]
    assert all(("words" in x) == (i % 2 == 0) for i, x in enumerate(after))
    for item in after[::2]:
        said, ends_s = zip(*item["words"], strict=True)
        assert " ".join(said) == item["text"]
        assert all(0 < end <= WORD_S * len(said) + 0.02 for end in ends_s)
