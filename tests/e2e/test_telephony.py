"""Telephone calls with the real server: the words of the recording on every track, for every follower."""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import Iterator

import numpy as np
import pytest
import soxr

from realtime.server.app import bind
from tests.conversations.test_equalities import mulaw
from tests.e2e.conftest import DEMO, SCRIPT, RunningServer, running_server
from tests.server.fakes import read_all
from tests.server.phone import CALL, UUID, UUID_TEXT, dial, events, frame, twilio

pytestmark = pytest.mark.e2e

TIMEOUT_S = 100
APART_MS = 1300  # how much later the second track says the same


def script() -> list[dict]:
    """What is said in the recording, and when."""
    return json.loads(SCRIPT.read_text())["utterances"]


def recording() -> np.ndarray:
    """float32 [n] at 16 kHz."""
    with wave.open(str(DEMO)) as demo:
        assert (demo.getframerate(), demo.getnchannels()) == (16_000, 1)
        return np.frombuffer(demo.readframes(demo.getnframes()), "<i2").astype(np.float32) / 32768


def at_8khz() -> np.ndarray:
    return soxr.resample(recording(), 16_000, 8000)


def texts(messages, channel=0) -> list[str]:
    return [m["text"] for m in messages if m["type"] == "final" and m["channel"] == channel]


def run(scene) -> None:
    asyncio.run(asyncio.wait_for(scene, TIMEOUT_S))


@pytest.fixture(scope="module")
def audiosocket_server() -> Iterator[tuple[RunningServer, int]]:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    with running_server(["--audiosocket-port", str(port)]) as running:
        yield running, port


async def call_by_twilio(address: str) -> None:
    """Both tracks, 20 ms a packet, as fast as the server reads."""
    later = np.zeros(APART_MS * 8, np.float32)
    caller = mulaw(np.concatenate([at_8khz(), later]))
    agent = mulaw(np.concatenate([later, at_8khz()]))
    async with twilio(address) as phone:
        await phone.start("inbound", "outbound", agent="7")
        for at in range(0, len(caller), 160):
            await phone.media(caller[at : at + 160], "inbound")
            await phone.media(agent[at : at + 160], "outbound")
        await phone.stop()


async def follow(address: str, call: str) -> list[dict]:
    async with dial(address, f"/v1/calls/{call}") as ws:
        messages = await read_all(ws)
        assert ws.close_code == 1000
        return messages


async def follow_by_events(address: str, call: str) -> list[dict]:
    async with events(address, f"/v1/calls/{call}") as (status, messages):
        assert status == 200
        return [message async for message in messages]


def test_both_tracks_of_a_call_say_the_words_to_all_who_follow(server):
    async def scene() -> None:
        by_socket, by_events, _ = await asyncio.gather(
            follow(server.address, CALL),
            follow_by_events(server.address, CALL),
            call_by_twilio(server.address),
        )
        said = script()
        for messages in (by_socket, by_events):
            assert texts(messages, 0) == texts(messages, 1) == [utterance["text"] for utterance in said]
            assert any(message["type"] == "partial" for message in messages)
            assert messages[-1]["reason"] == "ended"
        finals = [m for m in by_socket if m["type"] == "final"]
        for channel, shift_ms in ((0, 0), (1, APART_MS)):
            starts = [m["start_ms"] - shift_ms for m in finals if m["channel"] == channel]
            assert starts == pytest.approx([u["start_ms"] for u in said], abs=250)

    run(scene())


def test_a_call_by_chan_websocket_says_the_words(server):
    async def scene() -> None:
        async def call() -> None:
            async with dial(server.address, "/asterisk", subprotocols=["media"]) as ws:
                await ws.send("MEDIA_START connection_id:voxwire channel_id:17.1 format:slin16 ptime:20")
                data = (recording() * 32767).astype("<i2").tobytes()
                for at in range(0, len(data), 640):
                    await ws.send(data[at : at + 640])

        messages, _ = await asyncio.gather(follow(server.address, "17.1"), call())
        assert texts(messages) == [utterance["text"] for utterance in script()]

    run(scene())


def test_a_call_by_audiosocket_says_the_words(audiosocket_server):
    server, port = audiosocket_server

    async def scene() -> None:
        async def call() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(frame(0x01, UUID))
            data = (at_8khz() * 32767).astype("<i2").tobytes()
            for at in range(0, len(data), 320):
                writer.write(frame(0x10, data[at : at + 320]))
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        messages, _ = await asyncio.gather(follow(server.address, UUID_TEXT), call())
        assert texts(messages) == [utterance["text"] for utterance in script()]

    run(scene())
