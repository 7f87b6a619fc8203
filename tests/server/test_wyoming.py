"""Wyoming over real sockets, with the client of the protocol's own package."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
import uvloop
from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong

from realtime import config
from realtime.errors import ConfigError
from realtime.server import app
from realtime.server.app import TCP_DIALECTS, Server, bind, bind_tcp
from realtime.server.tcp import TcpEndpoint, TcpPort
from tests.server.fakes import TIMEOUT_S, FakeEngine, audio, house, until

FORMAT = {"rate": 16000, "width": 2, "channels": 1}


def run(scene) -> None:
    uvloop.run(asyncio.wait_for(scene, 60))


@asynccontextmanager
async def wyoming(running):
    """A Wyoming port in a running house, and a client on it."""
    dialect = TCP_DIALECTS["wyoming"](running.service)
    port = TcpPort(TcpEndpoint(running.service, dialect), bind("127.0.0.1", 0))
    await port.start()
    try:
        async with AsyncTcpClient("127.0.0.1", port.port, read_timeout=TIMEOUT_S) as client:
            yield client
        await running.until_all_left()
    finally:
        await port.close()


async def ask(client, payload: bytes, **audio_format) -> None:
    """One request, as Home Assistant makes it."""
    audio_format = FORMAT | audio_format
    await client.write_event(Transcribe(language="en").event())
    await client.write_event(AudioStart(**audio_format).event())
    for at in range(0, len(payload), 2048):
        await client.write_event(AudioChunk(**audio_format, audio=payload[at : at + 2048]).event())
    await client.write_event(AudioStop().event())


async def answer(client) -> list[Event]:
    """The events up to transcript-stop."""
    events = []
    while not events or not TranscriptStop.is_type(events[-1].type):
        events.append(await client.read_event())
        assert events[-1] is not None, "the server hung up"
    return events


def text_of(events: list[Event]) -> str:
    [text] = [Transcript.from_event(event).text for event in events if Transcript.is_type(event.type)]
    chunks = [
        TranscriptChunk.from_event(event).text for event in events if TranscriptChunk.is_type(event.type)
    ]
    assert "".join(chunks) == text
    assert TranscriptStart.is_type(events[0].type)
    return text


def test_home_assistant_asks_what_is_here():
    async def scene():
        async with house() as running, wyoming(running) as client:
            await client.write_event(Describe().event())
            info = Info.from_event(await client.read_event())
            assert [model.name for model in info.asr[0].models] == ["fake"]

    run(scene())


def test_several_requests_of_several_formats_on_one_connection():
    async def scene():
        async with house(vad="off") as running, wyoming(running) as client:
            await ask(client, audio(20))
            first = text_of(await answer(client))
            assert first.startswith("w0 w1 w2")
            await client.write_event(Ping("here?").event())
            assert Pong.from_event(await client.read_event()).text == "here?"
            await ask(client, audio(30) * 2, rate=48000, channels=2)
            assert text_of(await answer(client))
            await ask(client, audio(10), rate=8000, width=4)
            assert text_of(await answer(client))

    run(scene())


def test_requests_need_not_wait_for_each_other():
    async def scene():
        async with house(vad="off") as running, wyoming(running) as client:
            for _ in range(3):
                await ask(client, audio(20))
            texts = [text_of(await answer(client)) for _ in range(3)]
            assert all(texts)

    run(scene())


def test_a_client_that_shuts_its_side_still_gets_its_transcript():
    async def scene():
        async with house(vad="off") as running, wyoming(running) as client:
            await client.write_event(AudioStart(**FORMAT).event())
            await client.write_event(AudioChunk(**FORMAT, audio=audio(20)).event())
            client._writer.write_eof()
            assert text_of(await answer(client)).startswith("w0 w1")
            assert await client.read_event() is None

    run(scene())


def test_audio_that_no_one_decodes_is_an_error_and_the_end():
    async def scene():
        async with house() as running, wyoming(running) as client:
            await client.write_event(AudioStart(rate=16000, width=3, channels=1).event())
            error = Error.from_event(await client.read_event())
            assert error.code == "bad_option" and "width" in error.text
            assert await client.read_event() is None
            await until(lambda: running.metric("closes_total", code="1008") == 1)

    run(scene())


def test_a_web_page_that_posts_to_the_port_gets_an_error():
    async def scene():
        async with house() as running, wyoming(running) as client:
            client._writer.write(b'POST / HTTP/1.1\r\nHost: x\r\n\r\n{"type":"audio-stop"}\n')
            assert Error.from_event(await client.read_event()).code == "bad_message"
            assert await client.read_event() is None

    run(scene())


def test_without_a_slot_the_error_comes_at_once():
    async def scene():
        async with house(slots=1) as running, running.stream() as ws:
            await ws.recv()
            async with wyoming(running) as client:
                assert Error.from_event(await client.read_event()).code == "at_capacity"
                assert await client.read_event() is None
                await ws.close()

    run(scene())


# ---------------------------------------------------------------- settings


def free_port() -> str:
    with bind("127.0.0.1", 0) as listener:
        return str(listener.getsockname()[1])


def test_the_setting_opens_the_port_beside_the_main_one():
    async def scene():
        settings = config.load({"port": "0", "wyoming_port": free_port()}, {})
        server = Server(settings, FakeEngine(), bind("127.0.0.1", 0), bind_tcp(settings))
        await server.start()
        try:
            assert server.tcp_ports["wyoming"].port == settings.server.wyoming_port
            async with AsyncTcpClient("127.0.0.1", settings.server.wyoming_port) as client:
                await client.write_event(Ping().event())
                assert Pong.is_type((await client.read_event()).type)
        finally:
            await server.close()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", settings.server.wyoming_port)

    run(scene())


def test_no_setting_no_port():
    assert app.bind_tcp(config.load({}, {})) == {}


def test_a_taken_port_is_named():
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {number} on 127.0.0.1"):
            bind_tcp(config.load({"wyoming_port": str(number)}, {}))
