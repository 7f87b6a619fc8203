"""The vocabulary between a dialect and a session: commands in, events out. Frozen, typed, no behaviour.

All times are milliseconds of stream time: 0 is the first sample the client sent, whatever a gate removed since.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

SAMPLE_BYTES = {"pcm_s16le": 2, "pcm_s32le": 4, "pcm_f16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}
ENCODINGS = tuple(SAMPLE_BYTES)
FRAME_MS = 80
DELAYS_MS = (*range(80, 1201, 80), 2400)
# The least and the most that a stream may ask for.
SAMPLE_RATES_HZ = (8000, 48_000)
PRE_ROLLS_MS = (0, 2000)
HANGOVERS_MS = (100, 5000)

# ---------------------------------------------------------------- options of one conversation


@dataclass(frozen=True, slots=True)
class GateOptions:
    """The VAD gate. `enabled=False` feeds everything to the model."""

    enabled: bool = True
    aggressiveness: int = 1  # webrtcvad's 0..3
    pre_roll_ms: int = 300  # audio kept from before the onset
    onset_ms: int = 60  # voiced time that opens the gate
    hangover_ms: int = 500  # unvoiced time that closes it


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What a client may choose for its stream. A session clamps nothing: the dialect has validated it."""

    encoding: str = "pcm_s16le"
    sample_rate: int = 16000  # 8000..48000 Hz
    channels: int = 1  # 1 or 2; with 2 every channel is transcribed and labelled
    delay_ms: int = 480  # 80..1200 in steps of 80, or 2400
    interim: bool = True  # send partials
    max_utterance_ms: int = 30_000  # a final is cut between words at this length at the latest
    gate: GateOptions = field(default_factory=GateOptions)
    logprobs: bool = False  # partials and finals hold the pieces that their text was written in


# ---------------------------------------------------------------- commands: dialect → session


@dataclass(frozen=True, slots=True)
class Configure:
    """Replace the options; only before the first audio."""

    options: SessionOptions


@dataclass(frozen=True, slots=True)
class Reconfigure:
    """Replace the options at any time. What was said so far becomes a final, as if there had been a silence; what
    follows is heard with the new options, and stream time goes on. The number of channels must stay.
    """

    options: SessionOptions


@dataclass(frozen=True, slots=True)
class Audio:
    """Bytes of the configured encoding; chunk borders mean nothing, not even to a sample."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Flush:
    """Final for what was said so far; the stream stays open."""


@dataclass(frozen=True, slots=True)
class Clear:
    """Forget what was said since the last utterance was closed. It gets no final and the number of its partials is not
    used again; stream time goes on.
    """


@dataclass(frozen=True, slots=True)
class End:
    """Drain, then `Done`."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Counts as activity, nothing else."""


Command = Configure | Reconfigure | Audio | Flush | Clear | End | KeepAlive

# ---------------------------------------------------------------- events: session → dialect


@dataclass(frozen=True, slots=True)
class Word:
    text: str  # without surrounding spaces
    start_ms: int
    end_ms: int
    confidence: float  # 0..1


@dataclass(frozen=True, slots=True)
class Piece:
    """What the model wrote in one step: any bytes, because characters are split across steps."""

    text: bytes  # white space in front included
    logprob: float


@dataclass(frozen=True, slots=True)
class Ready:
    session_id: str
    model: str
    sample_rate: int
    delay_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    at_ms: int
    channel: int = 0


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    at_ms: int
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Partial:
    """`text` is the whole utterance so far and only ever grows; `delta` is what was added since the last partial.

    Utterances are numbered per channel, from 0.
    """

    utterance: int
    text: str
    delta: str
    start_ms: int
    audio_ms: int  # audio of the stream that the model has heard
    channel: int = 0
    pieces: tuple[Piece, ...] | None = None  # of the whole utterance so far, if `logprobs` asked for them


FinalReason = Literal["silence", "flush", "end", "length"]


@dataclass(frozen=True, slots=True)
class Final:
    utterance: int
    text: str
    words: tuple[Word, ...]
    start_ms: int
    end_ms: int
    reason: FinalReason
    channel: int = 0
    pieces: tuple[Piece, ...] | None = None  # if `logprobs` asked for them


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio that was not transcribed, and why."""

    from_ms: int
    to_ms: int
    reason: str
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Warning_:
    """Something is wrong with a part of the stream that goes on."""

    code: str
    message: str
    from_ms: int | None = None
    to_ms: int | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Error:
    code: str
    message: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class Done:
    audio_ms: int
    speech_ms: int
    utterances: int


Event = Ready | SpeechStarted | SpeechStopped | Partial | Final | Gap | Warning_ | Error | Done

# ---------------------------------------------------------------- engine → session


@dataclass(frozen=True, slots=True)
class Step:
    """One token of one stream.

    `position` counts the frames that this lease was fed, from 0: the step that consumed frame `position`.
    `token` is the model's id (control ids, below 1000 in the 4B, carry no text). `logprob` is its natural log
    probability.
    """

    lease: int
    position: int
    token: int
    logprob: float
