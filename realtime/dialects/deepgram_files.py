"""Deepgram's pre-recorded `POST /v1/listen`: parameters in the query, the audio as the body, one JSON answer."""

from __future__ import annotations

from typing import Any

from realtime.dialects.base import to_json
from realtime.dialects.deepgram_common import PLAIN, bare, confidence
from realtime.dialects.files import Answer, BadField, Fields, FileDialect, Heard, Unboxed, seconds, shown
from realtime.errors import VoxwireError
from realtime.events import Final, Word

ERROR_NAMES = {  # by HTTP status
    400: "Bad Request",
    401: "INVALID_AUTH",
    403: "INSUFFICIENT_PERMISSIONS",
    408: "Request Timeout",
    413: "Payload Too Large",
    503: "Service Unavailable",
}


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
        """The old shape and the new one: clients read either."""
        name = ERROR_NAMES.get(error.http_status, error.code)
        return {
            "err_code": name,
            "err_msg": error.message,
            "category": name,
            "message": error.message,
            "details": error.message,
            "request_id": request_id,
        }

    @classmethod
    def headers(cls, request_id: str, error: VoxwireError | None = None) -> dict[str, str]:
        headers = {"dg-request-id": request_id}
        if error is not None:
            headers["dg-error"] = error.message.encode("ascii", "replace").decode()
        return headers


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
        "model_info": {heard.model: {"name": heard.model, "version": "", "arch": "voxtral-realtime"}},
    }


def _alternative(heard: Heard, channel: int) -> dict[str, Any]:
    finals = [final for final in heard.finals if final.channel == channel]
    words = [word for final in finals for word in final.words]
    return {
        "transcript": " ".join(final.text for final in finals),
        "confidence": confidence(words),
        "words": [_word(word) for word in words],
    }


def _utterance(request_id: str, number: int, final: Final) -> dict[str, Any]:
    return {
        "start": seconds(final.start_ms),
        "end": seconds(final.end_ms),
        "confidence": confidence(final.words),
        "channel": final.channel,
        "transcript": final.text,
        "words": [_word(word) for word in final.words],
        "id": f"{request_id}-{number}",
    }


def _word(word: Word) -> dict[str, Any]:
    return {
        "word": bare(word.text),
        "start": seconds(word.start_ms),
        "end": seconds(word.end_ms),
        "confidence": word.confidence,
        "punctuated_word": word.text,
    }


def url_refusal() -> BadField:
    """What a body of JSON is told, which names an address instead of bringing the audio."""
    return BadField(f"{shown('url')} is not offered: send the audio as the body.", "url", "unsupported_value")
