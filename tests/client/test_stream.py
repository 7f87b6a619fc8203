import asyncio
import re
import socket

import pytest

from client.errors import BadInput, BadReply, Busy, Lost, Refused, Unauthorized, Unreachable
from client.protocol import Done, Failed, Options, Ready
from client.stream import connect, retry_after_s

from .conftest import DONE, READY, Refusal


async def collect(stream):
    return [event async for event in stream.events()]


def test_a_whole_stream(scripted):
    async def script(seen):
        await seen.say(READY)
        await seen.hear_end()
        await seen.say(DONE)

    async def talk():
        async with scripted(script) as server:
            stream = await connect(server.url, Options(delay_ms=240), "secret")
            await stream.send(b"\1\2")
            await stream.flush()
            await stream.keepalive()
            await stream.send(b"\3")
            await stream.end()
            events = await collect(stream)
            await stream.close()
            return server.seen[0], events

    seen, events = asyncio.run(talk())
    assert seen.query == {
        "encoding": "pcm_s16le",
        "sample_rate": "16000",
        "channels": "1",
        "delay_ms": "240",
    }
    assert seen.authorization == "Bearer secret"
    assert bytes(seen.audio) == b"\1\2\3"
    assert seen.texts == [{"type": "flush"}, {"type": "keepalive"}, {"type": "end"}]
    assert events == [Ready("s", "scripted", 16000, 480), Done(1000, 500, 1)]


def test_no_key_no_header(scripted):
    async def script(seen):
        await seen.say(DONE)

    async def talk():
        async with scripted(script) as server, await connect(server.url) as stream:
            await collect(stream)
            return server.seen[0].authorization

    assert asyncio.run(talk()) is None


def refused(scripted, refusal):
    async def talk():
        async with scripted(refusal) as server:
            await connect(server.url)

    return talk


@pytest.mark.parametrize(
    ("refusal", "error", "sentence"),
    [
        (
            Refusal(401),
            Unauthorized,
            r"^The server wants a valid API key \(401\). Pass --key or set VOXWIRE_KEY.$",
        ),
        (
            Refusal(503, {"error": {"code": "at_capacity", "message": "All slots are in use."}}),
            Busy,
            r"The server is busy \(503: All slots are in use\).",
        ),
        (Refusal(400, {"message": "No such rate."}), BadInput, r"does not take this stream: No such rate\.$"),
        (Refusal(403, {"message": "Not you."}), Refused, r"refused the stream \(403: Not you\)\.$"),
        (Refusal(404), Refused, r"is it a voxwire server\?"),
        (Refusal(502), Unreachable, "finds no server"),
        (Refusal(200), Refused, r"refused the stream \(200\)"),
    ],
)
def test_refusals_in_words(scripted, refusal, error, sentence):
    with pytest.raises(error) as caught:
        asyncio.run(refused(scripted, refusal)())
    assert re.search(sentence, caught.value.advice())


def test_busy_carries_what_the_server_asked_for(scripted):
    with pytest.raises(Busy) as caught:
        asyncio.run(refused(scripted, Refusal(503, headers={"Retry-After": "7"}))())
    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("5", 5),
        ("-5", 0),
        ("soon", None),
        ("Sat, 21 Nov 2026 12:00:10 GMT", 10),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("9" * 400, None),
    ],
)
def test_retry_after(header, seconds):
    noon = 1_795_262_400  # 2026-11-21 12:00:00 UTC
    assert retry_after_s(header, noon) == seconds


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{free.getsockname()[1]}/v1/stream"
        with pytest.raises(Unreachable, match=r"nothing listens there\.$") as caught:
            asyncio.run(connect(url))
    assert "voxwire serve" in caught.value.hint


def test_nobody_answers():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/v1/stream"
        with pytest.raises(Unreachable, match=r"did not answer within 0.05 s"):
            asyncio.run(connect(url, open_timeout_s=0.05))


def test_a_bad_address():
    with pytest.raises(BadInput, match="not a server address"):
        asyncio.run(connect("127.0.0.1:8000"))


def lose(scripted, script):
    """The error that the events of this connection end with, and the events before it."""

    async def talk():
        async with scripted(script) as server, await connect(server.url) as stream:
            events = []
            try:
                async for event in stream.events():
                    events.append(event)
            except Lost as error:
                return events, error

    return asyncio.run(talk())


def test_a_fatal_error_is_the_reason(scripted):
    async def script(seen):
        await seen.say({"type": "error", "code": "limit_reached", "message": "Idle too long.", "fatal": True})
        await seen.socket.close(1008, "limit_reached")

    events, error = lose(scripted, script)
    assert events == [Failed("limit_reached", "Idle too long.", True)]
    assert str(error) == "The server ended the stream: Idle too long."
    assert (error.code, error.reason_code, error.retry) == (1008, "limit_reached", False)


def test_a_server_that_goes_away_may_be_tried_again(scripted):
    async def script(seen):
        await seen.socket.close(1001, "shutting_down")

    _, error = lose(scripted, script)
    assert (error.code, error.retry) == (1001, True)


def test_a_torn_connection_may_be_tried_again(scripted):
    async def script(seen):
        seen.socket.transport.abort()

    _, error = lose(scripted, script)
    assert error.retry
    assert "no farewell" in str(error)


def test_sending_into_a_closed_connection_is_a_loss(scripted):
    async def script(seen):
        await seen.socket.close(1001)

    async def talk():
        async with scripted(script) as server, await connect(server.url) as stream:
            with pytest.raises(Lost):
                await collect(stream)
            with pytest.raises(Lost):
                await stream.send(b"\0\0")

    asyncio.run(talk())


@pytest.mark.parametrize("nonsense", ["<html>", b"\0\1"])
def test_a_foreign_server_is_named(scripted, nonsense):
    async def script(seen):
        await seen.socket.send(nonsense)
        await seen.socket.wait_closed()

    async def talk():
        async with scripted(script) as server, await connect(server.url) as stream:
            await collect(stream)

    with pytest.raises(BadReply):
        asyncio.run(talk())
