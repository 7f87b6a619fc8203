"""Mistral's realtime transcription, `/v1/audio/transcriptions/realtime`, as the SDK `mistralai` speaks it.

The wire knows deltas, and a sum (`transcription.done`) when a client flushes or ends: a pause alone closes a segment,
never a sum. The SDK validates what it reads and drops an event that lacks a field, so events are complete here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from realtime.dialects.base import (
    UNREADABLE,
    Dialect,
    Frame,
    Handshake,
    Note,
    audio_tokens,
    seconds,
    to_json,
    within,
)
from realtime.dialects.running_text import RunningText
from realtime.errors import SHARED_ERRORS, BadMessage, BadOption, LimitReached, OutOfOrder, VoxwireError
from realtime.events import (
    DELAYS_MS,
    HANGOVERS_MS,
    SAMPLE_BYTES,
    SAMPLE_RATES_HZ,
    Audio,
    Command,
    Configure,
    Done,
    End,
    Error,
    Event,
    Final,
    Flush,
    Partial,
    Ready,
    SessionOptions,
    SpeechStarted,
    SpeechStopped,
)

ENCODINGS = {  # the vendor's name: ours
    "pcm_s16le": "pcm_s16le",
    "pcm_s32le": "pcm_s32le",
    "pcm_f16le": "pcm_f16le",
    "pcm_f32le": "pcm_f32le",
    "pcm_mulaw": "mulaw",
    "pcm_alaw": "alaw",
}
DEFAULT_ENCODING, DEFAULT_RATE_HZ = "pcm_s16le", 16000
LARGEST_AUDIO_BYTES = 262_144  # of one message, as the vendor promises
MAX_TTL_S = 7200  # of a short-lived key
MAX_SEGMENTS = 300  # in a sum: all of them have been told before


class NoAudio(LimitReached):
    code = "no_audio"


# The vendor numbers its errors and has told of one; the others are HTTP's.
NUMBERS = {cls.code: cls.http_status for cls in SHARED_ERRORS}
NUMBERS[NoAudio.code] = 3804

# ---------------------------------------------------------------- what a client sends


class AudioFormat(msgspec.Struct):
    encoding: str | UnsetType = UNSET
    sample_rate: Annotated[int, Meta(ge=SAMPLE_RATES_HZ[0], le=SAMPLE_RATES_HZ[1])] | UnsetType = UNSET


class TurnDetection(msgspec.Struct):
    start_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5
    eager_end_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5
    end_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.33
    min_silence_ms: Annotated[int, Meta(ge=0)] = 500
    end_timeout_ms: Annotated[int, Meta(ge=0)] | None = None


class SessionFields(msgspec.Struct):
    """A field that is absent keeps its value, null is the default."""

    audio_format: AudioFormat | UnsetType | None = UNSET
    target_streaming_delay_ms: Annotated[int, Meta(ge=0)] | UnsetType | None = UNSET
    diarize: bool | None = None
    context_bias: list[str] | None = None
    language: str | UnsetType | None = UNSET
    speaker_references: dict[str, str] | None = None
    turn_detection: TurnDetection | UnsetType | None = UNSET


class SessionUpdate(msgspec.Struct, tag="session.update"):
    session: SessionFields


class AudioAppend(msgspec.Struct, tag="input_audio.append"):
    audio: bytes  # base64 on the wire


class AudioFlush(msgspec.Struct, tag="input_audio.flush"):
    pass


class AudioEnd(msgspec.Struct, tag="input_audio.end"):
    pass


class Envelope(msgspec.Struct):
    type: Any = None


MESSAGES = (SessionUpdate, AudioAppend, AudioFlush, AudioEnd)
TYPES = [message.__struct_config__.tag for message in MESSAGES]
_DECODE = msgspec.json.Decoder(SessionUpdate | AudioAppend | AudioFlush | AudioEnd).decode
_ENVELOPE = msgspec.json.Decoder(Envelope).decode


class ClientSessionRequest(msgspec.Struct):
    """For a short-lived key. Not on the socket: a page's own server posts it."""

    model: str
    purpose: Literal["realtime"] = "realtime"
    ttl_seconds: Annotated[int, Meta(ge=1, le=MAX_TTL_S)] | None = None

    @classmethod
    def parsed(cls, body: bytes) -> ClientSessionRequest:
        """Raises BadMessage."""
        try:
            return msgspec.json.decode(body, type=cls)
        except UNREADABLE as error:
            raise BadMessage(f"This is no request for a client session: {error}.") from None


# ---------------------------------------------------------------- settings of one session


@dataclass(frozen=True, slots=True)
class Settings:
    options: SessionOptions
    language: str | None = None  # as the client declared it: nothing here finds it out
    turns: TurnDetection | None = None

    def updated(self, fields: SessionFields, defaults: SessionOptions) -> Settings:
        """Raises BadOption for what cannot be."""
        if fields.diarize or fields.speaker_references:
            raise BadOption(
                "This server does not tell speakers apart: leave out diarize and speaker_references."
            )
        settings = self
        if fields.audio_format is not UNSET:
            settings = settings._with_format(
                fields.audio_format or AudioFormat(DEFAULT_ENCODING, DEFAULT_RATE_HZ)
            )
        if fields.target_streaming_delay_ms is not UNSET:
            settings = settings._with_delay(fields.target_streaming_delay_ms, defaults)
        if fields.language is not UNSET:
            settings = replace(settings, language=fields.language or None)
        if fields.turn_detection is not UNSET:
            settings = settings._with_turns(fields.turn_detection, defaults)
        return settings

    def _with_format(self, given: AudioFormat) -> Settings:
        options = self.options
        if given.encoding is not UNSET:
            if given.encoding not in ENCODINGS:
                raise BadOption(f"audio_format.encoding must be one of {', '.join(ENCODINGS)}.")
            options = replace(options, encoding=ENCODINGS[given.encoding])
        if given.sample_rate is not UNSET:
            options = replace(options, sample_rate=given.sample_rate)
        return replace(self, options=options)

    def _with_delay(self, asked_ms: int | None, defaults: SessionOptions) -> Settings:
        delay_ms = defaults.delay_ms if asked_ms is None else nearest_delay_ms(asked_ms)
        return replace(self, options=replace(self.options, delay_ms=delay_ms))

    def _with_turns(self, turns: TurnDetection | None, defaults: SessionOptions) -> Settings:
        gate = defaults.gate
        if turns is not None:
            hangover_ms = within(turns.min_silence_ms, *HANGOVERS_MS)
            turns = msgspec.structs.replace(turns, min_silence_ms=hangover_ms)
            gate = replace(gate, enabled=True, hangover_ms=hangover_ms)
        return replace(self, turns=turns, options=replace(self.options, gate=gate))

    def described(self) -> dict[str, Any]:
        """What holds. Hints that change nothing here are not repeated."""
        spelled = {ours: theirs for theirs, ours in ENCODINGS.items()}
        encoding, rate_hz = spelled[self.options.encoding], self.options.sample_rate
        session = {
            "audio_format": {"encoding": encoding, "sample_rate": rate_hz},
            "target_streaming_delay_ms": self.options.delay_ms,
        }
        if self.language is not None:
            session["language"] = self.language
        if self.turns is not None:
            session["turn_detection"] = self.turns
        return session


def nearest_delay_ms(asked_ms: int) -> int:
    """Of the delays that the model knows; the longer, which is more accurate, of two that are as near."""
    return min(DELAYS_MS, key=lambda delay_ms: (abs(delay_ms - asked_ms), -delay_ms))


# ---------------------------------------------------------------- the dialect


class MistralRealtimeDialect(Dialect):
    subprotocols = ("realtime",)
    largest_message_bytes = LARGEST_AUDIO_BYTES * 4 // 3 + 1024

    def __init__(self) -> None:
        self._model = ""
        self._frozen = False  # audio or a flush came
        self._ended = False
        self._heard_bytes = 0
        self._flushed_ms: deque[int] = deque()  # stream time of the flushes that were not answered
        self._summed_ms = 0  # stream time up to which a sum has been told
        self._created = False  # the hello was said
        self._text = RunningText()
        self._segments: deque[dict[str, Any]] = deque(maxlen=MAX_SEGMENTS)
        self._late_turns: deque[dict[str, Any]] = deque()  # a turn's end waits for the turn's last words

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        """Any `model` is taken: there is one, and the hello says which."""
        options = replace(
            defaults, encoding=DEFAULT_ENCODING, sample_rate=DEFAULT_RATE_HZ, channels=1, interim=True
        )
        self._defaults = options
        self._settings = Settings(options)
        self._announced = deque([self._settings])  # settings whose Ready has not come
        return options

    def decode(self, message: Frame) -> list[Command]:
        match self._parsed(message):
            case AudioAppend(data):
                self._heard_bytes += len(data)
                self._frozen |= bool(data)
                return [Audio(data)]
            case AudioFlush():
                self._frozen = True
                if not self._ended:  # else it gets no sum
                    self._flushed_ms.append(self._heard_ms)
                return [Flush()]
            case AudioEnd():
                self._frozen = self._ended = True
                return [End()]
            case SessionUpdate(fields):
                self._check_not_frozen()
                self._settings = self._settings.updated(fields, self._defaults)
                self._announced.append(self._settings)
                return [Configure(self._settings.options)]

    def encode(self, event: Event | Note) -> list[Frame]:
        match event:
            case Partial(text=text):
                messages = self._delta(self._text.grow(text))
            case Final():
                messages = self._final(event)
            case Ready():
                messages = [self._ready(event)]
            case SpeechStarted(at_ms) if self._settings.turns:
                messages = self._turn_started(at_ms)
            case SpeechStopped(at_ms) if self._settings.turns:
                self._late_turns.append(
                    {"type": "turn.end", "time_s": seconds(at_ms), "end_reason": "threshold"}
                )
                messages = []
            case Error(code, text):
                error = {"message": text, "code": NUMBERS.get(code, 500), "type": code}
                messages = [{"type": "error", "error": error}]
            case Done(audio_ms=audio_ms):
                messages = [*self._late_turns, self._sum(audio_ms)]
            case _:  # gaps and warnings: the vendor has no words for them, and its SDK stops at an error
                messages = []
        return [to_json(message) for message in messages]

    def refusal(self, error: VoxwireError) -> dict[str, Any]:
        return {
            "object": "error",
            "message": error.message,
            "type": error.code,
            "param": None,
            "code": error.http_status,
        }

    def idled(self, timeout_s: float) -> VoxwireError:
        return NoAudio(f"No message for {timeout_s:g} s.")

    # ------------------------------------------------------------ in

    def _parsed(self, message: Frame) -> SessionUpdate | AudioAppend | AudioFlush | AudioEnd:
        if not isinstance(message, str):
            raise BadMessage("Audio is sent as base64 in 'input_audio.append', not as binary.")
        try:
            return _DECODE(message)
        except UNREADABLE as error:
            raise self._refused(message, str(error)) from None

    def _refused(self, message: str, reason: str) -> VoxwireError:
        try:
            kind = _ENVELOPE(message).type
        except UNREADABLE:
            return BadMessage("A message must be a JSON object.")
        if kind not in TYPES:
            return BadMessage(f"'type' must be one of {', '.join(TYPES)}.")
        if kind != "session.update":
            return BadMessage(f"{kind}: {reason}.")
        self._check_not_frozen()
        return BadOption(f"{kind}: {reason}.")

    def _check_not_frozen(self) -> None:
        if self._frozen:
            raise OutOfOrder(
                "The session's settings are frozen: 'session.update' must come before the first audio."
            )

    @property
    def _heard_ms(self) -> int:
        options = self._settings.options
        return self._heard_bytes // SAMPLE_BYTES[options.encoding] * 1000 // options.sample_rate

    # ------------------------------------------------------------ out

    def _ready(self, ready: Ready) -> dict[str, Any]:
        self._model = ready.model
        session = {
            "request_id": ready.session_id,
            "model": ready.model,
            **self._announced.popleft().described(),
        }
        kind, self._created = "session.updated" if self._created else "session.created", True
        return {"type": kind, "session": session}

    def _delta(self, text: str) -> list[dict[str, Any]]:
        return [{"type": "transcription.text.delta", "text": text}] if text else []

    def _final(self, final: Final) -> list[dict[str, Any]]:
        messages = self._delta(self._text.close(final.text))
        if final.text:
            segment = {"text": final.text, "start": seconds(final.start_ms), "end": seconds(final.end_ms)}
            self._segments.append({"type": "transcription_segment", **segment})
            messages.append({"type": "transcription.segment", **segment})
        if final.reason != "length":
            messages += self._turns_due()
        if final.reason == "flush":
            messages.append(self._sum(self._flushed_ms.popleft()))
        return messages

    def _turn_started(self, at_ms: int) -> list[dict[str, Any]]:
        start = {"type": "turn.start", "time_s": seconds(at_ms)}
        if not self._late_turns:
            return [start]
        self._late_turns.append(start)
        return []

    def _turns_due(self) -> list[dict[str, Any]]:
        """The end of the turn whose words are complete, and what waited behind it."""
        due = []
        while self._late_turns and not (due and self._late_turns[0]["type"] == "turn.end"):
            due.append(self._late_turns.popleft())
        return due

    def _sum(self, until_ms: int) -> dict[str, Any]:
        """Everything since the last sum. Of the usage only the audio is known here."""
        audio_ms, self._summed_ms = until_ms - self._summed_ms, until_ms
        n_tokens = audio_tokens(audio_ms)
        segments = list(self._segments)
        self._segments.clear()
        return {
            "type": "transcription.done",
            "model": self._model,
            "text": self._text.take(),
            "language": self._settings.language,
            "segments": segments,
            "usage": {
                "prompt_tokens": n_tokens,
                "completion_tokens": 0,
                "total_tokens": n_tokens,
                "prompt_audio_seconds": -(-audio_ms // 1000),
            },
        }
