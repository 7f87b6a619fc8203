"""/v1/realtime over a real socket: vLLM's clients beside OpenAI's; the engine is scripted."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
import uvloop
from websockets.asyncio.client import connect

from tests.conversations.vllm.form import append
from tests.server.fakes import TIMEOUT_S, audio, house, read, read_until, until

UPDATE = {"type": "session.update", "model": "voxtral"}
START, FINAL = {"type": "input_audio_buffer.commit"}, {"type": "input_audio_buffer.commit", "final": True}
CHUNKS = [append(audio(1))] * 24


def run(scene) -> None:
    uvloop.run(asyncio.wait_for(scene, 60))


def stream(running, query: str = "", **options) -> connect:
    options = {"compression": None, "proxy": None, "close_timeout": 2, "open_timeout": TIMEOUT_S} | options
    return connect(f"ws://{running.address}/v1/realtime{query}", **options)


async def say(ws, *messages: dict) -> None:
    for message in messages:
        await ws.send(json.dumps(message))


def text_of(messages: list[dict]) -> str:
    """The text of the last message, once the deltas before it are found to be the same."""
    assert "".join(m["delta"] for m in messages if m["type"] == "transcription.delta") == messages[-1]["text"]
    return messages[-1]["text"]


ORDERS = {
    "start first": [UPDATE, START, *CHUNKS, FINAL],
    "no update": [START, *CHUNKS, FINAL],
    "append first": [UPDATE, *CHUNKS, START, FINAL],
    "no start": [UPDATE, *CHUNKS, FINAL],
}


@pytest.mark.parametrize("order", ORDERS)
def test_vllms_clients_in_every_order(order):
    async def scene():
        async with house(vad="off") as running, stream(running) as ws:
            hello = await read(ws)
            assert hello["type"] == "session.created"
            assert isinstance(hello["id"], str) and isinstance(hello["created"], int)
            await say(ws, *ORDERS[order])
            assert text_of(await read_until(ws, "transcription.done")).startswith("w0 w1 w2 w3 w4")
            await say(ws, START, *CHUNKS, FINAL)
            assert text_of(await read_until(ws, "transcription.done"))
            await say(ws, FINAL)
            [empty] = await read_until(ws, "transcription.done")
            assert empty["text"] == ""

    run(scene())


def test_a_client_that_does_not_wait_for_the_hello():
    async def scene():
        async with house(vad="off") as running, stream(running, "?model=voxtral") as ws:
            running.engine.hold()
            await say(ws, *ORDERS["no update"])
            running.engine.go()
            messages = await read_until(ws, "transcription.done")
            assert messages[0]["type"] == "session.created"
            assert text_of(messages).startswith("w0 w1")

    run(scene())


def test_an_abrupt_disconnect_hurts_nobody():
    async def scene():
        async with house(vad="off", slots=2) as running, stream(running) as other:
            await say(other, UPDATE, START)
            for n in range(8):
                async with stream(running) as ws:
                    await say(ws, *ORDERS["start first"][: 3 * n + 1])
                    await read(ws)
                    ws.transport.abort()
                await until(lambda: len(running.service._connections) == 1)
                assert running.engine.slots_in_use == 1
            await say(other, *CHUNKS, FINAL)
            assert text_of(await read_until(other, "transcription.done")).startswith("w0 w1 w2")

    run(scene())


def test_errors_are_flat_and_the_stream_goes_on():
    async def scene():
        async with house(vad="off") as running, stream(running) as ws:
            await say(ws, START, {"type": "input_audio_buffer.append", "audio": "?"}, *CHUNKS, FINAL)
            messages = await read_until(ws, "transcription.done")
            [error] = [message for message in messages if message["type"] == "error"]
            assert error["code"] == "invalid_audio" and isinstance(error["error"], str)
            assert text_of(messages)

    run(scene())


def test_openais_client_beside_vllms():
    """Each is told in its own words."""

    async def scene():
        async with house(vad="off") as running, stream(running) as vllm, stream(running) as openai:
            await say(vllm, UPDATE, START)
            manual = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
            chunk = {"type": "input_audio_buffer.append", "audio": base64.b64encode(audio(30)).decode()}
            await say(openai, {"type": "session.update", "session": manual}, chunk, START)
            await say(vllm, *CHUNKS, FINAL)
            completed = "conversation.item.input_audio_transcription.completed"
            assert (await read_until(openai, completed))[-1]["transcript"].startswith("w0 w1 w2")
            assert text_of(await read_until(vllm, "transcription.done")).startswith("w0 w1 w2 w3 w4")

    run(scene())


def test_a_pages_key_is_not_repeated():
    async def scene():
        async with house(api_keys="secret") as running:
            offered = ["realtime", "openai-insecure-api-key.secret"]
            async with stream(running, subprotocols=offered) as ws:
                assert ws.subprotocol == "realtime"
                assert (await read(ws))["type"] == "session.created"

    run(scene())
