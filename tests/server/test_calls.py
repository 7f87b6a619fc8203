"""Following calls over real sockets: three forms of one call, who may, and what a bad follower costs."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
import uvloop
from websockets.exceptions import InvalidStatus

from realtime.events import Final, Partial
from realtime.server import calls
from tests.server.fakes import TIMEOUT_S, house, read, read_all, until
from tests.server.phone import dial, events

KEY = {"Authorization": "Bearer good"}


def run(scene) -> None:
    uvloop.run(asyncio.wait_for(scene, 60))


def final(text, utterance=0):
    return Final(utterance, text, (), 0, 500, "silence")


def partial(text, utterance=0):
    return Partial(utterance, text, text, 0, 80)


def talk(running, name="c"):
    """A call that has said a little."""
    call = running.service.calls.open(name, {"carrier": "test"})
    call.tell(partial("one"))
    call.tell(final("one"))
    return call


def kinds(messages):
    return [message["type"] for message in messages]


# ---------------------------------------------------------------- forms


def test_the_list_names_the_calls_that_run():
    async def scene():
        async with house() as running:
            talk(running, "a")
            talk(running, "b").end("ended")
            status, headers, body = await running.get("/v1/calls")
            assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
            [a] = json.loads(body)["calls"]
            assert (a["call"], a["running"], a["carrier"]) == ("a", True, "test")
            assert a["started_at"].endswith("Z")

    run(scene())


def test_a_websocket_hears_what_was_and_what_comes():
    async def scene():
        async with house() as running, dial(running.address, "/v1/calls/c") as ws:
            call = talk(running)
            assert kinds([await read(ws), await read(ws)]) == ["call_started", "final"]
            call.tell(partial("two", 1))
            assert (await read(ws))["text"] == "two"
            await ws.send("what a follower says means nothing")
            call.tell(final("two three", 1))
            call.end("ended")
            assert kinds(await read_all(ws)) == ["final", "call_stopped"]
            assert ws.close_code == 1000

    run(scene())


@pytest.mark.parametrize("how", [("/v1/calls/c", {}), ("/v1/calls/c?stream=sse", {"Accept": "*/*"})])
def test_server_sent_events_hear_the_same(how):
    async def scene():
        path, headers = how
        async with house() as running:
            call = talk(running)
            async with events(running.address, path, **headers) as (status, messages):
                assert status == 200
                first = [await anext(messages), await anext(messages)]
                assert [(m["id"], m["type"]) for m in first] == [(1, "call_started"), (2, "final")]
                call.tell(partial("two", 1))
                assert [(m := await anext(messages))["id"], m["text"]] == [None, "two"]
                call.tell(final("two\nthree", 1))
                call.end("ended")
                rest = [message async for message in messages]
                assert [(m["id"], m["type"]) for m in rest] == [(3, "final"), (4, "call_stopped")]
                assert rest[0]["text"] == "two\nthree"

    run(scene())


def test_a_browser_that_comes_back_goes_on_and_stops_at_the_end():
    async def scene():
        async with house() as running:
            talk(running).end("ended")
            async with events(running.address, "/v1/calls/c", **{"Last-Event-ID": "1"}) as (status, messages):
                assert [(m["id"], m["type"]) async for m in messages] == [(2, "final"), (3, "call_stopped")]
            async with events(running.address, "/v1/calls/c", **{"Last-Event-ID": "3"}) as (status, _):
                assert status == 204
            for foreign in ("99", "-1", "x", "9" * 50):  # of another call of this name, or of nobody
                async with events(running.address, "/v1/calls/c", **{"Last-Event-ID": foreign}) as (
                    _,
                    messages,
                ):
                    assert len([message async for message in messages]) == 3

    run(scene())


def test_a_plain_request_gets_what_was_said_so_far():
    async def scene():
        async with house() as running:
            call = talk(running, "with/slash")
            _, headers, body = await running.get("/v1/calls/with/slash")
            told = json.loads(body)
            assert (told["call"], told["running"]) == ("with/slash", True)
            assert kinds(told["messages"]) == ["call_started", "final"]
            assert headers["Cache-Control"] == "no-store"
            call.end("ended")
            told = json.loads((await running.get("/v1/calls/with/slash"))[2])
            assert (told["running"], kinds(told["messages"])[-1]) == (False, "call_stopped")
            status, _, body = await running.get("/v1/calls/other")
            assert (status, json.loads(body)["code"]) == (404, "no_such_call")

    run(scene())


def test_who_waits_in_vain_is_told(monkeypatch):
    monkeypatch.setattr(calls, "WAIT_S", 0.05)

    async def scene():
        async with house() as running:
            async with dial(running.address, "/v1/calls/c") as ws:
                [error] = await read_all(ws)
                assert (error["type"], error["code"]) == ("error", "no_such_call")
                assert (ws.close_code, ws.close_reason) == (1008, "no_such_call")
            async with events(running.address, "/v1/calls/c") as (_, messages):
                assert [m["code"] async for m in messages] == ["no_such_call"]

    run(scene())


def test_the_end_of_the_server_ends_the_waiting():
    async def scene():
        async with house() as running, dial(running.address, "/v1/calls/c") as ws:
            await until(lambda: running.service.calls._awaited)
            running.service.calls.close()
            [error] = await read_all(ws)
            assert (error["code"], ws.close_code) == ("shutting_down", 1001)

    run(scene())


# ---------------------------------------------------------------- who may


@pytest.mark.parametrize("path", ["/v1/calls", "/v1/calls/c", "/v1/calls/c?stream=sse"])
def test_followers_need_a_key_like_everybody(path):
    async def scene():
        async with house(api_keys="good") as running:
            talk(running)
            status, headers, body = await running.get(path)
            assert (status, json.loads(body)["code"]) == (401, "unauthorized")
            assert headers["WWW-Authenticate"].startswith("Bearer")
            assert running.metric("refusals_total", cause="unauthorized") == 1
            minted = running.service.keyring.mint("ek_", 60, {"grant": 1}).value
            status, _, _ = await running.get(path, headers={"Authorization": f"Bearer {minted}"})
            assert status == 401
            talk(running).end("ended")
            running.service.calls.get("c").end("ended")
            assert (await running.get(path, headers=KEY))[0] == 200

    run(scene())


def test_a_page_sends_its_key_as_a_subprotocol():
    async def scene():
        async with house(api_keys="good") as running:
            talk(running).end("ended")
            with pytest.raises(InvalidStatus):
                await dial(running.address, "/v1/calls/c")
            async with dial(running.address, "/v1/calls/c", subprotocols=["voxwire", "key.good"]) as ws:
                assert ws.subprotocol == "voxwire"
                assert len(await read_all(ws)) == 3

    run(scene())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),  # a name that was rebound to this machine
        ({"Host": "captions.example"}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Origin": "https://captions.example"}, 200),
    ],
)
def test_pages_of_others_may_not_read_along(headers, status):
    async def scene():
        async with house(allowed_origins="https://captions.example") as running:
            assert (await running.get("/v1/calls", headers=headers))[0] == status

    run(scene())


def test_a_broken_handshake_is_refused():
    async def scene():
        async with house() as running:
            headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
            status, _, body = await running.get("/v1/calls/c", headers=headers)
            assert (status, json.loads(body)["code"]) == (400, "bad_message")

    run(scene())


# ---------------------------------------------------------------- bad followers


def test_there_is_room_for_so_many_and_who_leaves_makes_room(monkeypatch):
    monkeypatch.setattr(calls, "MAX_FOLLOWERS", 1)
    monkeypatch.setattr(calls, "HEARTBEAT_S", 0.05)

    async def refused(running):
        try:
            async with dial(running.address, "/v1/calls/c"):
                return False
        except InvalidStatus as error:
            assert error.response.status_code == 503
            assert error.response.headers["Retry-After"]
            return True

    async def scene():
        async with house() as running:
            talk(running)
            for follow in (dial, events):
                async with follow(running.address, "/v1/calls/c"):
                    assert await refused(running)
                async with asyncio.timeout(TIMEOUT_S):
                    while await refused(running):
                        await asyncio.sleep(0.01)
            running.service.calls.get("c").end("ended")

    run(scene())


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
def test_a_follower_that_does_not_read_is_cut_off_and_the_call_goes_on(accept):
    async def scene():
        async with house(slow_reader_s=0.2) as running:
            call = talk(running)
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", running.server.port))
            lines = ["GET /v1/calls/c HTTP/1.1", f"Host: {running.address}", f"Accept: {accept}"]
            if accept == "*/*":
                lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
                lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
            raw.sendall("\r\n".join([*lines, "", ""]).encode())
            raw.setblocking(False)
            handlers = len(asyncio.all_tasks())
            text, number = "word " * 10_000, 0

            def cut_off():
                nonlocal number
                number += 1
                call.tell(final(text, number))
                return len(asyncio.all_tasks()) < handlers

            await asyncio.get_running_loop().sock_recv(raw, 16)  # it follows
            handlers = len(asyncio.all_tasks())
            await until(cut_off)
            raw.close()
            async with dial(running.address, "/v1/calls/c") as ws:
                assert (await read(ws))["type"] == "final"
                call.end("ended")
                assert kinds(await read_all(ws))[-1] == "call_stopped"

    run(scene())
