"""CPU that one message costs, without a model: the real server code around an engine that answers every frame at once.

session    decode (dialect), session, answers and encode in this process, no sockets: process time over messages
socket     the same behind `--streams` WebSocket connections that send as fast as the server takes it; CPU of the
           server process from the first message until every stream is `done`, over the messages

A message is 80 ms of speech in the row's encoding; the last row is a JSON message (`keepalive`, which is as cheap
as they come: its cost is that of the text path). The fake engine says a word every 400 ms, so that partials and
finals are encoded and sent as in life. `live streams a core` is 80 ms over the cost: what the event loop alone
would carry.

With --dialects instead: what every dialect costs over the native protocol (bench/dialects.py).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soxr

from bench import dialects, load, speech
from bench.report import BenchError, Report, progress
from bench.server import Server
from bench.speech import RATE_HZ, Tape
from client import protocol
from client.protocol import Options
from client.stream import Stream, connect
from realtime.config import BUNDLED_MODEL
from realtime.dialects.native import NativeDialect
from realtime.text.tokenizer import Tekken

MESSAGE_MS = 80
FORMATS = (("pcm_s16le", 8000), ("pcm_s16le", 16_000), ("pcm_s16le", 48_000), ("mulaw", 8000))
KEEPALIVE = "JSON keepalive"
COLUMNS = ("message", "Hz", "vad", "session µs", "socket µs", "live streams a core")
RUN_TIMEOUT_S = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--streams", type=int, default=16, help="connections (default: %(default)s)")
    parser.add_argument("--messages", type=int, default=1500, help="per connection (default: %(default)s)")
    parser.add_argument(
        "--dialects", action="store_true", help="compare every dialect with the native protocol"
    )
    parser.add_argument(
        "--model", default=BUNDLED_MODEL, help="folder whose tekken.json is used (default: bundled)"
    )


def run(options: argparse.Namespace) -> Report:
    tape = Tape(speech.demo_clips(), seed=1)
    audio = np.frombuffer(tape.read(60 * RATE_HZ), "<i2")
    tekken = Tekken.load(Path(options.model) / "tekken.json")
    if options.dialects:
        return dialects.table(tekken, partial(_encoded, audio), options.messages)
    report = Report("Ingress: CPU per message, without a model", COLUMNS)
    command = (sys.executable, "-m", "bench.fake_engine")
    flags = [f"--slots={options.streams + 8}", f"--model={options.model}"]
    with Server(flags, command) as served:
        for case in cases(audio):
            progress(case.name)
            alone = session_us(case, tekken, options.messages)
            behind = load.run_loop(_socket_us(served, case, options.streams, options.messages))
            vad = "–" if case.vad is None else "on" if case.vad else "off"
            report.rows.append(
                [case.name, case.options.sample_rate, vad, alone, behind, MESSAGE_MS * 1000 / behind]
            )
    report.rows[-1][-1] = None
    report.setting = {
        "connections": options.streams,
        "messages per connection": options.messages,
        "audio": f"bundled demo, speech share {100 * tape.clip_samples / tape.samples:.0f} %",
    }
    return report


# ---------------------------------------------------------------- what is sent


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    vad: bool | None  # None: no audio at all
    options: Options
    messages: list[bytes | str]  # a round, encoded beforehand; sent over and over


def cases(audio: np.ndarray) -> list[Case]:
    """int16 [n] at 16 kHz → every format with the gate on and off, and the JSON message."""
    found = [
        Case(encoding, vad, Options(encoding=encoding, sample_rate=rate, vad=vad), pieces)
        for encoding, rate in FORMATS
        for pieces in [_pieces(_encoded(audio, encoding, rate), encoding, rate)]
        for vad in (False, True)
    ]
    return [*found, Case(KEEPALIVE, None, Options(), [protocol.KEEPALIVE])]


def _encoded(audio: np.ndarray, encoding: str, rate: int) -> bytes:
    moved = soxr.resample(audio.astype(np.float32) / 32768, RATE_HZ, rate)
    return mulaw(moved) if encoding == "mulaw" else (moved.clip(-1, 0.9999) * 32768).astype("<i2").tobytes()


def mulaw(samples: np.ndarray) -> bytes:
    """float [n] in -1..1 → G.711 µ-law."""
    linear = np.clip(np.abs(samples) * 32768, 0, 32635).astype(np.int32) + 132
    exponent = np.floor(np.log2(linear)).astype(np.int32) - 7
    mantissa = (linear >> (exponent + 3)) & 15
    sign = np.where(samples < 0, 128, 0)
    return (~(sign | exponent << 4 | mantissa) & 255).astype(np.uint8).tobytes()


def _pieces(data: bytes, encoding: str, rate: int) -> list[bytes]:
    size = rate * MESSAGE_MS // 1000 * (1 if encoding == "mulaw" else 2)
    return [data[at : at + size] for at in range(0, len(data) - size + 1, size)]


# ---------------------------------------------------------------- without sockets


def session_us(case: Case, tekken: Tekken, messages: int) -> float:
    """CPU per message of dialect, session and dialect, on a loop of its own."""
    return load.run_loop(_session_us(case, tekken, messages))


async def _session_us(case: Case, tekken: Tekken, messages: int) -> float:
    talk = dialects.Talk(NativeDialect(), tekken, tuple(case.options.query().items()))
    return await talk.cost_us([case.messages[number % len(case.messages)] for number in range(messages)])


# ---------------------------------------------------------------- through sockets


async def _socket_us(served: Server, case: Case, streams: int, messages: int) -> float:
    """CPU of the server per message, from the first until every stream is `done`."""
    opened = [await connect(served.url, case.options, ping_interval_s=None) for _ in range(streams)]
    try:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            before = served.usage()
            await asyncio.gather(*(_blast(stream, case.messages, messages) for stream in opened))
            after = served.usage()
    except TimeoutError:
        raise BenchError(f"{case.name}: not taken within {RUN_TIMEOUT_S:g} s") from None
    finally:
        for stream in opened:
            await stream.close()
    return 1e6 * (after.cpu_s - before.cpu_s) / (streams * messages)


async def _blast(stream: Stream, round_: list[bytes | str], messages: int) -> None:
    """Send all and listen until `done`: everything sent has been taken."""
    listening = asyncio.create_task(_listen(stream))
    for number in range(messages):
        message = round_[number % len(round_)]
        await (stream.send(message) if isinstance(message, bytes) else stream.keepalive())
    await stream.end()
    await listening


async def _listen(stream: Stream) -> None:
    async for _ in stream.events():
        pass
