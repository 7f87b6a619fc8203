"""vosk-server's clients over real sockets, with and without a path."""

from __future__ import annotations

import asyncio
import json

import pytest
import uvloop
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.server.fakes import TIMEOUT_S, audio, house

EOF = '{"eof" : 1}'


def run(scene) -> None:
    uvloop.run(asyncio.wait_for(scene, 60))


def vosk(running, path: str = "/vosk", **options) -> connect:
    return connect(f"ws://{running.address}{path}", proxy=None, open_timeout=TIMEOUT_S, **options)


async def answer(ws, message) -> dict:
    await ws.send(message)
    return json.loads(await asyncio.wait_for(ws.recv(), TIMEOUT_S))


@pytest.mark.parametrize("path", ["/vosk", "/", ""])
def test_the_example_client_gets_an_answer_for_every_message(path):
    """As in vosk-server's own test.py: the configuration, 0.2 s a message, eof."""

    async def scene():
        async with house(vad="off") as running, vosk(running, path) as ws:
            await ws.send('{ "config" : { "sample_rate" : 16000 } }')
            answers = []
            data = audio(40)
            for at in range(0, len(data), 6400):
                answers.append(await answer(ws, data[at : at + 6400]))
            answers.append(await answer(ws, EOF))
            assert all("partial" in told or "text" in told for told in answers)
            text = " ".join(told["text"] for told in answers if told.get("text"))
            assert text.startswith("w0 w1 w2")
            assert len(answers[-1]["result"]) == len(answers[-1]["text"].split())
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            assert ws.close_code == 1000

    run(scene())


def test_a_reset_is_answered_and_the_stream_goes_on():
    async def scene():
        async with house(vad="off") as running, vosk(running) as ws:
            await answer(ws, audio(10))
            assert (await answer(ws, '{"reset" : 1}'))["text"]
            assert "partial" in await answer(ws, audio(10))
            assert (await answer(ws, EOF))["text"]

    run(scene())


def test_a_wrong_text_closes_without_an_answer():
    async def scene():
        async with house() as running, vosk(running) as ws:
            await ws.send("hello")
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(ws.recv(), TIMEOUT_S)
            assert (ws.close_code, ws.close_reason) == (1008, "bad_message")

    run(scene())


def test_the_root_still_has_the_page():
    async def scene():
        async with house() as running:
            for headers in ({}, {"Upgrade": "h2c", "Connection": "Upgrade"}):
                status, got, _ = await running.get("/", headers=headers)
                assert (status, got["Content-Type"]) == (200, "text/html; charset=utf-8")

    run(scene())


def test_the_root_asks_for_a_key_and_an_origin_as_well():
    async def scene():
        async with house(api_keys="secret") as running:
            for options, status in (
                ({}, 401),
                ({"origin": "https://elsewhere.example"}, 403),
            ):
                with pytest.raises(InvalidStatus) as caught:
                    await vosk(running, "/", **options)
                assert caught.value.response.status_code == status
            headers = {"Authorization": "Bearer secret"}
            async with vosk(running, "/", additional_headers=headers) as ws:
                assert (await answer(ws, EOF)) == {"text": ""}

    run(scene())
