"""OpenAI's `POST /v1/audio/transcriptions`: json, text, srt, vtt, verbose_json, and server-sent events."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from realtime.dialects.base import LANGUAGES, UNREADABLE, seconds, shown, to_json, within
from realtime.dialects.files import (
    PLAIN,
    Answer,
    BadField,
    Fields,
    FileDialect,
    Heard,
    checked_choice,
    checked_number,
    server_fault,
    server_sent,
)
from realtime.errors import BadAudio, MessageTooLarge, Unauthorized, VoxwireError
from realtime.events import HANGOVERS_MS, PRE_ROLLS_MS, Event, Final, Partial, Piece, SessionOptions, Word
from realtime.text import subtitles

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES = ("word", "segment")
STRATEGY_KEYS = ("type", "threshold", "prefix_padding_ms", "silence_duration_ms")
LONGEST_MS = 600_000  # of a pause that a client may ask for


class OpenAIFiles(FileDialect):
    def __init__(self, fields: Fields):
        super().__init__()
        if "diarized_json" in fields.every("response_format"):
            raise BadField(
                "response_format diarized_json is not offered: the model does not tell speakers apart.",
                "response_format",
                "unsupported_value",
            )
        self.streams = fields.flag("stream")
        self._format = fields.choice("response_format", FORMATS, "json")
        self._granularities = {
            checked_choice("timestamp_granularities", value, GRANULARITIES)
            for value in fields.every("timestamp_granularities")
        } or {"segment"}
        self._logprobs = _includes_logprobs(fields) and self._format == "json"
        self._language = fields.text("language")
        self._strategy = _strategy(fields)
        self._told_pieces = 0  # of the open utterance
        fields.number("temperature", 0, 1)  # one of the vendor's values, though nothing here is sampled

    def options(self, defaults: SessionOptions) -> SessionOptions:
        pre_roll_ms = self._strategy.get("prefix_padding_ms", defaults.gate.pre_roll_ms)
        hangover_ms = self._strategy.get("silence_duration_ms", defaults.gate.hangover_ms)
        gate = replace(
            defaults.gate,
            pre_roll_ms=within(round(pre_roll_ms), *PRE_ROLLS_MS),
            hangover_ms=within(round(hangover_ms), *HANGOVERS_MS),
        )
        return super().options(replace(defaults, gate=gate if self._strategy else defaults.gate))

    # ------------------------------------------------------------ one answer

    def answer(self, heard: Heard) -> Answer:
        match self._format:
            case "text":
                return Answer(heard.text + "\n", PLAIN)
            case "srt":
                return Answer(subtitles.srt(heard.finals), PLAIN)
            case "vtt":
                return Answer(subtitles.vtt(heard.finals), "text/vtt; charset=utf-8")
            case "verbose_json":
                return Answer(to_json(self._verbose(heard)))
        return Answer(to_json(plain(heard) | self._told_logprobs(heard.pieces)))

    def _verbose(self, heard: Heard) -> dict[str, Any]:
        words = [_word(word) for final in heard.finals for word in final.words]
        segments = [_segment(number, final) for number, final in enumerate(heard.finals)]
        return {
            "task": "transcribe",
            "language": LANGUAGES.get(self._language.lower(), self._language) or "unknown",
            "duration": heard.audio_s,
            "text": heard.text,
            **({"words": words} if "word" in self._granularities else {}),
            **({"segments": segments} if "segment" in self._granularities else {}),
            "usage": {"type": "duration", "seconds": heard.audio_s},
        }

    def _told_logprobs(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        return {"logprobs": [_logprob(piece) for piece in pieces]} if self._logprobs else {}

    # ------------------------------------------------------------ server-sent events

    def encode(self, event: Event) -> list[str]:
        text, pieces = self._new_text(event), self._new_pieces(event)
        if not text:
            return []
        told = {"type": "transcript.text.delta", "delta": text}
        return [server_sent(told | self._told_logprobs(pieces))]

    def _new_pieces(self, event: Event) -> Sequence[Piece]:
        if not isinstance(event, Partial | Final):
            return ()
        pieces = event.pieces or ()
        told, self._told_pieces = self._told_pieces, 0 if isinstance(event, Final) else len(pieces)
        return pieces[told:]

    def done(self, heard: Heard) -> list[str]:
        audio_tokens, text_tokens = heard.audio_tokens, len(heard.pieces)
        usage = {
            "type": "tokens",
            "input_tokens": audio_tokens,
            "input_token_details": {"audio_tokens": audio_tokens, "text_tokens": 0},
            "output_tokens": text_tokens,
            "total_tokens": audio_tokens + text_tokens,
        }
        told = {"type": "transcript.text.done", "text": heard.text, "usage": usage}
        return [server_sent(told | self._told_logprobs(heard.pieces))]

    def failure(self, error: VoxwireError) -> list[str]:
        return [server_sent({"type": "error"} | self.refusal(error, ""))]

    @classmethod
    def refusal(cls, error: VoxwireError, request_id: str) -> dict[str, Any]:
        return {"error": error_object(error)}


def plain(heard: Heard) -> dict[str, Any]:
    """The vendor's `json` answer, with what Mistral's clients need besides."""
    audio_tokens, text_tokens = heard.audio_tokens, len(heard.pieces)
    return {
        "text": heard.text,
        "model": heard.model,
        "language": None,
        "segments": [],
        "usage": {
            "type": "duration",
            "seconds": heard.audio_s,
            "prompt_audio_seconds": math.ceil(heard.audio_s),
            "prompt_tokens": audio_tokens,
            "completion_tokens": text_tokens,
            "total_tokens": audio_tokens + text_tokens,
        },
    }


def error_object(error: VoxwireError) -> dict[str, Any]:
    """All four keys: the SDK reads each of them."""
    code, param = error.code, None
    if isinstance(error, BadField):
        code, param = error.reason, error.field
    elif isinstance(error, BadAudio):
        code, param = "invalid_value", "file"
    elif isinstance(error, MessageTooLarge):
        param = "file"
    elif isinstance(error, Unauthorized):
        code = "invalid_api_key"
    kind = "server_error" if server_fault(error) else "invalid_request_error"
    return {"message": error.message, "type": kind, "param": param, "code": code}


def _includes_logprobs(fields: Fields) -> bool:
    return any(checked_choice("include", value, ("logprobs",)) for value in fields.every("include"))


def _strategy(fields: Fields) -> dict[str, float]:
    """The numbers of `chunking_strategy`: a word, JSON, or one field each. Raises BadField."""
    name, text = "chunking_strategy", fields.text("chunking_strategy")
    if text == "auto":
        return {}
    if text:
        try:
            given = msgspec.json.decode(text)
        except UNREADABLE:
            given = None
        if not isinstance(given, dict):
            raise BadField(f"{name} must be auto or an object; got {shown(text)}.", name)
    else:
        values = {key: fields.text(f"{name}[{key}]") for key in STRATEGY_KEYS}
        given = {key: value for key, value in values.items() if value}
    if not given:
        return {}
    checked_choice(f"{name}.type", given.get("type", ""), ("server_vad",))
    most = {"threshold": 1, "prefix_padding_ms": LONGEST_MS, "silence_duration_ms": LONGEST_MS}
    return {
        key: checked_number(f"{name}.{key}", given[key], 0, high)
        for key, high in most.items()
        if given.get(key) is not None
    }


def _word(word: Word) -> dict[str, Any]:
    return {"word": word.text, "start": seconds(word.start_ms), "end": seconds(word.end_ms)}


def _segment(number: int, final: Final) -> dict[str, Any]:
    """Clients' types ask for every key; docs/dialects/files.md says which of them carry nothing."""
    return {
        "id": number,
        "seek": final.start_ms // 10,
        "start": seconds(final.start_ms),
        "end": seconds(final.end_ms),
        "text": final.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": _mean_logprob(final.pieces or ()),
        "compression_ratio": _compression_ratio(final.text),
        "no_speech_prob": 0.0,
    }


def _mean_logprob(pieces: tuple[Piece, ...]) -> float:
    return sum(piece.logprob for piece in pieces) / len(pieces) if pieces else 0.0


def _compression_ratio(text: str) -> float:
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def _logprob(piece: Piece) -> dict[str, Any]:
    return {
        "token": piece.text.decode("utf-8", "replace"),
        "logprob": piece.logprob,
        "bytes": list(piece.text),
    }
