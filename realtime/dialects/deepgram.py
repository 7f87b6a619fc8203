"""Deepgram's live transcription, `/v1/listen`: binary audio up, JSON down, text in windows that follow each other.

An utterance of the session is a window: its partials are interim results of it, its final closes it, and the next
begins where it ended. What is ignored and what differs is told in docs/dialects/deepgram.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from realtime.dialects.base import (
    Frame,
    Handshake,
    Note,
    Reply,
    Request,
    mean_confidence,
    seconds,
    shown,
    to_json,
    within,
)
from realtime.dialects.deepgram_common import (
    PACKED,
    PLAIN,
    Intake,
    LiveDialect,
    NewUnpacker,
    Pauses,
    Query,
    configure_fault,
    model_info,
    text_message,
    told_word,
)
from realtime.errors import BadMessage
from realtime.events import (
    HANGOVERS_MS,
    Done,
    Error,
    Event,
    Final,
    Flush,
    KeepAlive,
    Partial,
    Ready,
    SessionOptions,
    SpeechStarted,
    SpeechStopped,
    Word,
)

LONGEST_MS = 600_000
ECHOED_CHARACTERS = 500  # of a message that could not be read


@dataclass(slots=True)
class _Line:
    """What was told of one channel. Times are milliseconds of stream time."""

    window_ms: int = 0  # where the open window begins
    word_ms: int | None = None  # end of the last word that no UtteranceEnd has followed
    grows: bool = False  # an utterance is under way
    pauses: Pauses = field(default_factory=Pauses)


class _UtteranceEnds:
    """Note: somebody may have been silent for long enough."""


class DeepgramDialect(LiveDialect):
    """One per connection. `created` is when it began, in the vendor's ISO form."""

    def __init__(self, new_unpacker: NewUnpacker, request_id: str, created: str):
        super().__init__(new_unpacker, request_id)
        self._created = created
        self._model = ""
        self._received = hashlib.sha256()

    # ------------------------------------------------------------ connect

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        """Options of the URL's query. Raises BadOption."""
        query = Query(handshake)
        self.intake = Intake(query, (*PLAIN, *PACKED), query.flag("multichannel"), self.new_unpacker)
        self._lines = [_Line() for _ in range(self.intake.channels)]
        self._tells_speech = query.flag("vad_events")
        self._utterance_end_ms = query.whole("utterance_end_ms", 1, LONGEST_MS)
        self._tells_pauses, silence_ms = _endpointing(query)
        gate = replace(defaults.gate, hangover_ms=self._hangover_ms(silence_ms, defaults.gate.hangover_ms))
        return self.intake.options(replace(defaults, interim=query.flag("interim_results"), gate=gate))

    def _hangover_ms(self, silence_ms: int | None, default_ms: int) -> int:
        """An utterance must have ended before an UtteranceEnd can tell so."""
        wanted_ms = default_ms if silence_ms is None else silence_ms
        if self._utterance_end_ms is not None:
            wanted_ms = min(wanted_ms, self._utterance_end_ms)
        return within(wanted_ms, *HANGOVERS_MS)

    # ------------------------------------------------------------ client → session

    def read(self, message: str) -> Iterable[Request]:
        try:
            return self._obey(*text_message(message))
        except BadMessage as error:
            answer = _error("SchemaError", error.message, message[:ECHOED_CHARACTERS])
            return [Reply(answer, error.code)]

    def hear(self, data: bytes) -> Iterator[Request]:
        self._received.update(data)
        yield from self.intake.push(data)
        if any(map(self._is_over, self._lines)):
            yield Note(_UtteranceEnds())

    def _obey(self, kind: str, fields: dict[str, Any]) -> Iterable[Request]:
        match kind:
            case "KeepAlive":
                return [KeepAlive()]
            case "Finalize":
                return [Flush()]
            case "CloseStream":
                return self.end()
            case "Configure":
                answer = self._configured(fields)
                return [Reply(to_json(answer), configure_fault(answer))]
        raise BadMessage(f"There is no message of type {shown(kind)}.")

    def _configured(self, fields: dict[str, Any]) -> dict[str, Any]:
        keyterms, features = fields.get("keyterms"), fields.get("features")
        if keyterms is not None and not isinstance(keyterms, list):
            raise BadMessage("'keyterms' must be a list.")
        if features is not None and not isinstance(features, dict):
            raise BadMessage("'features' must be an object.")
        if keyterms:
            return {
                "type": "ConfigureFailure",
                "request_id": self.request_id,
                "code": "CONFIGURE_KEYTERMS_NOT_SUPPORTED",
                "description": "This model takes no key terms.",
            }
        answer = {"type": "ConfigureSuccess", "request_id": self.request_id}
        return answer if keyterms is None else answer | {"keyterms": []}

    # ------------------------------------------------------------ session → client

    def encode(self, event: Event | Note) -> list[Frame]:
        """Nothing of gaps and warnings: a type that the vendor's clients do not know is lost or breaks them."""
        match event:
            case Ready(model=model):
                self._model = model
            case SpeechStarted() | SpeechStopped():
                return self._note_speech(event)
            case Partial():
                return [self._interim(event)]
            case Final():
                return [self._close_window(event), *self._utterance_ends()]
            case Note():
                return self._utterance_ends()
            case Done():
                return [self._metadata(event)]
            case Error(fatal=True):
                return [_error(self.farewell(0, event.code)[1], event.message)]
        return []

    def _note_speech(self, event: SpeechStarted | SpeechStopped) -> list[Frame]:
        self._lines[event.channel].pauses.note(event)
        frames = self._utterance_ends()
        if self._tells_speech and isinstance(event, SpeechStarted):
            message = {
                "type": "SpeechStarted",
                "channel": self._index(event.channel),
                "timestamp": seconds(event.at_ms),
            }
            frames.append(to_json(message))
        return frames

    def _interim(self, partial: Partial) -> Frame:
        line = self._lines[partial.channel]
        line.grows = True
        return self._results(partial, (), max(line.window_ms, partial.audio_ms))

    def _close_window(self, final: Final) -> Frame:
        line = self._lines[final.channel]
        end_ms = max(line.window_ms, final.end_ms)
        frame = self._results(
            final,
            final.words,
            end_ms,
            is_final=True,
            speech_final=self._tells_pauses and final.reason in ("silence", "end"),
            from_finalize=final.reason == "flush",
        )
        line.window_ms, line.grows = end_ms, False
        line.pauses.settle(final)
        if final.words:
            line.word_ms = end_ms
        return frame

    def _utterance_ends(self) -> list[Frame]:
        frames = []
        for channel, line in enumerate(self._lines):
            if self._is_over(line):
                message = {
                    "type": "UtteranceEnd",
                    "channel": self._index(channel),
                    "last_word_end": seconds(line.word_ms),
                }
                frames.append(to_json(message))
                line.word_ms = None
        return frames

    def _is_over(self, line: _Line) -> bool:
        """Whether all that was said has been told, and nothing was said for `utterance_end_ms`."""
        if self._utterance_end_ms is None or line.word_ms is None or line.grows:
            return False
        return line.pauses.silent_until(self.intake.heard_ms) - line.word_ms >= self._utterance_end_ms

    def _results(
        self,
        said: Partial | Final,
        words: Sequence[Word],
        end_ms: int,
        *,
        is_final: bool = False,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> Frame:
        window_ms = self._lines[said.channel].window_ms
        alternative = {
            "transcript": said.text,
            "confidence": mean_confidence(words),
            "words": [told_word(word, window_ms) for word in words],
        }
        message = {
            "type": "Results",
            "channel_index": self._index(said.channel),
            "start": seconds(window_ms),
            "duration": seconds(end_ms - window_ms),
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [alternative]},
            "metadata": {
                "request_id": self.request_id,
                "model_uuid": self._model,
                "model_info": model_info(self._model),
            },
        }
        return to_json(message)

    def _metadata(self, done: Done) -> Frame:
        message = {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.request_id,
            "sha256": self._received.hexdigest(),
            "created": self._created,
            "duration": seconds(done.audio_ms),
            "channels": len(self._lines),
            "models": [self._model],
            "model_info": {self._model: model_info(self._model)},
        }
        return to_json(message)

    def _index(self, channel: int) -> list[int]:
        return [channel, len(self._lines)]


def _endpointing(query: Query) -> tuple[bool, int | None]:
    """Whether pauses are told as such, and the silence that makes one if the client has said it."""
    text = query.text("endpointing").lower()
    if text in ("false", "off", "no"):
        return False, None
    if text in ("", "true", "on", "yes"):
        return True, None
    return True, query.whole("endpointing", 0, LONGEST_MS)


def _error(variant: str, description: str, message: str | None = None) -> Frame:
    fields = {"type": "Error", "variant": variant, "description": description}
    return to_json(fields if message is None else fields | {"message": message})
