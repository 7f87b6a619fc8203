import itertools
import math
import random

import pytest

from realtime.text.confidence import IDENTITY, Calibration
from realtime.text.words import LONGEST_GROUP_STEPS, LONGEST_WORD_CHARS, WordDecoder

D = 6


class Run:
    """Pushes a script of tokens from step D + 1 on and collects what comes out."""

    def __init__(self, tekken, token, script, logprobs=None, delay=D, calibration=IDENTITY):
        self.decoder = WordDecoder(tekken, delay, calibration)
        self.deltas, self.words = [], []
        for n, piece in enumerate(script):
            logprob = logprobs[n] if logprobs else -0.1
            text, words = self.decoder.push(delay + 1 + n, token(piece), logprob)
            self.deltas.append(text)
            self.words += words

    def finish(self):
        text, words = self.decoder.finish()
        self.deltas.append(text)
        self.words += words
        return self

    @property
    def text(self):
        return "".join(self.deltas)


@pytest.fixture
def run(tekken, token):
    return lambda script, *rest, **options: Run(tekken, token, script, *rest, **options).finish()


def texts(run):
    return [word.text for word in run.words]


def test_words_begin_at_spaces_and_pieces_join(run):
    out = run(["P", "W", " hello", " won", "der", "ful", ".", "P", "W", " world"])
    assert out.text == " hello wonderful. world"
    assert texts(out) == ["hello", "wonderful.", "world"]


def test_control_tokens_and_eos_are_no_text(run):
    assert run(["EOS", "P", "W", "P", "EOS"]).text == ""
    out = run(["W", " hello", "EOS", "P", "W", " world"])
    assert out.text == " hello world"
    assert texts(out) == ["hello", "world"]


def test_the_prompt_says_nothing(tekken, token):
    decoder = WordDecoder(tekken, D)
    for step in range(D + 1):
        assert decoder.push(step, token(" hello"), -0.1) == ("", [])
    assert decoder.push(D + 1, token(" hello"), -0.1)[0] == " hello"


def test_characters_split_across_tokens(run):
    raw = "é🙂".encode()
    out = run(["W", " hello", *[bytes([b]) for b in raw], "P"])
    assert texts(out) == ["helloé🙂"]
    assert "�" not in out.text


def test_a_character_split_behind_a_space_begins_a_word(run):
    out = run(["W", " hello", " ", b"\xc3", b"\xa9", "P"])
    assert texts(out) == ["hello", "é"]


def test_bytes_that_are_no_text_are_shown_not_lost(run):
    out = run(["W", " hello", b"\xff", " world"])
    assert texts(out) == ["hello�", "world"]
    assert texts(run(["W", " hello", b"\xc3"])) == ["hello�"]


def test_each_marker_begins_a_word_without_spaces(run):
    out = run(["W", "你好", "P", "W", "世界", "。", "P"])
    assert out.text == "你好世界。"
    assert texts(out) == ["你好", "世界。"]


def test_punctuation_behind_a_marker_stays_with_its_word_unless_it_opens(run):
    assert texts(run(["W", " hello", "P", "W", "."])) == ["hello."]
    assert texts(run(["W", " hello", "P", "P", "."])) == ["hello."]
    assert texts(run(["W", " hello", "W", "'s"])) == ["hello's"]
    assert texts(run(["W", "你好", "P", "W", "「", "世界"])) == ["你好", "「世界"]


def test_white_space_at_the_end_is_no_text(run):
    assert run(["W", " hello", " ", "\n", "P"]).text == " hello"
    assert run(["W", " hello", "\n", " world"]).text == " hello world"


def test_one_piece_with_two_words(run):
    assert texts(run(["W", " a b"])) == ["a", "b"]


def test_the_marker_tells_the_end_of_its_word(run):
    word = run(["P"] * 10 + ["W", " hello"]).words[0]
    step = D + 1 + 10
    assert (step - D - 1) * 80 <= word.end_ms < (step - D) * 80
    assert word.start_ms < word.end_ms


def test_text_without_marker_ended_one_frame_earlier(run):
    word = run(["P"] * 10 + [" hello"]).words[0]
    step = D + 1 + 10
    assert (step - D - 2) * 80 <= word.end_ms < (step - D - 1) * 80


def test_late_pieces_do_not_move_the_end(run):
    early = run(["P"] * 10 + ["W", " won"]).words[0]
    late = run(["P"] * 10 + ["W", " won", "der", "ful", "P", "."]).words[0]
    assert (late.text, late.end_ms) == ("wonderful.", early.end_ms)


def test_words_of_a_group_share_its_time(run):
    words = run(["P"] * 20 + ["W", " one", " two", " three"]).words
    ends = [word.end_ms for word in words]
    assert ends[-1] == round((20 + 0.5) * 80)
    assert all(a.end_ms == b.start_ms for a, b in itertools.pairwise(words))
    assert ends == sorted(set(ends))


def test_no_word_begins_before_the_one_in_front_ended(run):
    words = run(["P"] * 5 + ["W", " hello", "W", " wonderful"[:4], "der", "ful", "W", " one"]).words
    assert len(words) == 3
    assert all(b.start_ms >= a.end_ms for a, b in itertools.pairwise(words))


def test_the_delay_moves_nothing_but_the_step(run):
    script = ["P"] * 4 + ["W", " hello", "P", "W", " world"]
    assert run(script, delay=1).words == run(script, delay=30).words


def test_writing_on_without_markers_keeps_time(run):
    """A model that opens no new group while it writes does not leave its words behind."""
    words = run(["P"] * 4 + ["W"] + [" one", " two", " three", " four"] * 20).words
    last_step = 4 + 80
    assert words[-1].end_ms > (last_step - LONGEST_GROUP_STEPS - 6) * 80


def test_without_calibration_confidence_is_the_product_of_the_pieces(run):
    half, quarter = math.log(0.5), math.log(0.25)
    out = run(["W", " won", "der", "W", " one"], [-9.0, half, quarter, -9.0, 0.0])
    assert [word.confidence for word in out.words] == [0.125, 1.0]


def test_confidence_is_what_the_calibration_makes_of_it(run):
    calibration = Calibration(scale=2.0, offset=math.log(3))
    out = run(["W", " won", "der", "W", " one"], [-9.0, math.log(0.5), math.log(0.5), -9.0, math.log(0.5)])
    assert [word.confidence for word in out.words] == [0.25, 0.5]
    out = run(
        ["W", " won", "der", "W", " one"],
        [-9.0, math.log(0.5), math.log(0.5), -9.0, math.log(0.5)],
        calibration=calibration,
    )
    assert [word.confidence for word in out.words] == [0.25, 0.75]  # odds 1/3 and 1: squared, times 3


def test_punctuation_makes_no_word_less_sure(run):
    half, rarely = math.log(0.5), math.log(0.01)
    out = run(["W", " hello", ".", "W", "「", "世界"], [0.0, half, rarely, 0.0, rarely, half])
    assert [word.confidence for word in out.words] == [0.5, 0.5]
    assert run(["。"], [half]).words[0].confidence == 0.5


def test_bytes_of_a_split_character_count_for_confidence(run):
    out = run(["W", b"\xc3", b"\xa9"], [0.0, math.log(0.25), 0.0])
    assert out.words[0].confidence == 0.25


def test_a_cut_between_words_loses_and_doubles_nothing(tekken, token):
    script = [
        "P",
        "W",
        " hello",
        " won",
        "der",
        "ful",
        "P",
        ".",
        "W",
        "你好",
        "W",
        "世界",
        " one",
        " two",
        "P",
    ] * 3
    whole = Run(tekken, token, script).finish()
    for cut_at in range(len(script)):
        decoder = WordDecoder(tekken, D)
        deltas, words, cut = [], [], None
        for n, piece in enumerate(script):
            if cut is None and n >= cut_at and decoder.at_border(token(piece)):
                words += decoder.cut()
                cut = "".join(deltas)
                assert cut.split() == " ".join(w.text for w in words).split() or "你" in cut
            text, settled = decoder.push(D + 1 + n, token(piece), -0.1)
            deltas.append(text)
            words += settled
        text, settled = decoder.finish()
        assert "".join([*deltas, text]) == whole.text
        assert "".join(w.text for w in words + settled) == "".join(texts(whole))


def test_what_follows_a_finish_begins_anew(tekken, token):
    decoder = WordDecoder(tekken, D)
    decoder.push(20, token(" hello"), -0.1)
    decoder.finish()
    decoder.push(21, token("der"), -0.1)
    _, [word] = decoder.finish()
    assert word.text == "der"
    assert (21 - D - 2) * 80 <= word.end_ms < (21 - D - 1) * 80
    decoder.push(22, token("W"), -0.1)
    decoder.finish()
    assert decoder.push(23, token(" world"), -0.1)[0] == " world"
    _, [word] = decoder.finish()
    assert (23 - D - 2) * 80 <= word.end_ms < (23 - D - 1) * 80


def test_no_cut_inside_a_word_or_a_character(tekken, token):
    decoder = WordDecoder(tekken, D)
    decoder.push(7, token("W"), 0.0)
    decoder.push(8, token(" won"), 0.0)
    assert not decoder.at_border(token("der"))
    assert (
        decoder.at_border(token(" hello")) and decoder.at_border(token("P")) and decoder.at_border(token("W"))
    )
    decoder.push(9, token(b"\xc3"), 0.0)
    assert not decoder.at_border(token("P"))


def test_a_word_without_end_gets_one(tekken, token):
    decoder = WordDecoder(tekken, D)
    settled = []
    for step in range(7, 7 + 40 * LONGEST_WORD_CHARS):
        settled += decoder.push(step, token("ful"), -0.1)[1]
    assert len(settled) > 10
    assert max(len(word.text) for word in settled) <= LONGEST_WORD_CHARS + 3


def test_any_tokens_make_growing_text_and_ordered_words(tekken, token):
    """The text is the words with or without spaces, times never go back, whatever a model writes."""
    rng = random.Random(1)
    for _ in range(200):
        decoder = WordDecoder(tekken, D)
        text, words = "", []
        for step in range(60):
            id_ = rng.choice([rng.randrange(tekken.vocab_size), tekken.pad_id, tekken.word_id, token(" one")])
            delta, settled = decoder.push(step, id_, -rng.random())
            text, words = text + delta, words + settled
            if rng.random() < 0.05 and decoder.at_border(id_):
                words += decoder.cut()
        delta, settled = decoder.finish()
        text, words = text + delta, words + settled
        assert "".join(text.split()) == "".join(word.text for word in words)
        assert all(word.text == word.text.strip() != "" for word in words)
        times = [ms for word in words for ms in (word.start_ms, word.end_ms)]
        assert times == sorted(times) and min(times, default=0) >= 0
        assert all(0 <= word.confidence <= 1 for word in words)


DOUBTING = Calibration(unwritten_below=0.5)
SURE, UNSURE = math.log(0.9), math.log(0.2)


def doubted(run, script, unsure, **options):
    """The pieces numbered in `unsure` are improbable."""
    logprobs = [UNSURE if n in unsure else SURE for n in range(len(script))]
    return run(script, logprobs, calibration=DOUBTING, **options)


def test_a_word_whose_first_piece_is_improbable_is_not_written(run):
    script = ["W", " hello", "P", "W", " won", "der", "ful", "P", "W", " world"]
    out = doubted(run, script, {4})
    assert (out.text, texts(out)) == (" hello world", ["hello", "world"])
    everything = run(script)
    kept = [word for word in everything.words if word.text != "wonderful"]
    assert [(w.start_ms, w.end_ms) for w in out.words] == [(w.start_ms, w.end_ms) for w in kept]


def test_only_the_first_piece_decides_so_that_nothing_is_taken_back(run):
    out = doubted(run, ["W", " hello", "P", "W", " won", "der", "ful"], {5, 6})
    assert out.text == " hello wonderful"
    assert out.words[1].confidence < 0.1


def test_words_that_are_not_written_leave_no_trace_at_the_edges(run):
    assert doubted(run, ["W", " hello", " world"], {1}).text == " world"
    assert doubted(run, ["W", " hello", " world", "."], {2, 3}).text == " hello"
    nothing = doubted(run, ["W", " hello"], {1})
    assert (nothing.text, nothing.words) == ("", [])


def test_characters_without_spaces_can_be_left_out_too(run):
    out = doubted(run, ["W", "你好", "P", "W", "世界", "。", "P"], {1})
    assert (out.text, texts(out)) == ("世界。", ["世界。"])


def test_without_a_threshold_every_word_is_written(run):
    script = ["W", " hello", "P", "W", " world"]
    assert run(script, [-20.0] * len(script)).text == " hello world"


@pytest.mark.parametrize("seed", range(5))
def test_text_and_words_agree_whatever_is_left_out(run, seed):
    r = random.Random(seed)
    script = [r.choice(["P", "W", " hello", " won", "der", " a b", "."]) for _ in range(200)]
    out = doubted(run, script, {n for n in range(200) if r.random() < 0.5})
    assert "".join(out.text.split()) == "".join(texts(out))
    assert len(out.words) < len(run(script).words)
