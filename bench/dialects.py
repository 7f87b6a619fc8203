"""What a dialect costs over the native protocol: CPU per audio message, without sockets and without a model.

The same audio goes through the same session twice, once in the messages of the dialect's clients, once as native binary
messages of the same length, encoding and rate. `more µs` is the median of the differences over the rounds; in a round
one follows the other, so that a machine that is slow for a while is slow for both.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from uuid import UUID

from bench import load
from bench.fake_engine import FakeEngine, FakeStream
from bench.report import Report, progress
from realtime.audio.containers import unpacker
from realtime.dialects.asterisk import AsteriskDialect
from realtime.dialects.audiosocket import AudioSocketDialect
from realtime.dialects.base import Dialect, Frame, Handshake, Note
from realtime.dialects.deepgram import DeepgramDialect
from realtime.dialects.deepgram_flux import FluxDialect
from realtime.dialects.mistral_realtime import MistralRealtimeDialect
from realtime.dialects.native import NativeDialect
from realtime.dialects.openai_realtime import OpenAIRealtimeDialect
from realtime.dialects.twilio import TwilioDialect
from realtime.dialects.vllm_realtime import VllmRealtimeDialect
from realtime.dialects.vosk import VoskDialect
from realtime.dialects.wyoming import WyomingDialect
from realtime.events import Audio, Clear, Configure, End, Flush, KeepAlive, SessionOptions
from realtime.server.conversation import Conversation
from realtime.session import Session
from realtime.text.tokenizer import Tekken

COLUMNS = ("dialect", "audio", "Hz", "message ms", "native µs", "dialect µs", "more µs", "bound µs", "holds")
BOUND_US = 30.0
ROUNDS = 7
COMMANDS = (Audio, Clear, Configure, End, Flush, KeepAlive)


@dataclass(frozen=True, slots=True)
class Wire:
    """How a client of a dialect puts its audio. `wrap` gets the number of the message and its bytes."""

    name: str
    new: Callable[[], Dialect]
    encoding: str
    rate_hz: int
    message_ms: int
    wrap: Callable[[int, bytes], Frame]
    before: tuple[Frame, ...] = ()
    query: tuple[tuple[str, str], ...] = ()

    @property
    def message_bytes(self) -> int:
        return self.rate_hz * self.message_ms // 1000 * (1 if self.encoding == "mulaw" else 2)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _append(kind: str) -> Callable[[int, bytes], str]:
    return lambda _number, data: json.dumps({"type": kind, "audio": _base64(data)})


def _binary(_number: int, data: bytes) -> bytes:
    return data


def _twilio(number: int, data: bytes) -> str:
    media = {"track": "inbound", "chunk": str(number + 1), "timestamp": str(20 * number)}
    media["payload"] = _base64(data)
    return json.dumps(
        {"event": "media", "sequenceNumber": str(number + 2), "streamSid": "MZ1", "media": media}
    )


def _twilio_start() -> str:
    form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {"accountSid": "AC1", "callSid": "CA1", "streamSid": "MZ1", "tracks": ["inbound"]}
    start |= {"mediaFormat": form, "customParameters": {}}
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": start})


def _wyoming(_number: int, data: bytes) -> bytes:
    form = {"rate": 16_000, "width": 2, "channels": 1}
    return (
        json.dumps({"type": "audio-chunk", "data": form, "payload_length": len(data)}).encode() + b"\n" + data
    )


WYOMING_START = b'{"type":"audio-start","data":{"rate":16000,"width":2,"channels":1}}\n'
LINEAR16 = (("encoding", "linear16"), ("sample_rate", "16000"))
OPENAI_APPEND, MISTRAL_APPEND = _append("input_audio_buffer.append"), _append("input_audio.append")
WIRES = (
    Wire("OpenAI Realtime", OpenAIRealtimeDialect, "pcm_s16le", 24_000, 100, OPENAI_APPEND),
    Wire(
        "vLLM",
        VllmRealtimeDialect,
        *("pcm_s16le", 16_000, 80, OPENAI_APPEND),
        before=('{"type":"input_audio_buffer.commit"}',),
    ),
    Wire("Mistral", MistralRealtimeDialect, "pcm_s16le", 16_000, 100, MISTRAL_APPEND),
    Wire(
        "Deepgram",
        lambda: DeepgramDialect(unpacker, "r1", "2026-01-01T00:00:00Z"),
        *("pcm_s16le", 16_000, 100, _binary),
        query=(*LINEAR16, ("interim_results", "true")),
    ),
    Wire(
        "Deepgram Flux",
        lambda: FluxDialect(unpacker, "r1"),
        *("pcm_s16le", 16_000, 80, _binary),
        query=LINEAR16,
    ),
    Wire("Twilio", TwilioDialect, "mulaw", 8000, 20, _twilio, before=(_twilio_start(),)),
    Wire(
        "Asterisk WebSocket",
        AsteriskDialect,
        *("pcm_s16le", 16_000, 20, _binary),
        before=("MEDIA_START connection_id:c channel:c channel_id:1 format:slin16 ptime:20",),
    ),
    Wire(
        "AudioSocket",
        AudioSocketDialect,
        *("pcm_s16le", 8000, 20),
        lambda _number, data: b"\x10" + len(data).to_bytes(2, "big") + data,
        before=(b"\x01\x00\x10" + UUID(int=1).bytes,),
    ),
    Wire(
        "Wyoming",
        lambda: WyomingDialect("fake"),
        *("pcm_s16le", 16_000, 64, _wyoming),
        before=(WYOMING_START,),
    ),
    Wire("vosk", VoskDialect, "pcm_s16le", 8000, 200, _binary),
)


def table(tekken: Tekken, encoded: Callable[[str, int], bytes], messages: int) -> Report:
    """A row per dialect. `encoded(encoding, rate_hz)` gives the audio, to be sent over and over."""
    report = Report("Dialects: CPU per audio message over the native protocol", COLUMNS)
    for wire in WIRES:
        progress(wire.name)
        pieces = _pieces(encoded(wire.encoding, wire.rate_hz), wire.message_bytes, messages)
        native, dialect, more = load.run_loop(_compare(wire, tekken, pieces))
        report.rows.append(
            [
                wire.name,
                wire.encoding,
                wire.rate_hz,
                wire.message_ms,
                native,
                dialect,
                more,
                BOUND_US,
                more < BOUND_US,
            ]
        )
    report.setting = {"messages a round": messages, "rounds": ROUNDS, "engine": "fake"}
    return report


def _pieces(data: bytes, size: int, count: int) -> list[bytes]:
    whole = [data[at : at + size] for at in range(0, len(data) - size + 1, size)]
    return [whole[n % len(whole)] for n in range(count)]


async def _compare(wire: Wire, tekken: Tekken, pieces: list[bytes]) -> tuple[float, float, float]:
    """Microseconds a message: native, dialect, and the median of their differences."""
    wrapped = [wire.wrap(number, piece) for number, piece in enumerate(pieces)]
    pairs = []
    for _ in range(ROUNDS):
        talk = Talk(wire.new(), tekken, wire.query)
        talk.send(wire.before)
        native = Talk(NativeDialect(), tekken, options=talk.session.options)
        pairs.append([await one.cost_us(messages) for one, messages in ((native, pieces), (talk, wrapped))])
    return (
        median(native for native, _ in pairs),
        median(dialect for _, dialect in pairs),
        median(dialect - native for native, dialect in pairs),
    )


class Talk:
    """One client of the fake engine, without a socket: what a connection does with each message and nothing else."""

    def __init__(self, dialect: Dialect, tekken: Tekken, query=(), options: SessionOptions | None = None):
        self._engine, self._dialect = FakeEngine(tekken, slots=4), dialect
        opened = dialect.open(Handshake(query), SessionOptions(delay_ms=tekken.delay_ms))
        self.session = Session(options or opened, tekken, session_id="bench", model="fake")
        self._conversation = Conversation(
            self.session, _Lender(self._engine), lambda lease: None, lambda lease: None
        )
        self._engine.start(self._conversation.advance)
        self._conversation.begin()

    def send(self, messages: Iterable[Frame]) -> None:
        for message in messages:
            notes = []
            for request in self._dialect.decode(message):
                if isinstance(request, COMMANDS):
                    self._conversation.receive(request)
                elif isinstance(request, Note):
                    notes.append(request)
            for event in (*self._conversation.events(), *notes):
                self._dialect.encode(event)

    async def cost_us(self, messages: list[Frame]) -> float:
        started_s = time.process_time()
        for message in messages:
            self.send((message,))
            await asyncio.sleep(0)  # the engine's answers
        took_s = time.process_time() - started_s
        self._conversation.close()
        self._dialect.close()
        return 1e6 * took_s / len(messages)


class _Lender:
    """The whole engine for one session."""

    def __init__(self, engine: FakeEngine):
        self._engine = engine

    def open(self, delay_tokens: int, channel: int) -> FakeStream:
        return self._engine.open(delay_tokens)

    def release(self, stream) -> None:
        stream.close()

    def settle(self) -> None:
        pass
