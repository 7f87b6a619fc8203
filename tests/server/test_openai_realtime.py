"""OpenAI's Realtime API over real sockets: keys, pages, messages of any size, and its close codes."""

from __future__ import annotations

import asyncio
import base64
import json

import aiohttp
import pytest
import uvloop
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.server.fakes import TIMEOUT_S, house, read, read_all, read_until

MANUAL = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
COMMIT = {"type": "input_audio_buffer.commit"}
COMPLETED = "conversation.item.input_audio_transcription.completed"


def run(scene) -> None:
    uvloop.run(asyncio.wait_for(scene, 60))


def client(running, query: str = "intent=transcription", **options) -> connect:
    options = {"compression": None, "proxy": None, "close_timeout": 2, "open_timeout": TIMEOUT_S} | options
    return connect(f"ws://{running.address}/v1/realtime?{query}", **options)


async def send(ws, *messages: dict) -> None:
    for message in messages:
        await ws.send(json.dumps(message))


def append(seconds: float) -> dict:
    """Silence at 24 kHz; the fake engine hears words in it."""
    audio = base64.b64encode(bytes(round(seconds * 48_000))).decode()
    return {"type": "input_audio_buffer.append", "audio": audio}


async def post(running, path: str, body: object, key: str = "") -> tuple[int, dict]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    timeout = aiohttp.ClientTimeout(TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        url = f"http://{running.address}/v1/realtime/{path}"
        async with http.post(url, data=data, headers=headers) as response:
            assert response.headers["Cache-Control"] == "no-store"
            return response.status, await response.json()


@pytest.mark.parametrize("query", ["intent=transcription", "model=gpt-4o-transcribe", ""])
def test_a_commit_is_answered_by_one_item(query):
    async def scene():
        async with house() as running, client(running, query) as ws:
            assert (await read(ws))["type"] == "session.created"
            await send(ws, {"type": "session.update", "session": MANUAL})
            assert (await read(ws))["type"] == "session.updated"
            await send(ws, append(3.0), COMMIT)
            messages = await read_until(ws, COMPLETED)
            deltas = "".join(message.get("delta", "") for message in messages)
            assert messages[-1]["transcript"] == deltas
            assert deltas.startswith("w0 w1 w2")
            assert messages[-1]["usage"] == {"type": "duration", "seconds": 3.0}
            ids = {message["item_id"] for message in messages if "item_id" in message}
            assert len(ids) == 1

    run(scene())


def test_a_message_of_many_megabytes_is_taken_and_a_larger_one_is_refused():
    async def scene():
        async with house() as running, client(running) as ws:
            await read(ws)
            await send(ws, {"type": "session.update", "session": MANUAL}, append(60.0), COMMIT)
            messages = await read_until(ws, COMPLETED)
            assert len(messages[-1]["transcript"].split()) > 100
            await send(ws, append(300.0), {"type": "input_audio_buffer.clear"})
            await read_until(ws, "input_audio_buffer.cleared")
            await ws.send("x" * (25 * 2**20))
            last = (await read_all(ws))[-1]
            assert (last["error"]["code"], ws.close_code) == ("message_too_large", 1009)

    run(scene())


def test_a_client_that_goes_leaves_nothing_behind():
    async def scene():
        async with house() as running:
            async with client(running) as ws:
                await read(ws)
                await send(ws, {"type": "session.update", "session": MANUAL}, append(2.0), COMMIT)
                ws.transport.abort()
            await running.until_all_left()

    run(scene())


def test_errors_of_events_are_counted():
    async def scene():
        async with house() as running, client(running) as ws:
            await ws.send(b"binary")
            await ws.send("no json")
            await send(ws, {"type": "response.create"}, COMMIT, append(0.1))
            for _ in range(4):
                await read_until(ws, "error")
            assert running.metric("errors_total", code="bad_message") == 4

    run(scene())


# ---------------------------------------------------------------- keys


def test_a_key_for_a_page_brings_its_session():
    async def scene():
        async with house(api_keys="right") as running:
            asked = {"expires_after": {"anchor": "created_at", "seconds": 60}, "session": MANUAL}
            status, secret = await post(running, "client_secrets", asked, "right")
            assert status == 200
            assert secret["value"].startswith("ek_")
            assert secret["session"]["audio"]["input"]["turn_detection"] is None
            offered = ["realtime", f"openai-insecure-api-key.{secret['value']}"]
            async with client(running, subprotocols=offered) as ws:
                assert ws.subprotocol == "realtime"
                session = (await read(ws))["session"]
                assert session["audio"] == secret["session"]["audio"]
                await send(ws, append(1.0), COMMIT)
                await read_until(ws, COMPLETED)

    run(scene())


def test_the_beta_makes_keys_too():
    async def scene():
        async with house(api_keys="right") as running:
            flat = {"input_audio_format": "g711_ulaw", "turn_detection": {"type": "semantic_vad"}}
            status, session = await post(running, "transcription_sessions", flat, "right")
            assert (status, session["input_audio_format"]) == (200, "g711_ulaw")
            secret = session["client_secret"]
            assert isinstance(secret["expires_at"], int)
            headers = {"Authorization": f"Bearer {secret['value']}", "OpenAI-Beta": "realtime=v1"}
            async with client(running, additional_headers=headers) as ws:
                told = (await read(ws))["session"]
                assert (told["input_audio_format"], told["turn_detection"]["type"]) == (
                    "g711_ulaw",
                    "semantic_vad",
                )

    run(scene())


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        ({"session": 7}, "session"),
        ({"expires_after": {"seconds": 9}}, "expires_after.seconds"),
        ({"expires_after": {"seconds": 7201}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "now"}}, "expires_after.anchor"),
        (
            {"session": {"audio": {"input": {"format": {"type": "mp3"}}}}},
            "session.audio.input.format.type",
        ),
    ],
)
def test_a_wrong_request_for_a_key_is_explained(body, param):
    async def scene():
        async with house() as running:
            status, answer = await post(running, "client_secrets", body)
            assert (status, answer["error"]["type"], answer["error"]["param"]) == (
                400,
                "invalid_request_error",
                param,
            )

    run(scene())


def test_an_empty_request_is_a_key_for_the_defaults():
    async def scene():
        async with house() as running:
            status, secret = await post(running, "client_secrets", b"")
            assert (status, secret["session"]["audio"]["input"]["turn_detection"]["type"]) == (
                200,
                "server_vad",
            )

    run(scene())


def test_keys_are_made_for_those_who_have_one_and_not_by_such_a_key():
    async def scene():
        async with house(api_keys="right") as running:
            for key in ("", "wrong", (await post(running, "client_secrets", {}, "right"))[1]["value"]):
                status, answer = await post(running, "client_secrets", {}, key)
                assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
            with pytest.raises(InvalidStatus) as caught:
                async with client(running):
                    pass
            assert caught.value.response.status_code == 401
            assert json.loads(caught.value.response.body)["error"]["code"] == "invalid_api_key"

    run(scene())
