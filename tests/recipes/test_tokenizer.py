import json

import pytest

from recipes.tiny import texts, tokenizer
from recipes.tiny.tokenizer import BOS, PAD, WORD


def test_merges_join_the_most_frequent_pair_first():
    vocabulary = tokenizer.train({" aab": 5, " ab": 3}, merges=2)
    assert vocabulary[256:] == [b"ab", b"aab"] or vocabulary[256] == b"ab"


def test_words_come_back(toy_tokenizer):
    ids = [BOS, PAD, WORD, *toy_tokenizer.word("one"), PAD, WORD, *toy_tokenizer.word("it's")]
    assert toy_tokenizer.decode(ids) == "one it's"
    assert len(toy_tokenizer.word("three")) == 1


def test_mistral_common_reads_the_file_and_encodes_alike(toy):
    tekken = pytest.importorskip("mistral_common.tokens.tokenizers.tekken")
    path = toy / "tekken.json"
    theirs, ours = tekken.Tekkenizer.from_file(path), tokenizer.Tokenizer(path)
    assert theirs.n_words == ours.size
    for text in ["one two three four", "press nine it's o'clock", *texts.TEMPLATES[:40]]:
        text = text.replace("{", "").replace("}", "")
        want = theirs.encode(" " + text, bos=False, eos=False)
        assert [i for word in text.split() for i in ours.word(word)] == want
        assert theirs.decode(want).strip() == text


def test_audio_block_and_control_tokens(toy):
    data = json.loads((toy / "tekken.json").read_text())
    assert data["audio"]["transcription_delay_ms"] == 480
    assert data["audio"]["streaming_n_left_pad_tokens"] == 32
    names = {s["rank"]: s["token_str"] for s in data["special_tokens"]}
    assert (names[1], names[2], names[32], names[33]) == (
        "<s>",
        "</s>",
        "[STREAMING_PAD]",
        "[STREAMING_WORD]",
    )
