"""vosk-server's WebSocket protocol: every message but the configuration has exactly one answer, in order.

    {"config": {"sample_rate": 16000}} →
    binary pcm_s16le                   → {"partial": "…"}, or {"text": "…", "result": […]} once an utterance is over
    {"reset": 1}                       → the text that is still owed; the stream goes on
    {"eof": 1}                         → the text that is still owed; then the server closes

A recogniser of vosk's answers when it has heard the message. This one answers at once, with the latest that is known.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Annotated, Any

import msgspec

from realtime.dialects.base import (
    UNREADABLE,
    Dialect,
    Frame,
    Handshake,
    Reply,
    Request,
    is_empty,
    seconds,
    to_json,
)
from realtime.errors import BadMessage, BadOption, LimitReached
from realtime.events import (
    SAMPLE_RATES_HZ,
    Audio,
    Configure,
    Done,
    End,
    Error,
    Event,
    Final,
    Flush,
    Partial,
    SessionOptions,
    Word,
)

DEFAULT_RATE_HZ = 8000
MOST_OWED = 10_000  # answers that may wait behind resets: minutes of audio


class BadText(BadMessage):
    """A text that vosk-server does not know: it drops the connection, because an answer would be another message's."""

    fatal = True


class Config(msgspec.Struct):
    """What a client may ask for; the rest, such as `phrase_list` and `model`, is ignored."""

    sample_rate: Annotated[float, msgspec.Meta(ge=SAMPLE_RATES_HZ[0], le=SAMPLE_RATES_HZ[1])] | None = None
    words: bool | int | None = None
    max_alternatives: Annotated[int, msgspec.Meta(ge=0)] | None = None


class VoskDialect(Dialect):
    """One per connection. Answers are owed in the order of messages; those behind a reset wait for its text."""

    def __init__(self) -> None:
        self._words = True
        self._max_alternatives = 0
        self._started = False  # as in vosk-server, nothing can be configured any more
        self._partial = ""  # of the utterance under way
        self._finals: deque[Final] = deque()  # that no answer has told yet
        self._owed: deque[int] = deque()  # of every reset without answer: how many messages came behind it
        self._at_end = False  # eof came

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        self._options = replace(defaults, sample_rate=DEFAULT_RATE_HZ)
        return self._options

    # ------------------------------------------------------------ in

    def decode(self, message: Frame) -> list[Request]:
        """Raises BadText, BadOption and LimitReached, all fatal: there is no error message in this protocol."""
        if self._at_end:
            return []
        if not isinstance(message, str):
            self._started = True
            return [Audio(bytes(message)), *self._answer()]
        fields = _object(message)
        if "config" in fields:
            return self._configure(fields["config"])
        self._started = True
        if fields.get("eof"):
            self._at_end = True
            return [End()]
        if fields.get("reset"):
            self._owed.append(0)
            return [Flush()]
        raise BadText("A text message holds 'config', 'eof' or 'reset'.")

    def _configure(self, fields: Any) -> list[Request]:
        try:
            config = msgspec.convert(fields, Config)
        except msgspec.ValidationError as error:
            raise BadOption(f"config: {error}.") from None
        if self._started:
            return []
        if config.words is not None:
            self._words = bool(config.words)
        if config.max_alternatives is not None:
            self._max_alternatives = config.max_alternatives
        if config.sample_rate is None:
            return []
        self._options = replace(self._options, sample_rate=round(config.sample_rate))
        return [Configure(self._options)]

    def _answer(self) -> list[Request]:
        if self._owed:
            self._owed[-1] += 1
            if sum(self._owed) > MOST_OWED:
                raise LimitReached("Too many messages wait behind a reset.")
            return []
        return [Reply(self._latest())]

    # ------------------------------------------------------------ out

    def encode(self, event: Event) -> list[Frame]:
        match event:
            case Partial(text=text):
                self._partial = text
            case Final(reason="flush"):
                return self._reset(event)
            case Final() if not is_empty(event):
                self._close(event)
            case Done():
                return [self._rest()]
            case Error(fatal=True) if self._finals:
                return [self._rest()]  # better unasked than lost
        return []

    def _close(self, final: Final) -> None:
        self._partial = ""
        if final.text:
            self._finals.append(final)

    def _reset(self, final: Final) -> list[Frame]:
        """The answer to the oldest reset, and those that waited behind it."""
        self._close(final)
        n_behind = self._owed.popleft()
        return [self._rest(), *(self._latest() for _ in range(n_behind))]

    def _latest(self) -> str:
        """The oldest utterance that was not told, or how far the present one has come."""
        if self._finals:
            return self._result([self._finals.popleft()])
        return to_json({"partial": self._partial})

    def _rest(self) -> str:
        """Everything that was not told, as one utterance: a client reads one answer and leaves."""
        finals = list(self._finals)
        self._finals.clear()
        return self._result(finals)

    def _result(self, finals: list[Final]) -> str:
        text = " ".join(final.text for final in finals)
        words = [word for final in finals for word in final.words]
        if self._max_alternatives:
            return to_json({"alternatives": [_alternative(text, words, self._words)]})
        result = {"result": [_word(word) | {"conf": word.confidence} for word in words]}
        return to_json((result if self._words and words else {}) | {"text": text})


def _alternative(text: str, words: list[Word], with_words: bool) -> dict[str, Any]:
    """The only one there is; its confidence is that of its words."""
    confidence = sum(word.confidence for word in words) / len(words) if words else 1.0
    result = {"result": [_word(word) for word in words]} if with_words and words else {}
    return {"confidence": confidence} | result | {"text": text}


def _word(word: Word) -> dict[str, Any]:
    return {"end": seconds(word.end_ms), "start": seconds(word.start_ms), "word": word.text}


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except UNREADABLE as error:
        raise BadText(f"A text message is a JSON object: {error}.") from None
