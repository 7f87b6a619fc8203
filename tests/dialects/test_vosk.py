"""The vosk dialect alone: one answer a message, in order, whatever the recogniser knows."""

import json

import pytest

from realtime.dialects.base import Handshake, Reply
from realtime.dialects.vosk import MOST_OWED, BadText, VoskDialect
from realtime.errors import BadOption, LimitReached
from realtime.events import (
    Audio,
    Configure,
    Done,
    End,
    Error,
    Final,
    Flush,
    Partial,
    SessionOptions,
    SpeechStarted,
    Word,
)

EOF, RESET = '{"eof" : 1}', '{"reset" : 1}'
DONE = Done(80, 80, 1)


def opened(**config):
    dialect = VoskDialect()
    assert dialect.open(Handshake(), SessionOptions()).sample_rate == 8000
    if config:
        dialect.decode(json.dumps({"config": config}))
    return dialect


def partial(text):
    return Partial(0, text, text, 0, 80)


def final(text, reason="silence"):
    words = tuple(Word(word, 80 * n, 80 * n + 80, 0.5) for n, word in enumerate(text.split()))
    return Final(0, text, words, 0, 80, reason)


def answers(dialect, *messages):
    """What is answered at once."""
    replies = [r for m in messages for r in dialect.decode(m) if isinstance(r, Reply)]
    return [json.loads(reply.frame) for reply in replies]


def told(dialect, *events):
    return [json.loads(frame) for event in events for frame in dialect.encode(event)]


def texts(messages):
    return [message.get("text", message.get("partial")) for message in messages]


# ---------------------------------------------------------------- configuration


def test_the_configuration_has_no_answer():
    requests = opened().decode('{ "config" : { "sample_rate" : 16000 } }')
    assert requests == [Configure(SessionOptions(sample_rate=16000))]


def test_a_rate_may_be_written_as_a_fraction():
    assert opened().decode('{"config":{"sample_rate":48000.0}}')[0].options.sample_rate == 48000


def test_what_is_not_known_in_it_is_ignored():
    assert opened().decode('{"config":{"phrase_list":["yes","[unk]"],"model":"ru","spk":true}}') == []


def test_behind_audio_it_changes_nothing():
    dialect = opened()
    dialect.decode(b"")
    assert dialect.decode('{"config":{"sample_rate":16000,"words":false}}') == []
    assert "result" in told(dialect, final("one", "end"), DONE)[0]


@pytest.mark.parametrize(
    "config",
    [{"sample_rate": 7999}, {"sample_rate": 48001}, {"sample_rate": "8000"}, {"max_alternatives": -1}, 5],
)
def test_a_wrong_one_ends_the_stream(config):
    with pytest.raises(BadOption) as caught:
        opened().decode(json.dumps({"config": config}))
    assert caught.value.fatal


@pytest.mark.parametrize("text", ["", "hello", "[]", "{}", '{"eof" : 0}', "[" * 5000, '"config"'])
def test_a_text_that_vosk_does_not_know_ends_the_stream(text):
    with pytest.raises(BadText) as caught:
        opened().decode(text)
    assert caught.value.fatal


# ---------------------------------------------------------------- answers


def test_every_message_has_one_answer():
    dialect = opened()
    assert dialect.decode(b"ab")[0] == Audio(b"ab")
    assert answers(dialect, b"ab", b"", b"a") == [{"partial": ""}] * 3


def test_a_partial_lasts_until_its_final_which_is_told_once():
    dialect = opened()
    assert told(dialect, SpeechStarted(0), partial("one"), partial("one two")) == []
    assert texts(answers(dialect, b"ab", b"ab")) == ["one two", "one two"]
    assert told(dialect, final("one two.")) == []
    assert texts(answers(dialect, b"ab", b"ab")) == ["one two.", ""]


def test_utterances_that_piled_up_are_told_one_by_one():
    dialect = opened()
    told(dialect, final("one"), final(""), final("two"), partial("three"))
    assert texts(answers(dialect, b"ab", b"ab", b"ab")) == ["one", "two", "three"]


def test_words_have_their_times_and_confidence():
    dialect = opened()
    told(dialect, final("one two"))
    [message] = answers(dialect, b"ab")
    assert message == {
        "result": [
            {"conf": 0.5, "end": 0.08, "start": 0.0, "word": "one"},
            {"conf": 0.5, "end": 0.16, "start": 0.08, "word": "two"},
        ],
        "text": "one two",
    }


def test_words_only_if_wanted():
    dialect = opened(words=0)
    told(dialect, final("one two"))
    assert answers(dialect, b"ab") == [{"text": "one two"}]


def test_of_alternatives_there_is_one():
    dialect = opened(max_alternatives=3, words=False)
    told(dialect, final("one two"))
    assert answers(dialect, b"ab") == [{"alternatives": [{"confidence": 0.5, "text": "one two"}]}]


# ---------------------------------------------------------------- eof and reset


def test_eof_is_answered_with_everything_that_was_not_told():
    dialect = opened()
    told(dialect, final("one"))
    assert dialect.decode(EOF) == [End()]
    assert told(dialect, final("two"), final("three", "end")) == []
    [message] = told(dialect, DONE)
    assert message["text"] == "one two three"
    assert [word["word"] for word in message["result"]] == ["one", "two", "three"]


def test_eof_without_words_has_an_answer_too_and_is_the_last_message():
    dialect = opened()
    assert dialect.decode('{"eof":1}') == [End()]
    assert dialect.decode(b"ab") == dialect.decode(RESET) == dialect.decode(EOF) == []
    assert told(dialect, DONE) == [{"text": ""}]


def test_answers_behind_a_reset_wait_for_it():
    dialect = opened()
    assert dialect.decode(RESET) == [Flush()]
    assert answers(dialect, b"ab", b"ab", RESET, b"ab") == []
    told(dialect, final("one"))
    assert texts(told(dialect, final("two", "flush"))) == ["one two", "", ""]
    assert texts(told(dialect, final("", "flush"), partial("three"))) == ["", ""]
    assert texts(answers(dialect, b"ab")) == ["three"]


def test_eof_behind_a_reset():
    dialect = opened()
    dialect.decode(RESET)
    dialect.decode(EOF)
    assert texts(told(dialect, final("one", "flush"), final("two", "end"), DONE)) == ["one", "two"]


def test_what_waits_behind_a_reset_is_bounded():
    dialect = opened()
    dialect.decode(RESET)
    with pytest.raises(LimitReached):
        for _ in range(MOST_OWED + 1):
            dialect.decode(b"")


def test_a_server_that_ends_tells_what_it_still_knows():
    dialect = opened()
    gone = Error("shutting_down", "Gone.", True)
    assert told(dialect, gone) == []
    assert texts(told(dialect, final("one", "end"), gone)) == ["one"]
