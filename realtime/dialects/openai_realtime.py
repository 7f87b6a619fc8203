"""OpenAI's Realtime API in transcription mode, GA and beta. docs/dialects/openai-realtime.md says what differs.

Client events become commands here; what the client is told of them is decided in `encode`, in order with the session's
events (`openai_items`). The session object is read and written in `openai_config`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from realtime.dialects.base import UNREADABLE, Dialect, Frame, Handshake, Note, Request, shown, to_json
from realtime.dialects.openai_config import BadValue, SessionConfig, is_beta
from realtime.dialects.openai_items import Items, Message
from realtime.errors import BadMessage, VoxwireError
from realtime.events import (
    Audio,
    Clear,
    Error,
    Event,
    Final,
    Flush,
    Partial,
    Ready,
    Reconfigure,
    SessionOptions,
    SpeechStarted,
    SpeechStopped,
)

LARGEST_MESSAGE_BYTES = 24 * 2**20  # 15 MiB of audio, in base64, with room for the rest
SESSION_S = 3600.0  # the vendor's longest session: its clients stay connected in silence
CLIENT_EVENTS = (
    "session.update",
    "transcription_session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
)
CONVERSATION_EVENTS = ("conversation.item.", "response.", "output_audio_buffer.")
INVALID = "invalid_request_error"
MISSING = "missing_required_parameter"
# Where the vendor has a type or a code of its own; by our code.
ERRORS = {
    "unauthorized": (INVALID, "invalid_api_key"),
    "limit_reached": (INVALID, "session_expired"),
    "at_capacity": ("server_error", "at_capacity"),
    "shutting_down": ("server_error", "shutting_down"),
    "engine_failed": ("server_error", "engine_failed"),
    "internal_error": ("server_error", "internal_error"),
}


class _ClientEvent(msgspec.Struct):
    """What a client event may hold; other fields are ignored."""

    type: str
    event_id: Any = None
    audio: bytes | None = None  # base64 on the wire
    session: Any = None


_CLIENT_EVENTS = msgspec.json.Decoder(_ClientEvent)

# ---------------------------------------------------------------- what decode leaves for encode


@dataclass(frozen=True, slots=True)
class _Updated:
    """The session goes on with this configuration from here on."""

    config: SessionConfig
    beta: bool
    type: str  # of the answer


@dataclass(frozen=True, slots=True)
class _BeginCommit:
    at_ms: int  # stream time, as of the two below


@dataclass(frozen=True, slots=True)
class _EndCommit:
    at_ms: int


@dataclass(frozen=True, slots=True)
class _Cleared:
    at_ms: int


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong with a client's event; the stream goes on."""

    message: str
    code: str
    param: str | None = None
    event_id: str | None = None


class OpenAIRealtimeDialect(Dialect):
    """One per connection."""

    subprotocols = ("realtime",)
    largest_message_bytes = LARGEST_MESSAGE_BYTES
    idle_timeout_s = SESSION_S

    def __init__(self, now: Callable[[], float] = time.time):
        """`now()` is Unix time."""
        self._now = now
        self._defaults = SessionOptions()
        # As decode knows it: what the client has asked for so far.
        self._set_config(SessionConfig())
        self._heard_ms = 0.0  # audio so far
        self._is_empty = True  # no audio since the client's last commit or clear
        self._beta = False
        self._opened_with = self._config, self._beta
        # As encode knows it: what the client has been told so far.
        self._model = ""
        self._session_id = ""
        self._event = 0
        self._items = Items("")

    # ------------------------------------------------------------ in

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        """Options of a session with a server VAD at 24 kHz, or of the one that the client's key was made for."""
        self._defaults = defaults
        self._model = handshake.last("model")
        self._beta = handshake.headers.get("openai-beta", "").startswith("realtime")
        if isinstance(handshake.grant, SessionConfig):
            self._set_config(handshake.grant)
        self._opened_with = self._config, self._beta
        return self._config.options(defaults)

    def decode(self, message: Frame) -> list[Request]:
        """One client event. What is wrong with it becomes the vendor's error event."""
        if not isinstance(message, str):
            fault = _Fault("Audio is sent in base64, in input_audio_buffer.append.", "invalid_value")
            return [Note(fault, BadMessage.code)]
        try:
            event = _CLIENT_EVENTS.decode(message)
        except UNREADABLE:
            return [Note(_diagnosis(message), BadMessage.code)]
        match event.type:
            case "input_audio_buffer.append":
                return self._append(event)
            case "input_audio_buffer.commit":
                return self._commit(event)
            case "input_audio_buffer.clear":
                self._is_empty = True
                return [Clear(), Note(_Cleared(round(self._heard_ms)))]
            case "session.update" | "transcription_session.update":
                return self._update(event)
        return [_unknown(event)]

    def _append(self, event: _ClientEvent) -> list[Request]:
        if event.audio is None:
            return [_fault(event, "Missing required parameter: 'audio'.", MISSING, "audio")]
        if event.audio:
            self._is_empty = False
            self._heard_ms += len(event.audio) * self._ms_per_byte
        return [Audio(event.audio)]

    def _commit(self, event: _ClientEvent) -> list[Request]:
        if self._is_empty:
            message = "Error committing input audio buffer: buffer too small, it has 0.00ms of audio."
            return [_fault(event, message, "input_audio_buffer_commit_empty")]
        return self._close_item()

    def _close_item(self) -> list[Request]:
        self._is_empty = True
        at_ms = round(self._heard_ms)
        return [Note(_BeginCommit(at_ms)), Flush(), Note(_EndCommit(at_ms))]

    def _update(self, event: _ClientEvent) -> list[Request]:
        try:
            config = self._config.updated(event.session)
        except BadValue as error:
            return [_fault(event, error.message, error.kind, error.param)]
        # What was sent for a commit must not become the beginning of a turn.
        owed = self._close_item() if self._is_manual and config.turn_detection and not self._is_empty else []
        self._set_config(config)
        long_ago = event.type == "transcription_session.update"
        self._beta = long_ago or is_beta(event.session)
        answer = "transcription_session.updated" if long_ago else "session.updated"
        change = Reconfigure(config.options(self._defaults))
        return [*owed, change, Note(_Updated(config, self._beta, answer))]

    @property
    def _is_manual(self) -> bool:
        return self._config.turn_detection is None

    def _set_config(self, config: SessionConfig) -> None:
        self._config = config
        self._ms_per_byte = 1000 / (config.rate_hz * config.sample_bytes)

    # ------------------------------------------------------------ out

    def encode(self, event: Event | Note) -> list[Frame]:
        """Session events and own notes as server events; gaps and warnings have none."""
        return [self._frame(message) for message in self._messages(event)]

    def _messages(self, event: Event | Note) -> list[Message]:
        match event:
            case Partial():
                return self._items.partial(event)
            case Final():
                return self._items.final(event)
            case SpeechStarted():
                return self._items.started(event)
            case SpeechStopped():
                return self._items.stopped(event)
            case Note(value):
                return self._of_note(value)
            case Ready():
                return self._hello(event)
            case Error():
                return [_error(event)]
        return []

    def _of_note(self, note: Any) -> list[Message]:
        match note:
            case _Updated(config, beta, kind):
                self._apply(config, beta)
                return [{"type": kind, "session": self._session(config, beta)}]
            case _BeginCommit(at_ms):
                self._items.begin_commit(at_ms)
            case _EndCommit(at_ms):
                return self._items.end_commit(at_ms)
            case _Cleared(at_ms):
                return self._items.clear(at_ms)
            case _Fault():
                return [_fault_message(note)]
        return []

    def _hello(self, ready: Ready) -> list[Message]:
        """Once: a later Ready has its answer in a note. vLLM's clients read the top-level `id` and `created`."""
        if self._session_id:
            return []
        self._session_id = ready.session_id
        self._model = self._model or ready.model
        self._items = Items(f"item_{ready.session_id}_")
        self._apply(*self._opened_with)
        return [
            {
                "type": "session.created",
                "session": self._session(*self._opened_with),
                "id": f"sess-{ready.session_id}",
                "created": int(self._now()),
            }
        ]

    def _apply(self, config: SessionConfig, beta: bool) -> None:
        turns = config.turn_detection
        self._items.beta = beta
        self._items.pre_roll_ms = turns.prefix_padding_ms if turns else 0
        self._items.manual = turns is None

    def _session(self, config: SessionConfig, beta: bool) -> Message:
        body = config.beta(self._model) if beta else config.ga(self._model)
        return {"id": f"sess_{self._session_id}"} | body

    def _frame(self, message: Message) -> str:
        self._event += 1
        return to_json(
            {"type": message["type"], "event_id": f"event_{self._session_id}_{self._event}"} | message
        )

    def refusal(self, error: VoxwireError) -> dict[str, Any]:
        """The vendor's HTTP error."""
        return refusal(error)


def refusal(error: VoxwireError) -> dict[str, Any]:
    """Body of an HTTP answer in the vendor's shape."""
    kind, code = ERRORS.get(error.code, (INVALID, error.code))
    if isinstance(error, BadValue):
        code = error.kind
    param = error.param if isinstance(error, BadValue) else None
    return {"error": {"message": error.message, "type": kind, "param": param, "code": code}}


def _error(event: Error) -> Message:
    kind, code = ERRORS.get(event.code, (INVALID, event.code))
    error = {"type": kind, "code": code, "message": event.message, "param": None, "event_id": None}
    return {"type": "error", "error": error}


def _fault_message(fault: _Fault) -> Message:
    error = {
        "type": INVALID,
        "code": fault.code,
        "message": fault.message,
        "param": fault.param,
        "event_id": fault.event_id,
    }
    return {"type": "error", "error": error}


def _fault(event: _ClientEvent, message: str, code: str, param: str | None = None) -> Note:
    event_id = event.event_id if isinstance(event.event_id, str) else None
    return Note(_Fault(message, code, param, event_id), BadMessage.code)


def _unknown(event: _ClientEvent) -> Note:
    if event.type.startswith(CONVERSATION_EVENTS):
        message = f"{shown(event.type)} is not supported in a transcription session."
    else:
        listed = ", ".join(f"'{name}'" for name in CLIENT_EVENTS)
        message = f"Invalid value: {shown(event.type)}. Supported values are: {listed}."
    return _fault(event, message, "invalid_value", "type")


def _diagnosis(message: str) -> _Fault:
    """Why a message is no client event."""
    try:
        event = msgspec.json.decode(message)
    except UNREADABLE:
        return _Fault("The message is not valid JSON.", "invalid_json")
    if not isinstance(event, dict):
        return _Fault("The message is not a JSON object.", "invalid_json")
    event_id = event.get("event_id") if isinstance(event.get("event_id"), str) else None
    if not isinstance(event.get("type"), str):
        return _Fault("Missing required parameter: 'type'.", MISSING, "type", event_id)
    return _Fault("Invalid 'audio': expected base64 encoded bytes.", "invalid_value", "audio", event_id)
