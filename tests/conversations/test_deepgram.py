"""What Deepgram's clients may rely on, however people talk and however the audio comes."""

import pytest

from realtime.session import SessionLimits
from tests.conversations.deepgram import form
from tests.conversations.flux import form as flux_form
from tests.conversations.stage import Echo, Stage, s16
from tests.conversations.test_equalities import stereo, talk

RAW = {"encoding": "linear16", "sample_rate": "16000", "interim_results": "true", "utterance_end_ms": "1000"}
QUERIES = [
    {},
    {"endpointing": "10"},
    {"endpointing": "false"},
    {"channels": "2"},
    {"multichannel": "true", "channels": "2"},
]
CLOSE = {"type": "CloseStream"}


def conversation(tekken, audio, query, chunk_bytes, make=form.new, **options):
    stage = Stage(Echo(tekken), RAW | query, SessionLimits(), dialect=make(), **options)
    stage.send(*(audio[at : at + chunk_bytes] for at in range(0, len(audio), chunk_bytes)), CLOSE)
    if stage.lazy:
        stage.run()
    return stage.told


def sound(query, seed):
    return stereo(talk(seed), talk(seed + 1)) if query.get("channels") == "2" else s16(talk(seed))


def settled(messages):
    """Finals and ends of utterances, each in order, channel by channel."""
    finals = [m for m in messages if m["type"] == "Results" and m["is_final"] and m["duration"]]
    finals.sort(key=lambda m: (m["channel_index"], m["start"]))
    return finals, sorted((m["channel"], m["last_word_end"]) for m in messages if m["type"] == "UtteranceEnd")


def window(result):
    return round(result["start"] * 1000), round((result["start"] + result["duration"]) * 1000)


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_windows_and_words_follow_each_other(query, tekken):
    messages = conversation(tekken, sound(query, 5), query, 3200)
    results = [m for m in messages if m["type"] == "Results"]
    assert any(m["is_final"] for m in results)
    for channel in range(results[0]["channel_index"][1]):
        begins = said = 0
        for result in (m for m in results if m["channel_index"][0] == channel):
            start, end = window(result)
            assert start == begins <= end
            for word in result["channel"]["alternatives"][0]["words"]:
                assert said <= round(word["start"] * 1000) <= round(word["end"] * 1000) <= end
                said = round(word["start"] * 1000)
            begins = end if result["is_final"] else begins
    for end in (m for m in messages if m["type"] == "UtteranceEnd"):
        index = messages.index(end)
        words = [
            w
            for m in messages[:index]
            if m.get("channel_index") == end["channel"] and m["is_final"]
            for w in m["channel"]["alternatives"][0]["words"]
        ]
        assert words[-1]["end"] == end["last_word_end"]


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_neither_pieces_nor_a_slow_engine_change_what_is_told(query, tekken):
    audio = sound(query, 7)
    whole = settled(conversation(tekken, audio, query, 3200))
    assert whole[1], "no utterance ended"
    for chunk_bytes in (321, 6400):
        assert settled(conversation(tekken, audio, query, chunk_bytes)) == whole
    assert settled(conversation(tekken, audio, query, 3200, lazy=True)) == whole


def ended(messages):
    return [(m["transcript"], m["audio_window_end"]) for m in messages if m.get("event") == "EndOfTurn"]


@pytest.mark.parametrize(
    "query", [{}, {"eager_eot_threshold": "0.5"}, {"eot_threshold": "1", "eot_timeout_ms": "1200"}], ids=str
)
def test_turns_end_alike_however_the_audio_comes(query, tekken):
    audio = s16(talk(9))
    whole = ended(conversation(tekken, audio, query, 2560, make=flux_form.new))
    assert whole
    for chunk_bytes in (321, 6400):
        assert ended(conversation(tekken, audio, query, chunk_bytes, make=flux_form.new)) == whole
    assert ended(conversation(tekken, audio, query, 2560, make=flux_form.new, lazy=True)) == whole
