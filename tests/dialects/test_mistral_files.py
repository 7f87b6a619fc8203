import json

import pytest
from mistralai.client.models import TranscriptionResponse, TranscriptionStreamEvents

from realtime.dialects.files import BadField, Fields
from realtime.dialects.mistral_files import MistralFiles, is_mistral
from realtime.errors import BadAudio
from tests.dialects.heard import EVENTS, HEARD

SDK = (("model", "voxtral-mini-2602"), ("stream", "false"), ("diarize", "false"))


def asked(*pairs):
    return MistralFiles(Fields([*SDK, *pairs]))


def answer(*pairs):
    return TranscriptionResponse.model_validate_json(asked(*pairs).answer(HEARD).body)


def sent(frames):
    """What their SDK makes of server-sent events."""
    events = []
    for frame in frames:
        name, data = frame.removesuffix("\n\n").split("\n")
        fields = {"event": name.removeprefix("event: "), "data": json.loads(data.removeprefix("data: "))}
        events.append(TranscriptionStreamEvents.model_validate(fields).data)
    return events


@pytest.mark.parametrize(
    ("fields", "agent", "mistral"),
    [
        (SDK, "mistral-client-python/3.7.0", True),
        (None, "mistral-client-python/3.7.0", True),
        (None, "", False),
        (SDK, "curl/8", True),
        ([("context_bias", "Voxtral")], "", True),
        ([("file_url", "http://example.org/a.wav")], "", True),
        ([("model", "whisper-1")], "curl/8", False),
        ([("model", "whisper-1"), ("stream", "true")], "AsyncOpenAI/Python 3.52.0", False),
        (SDK, "OpenAI/Python 3.52.0", False),
    ],
)
def test_whose_client_it_is(fields, agent, mistral):
    assert is_mistral(None if fields is None else Fields(fields), agent) == mistral


def test_the_answer_is_what_the_sdk_reads():
    told = answer()
    assert (told.model, told.text, told.language, told.segments) == (
        "voxtral",
        "Hello, world. Café.",
        None,
        [],
    )
    usage = told.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (54, 4, 58)
    assert usage.prompt_audio_seconds == 5


def test_segments_are_utterances():
    segments = answer(("timestamp_granularities", "segment"), ("diarize", "true")).segments
    assert [(s.text, s.start, s.end, s.speaker_id) for s in segments] == [
        ("Hello, world.", 0.5, 1.4, None),
        ("Café.", 3.0, 3.6, None),
    ]


def test_segments_are_words_where_words_are_asked_for():
    segments = answer(("timestamp_granularities", "word")).segments
    assert [(s.text, s.start, s.end, s.score) for s in segments] == [
        ("Hello,", 0.5, 0.9, 0.9),
        ("world.", 1.0, 1.4, 0.7),
        ("Café.", 3.0, 3.6, 0.5),
    ]


def test_the_language_is_the_clients():
    assert answer(("language", "fr")).language == "fr"


@pytest.mark.parametrize(("granularity", "segments"), [(None, 0), ("segment", 2), ("word", 3)])
def test_server_sent_events_are_those_the_sdk_knows(granularity, segments):
    pairs = [("timestamp_granularities", granularity)] if granularity else []
    dialect = asked(("stream", "true"), *pairs)
    assert dialect.streams
    events = sent(frame for event in EVENTS for frame in dialect.encode(event))
    deltas = [event.text for event in events if event.type == "transcription.text.delta"]
    assert deltas == ["Hello,", " world.", " Café."]
    assert [event.type for event in events].count("transcription.segment") == segments
    [done] = sent(dialect.done(HEARD))
    assert done.type == "transcription.done" and done.text == "".join(deltas)
    assert len(done.segments) == segments and done.usage.prompt_audio_seconds == 5


@pytest.mark.parametrize("field", ["file_url", "file_id"])
def test_addresses_are_not_fetched(field):
    with pytest.raises(BadField, match=f"{field} is not offered") as caught:
        asked((field, "http://169.254.169.254/"))
    told = MistralFiles.refusal(caught.value, "r-1")
    assert (told["object"], told["param"], told["code"]) == ("error", field, "unsupported_value")


@pytest.mark.parametrize(
    "pair", [("stream", "x"), ("diarize", "x"), ("temperature", "-1"), ("timestamp_granularities", "x")]
)
def test_wrong_values_are_refused(pair):
    with pytest.raises(BadField) as caught:
        asked(pair)
    assert MistralFiles.refusal(caught.value, "r-1")["param"] == pair[0]


def test_what_is_ignored():
    asked(
        ("context_bias", "Voxtral"), ("context_bias", "Mistral"), ("speaker_references", '{"Ann":"UklGRg=="}')
    )


def test_a_fault_on_the_way_is_an_event():
    [frame] = asked(("stream", "true")).failure(BadAudio("broken"))
    assert frame.startswith("event: error\ndata: ")
