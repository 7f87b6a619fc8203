import json
from dataclasses import replace

import pytest
from deepgram.types import ListenV1Response

from realtime.dialects.deepgram_files import DeepgramFiles, url_refusal
from realtime.dialects.files import BadField, Fields, Unboxed
from realtime.errors import AtCapacity, Unauthorized
from tests.dialects.heard import CAFE, HEARD, HELLO, SILENCE


def asked(**parameters):
    return DeepgramFiles(Fields(parameters.items()))


def answer(heard=HEARD, **parameters):
    body = asked(**parameters).answer(heard).body
    return ListenV1Response.model_validate_json(body)


def test_the_answer_is_what_the_sdk_reads():
    told = answer()
    metadata = told.metadata
    assert (metadata.request_id, metadata.duration, metadata.channels) == ("r-1", 4.25, 1)
    assert metadata.sha256 == "ab" * 32 and metadata.created.year == 2026
    assert metadata.models == ["voxtral"] and metadata.model_info["voxtral"]["name"] == "voxtral"
    [channel] = told.results.channels
    [alternative] = channel.alternatives
    assert alternative.transcript == "Hello, world. Café."
    assert alternative.confidence == pytest.approx(0.7)
    assert [(w.word, w.punctuated_word, w.start, w.end) for w in alternative.words] == [
        ("hello", "Hello,", 0.5, 0.9),
        ("world", "world.", 1.0, 1.4),
        ("café", "Café.", 3.0, 3.6),
    ]
    assert told.results.utterances is None


def test_utterances():
    first, second = answer(utterances="true").results.utterances
    assert (first.transcript, first.start, first.end, first.channel) == ("Hello, world.", 0.5, 1.4, 0)
    assert first.confidence == pytest.approx(0.8) and len(first.words) == 2
    assert first.id != second.id


def test_channels_are_told_apart():
    assert asked(multichannel="true").multichannel and not asked().multichannel
    heard = replace(HEARD, channels=2, finals=(replace(CAFE, channel=1), HELLO))
    told = answer(heard, multichannel="true", utterances="true")
    assert [channel.alternatives[0].transcript for channel in told.results.channels] == [
        "Hello, world.",
        "Café.",
    ]
    assert [utterance.channel for utterance in told.results.utterances] == [0, 1]
    assert told.metadata.channels == 2


def test_silence_has_an_empty_alternative():
    [channel] = answer(SILENCE).results.channels
    [alternative] = channel.alternatives
    assert (alternative.transcript, alternative.confidence, alternative.words) == ("", 0.0, [])


@pytest.mark.parametrize(
    ("parameters", "unboxed"),
    [
        ({}, None),
        ({"encoding": "flac"}, None),
        ({"encoding": "linear16", "sample_rate": "8000"}, Unboxed("pcm_s16le", 8000, 1)),
        ({"encoding": "mulaw", "sample_rate": "8000", "channels": "2"}, Unboxed("mulaw", 8000, 2)),
    ],
)
def test_raw_audio_is_as_the_query_says(parameters, unboxed):
    assert asked(**parameters).unboxed == unboxed


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"encoding": "linear16"}, "sample_rate"),
        ({"encoding": "linear16", "sample_rate": "fast"}, "sample_rate"),
        ({"encoding": "alaw", "sample_rate": "8000", "channels": "0"}, "channels"),
        ({"multichannel": "perhaps"}, "multichannel"),
        ({"callback": "http://example.org"}, "callback"),
    ],
)
def test_wrong_values_are_refused(parameters, field):
    with pytest.raises(BadField) as caught:
        asked(**parameters)
    assert caught.value.field == field
    told = DeepgramFiles.refusal(caught.value, "r-1")
    assert (told["err_code"], told["request_id"]) == ("Bad Request", "r-1")
    assert told["err_msg"] == told["message"] == caught.value.message


def test_unknown_parameters_are_ignored():
    asked(model="nova-3", smart_format="true", diarize="true", paragraphs="true", tag="x", novelty="1")


def test_errors_speak_the_vendors_language():
    assert DeepgramFiles.refusal(Unauthorized("who?"), "r")["err_code"] == "INVALID_AUTH"
    assert DeepgramFiles.refusal(AtCapacity(), "r")["category"] == "Service Unavailable"
    assert DeepgramFiles.refusal(url_refusal(), "r")["err_code"] == "Bad Request"
    assert DeepgramFiles.headers("r", url_refusal()).keys() == {"dg-request-id", "dg-error"}
    assert json.dumps(DeepgramFiles.headers("r")) == '{"dg-request-id": "r"}'
