"""Deepgram's turns, `/v2/listen` (Flux): one message tells the whole turn so far, until it has ended.

A turn is one or more utterances of the session. A silence that ends an utterance ends the turn, except

- where the client asked for early news (`eager_eot_threshold`): the gate then waits half as long, its final is an
  EagerEndOfTurn, and the turn ends when the silence has lasted twice that long, unless somebody speaks on;
- where the client ends turns itself (`eot_threshold` of 1): the turn ends `eot_timeout_ms` behind the speech at last,
  or when it has become too long for a message.

Silence is counted in stream time. What is ignored and what differs is told in docs/dialects/deepgram.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from realtime.dialects.base import Frame, Handshake, Note, Request, seconds, shown, to_json
from realtime.dialects.deepgram_common import (
    PLAIN,
    Intake,
    LiveDialect,
    NewUnpacker,
    Pauses,
    Query,
    configure_fault,
    text_message,
)
from realtime.errors import BadMessage, BadOption
from realtime.events import (
    HANGOVERS_MS,
    Error,
    Event,
    Final,
    Flush,
    Partial,
    Ready,
    SessionOptions,
    SpeechStarted,
    SpeechStopped,
    Word,
)

ENCODINGS = (*PLAIN, "opus", "ogg-opus")
EAGER_RANGE = (0.3, 0.9)
EOT_RANGE = (0.5, 1.0)
TIMEOUT_RANGE_MS = (500, 60_000)
LONGEST_WORDS = 2000  # of a turn; every message holds all of them
MANUAL = 1.0  # the threshold that nothing reaches: the client ends turns


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the client decides about the ends of turns; it may change them at any time."""

    eager_eot_threshold: float | None = None
    eot_threshold: float = 0.7
    eot_timeout_ms: int = 5000


@dataclass(slots=True)
class _Turn:
    """The turn that is under way, or the next."""

    index: int = 0
    from_ms: int = 0  # its audio begins here
    to_ms: int = 0  # and has been heard to here
    said: list[str] = field(default_factory=list)  # utterances that are final
    words: list[Word] = field(default_factory=list)  # theirs
    partial: str = ""  # of the utterance under way
    started: bool = False
    eager: bool = False  # EagerEndOfTurn was the last that was told

    @property
    def transcript(self) -> str:
        return " ".join(text for text in (*self.said, self.partial) if text)


@dataclass(frozen=True, slots=True)
class _Answer:
    """Note: a message of our own; it takes its number when its time has come."""

    fields: dict[str, Any]


class _TurnEnds:
    """Note: the silence may have lasted long enough."""


class FluxDialect(LiveDialect):
    """One per connection."""

    def __init__(self, new_unpacker: NewUnpacker, request_id: str):
        super().__init__(new_unpacker, request_id)
        self._sent = 0  # messages
        self._connected = False
        self._turn = _Turn()
        self._pauses = Pauses()

    # ------------------------------------------------------------ connect

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        """Options of the URL's query. Raises BadOption."""
        query = Query(handshake)
        self.intake = Intake(query, ENCODINGS, False, self.new_unpacker)
        given = {
            "eager_eot_threshold": query.fraction("eager_eot_threshold", *EAGER_RANGE),
            "eot_threshold": query.fraction("eot_threshold", *EOT_RANGE),
            "eot_timeout_ms": query.whole("eot_timeout_ms", *TIMEOUT_RANGE_MS),
        }
        self._thresholds = _changed(Thresholds(), given)
        self._silence_ms = defaults.gate.hangover_ms  # that ends a turn
        eager = self._thresholds.eager_eot_threshold is not None
        self._hangover_ms = max(HANGOVERS_MS[0], self._silence_ms // 2 if eager else self._silence_ms)
        gate = replace(defaults.gate, hangover_ms=self._hangover_ms)
        return self.intake.options(replace(defaults, interim=True, gate=gate))

    # ------------------------------------------------------------ client → session

    def read(self, message: str) -> Iterable[Request]:
        kind, fields = text_message(message)
        match kind:
            case "ForceEndTurn":
                return [Flush()]
            case "CloseStream":
                return self.end()
            case "Configure":
                answer = self._configured(fields)
                return [Note(_Answer(answer), configure_fault(answer))]
        raise BadMessage(f"There is no message of type {shown(kind)}.")

    def hear(self, data: bytes) -> Iterator[Request]:
        yield from self.intake.push(data)
        if self._is_over:
            yield Note(_TurnEnds())

    def _configured(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The answer; thresholds that are not given stay."""
        try:
            if fields.get("keyterms"):
                raise BadOption("This model takes no key terms.")
            self._thresholds = _changed(self._thresholds, fields.get("thresholds"))
        except BadOption as error:
            return {"type": "ConfigureFailure", "code": "INVALID_CONFIGURATION", "description": error.message}
        told = {name: getattr(self._thresholds, name) for name in Thresholds.__slots__}
        thresholds = {name: value for name, value in told.items() if value is not None}
        return {"type": "ConfigureSuccess", "thresholds": thresholds, "keyterms": []}

    # ------------------------------------------------------------ session → client

    def encode(self, event: Event | Note) -> list[Frame]:
        """Nothing of gaps and of the end: the vendor has no message for them."""
        match event:
            case Ready() if not self._connected:
                self._connected = True
                return [self._frame({"type": "Connected"})]
            case SpeechStarted() | SpeechStopped():
                self._pauses.note(event)
                return self._end_turn_if_over()
            case Partial():
                return self._grow(event)
            case Final():
                return self._settle(event)
            case Note(_Answer(fields)):
                return [self._frame(fields)]
            case Note():
                return self._end_turn_if_over()
            case Error(code, message, fatal):
                return [self._frame({"type": "Error" if fatal else "Warning", **_fault(code, message)})]
        return []

    def _grow(self, partial: Partial) -> list[Frame]:
        turn = self._turn
        turn.partial, turn.to_ms = partial.text, max(turn.to_ms, partial.audio_ms)
        return self._goes_on() or [self._info("Update")]

    def _settle(self, final: Final) -> list[Frame]:
        turn = self._turn
        turn.partial, turn.to_ms = "", max(turn.from_ms, final.end_ms)
        self._pauses.settle(final)
        frames = []
        if final.text:
            turn.said.append(final.text)
            turn.words += final.words
            frames += self._goes_on()
        match final.reason:
            case "flush":
                return frames + self._end_turn("manual")
            case "silence":
                return frames + self._pause()
            case "length" if len(turn.words) >= LONGEST_WORDS:
                return frames + self._end_turn("timeout")
        return frames or ([self._info("Update")] if final.text else [])

    def _goes_on(self) -> list[Frame]:
        """There is new text: what that means for the turn, if anything."""
        turn = self._turn
        if not turn.started:
            turn.started = True
            return [self._info("StartOfTurn")]
        if turn.eager:
            turn.eager = False
            return [self._info("TurnResumed")]
        return []

    def _pause(self) -> list[Frame]:
        """The gate has closed and all text before is told."""
        turn = self._turn
        if self._turn_silence_ms <= self._hangover_ms or len(turn.words) >= LONGEST_WORDS:
            return self._end_turn(self._trigger)
        if not turn.started:
            return []
        frames = []
        if self._tells_early and not turn.eager:
            turn.eager = True
            frames.append(self._info("EagerEndOfTurn"))
        elif not self._tells_early:
            frames.append(self._info("Update"))
        return frames + self._end_turn_if_over()

    def _end_turn_if_over(self) -> list[Frame]:
        return self._end_turn(self._trigger) if self._is_over else []

    def _end_turn(self, trigger: str) -> list[Frame]:
        """Nothing where there is no turn."""
        turn = self._turn
        if not turn.started:
            return []
        frame = self._info("EndOfTurn", trigger=trigger)
        self._turn = _Turn(turn.index + 1, turn.to_ms, turn.to_ms)
        return [frame]

    # ------------------------------------------------------------ the end of a turn

    @property
    def _tells_early(self) -> bool:
        return self._thresholds.eager_eot_threshold is not None

    @property
    def _turn_silence_ms(self) -> int:
        """Silence that ends the turn."""
        limits = self._thresholds
        if limits.eot_threshold >= MANUAL:
            return limits.eot_timeout_ms
        natural_ms = 2 * self._hangover_ms if self._tells_early else self._silence_ms
        return min(natural_ms, limits.eot_timeout_ms)

    @property
    def _trigger(self) -> str:
        return "timeout" if self._turn_silence_ms == self._thresholds.eot_timeout_ms else "model"

    @property
    def _is_over(self) -> bool:
        """Whether all of the turn has been told, and the silence behind it has lasted."""
        turn = self._turn
        if not turn.started or turn.partial:
            return False
        silent_ms = max(self._pauses.ended_ms, turn.words[-1].end_ms if turn.words else 0)
        return self._pauses.silent_until(self.intake.heard_ms) - silent_ms >= self._turn_silence_ms

    # ------------------------------------------------------------ messages

    def _info(self, event: str, **more: Any) -> Frame:
        turn = self._turn
        fields = {
            "type": "TurnInfo",
            "event": event,
            "turn_index": turn.index,
            "audio_window_start": seconds(turn.from_ms),
            "audio_window_end": seconds(turn.to_ms),
            "transcript": turn.transcript,
            "words": [_word(word) for word in turn.words],
            "end_of_turn_confidence": self._reached(event),
        }
        return self._frame(fields | more)

    def _reached(self, event: str) -> float:
        """The gate knows silence, not likelihood: an end says that its threshold was reached, the rest says nothing."""
        match event:
            case "EndOfTurn":
                return self._thresholds.eot_threshold
            case "EagerEndOfTurn":
                return self._thresholds.eager_eot_threshold or 0.0
        return 0.0

    def _frame(self, fields: dict[str, Any]) -> Frame:
        number, self._sent = self._sent, self._sent + 1
        return to_json({**fields, "request_id": self.request_id, "sequence_id": number})


def _word(word: Word) -> dict[str, Any]:
    return {
        "word": word.text,
        "confidence": word.confidence,
        "start": seconds(word.start_ms),
        "end": seconds(word.end_ms),
    }


def _fault(code: str, message: str) -> dict[str, Any]:
    names = {"bad_message": "UNPARSABLE_CLIENT_MESSAGE", "bad_audio": "DATA-0000"}
    return {"code": names.get(code, code.upper()), "description": message}


def _changed(old: Thresholds, given: Any) -> Thresholds:
    """`old` with what is given. Raises BadOption."""
    if given is None:
        return old
    if not isinstance(given, dict):
        raise BadOption("thresholds must be an object.")
    known = {name: given[name] for name in Thresholds.__slots__ if name in given}
    # Null switches early news off; of the others it means nothing.
    new = replace(old, **{k: v for k, v in known.items() if v is not None or k == "eager_eot_threshold"})
    _check(new)
    return new


def _check(thresholds: Thresholds) -> None:
    ranges = {
        "eager_eot_threshold": EAGER_RANGE,
        "eot_threshold": EOT_RANGE,
        "eot_timeout_ms": TIMEOUT_RANGE_MS,
    }
    for name, (low, high) in ranges.items():
        value = getattr(thresholds, name)
        if name == "eager_eot_threshold" and value is None:
            continue
        if not _is_number(value) or not low <= value <= high:
            raise BadOption(f"{name} must be a number from {low} to {high}; got {shown(value)}.")
    if (thresholds.eager_eot_threshold or 0.0) > thresholds.eot_threshold:
        raise BadOption("eager_eot_threshold must not be above eot_threshold.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
