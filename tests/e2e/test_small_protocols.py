"""vosk-server's example client and Home Assistant's, with the real server: the words of the recording."""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect
from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStop
from wyoming.audio import AudioChunk, AudioChunkConverter, AudioStart, wav_to_chunks
from wyoming.client import AsyncTcpClient

from realtime.server.app import bind
from tests.e2e.conftest import DEMO, SCRIPT, RunningServer, running_server

pytestmark = pytest.mark.e2e

TIMEOUT_S = 100


def script() -> str:
    """What is said in the recording."""
    return " ".join(utterance["text"] for utterance in json.loads(SCRIPT.read_text())["utterances"])


@pytest.fixture(scope="module")
def wyoming_port() -> Iterator[int]:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    with running_server(["--wyoming-port", str(port)]):
        yield port


async def ask_wyoming(client: AsyncTcpClient, converter: AudioChunkConverter | None = None) -> str:
    await client.write_event(Transcribe(language="en").event())
    with wave.open(str(DEMO)) as recording:
        for event in wav_to_chunks(recording, 1024, start_event=True, stop_event=True):
            await client.write_event(_converted(event, converter).event())
    chunks, text = "", None
    while not TranscriptStop.is_type((event := await client.read_event()).type):
        if TranscriptChunk.is_type(event.type):
            chunks += TranscriptChunk.from_event(event).text
        elif Transcript.is_type(event.type):
            text = Transcript.from_event(event).text
    assert chunks == text
    return text


def _converted(event, converter):
    if converter is None or not isinstance(event, AudioStart | AudioChunk):
        return event
    if isinstance(event, AudioStart):
        return AudioStart(converter.rate, converter.width, converter.channels)
    return converter.convert(event)


def test_home_assistants_client_hears_the_words(wyoming_port):
    async def scene() -> None:
        async with AsyncTcpClient("127.0.0.1", wyoming_port, read_timeout=TIMEOUT_S) as client:
            assert await ask_wyoming(client) == script()
            other = AudioChunkConverter(rate=22050, width=4, channels=2)
            assert await ask_wyoming(client, other) == script()

    asyncio.run(asyncio.wait_for(scene(), TIMEOUT_S))


async def ask_vosk(server: RunningServer, path: str) -> str:
    """Configuration, 0.2 s a message and its answer, eof and its answer."""
    texts = []
    async with connect(f"ws://{server.address}{path}", proxy=None) as socket:
        with wave.open(str(DEMO)) as recording:
            await socket.send(json.dumps({"config": {"sample_rate": recording.getframerate()}}))
            while data := recording.readframes(int(recording.getframerate() * 0.2)):
                await socket.send(data)
                texts.append(json.loads(await socket.recv()).get("text", ""))
        await socket.send('{"eof" : 1}')
        texts.append(json.loads(await socket.recv())["text"])
    return " ".join(text for text in texts if text)


@pytest.mark.parametrize("path", ["", "/vosk"])
def test_vosks_example_client_hears_the_words(server, path):
    assert asyncio.run(asyncio.wait_for(ask_vosk(server, path), TIMEOUT_S)) == script()
