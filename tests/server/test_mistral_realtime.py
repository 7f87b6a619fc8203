"""Mistral's realtime transcription over a real socket, with the vendor's own SDK; the engine is scripted."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import aiohttp
import uvloop
from mistralai.client import Mistral
from mistralai.client.models import AudioFormat
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.conversations.mistral.form import append
from tests.server.fakes import TIMEOUT_S, audio, house, read, read_all, read_until, until

MODEL = "voxtral-mini-transcribe-realtime-2602"
PATH = "/v1/audio/transcriptions/realtime"
FLUSH, END = '{"type":"input_audio.flush"}', '{"type":"input_audio.end"}'


def run(scene) -> None:
    uvloop.run(asyncio.wait_for(scene, 60))


def stream(running, **options) -> connect:
    options = {"compression": None, "proxy": None, "close_timeout": 2, "open_timeout": TIMEOUT_S} | options
    return connect(f"ws://{running.address}{PATH}?model={MODEL}", **options)


def sdk(running, api_key: str = "none") -> Mistral:
    return Mistral(api_key=api_key, server_url=f"http://{running.address}", timeout_ms=TIMEOUT_S * 1000)


async def chunks(frames: int):
    for _ in range(frames):
        yield audio(1)


async def post(running, body: object, **headers: str) -> tuple[int, dict]:
    url = f"http://{running.address}/v1/client/sessions"
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S)) as client,
        client.post(url, data=json.dumps(body), headers=headers) as response,
    ):
        return response.status, await response.json()


# ---------------------------------------------------------------- streams


def test_the_sdk_reads_a_whole_stream():
    async def scene():
        async with house(vad="off") as running:
            settings = {"target_streaming_delay_ms": 240, "language": "en"}
            format_ = AudioFormat(encoding="pcm_s16le", sample_rate=16000)
            realtime = sdk(running).audio.realtime
            events = [
                event async for event in realtime.transcribe_stream(chunks(30), MODEL, format_, **settings)
            ]
            kinds = [event.type for event in events]
            assert kinds[:2] == ["session.created", "session.updated"]
            assert kinds[-2:] == ["transcription.segment", "transcription.done"]
            assert set(kinds[2:-2]) == {"transcription.text.delta"}
            assert events[1].session.target_streaming_delay_ms == 240
            assert "".join(event.text for event in events[2:-2]) == events[-1].text
            assert events[-1].text.startswith("w0 w1 w2 w3 w4 w5 w6")
            assert (events[-1].language, events[-1].usage.prompt_audio_seconds) == ("en", 3)
            await running.until_all_left()

    run(scene())


def test_segments_by_the_sdk_and_a_good_end():
    async def scene():
        async with house(vad="off") as running:
            async with await sdk(running).audio.realtime.connect(MODEL) as connection:
                for _ in range(2):
                    await connection.send_audio(audio(20))
                    await connection.flush_audio()
                    await connection.flush_audio()
                await connection.end_audio()
                texts = [event.text async for event in connection if event.type == "transcription.done"]
            assert [bool(text) for text in texts] == [True, False, True, False, False]
            assert connection.is_closed
            await running.until_all_left()
            assert running.metric("closes_total", code="1000") == 1

    run(scene())


def test_a_client_that_sends_everything_at_once_and_reads_later():
    """Partials that nobody read in time are joined or dropped; the deltas are still the sum."""

    async def scene():
        async with house(vad="off") as running, stream(running) as ws:
            running.engine.hold()
            await ws.send(json.dumps({"type": "session.update", "session": {}}))
            for _ in range(10):
                await ws.send(json.dumps(append(audio(10))))
            await ws.send(END)
            running.engine.go()
            messages = await read_all(ws)
            assert ws.close_code == 1000
            assert [m["type"] for m in messages[:2]] == ["session.created", "session.updated"]
            deltas = "".join(m["text"] for m in messages if m["type"] == "transcription.text.delta")
            assert messages[-1]["text"] == deltas != ""

    run(scene())


def test_an_abrupt_disconnect_hurts_nobody():
    async def scene():
        async with house(vad="off") as running, stream(running) as other:
            async with stream(running) as ws:
                await ws.send(json.dumps(append(audio(50))))
                await read_until(ws, "transcription.text.delta")
                ws.transport.abort()
            await until(lambda: len(running.service._connections) == 1)
            assert running.engine.slots_in_use == 1
            await other.send(json.dumps(append(audio(20))))
            await other.send(FLUSH)
            assert (await read_until(other, "transcription.done"))[-1]["text"]

    run(scene())


def test_wrong_settings_close_with_a_reason():
    async def scene():
        async with house() as running, stream(running) as ws:
            await read(ws)
            await ws.send(json.dumps({"type": "session.update", "session": {"diarize": True}}))
            [error] = await read_all(ws)
            assert error["error"]["code"] == 400
            assert (ws.close_code, ws.close_reason) == (1008, "bad_option")

    run(scene())


def test_an_idle_client_gets_the_vendors_number():
    async def scene():
        async with house(idle_timeout_s=0.2) as running, stream(running) as ws:
            messages = await read_all(ws)
            assert messages[-1]["error"]["code"] == 3804
            assert ws.close_code == 1008

    run(scene())


def test_a_wrong_key_is_refused_before_the_upgrade():
    async def scene():
        async with house(api_keys="secret") as running:
            try:
                async with stream(running, additional_headers={"Authorization": "Bearer wrong"}):
                    raise AssertionError("admitted")
            except InvalidStatus as refused:
                assert refused.response.status_code == 401
                body = json.loads(refused.response.body)
                assert (body["object"], body["type"], body["code"]) == ("error", "unauthorized", 401)

    run(scene())


# ---------------------------------------------------------------- short-lived keys


def test_a_page_streams_with_a_minted_key():
    async def scene():
        async with house(vad="off", api_keys="secret") as running:
            client = sdk(running, "secret")
            request = {"model": MODEL, "purpose": "realtime", "ttl_seconds": 60}
            session = await client.realtime.sessions.create_async(request=request)
            key = session.client_secret.value
            assert key.startswith("rt_")
            assert session.expires_at == session.client_secret.expires_at
            assert 50 < (session.expires_at - datetime.now(UTC)).total_seconds() <= 60
            for _ in range(2):  # good for more than one stream
                async with stream(running, subprotocols=["realtime", key]) as ws:
                    assert ws.subprotocol == "realtime"
                    assert (await read(ws))["type"] == "session.created"

    run(scene())


def test_who_may_mint_a_key():
    async def scene():
        async with house(api_keys="secret") as running:
            good = {"model": MODEL, "purpose": "realtime"}
            status, body = await post(running, good)
            assert (status, body["type"]) == (401, "unauthorized")
            status, body = await post(
                running, good, Authorization="Bearer secret", Origin="http://evil.example"
            )
            assert (status, body["type"]) == (403, "forbidden_origin")
            status, body = await post(running, good, Authorization="Bearer secret")
            assert (status, body["object"], body["purpose"]) == (201, "client.session", "realtime")
            key = body["client_secret"]["value"]
            status, body = await post(running, good, Authorization=f"Bearer {key}")
            assert (status, body["type"]) == (401, "unauthorized")

    run(scene())


def test_a_wrong_request_for_a_key():
    async def scene():
        async with house() as running:
            for body in (
                {},
                [],
                {"model": 7},
                {"model": MODEL, "purpose": "other"},
                {"model": MODEL, "ttl_seconds": 0},
                {"model": MODEL, "ttl_seconds": 7201},
            ):
                status, answer = await post(running, body)
                assert (status, answer["object"], answer["type"]) == (400, "error", "bad_message"), body

    run(scene())
