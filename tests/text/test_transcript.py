from realtime.events import Final, Partial, Word
from realtime.text.transcript import Transcript


def word(text, start_ms, end_ms):
    return Word(text, start_ms, end_ms, 0.9)


def test_partials_grow_and_the_final_is_the_last_of_them():
    transcript = Transcript(1, 30_000)
    first = transcript.grow(" hel", 100, 300)
    second = transcript.grow("lo", 120, 380)
    assert first == Partial(0, "hel", "hel", 100, 300, 1)
    assert second == Partial(0, "hello", "lo", 100, 380, 1)
    transcript.settle([word("hello", 90, 290)])
    assert transcript.finish("silence", 900) == Final(
        0, "hello", (word("hello", 90, 290),), 90, 290, "silence", 1
    )


def test_numbers_count_utterances_with_a_final():
    transcript = Transcript(0, 30_000)
    assert transcript.finish("silence", 100) == Final(0, "", (), 100, 100, "silence", 0)
    transcript.grow(" one", 0, 80)
    transcript.settle([word("one", 0, 80)])
    assert transcript.finish("end", 100).utterance == 0
    assert transcript.finish("flush", 700) == Final(1, "", (), 700, 700, "flush", 0)
    assert transcript.finish("end", 800).utterance == 2
    assert (transcript.utterance, transcript.finals_with_text) == (2, 1)


def test_white_space_alone_opens_nothing():
    transcript = Transcript(0, 30_000)
    assert transcript.grow("", 0, 80) is None
    assert not transcript
    assert not transcript.is_overdue(10**9)


def test_overdue_counts_from_the_start_of_the_utterance():
    transcript = Transcript(0, 1000)
    transcript.grow("a", 500, 900)
    assert not transcript.is_overdue(1499)
    assert transcript.is_overdue(1500)
    transcript.finish("length", 1500)
    assert not transcript.is_overdue(5000)
