"""Deepgram's live addresses over real sockets, with a scripted engine."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
import uvloop
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from realtime.dialects.deepgram import DeepgramDialect
from tests.audio.packed import packed, tone
from tests.server.fakes import TIMEOUT_S, audio, house, read, read_all, read_until, until

RAW = "encoding=linear16&sample_rate=16000"
CLOSE = '{"type":"CloseStream"}'


def run(scene) -> None:
    uvloop.run(asyncio.wait_for(scene, 60))


def listen(running, query: str = RAW, version: int = 1, **options) -> connect:
    return connect(
        f"ws://{running.address}/v{version}/listen?{query}",
        compression=None,
        proxy=None,
        close_timeout=2,
        open_timeout=TIMEOUT_S,
        **options,
    )


def text_of(messages: list[dict]) -> str:
    finals = [m for m in messages if m["type"] == "Results" and m["is_final"]]
    return " ".join(filter(None, (m["channel"]["alternatives"][0]["transcript"] for m in finals)))


def test_a_stream_ends_with_metadata_and_1000():
    async def scene():
        async with house(vad="off") as running, listen(running) as ws:
            assert ws.response.headers["dg-request-id"]
            await ws.send(audio(20))
            await ws.send('{"type":"Finalize"}')
            messages = [await read(ws)]
            assert messages[0]["from_finalize"] and text_of(messages).startswith("w0 w1")
            await ws.send(audio(20))
            await ws.send(CLOSE)
            messages += await read_all(ws)
            assert [m["type"] for m in messages] == ["Results", "Results", "Metadata"]
            assert messages[-1]["duration"] == 3.2
            assert messages[-1]["request_id"] == ws.response.headers["dg-request-id"]
            assert (ws.close_code, ws.close_reason) == (1000, "")

    run(scene())


@pytest.mark.parametrize("version", [1, 2])
def test_a_refused_configure_is_counted(version):
    async def scene():
        query = RAW if version == 1 else RAW + "&model=flux-general-en"
        async with house(vad="off") as running, listen(running, query, version) as ws:
            await ws.send('{"type":"Configure","keyterms":["a"]}')
            await read_until(ws, "ConfigureFailure")
            await ws.send('{"type":"Configure"}')
            await read_until(ws, "ConfigureSuccess")
            assert running.metric("errors_total", code="bad_option") == 1
            await ws.send(CLOSE)
            await read_all(ws)

    run(scene())


@pytest.mark.parametrize("kind", ["webm", "ogg", "wav", "mp3"])
def test_a_container_is_heard_as_it_comes(kind):
    async def scene():
        async with house(vad="off") as running, listen(running, "interim_results=true") as ws:
            data = packed(kind, tone(4000))
            for at in range(0, len(data) // 2, 1000):
                await ws.send(data[at : at + 1000])
            assert (await read_until(ws, "Results"))[-1]["is_final"] is False
            await ws.send(data[len(range(0, len(data) // 2, 1000)) * 1000 :])
            await ws.send(CLOSE)
            metadata = (await read_all(ws))[-1]
            assert metadata["duration"] == pytest.approx(4.0, abs=0.1)
            await until(lambda: not any(thread.name == "unpack" for thread in threading.enumerate()))

    run(scene())


def test_a_client_that_leaves_in_the_middle_leaves_no_thread():
    async def scene():
        async with house(vad="off") as running:
            ws = await listen(running, "")
            data = packed("webm", tone(2000))
            await ws.send(data[: len(data) // 2])
            await until(lambda: any(thread.name == "unpack" for thread in threading.enumerate()))
            ws.transport.abort()
            await running.until_all_left()
            assert not any(thread.name == "unpack" for thread in threading.enumerate())

    run(scene())


def test_a_long_message_leaves_others_their_turn():
    """Minutes of audio in one message: another client is served meanwhile."""

    async def scene():
        async with house(vad="off") as running, listen(running, "") as busy, listen(running) as other:
            await busy.send(packed("flac", tone(60_000)))
            await other.send(audio(20))
            await other.send(CLOSE)
            assert (await read_all(other))[-1]["type"] == "Metadata"
            await busy.send(CLOSE)
            assert (await read_all(busy))[-1]["duration"] == pytest.approx(60, abs=0.1)

    run(scene())


def test_what_is_no_audio_is_told_with_the_vendors_code():
    async def scene():
        async with house() as running, listen(running, "") as ws:
            await ws.send(bytes(100))
            [error] = await read_all(ws)
            assert (error["type"], error["variant"]) == ("Error", "DATA-0000")
            assert (ws.close_code, ws.close_reason) == (1008, "DATA-0000")

    run(scene())


def test_a_silent_client_is_cut_off_with_the_vendors_code(monkeypatch):
    monkeypatch.setattr(DeepgramDialect, "idle_timeout_s", 0.2)

    async def scene():
        async with house() as running, listen(running) as ws:
            await ws.send('{"type":"KeepAlive"}')
            messages = await read_all(ws)
            assert messages[-1]["variant"] == "NET-0001"
            assert (ws.close_code, ws.close_reason) == (1011, "NET-0001")

    run(scene())


def test_a_key_comes_in_each_of_the_vendors_ways():
    async def scene():
        async with house(api_keys="secret") as running:
            for options in (
                {"additional_headers": {"Authorization": "Token secret"}},
                {"additional_headers": {"Authorization": "bearer secret"}},
                {"subprotocols": ["token", "secret"]},
                {"subprotocols": ["bearer", "secret"]},
            ):
                async with listen(running, **options) as ws:
                    assert ws.subprotocol == options.get("subprotocols", [None])[0]
            with pytest.raises(InvalidStatus) as caught:
                await listen(running, additional_headers={"Authorization": "Token wrong"})
            response = caught.value.response
            body = json.loads(response.body)
            assert (response.status_code, body["err_code"]) == (401, "INVALID_AUTH")
            assert response.headers["dg-request-id"] == body["request_id"]
            assert response.headers["dg-error"] == body["err_msg"]

    run(scene())


@pytest.mark.parametrize("version", [1, 2])
def test_a_bad_option_is_refused_in_the_vendors_shape(version):
    async def scene():
        async with house() as running:
            with pytest.raises(InvalidStatus) as caught:
                await listen(running, "encoding=linear16", version)
            assert caught.value.response.status_code == 400
            assert "sample_rate is needed" in json.loads(caught.value.response.body)["message"]

    run(scene())


def test_turns():
    async def scene():
        async with house(vad="off") as running, listen(running, RAW, 2) as ws:
            assert (await read(ws))["type"] == "Connected"
            await ws.send(audio(40))
            await ws.send('{"type":"ForceEndTurn"}')
            messages = [await read(ws)]
            while messages[-1]["event"] != "EndOfTurn":
                messages.append(await read(ws))
            assert messages[0]["event"] == "StartOfTurn"
            assert messages[-1]["trigger"] == "manual"
            await ws.send(CLOSE)
            with pytest.raises(ConnectionClosed):
                while True:
                    messages.append(await read(ws))
            assert ws.close_code == 1000
            assert [m["sequence_id"] for m in messages] == list(range(1, len(messages) + 1))

    run(scene())
