"""Deepgram's pre-recorded `POST /v1/listen`: parameters in the query, the audio as the body, one JSON answer."""

from __future__ import annotations

from typing import Any

from realtime.dialects import deepgram_common
from realtime.dialects.base import mean_confidence, seconds, shown, to_json
from realtime.dialects.deepgram_common import PLAIN, model_info, told_word
from realtime.dialects.files import Answer, BadField, Fields, FileDialect, Heard, Unboxed
from realtime.errors import VoxwireError
from realtime.events import Final


class DeepgramFiles(FileDialect):
    def __init__(self, fields: Fields):
        super().__init__()
        if fields.text("callback"):
            raise BadField(
                "callback is not offered: the transcript is the answer.", "callback", "unsupported_value"
            )
        self.multichannel = fields.flag("multichannel")
        self._tells_utterances = fields.flag("utterances")
        self.unboxed = _unboxed(fields)

    def answer(self, heard: Heard) -> Answer:
        results: dict[str, Any] = {
            "channels": [{"alternatives": [_alternative(heard, n)]} for n in range(heard.channels)]
        }
        if self._tells_utterances:
            finals = sorted(heard.finals, key=lambda final: (final.start_ms, final.channel))
            results["utterances"] = [_utterance(heard.request_id, n, final) for n, final in enumerate(finals)]
        return Answer(to_json({"metadata": _metadata(heard), "results": results}))

    @classmethod
    def refusal(cls, error: VoxwireError, request_id: str) -> dict[str, Any]:
        return deepgram_common.refusal(error, request_id)

    @classmethod
    def headers(cls, request_id: str, error: VoxwireError | None = None) -> dict[str, str]:
        return deepgram_common.headers(request_id, error)


def _unboxed(fields: Fields) -> Unboxed | None:
    encoding = PLAIN.get(fields.text("encoding").lower())  # whatever else is named comes in a container
    if encoding is None:
        return None
    rate = fields.number("sample_rate", 4000, 384_000)
    if rate is None:
        raise BadField("sample_rate is needed with encoding.", "sample_rate", "missing_required_parameter")
    channels = fields.number("channels", 1, 64) or 1
    return Unboxed(encoding, int(rate), int(channels))


def _metadata(heard: Heard) -> dict[str, Any]:
    return {
        "transaction_key": "deprecated",
        "request_id": heard.request_id,
        "sha256": heard.sha256,
        "created": heard.created,
        "duration": heard.audio_s,
        "channels": heard.channels,
        "models": [heard.model],
        "model_info": {heard.model: model_info(heard.model)},
    }


def _alternative(heard: Heard, channel: int) -> dict[str, Any]:
    finals = [final for final in heard.finals if final.channel == channel]
    words = [word for final in finals for word in final.words]
    return {
        "transcript": " ".join(final.text for final in finals),
        "confidence": mean_confidence(words),
        "words": [told_word(word) for word in words],
    }


def _utterance(request_id: str, number: int, final: Final) -> dict[str, Any]:
    return {
        "start": seconds(final.start_ms),
        "end": seconds(final.end_ms),
        "confidence": mean_confidence(final.words),
        "channel": final.channel,
        "transcript": final.text,
        "words": [told_word(word) for word in final.words],
        "id": f"{request_id}-{number}",
    }


def url_refusal() -> BadField:
    """What a body of JSON is told, which names an address instead of bringing the audio."""
    return BadField(f"{shown('url')} is not offered: send the audio as the body.", "url", "unsupported_value")
