"""What an OpenAI client says about its transcription session, in either of the two shapes.

    GA      {"type": "transcription", "include": […], "audio": {"input": {"format": {…}, "transcription": {…}, …}}}
    beta    {"input_audio_format": "pcm16", "input_audio_transcription": {…}, "turn_detection": {…}, …}

An absent field keeps its value, null takes it away; fields that nobody here knows are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from realtime.dialects.base import shown
from realtime.errors import BadOption
from realtime.events import SAMPLE_RATES_HZ, GateOptions, SessionOptions

LOGPROBS = "item.input_audio_transcription.logprobs"
DELAYS_MS = {"minimal": 80, "low": 240, "medium": 480, "high": 960, "xhigh": 2400}
# Nobody here knows whether a sentence is complete: eagerness is how long a pause ends a turn.
EAGER_HANGOVERS_MS = {"low": 2000, "medium": 1000, "high": 500, "auto": 1000}
PCM_RATE_HZ, G711_RATE_HZ = 24_000, 8_000
BETA_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
ENCODINGS = {"audio/pcm": "pcm_s16le", "audio/pcmu": "mulaw", "audio/pcma": "alaw"}
NOISE_REDUCTIONS = ("near_field", "far_field")
LONGEST_PADDING_MS, LONGEST_SILENCE_MS = 5_000, 30_000
LEAST_SILENCE_MS = 20  # what the gate can tell
AGGRESSIVENESS = 3  # the highest of the gate


class BadValue(BadOption):
    """A value that cannot be. `param` is its path in the client's message, `kind` the vendor's code."""

    def __init__(self, message: str, param: str, kind: str = "invalid_value"):
        super().__init__(message)
        self.param = param
        self.kind = kind


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """`server_vad` has the first three fields, `semantic_vad` the last."""

    type: str = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    idle_timeout_ms: int | None = None  # repeated to the client, no more
    eagerness: str = "auto"

    def gate(self, defaults: GateOptions) -> GateOptions:
        if self.type == "semantic_vad":
            return replace(_vad(defaults, TurnDetection()), hangover_ms=EAGER_HANGOVERS_MS[self.eagerness])
        return _vad(defaults, self)

    def told(self) -> dict[str, Any]:
        if self.type == "semantic_vad":
            return {"type": self.type, "eagerness": self.eagerness}
        return {
            "type": self.type,
            "threshold": self.threshold,
            "prefix_padding_ms": self.prefix_padding_ms,
            "silence_duration_ms": self.silence_duration_ms,
            "idle_timeout_ms": self.idle_timeout_ms,
        }


def _vad(defaults: GateOptions, wanted: TurnDetection) -> GateOptions:
    return replace(
        defaults,
        enabled=True,
        aggressiveness=int(AGGRESSIVENESS * wanted.threshold),
        pre_roll_ms=wanted.prefix_padding_ms,
        hangover_ms=max(LEAST_SILENCE_MS, wanted.silence_duration_ms),
    )


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """One state of the session object. Never changed in place."""

    format: str = "audio/pcm"
    rate_hz: int = PCM_RATE_HZ
    turn_detection: TurnDetection | None = field(default_factory=TurnDetection)
    transcription: Mapping[str, Any] = field(default_factory=dict)  # as the client gave it
    noise_reduction: Mapping[str, Any] | None = None
    include: tuple[str, ...] = ()

    @property
    def sample_bytes(self) -> int:
        return 2 if self.format == "audio/pcm" else 1

    def options(self, defaults: SessionOptions) -> SessionOptions:
        """Options of the stream. `defaults` decides what no client of this vendor can ask for."""
        delay = self.transcription.get("delay")
        turns = self.turn_detection
        return replace(
            defaults,
            encoding=ENCODINGS[self.format],
            sample_rate=self.rate_hz,
            channels=1,
            interim=True,
            delay_ms=DELAYS_MS[delay] if delay else defaults.delay_ms,
            gate=turns.gate(defaults.gate) if turns else replace(defaults.gate, enabled=False),
            logprobs=LOGPROBS in self.include,
        )

    def ga(self, model: str) -> dict[str, Any]:
        """The session object of GA, without `id`. `model` is named unless the client named one."""
        return {
            "object": "realtime.transcription_session",
            "type": "transcription",
            "expires_at": None,
            "include": list(self.include) or None,
            "audio": {
                "input": {
                    "format": self._ga_format(),
                    "noise_reduction": self.noise_reduction,
                    "transcription": {"model": model} | dict(self.transcription),
                    "turn_detection": self.turn_detection.told() if self.turn_detection else None,
                }
            },
        }

    def beta(self, model: str) -> dict[str, Any]:
        """The flat session object of the beta, without `id`."""
        return {
            "object": "realtime.transcription_session",
            "expires_at": None,
            "include": list(self.include) or None,
            "modalities": ["text"],
            "input_audio_format": next(name for name, long in BETA_FORMATS.items() if long == self.format),
            "input_audio_noise_reduction": self.noise_reduction,
            "input_audio_transcription": {"model": model} | dict(self.transcription),
            "turn_detection": self.turn_detection.told() if self.turn_detection else None,
        }

    def updated(self, session: Any) -> SessionConfig:
        """This configuration after a client's `session`. Raises BadValue, and then nothing of it counts."""
        fields = an_object(session, "session")
        audio = an_object(fields.get("audio"), "session.audio", {})
        inputs = an_object(audio.get("input"), "session.audio.input", {})
        config = self._updated("session", fields, BETA_FIELDS)
        return config._updated("session.audio.input", inputs, GA_FIELDS)

    def _updated(self, path: str, fields: Mapping[str, Any], names: Mapping[str, str]) -> SessionConfig:
        config = self
        for name, what in names.items():
            if name in fields:
                changed = _READERS[what](config, fields[name], f"{path}.{name}")
                config = replace(config, **changed)
        return config

    def _ga_format(self) -> dict[str, Any]:
        rate = {"rate": self.rate_hz} if self.format == "audio/pcm" else {}
        return {"type": self.format} | rate


GA_FIELDS = {
    "format": "format",
    "transcription": "transcription",
    "noise_reduction": "noise_reduction",
    "turn_detection": "turn_detection",
}
BETA_FIELDS = {
    "input_audio_format": "format",
    "input_audio_transcription": "transcription",
    "input_audio_noise_reduction": "noise_reduction",
    "turn_detection": "turn_detection",
    "include": "include",
}

_FLAT = BETA_FIELDS.keys() - {"include"}


def is_beta(session: Any) -> bool:
    """Whether a session object is the flat one."""
    return (
        isinstance(session, dict) and not {"type", "audio"} & session.keys() and bool(_FLAT & session.keys())
    )


# ---------------------------------------------------------------- one field → what it changes


def _read_format(config: SessionConfig, value: Any, path: str) -> dict[str, Any]:
    if value is None:
        return {"format": "audio/pcm", "rate_hz": PCM_RATE_HZ}
    if isinstance(value, str):
        return _format(BETA_FORMATS[one_of(value, BETA_FORMATS, path)], PCM_RATE_HZ)
    fields = an_object(value, path)
    kind = one_of(fields.get("type", config.format), ENCODINGS, f"{path}.type")
    rate = fields.get("rate")
    rate_hz = PCM_RATE_HZ if rate is None else whole(rate, *SAMPLE_RATES_HZ, f"{path}.rate")
    return _format(kind, rate_hz)


def _format(kind: str, pcm_rate_hz: int) -> dict[str, Any]:
    return {"format": kind, "rate_hz": pcm_rate_hz if kind == "audio/pcm" else G711_RATE_HZ}


def _read_transcription(config: SessionConfig, value: Any, path: str) -> dict[str, Any]:
    """The model hears its language itself and takes no hints: what else is given is repeated, and not used."""
    given = an_object(value, path, {})
    checks: dict[str, Callable[[Any, str], Any]] = {
        "model": _text,
        "language": _text,
        "languages": _texts,
        "prompt": _text,
        "keywords": _texts,
        "delay": lambda value, path: one_of(value, DELAYS_MS, path),
    }
    read = {
        name: None if given[name] is None else check(given[name], f"{path}.{name}")
        for name, check in checks.items()
        if name in given
    }
    transcription = {} if value is None else dict(config.transcription) | read
    return {"transcription": {name: transcription[name] for name in checks if transcription.get(name)}}


def _read_noise_reduction(config: SessionConfig, value: Any, path: str) -> dict[str, Any]:
    if value is None:
        return {"noise_reduction": None}
    kind = one_of(an_object(value, path).get("type"), NOISE_REDUCTIONS, f"{path}.type")
    return {"noise_reduction": {"type": kind}}


def _read_turn_detection(config: SessionConfig, value: Any, path: str) -> dict[str, Any]:
    if value is None:
        return {"turn_detection": None}
    fields = an_object(value, path)
    before = config.turn_detection or TurnDetection()
    kind = one_of(fields.get("type", before.type), ("server_vad", "semantic_vad"), f"{path}.type")
    checks: dict[str, Callable[[Any, str], Any]] = {
        "threshold": _fraction,
        "prefix_padding_ms": lambda value, path: whole(value, 0, LONGEST_PADDING_MS, path),
        "silence_duration_ms": lambda value, path: whole(value, 0, LONGEST_SILENCE_MS, path),
        "idle_timeout_ms": lambda value, path: whole(value, 0, 10**9, path),
        "eagerness": lambda value, path: one_of(value, EAGER_HANGOVERS_MS, path),
    }
    given = {
        name: check(fields[name], f"{path}.{name}")
        for name, check in checks.items()
        if fields.get(name) is not None
    }
    base = before if before.type == kind else TurnDetection(kind)
    if "idle_timeout_ms" in fields and fields["idle_timeout_ms"] is None:
        given["idle_timeout_ms"] = None
    return {"turn_detection": replace(base, **given)}


def _read_include(config: SessionConfig, value: Any, path: str) -> dict[str, Any]:
    if value is None:
        return {"include": ()}
    names = [one_of(name, (LOGPROBS,), f"{path}[{at}]") for at, name in enumerate(_texts(value, path))]
    return {"include": tuple(dict.fromkeys(names))}


_READERS: dict[str, Callable[[SessionConfig, Any, str], dict[str, Any]]] = {
    "format": _read_format,
    "transcription": _read_transcription,
    "noise_reduction": _read_noise_reduction,
    "turn_detection": _read_turn_detection,
    "include": _read_include,
}

# ---------------------------------------------------------------- values


def an_object(value: Any, path: str, absent: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    if value is None and absent is not None:
        return absent
    if not isinstance(value, dict):
        raise BadValue(f"Invalid type for '{path}': expected an object.", path, "invalid_type")
    return value


def one_of(value: Any, known: Iterable[str], path: str) -> str:
    names = list(known)
    if not isinstance(value, str) or value not in names:
        listed = ", ".join(f"'{name}'" for name in names)
        raise BadValue(f"Invalid value for '{path}': {shown(value)}. Supported values are: {listed}.", path)
    return value


def whole(value: Any, low: int, high: int, path: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue(f"Invalid type for '{path}': expected an integer.", path, "invalid_type")
    if not low <= value <= high:
        raise BadValue(f"Invalid value for '{path}': {shown(value)} is not within {low} and {high}.", path)
    return value


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise BadValue(f"Invalid type for '{path}': expected a string.", path, "invalid_type")
    return value


def _texts(value: Any, path: str) -> list[str]:
    if not isinstance(value, list):
        raise BadValue(f"Invalid type for '{path}': expected a list.", path, "invalid_type")
    return [_text(name, f"{path}[{at}]") for at, name in enumerate(value)]


def _fraction(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValue(f"Invalid type for '{path}': expected a number.", path, "invalid_type")
    if not 0 <= value <= 1:
        raise BadValue(f"Invalid value for '{path}': {shown(value)} is not within 0 and 1.", path)
    return float(value)
