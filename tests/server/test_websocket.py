"""The carrier with real sockets: aiohttp serves, `websockets` is the client; the engine is scripted."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvloop
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from realtime.dialects.native import NativeDialect
from realtime.errors import LimitReached
from realtime.events import Final
from tests.server.fakes import audio, house, noise, read, read_all, read_until, text_of, until

END = '{"type":"end"}'
FLUSH = '{"type":"flush"}'


def run(scene) -> None:
    uvloop.run(asyncio.wait_for(scene, 60))


async def whole_stream(running, frames: int = 20, query: str = "vad=off") -> list[dict]:
    async with running.stream(query) as ws:
        await ws.send(audio(frames))
        await ws.send(END)
        messages = await read_all(ws)
        assert ws.close_code == 1000
        return messages


# ---------------------------------------------------------------- a good stream


def test_audio_becomes_partials_a_final_done_and_1000():
    async def scene():
        async with house() as running, running.stream() as ws:
            await ws.send(audio(20))
            messages = await read_until(ws, "partial")
            await ws.send(END)
            messages += await read_all(ws)
            kinds = [message["type"] for message in messages]
            assert kinds[0] == "ready" and kinds[-2:] == ["final", "done"]
            assert "partial" in kinds
            assert messages[-1]["audio_ms"] == 1600
            assert text_of(messages).startswith("w0 w1 w2")
            await running.until_all_left()
            assert running.metric("closes_total", code="1000") == 1
            assert running.metric("finals_total", reason="end") == 1
            assert running.metric("audio_seconds_total") == pytest.approx(1.6)
            assert running.metric("frames_total") >= 20

    run(scene())


def test_any_chunking_gives_the_same_transcript():
    async def scene():
        async with house() as running:
            whole = await whole_stream(running, 30)
            async with running.stream() as ws:
                data = audio(30)
                for start in range(0, len(data), 777):
                    await ws.send(data[start : start + 777])
                await ws.send(END)
                assert text_of(await read_all(ws)) == text_of(whole)

    run(scene())


def test_flush_gives_a_final_and_the_stream_goes_on():
    async def scene():
        async with house() as running, running.stream() as ws:
            await ws.send(audio(20))
            await ws.send(FLUSH)
            assert (await read_until(ws, "final"))[-1]["reason"] == "flush"
            await ws.send(audio(20))
            await ws.send(END)
            assert (await read_all(ws))[-2]["reason"] == "end"

    run(scene())


def test_two_channels_hold_two_slots_and_are_labelled():
    async def scene():
        async with house() as running, running.stream("vad=off&channels=2") as ws:
            await read(ws)
            assert running.engine.slots_in_use == 2
            await ws.send(audio(40))
            await ws.send(END)
            finals = [m for m in await read_all(ws) if m["type"] == "final"]
            assert {final["channel"] for final in finals} == {0, 1}

    run(scene())


def test_many_streams_at_once_get_what_one_gets():
    async def scene():
        async with house(slots=16) as running:
            alone = text_of(await whole_stream(running))
            together = await asyncio.gather(*(whole_stream(running) for _ in range(16)))
            assert [text_of(messages) for messages in together] == [alone] * 16

    run(scene())


def test_pings_are_answered_while_the_engine_stands_still():
    async def scene():
        async with house() as running:
            running.engine.hold()
            async with running.stream() as ws:
                await ws.send(audio(5))
                await asyncio.wait_for(await ws.ping(), 5)
            running.engine.go()

    run(scene())


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "message",
    [
        "",
        "hello",
        "{",
        "[]",
        "null",
        "{}",
        '{"type":7}',
        '{"type":"nonsense"}',
        '{"type":"flush","now":true}',
        "UklGRg==",
    ],
)
def test_a_bad_message_gets_an_error_and_the_stream_goes_on(message):
    async def scene():
        async with house() as running, running.stream() as ws:
            await ws.send(message)
            error = (await read_until(ws, "error"))[-1]
            assert (error["code"], error["fatal"]) == ("bad_message", False)
            await ws.send(audio(20))
            await ws.send(END)
            assert (await read_all(ws))[-1]["type"] == "done"
            assert running.metric("errors_total", code="bad_message") == 1

    run(scene())


@pytest.mark.parametrize(
    "fields",
    [
        {"delay_ms": 100},
        {"delay_ms": "480"},
        {"sample_rate": 7999},
        {"channels": 3},
        {"encoding": "opus"},
        {"x": 1},
    ],
)
def test_a_bad_option_in_configure_ends_the_stream_with_1008(fields):
    async def scene():
        async with house() as running, running.stream() as ws:
            await ws.send(json.dumps({"type": "configure"} | fields))
            error = (await read_all(ws))[-1]
            assert (error["type"], error["code"], error["fatal"]) == ("error", "bad_option", True)
            assert ws.close_code == 1008

    run(scene())


def test_configure_counts_before_the_first_audio_only():
    async def scene():
        async with house() as running, running.stream() as ws:
            await ws.send('{"type":"configure","delay_ms":240}')
            assert [(await read(ws))["delay_ms"] for _ in range(2)] == [480, 240]
            await ws.send(audio(1))
            await ws.send('{"type":"configure","delay_ms":480}')
            error = (await read_until(ws, "error"))[-1]
            assert (error["code"], error["fatal"]) == ("out_of_order", False)
            await ws.send(END)
            assert (await read_all(ws))[-1]["type"] == "done"

    run(scene())


def test_half_a_sample_at_the_end_is_told():
    async def scene():
        async with house() as running, running.stream() as ws:
            await ws.send(audio(20) + b"\x00")
            await ws.send(END)
            messages = await read_all(ws)
            assert [m["code"] for m in messages if m["type"] == "error"] == ["bad_audio"]
            assert messages[-1]["type"] == "done"

    run(scene())


def test_a_second_end_and_audio_after_end_are_told():
    async def scene():
        async with house() as running, running.stream() as ws:
            running.engine.hold()
            await ws.send(audio(20))
            await ws.send(END)
            await ws.send(END)
            await ws.send(audio(1))
            errors = [(await read_until(ws, "error"))[-1] for _ in range(2)]
            assert [(e["code"], e["fatal"]) for e in errors] == [("out_of_order", False)] * 2
            running.engine.go()
            assert (await read_all(ws))[-1]["type"] == "done"
            assert ws.close_code == 1000

    run(scene())


@pytest.mark.parametrize("size", [1025, 5_000_000])
def test_a_giant_message_is_explained_and_closed_with_1009(size):
    async def scene():
        async with house(max_message_bytes=1024) as running:
            async with running.stream() as good, running.stream() as bad:
                await bad.send(bytes(size))
                error = (await read_all(bad))[-1]
                assert (error["type"], error["code"], error["fatal"]) == ("error", "message_too_large", True)
                assert bad.close_code == 1009
                await good.send(END)
                assert (await read_all(good))[-1]["type"] == "done"
            await running.until_all_left()
            assert running.metric("closes_total", code="1009") == 1

    run(scene())


def test_captions_that_come_behind_the_explanation_of_a_fault_break_nothing(caplog):
    async def scene():
        async with house(max_message_bytes=65_536) as running:
            running.engine.hold()
            reader, writer = await raw_upgrade(running.address)
            writer.write(raw_message(audio(20)) + raw_message(bytes(70_000)))
            await reader.readuntil(b"message_too_large")
            await reader.read()  # the server has closed its half; the client keeps its own
            running.engine.go()
            await until(lambda: not running.engine.streams or not running.engine.streams[0].waiting)
            writer.close()
            await running.until_all_left()

    run(scene())
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def raw_message(data: bytes) -> bytes:
    """A binary message of a client, masked with zeros."""
    return b"\x82\xff" + len(data).to_bytes(8, "big") + bytes(4) + data


def test_text_that_is_not_utf8_is_explained_and_closed_with_1007():
    async def scene():
        async with house() as running, running.stream() as ws:
            await ws.send(b"\xff\xfe", text=True)
            error = (await read_all(ws))[-1]
            assert (error["code"], error["fatal"]) == ("bad_message", True)
            assert ws.close_code == 1007

    run(scene())


def test_frames_that_break_the_rfc_are_closed_with_1002():
    async def scene():
        async with house() as running:
            reader, writer = await raw_upgrade(running.address)
            writer.write(bytes([0xC1, 0x80, 0, 0, 0, 0]))  # a reserved bit
            data = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            assert b"bad_message" in data
            assert (1002).to_bytes(2, "big") + b"bad_message" in data

    run(scene())


async def raw_upgrade(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        "GET /v1/stream?vad=off HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    writer.write(head.format(address).encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


# ---------------------------------------------------------------- refused before the upgrade


async def refusal(running, query: str = "vad=off", **options) -> tuple[int, dict, dict]:
    with pytest.raises(InvalidStatus) as caught:
        async with running.stream(query, **options):
            pass
    response = caught.value.response
    return response.status_code, response.headers, json.loads(response.body)


@pytest.mark.parametrize(
    "query",
    [
        "sample_rate=4000",
        "sample_rate=96000",
        "sample_rate=fast",
        "encoding=opus",
        "channels=3",
        "channels=0",
        "delay_ms=500",
        "vad=maybe",
        "interim=2",
        "colour=red",
        "vad=on&vad=off",
    ],
)
def test_a_bad_option_in_the_query_is_refused_with_400(query):
    async def scene():
        async with house() as running:
            status, _, body = await refusal(running, query)
            assert (status, body["type"], body["code"]) == (400, "error", "bad_option")
            assert running.metric("refusals_total", cause="bad_option") == 1

    run(scene())


def test_without_a_free_slot_503_with_retry_after_comes_before_the_upgrade():
    async def scene():
        async with house(slots=1) as running:
            async with running.stream() as first:
                await read(first)
                status, headers, body = await refusal(running)
                assert (status, body["code"]) == (503, "at_capacity")
                assert int(headers["Retry-After"]) > 0
                await first.send(END)
                await read_all(first)
            await running.until_all_left()
            await whole_stream(running)  # the slot came back
            assert running.metric("refusals_total", cause="at_capacity") == 1

    run(scene())


def test_a_connection_that_asks_for_more_channels_than_there_are_slots_is_refused():
    async def scene():
        async with house(slots=1) as running:
            status, _, body = await refusal(running, "channels=2")
            assert (status, body["code"]) == (503, "at_capacity")

    run(scene())


def test_keys_are_asked_for_and_taken_both_ways():
    async def scene():
        async with house(api_keys="alpha,beta") as running:
            status, headers, body = await refusal(running)
            assert (status, body["code"], "Bearer" in headers["WWW-Authenticate"]) == (
                401,
                "unauthorized",
                True,
            )
            status, _, _ = await refusal(running, subprotocols=["voxwire", "key.gamma"])
            assert status == 401
            async with running.stream(additional_headers={"Authorization": "Bearer beta"}) as ws:
                await read(ws)
            async with running.stream(subprotocols=["voxwire", "key.alpha"]) as ws:
                assert ws.subprotocol == "voxwire"
            async with running.stream(subprotocols=["key.alpha"]) as ws:
                assert ws.subprotocol == "key.alpha"

    run(scene())


def test_pages_of_other_origins_are_refused():
    async def scene():
        async with house(allowed_origins="https://app.example") as running:
            status, _, body = await refusal(running, origin="https://evil.example")
            assert (status, body["code"]) == (403, "forbidden_origin")
            for origin in ("https://app.example", f"http://{running.address}"):
                async with running.stream(origin=origin) as ws:
                    await read(ws)

    run(scene())


def test_plain_http_tells_a_page_why_its_upgrade_failed():
    async def scene():
        async with house(slots=1) as running:
            status, headers, body = await running.get("/v1/stream?vad=off")
            assert (status, headers["Upgrade"], json.loads(body)["code"]) == (
                426,
                "websocket",
                "upgrade_required",
            )
            async with running.stream() as ws:
                await read(ws)
                status, headers, body = await running.get("/v1/stream?vad=off")
                assert (status, json.loads(body)["code"], "Retry-After" in headers) == (
                    503,
                    "at_capacity",
                    True,
                )

    run(scene())


def test_a_broken_handshake_is_refused_and_keeps_no_seat():
    async def scene():
        async with house() as running:
            headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "99"}
            status, _, body = await running.get("/v1/stream", headers=headers)
            assert (status, json.loads(body)["code"]) == (400, "bad_message")

    run(scene())


# ---------------------------------------------------------------- leaving


async def nothing(ws) -> None:
    await read(ws)


async def in_the_middle_of_audio(ws) -> None:
    await ws.send(audio(20))
    await ws.ping()


async def after_flush(ws) -> None:
    await ws.send(audio(20))
    await ws.send(FLUSH)


async def after_end(ws) -> None:
    await ws.send(audio(20))
    await ws.send(END)


async def after_an_error(ws) -> None:
    await ws.send("{")
    await read_until(ws, "error")


STATES = [nothing, in_the_middle_of_audio, after_flush, after_end, after_an_error]


@pytest.mark.parametrize("engine_runs", [True, False], ids=["running", "held"])
@pytest.mark.parametrize("abrupt", [True, False], ids=["abrupt", "polite"])
@pytest.mark.parametrize("state", STATES)
def test_a_disconnect_in_any_state_gives_everything_back(state, abrupt, engine_runs):
    async def scene():
        async with house(slots=1) as running:
            if not engine_runs:
                running.engine.hold()
            ws = await running.stream()
            await state(ws)
            if abrupt:
                ws.transport.abort()
            else:
                await ws.close()
            await running.until_all_left()
            running.engine.go()
            assert text_of(await whole_stream(running)).startswith("w0")

    run(scene())


def test_a_peer_that_vanishes_during_the_handshake_keeps_no_seat():
    async def scene():
        async with house(slots=1) as running:
            _, writer = await raw_upgrade(running.address)
            writer.transport.abort()
            await running.until_all_left()
            await whole_stream(running)

    run(scene())


def test_a_client_that_leaves_while_the_server_does_not_read_gives_everything_back():
    async def scene():
        async with house(max_ahead_s=1, slow_reader_s=0.1) as running:
            running.engine.hold()
            ws = await running.stream()
            for _ in range(20):
                await ws.send(audio(1))
            [connection] = running.service._connections
            await until(lambda: not connection._credit.is_set())
            ws.transport.abort()
            await running.until_all_left()

    run(scene())


def test_a_client_that_leaves_while_it_waits_for_a_second_slot_gets_none():
    async def scene():
        async with house(slots=2, release_after_s=0.1) as running:
            second = await resting(running)
            with tenant(running):
                await second.send(WAKE)
                assert (await read_until(second, "warning"))[-1]["code"] == "waiting_for_slot"
                second.transport.abort()
                await until(lambda: not running.service._connections)
                assert running.engine.slots_in_use == 1
                assert running.service.admission.free == 1

    run(scene())


# ---------------------------------------------------------------- limits


def test_silence_of_the_client_ends_with_limit_reached():
    async def scene():
        async with house(idle_timeout_s=0.2) as running, running.stream() as ws:
            await ws.send(audio(20))
            messages = await read_all(ws)
            assert [m["type"] for m in messages[-2:]] == ["final", "error"]  # what was said is not lost
            assert (messages[-1]["code"], messages[-1]["fatal"], ws.close_code) == (
                "limit_reached",
                True,
                1008,
            )

    run(scene())


def test_a_client_that_waits_for_its_done_is_not_idle():
    async def scene():
        async with house(idle_timeout_s=0.1) as running, running.stream() as ws:
            running.engine.hold()
            await ws.send(audio(20))
            await ws.send(END)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await read_until(ws, "error")
            running.engine.go()
            assert (await read_all(ws))[-1]["type"] == "done"

    run(scene())


def test_the_longest_session_ends_with_its_finals():
    async def scene():
        async with house(max_session_s=0.3) as running, running.stream() as ws:
            await ws.send(audio(20))
            messages = await read_all(ws)
            assert text_of(messages)
            assert (messages[-1]["code"], ws.close_code) == ("limit_reached", 1008)

    run(scene())


def test_beyond_max_ahead_the_server_stops_reading_and_loses_nothing():
    async def scene():
        seconds = 600
        async with (
            house(max_ahead_s=2) as running,
            running.stream("vad=off&encoding=pcm_f32le&sample_rate=48000") as ws,
        ):
            running.engine.hold()

            async def upload() -> None:
                for _ in range(seconds):
                    await ws.send(bytes(4 * 48000))
                await ws.send(END)

            sending = asyncio.create_task(upload())
            await until(lambda: running.engine.streams and len(running.engine.streams[0].waiting) >= 25)
            reader = asyncio.create_task(read_all(ws))
            running.engine.go()
            await sending
            assert (await reader)[-1]["audio_ms"] == seconds * 1000
            # A portion may come on top of the bound, and at the end the silent frames: delay + 1 + 10.
            assert running.engine.most_waiting <= (2 + 1) * 1000 / 80 + 17

    run(scene())


def test_a_long_message_lets_others_have_their_turn():
    async def scene():
        async with house() as running, running.stream("vad=on&encoding=mulaw&sample_rate=8000") as ws:
            await read(ws)
            [connection] = running.service._connections
            at_once_s = seen_s = 0.0

            async def watch() -> None:
                nonlocal at_once_s, seen_s
                while seen_s < 128:
                    await asyncio.sleep(0)
                    at_once_s = max(at_once_s, connection._audio_s - seen_s)
                    seen_s = connection._audio_s

            watching = asyncio.create_task(watch())
            await ws.send(b"\xff" * 1024 * 1000)
            await watching
            assert at_once_s < 64 * 1024 / 8000 + 0.001

    run(scene())


def narrow_socket(address: str) -> socket.socket:
    """A connection whose kernel buffers for us next to nothing."""
    host, port = address.split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((host, int(port)))
    return sock


def test_a_client_that_does_not_read_is_closed():
    async def scene():
        async with house(slow_reader_s=0.2) as running:
            ws = await running.stream(max_queue=1, sock=narrow_socket(running.address))

            for _ in range(5000):  # each is answered with a final
                await ws.send(FLUSH)
            await running.until_all_left()
            ws.transport.abort()
            assert running.metric("errors_total", code="slow_reader") == 1
            assert running.metric("closes_total", code="1008") == 1

    run(scene())


def test_a_client_is_not_idle_while_the_server_does_not_read():
    async def scene():
        async with house(max_ahead_s=1, idle_timeout_s=50) as running, running.stream() as ws:
            running.engine.hold()
            await ws.send(audio(20))
            await until(lambda: running.engine.streams[0].waiting)
            [connection] = running.service._connections
            assert not connection._credit.is_set()
            connection._heard_s -= 100  # so long ago
            running.engine.go()
            await until(connection._credit.is_set)
            assert all(at > asyncio.get_running_loop().time() for at, _ in connection._deadlines())

    run(scene())


async def stream_that_was_due_long_ago(running, ws) -> None:
    """Audio in a held engine, as if it had come 100 s ago."""
    running.engine.hold()
    await ws.send(noise(10))
    [connection] = running.service._connections
    await until(lambda: len(connection._due_s) == 10)
    connection._due_s.extend([connection._due_s.popleft() - 100 for _ in range(10)])
    running.engine.go()


def test_live_audio_that_falls_behind_is_reported():
    async def scene():
        async with house(max_lag_s=0.5, lag_policy="warn") as running, running.stream() as ws:
            await stream_that_was_due_long_ago(running, ws)
            assert (await read_until(ws, "warning"))[-1]["code"] == "lagging"
            await ws.send(END)
            messages = await read_all(ws)
            assert "warning" not in [message["type"] for message in messages]  # once per episode
            assert messages[-1]["type"] == "done"

    run(scene())


def test_silence_between_late_sounds_is_no_end_of_the_lag():
    async def scene():
        async with house(max_lag_s=0.5) as running, running.stream() as ws:
            running.engine.hold()
            await ws.send(noise(10) + audio(10) + noise(10))
            [connection] = running.service._connections
            await until(lambda: len(connection._due_s) == 30)
            connection._due_s.extend([connection._due_s.popleft() - 100 for _ in range(30)])
            running.engine.go()
            await ws.send(END)
            codes = [m["code"] for m in await read_all(ws) if m["type"] == "warning"]
            assert codes == ["lagging"]

    run(scene())


def test_lag_may_end_the_stream_by_policy():
    async def scene():
        async with house(max_lag_s=0.5, lag_policy="close") as running, running.stream() as ws:
            await stream_that_was_due_long_ago(running, ws)
            messages = await read_all(ws)
            assert (messages[-1]["code"], ws.close_code) == ("limit_reached", 1008)

    run(scene())


def test_a_file_sent_at_once_is_no_lag():
    """Its frames are due when they would have come in real time, not when they came."""

    async def scene():
        async with house(max_lag_s=0.5, lag_policy="close") as running, running.stream() as ws:
            running.engine.hold()
            await ws.send(noise(300))
            await ws.send(END)
            [connection] = running.service._connections
            await until(lambda: len(connection._due_s) >= 300)
            assert connection._due_s[299] - connection._due_s[0] > 20
            running.engine.go()
            assert (await read_all(ws))[-1]["type"] == "done"
            assert running.metric("lag_seconds_count") == 300


def test_a_stream_that_needs_another_slot_waits_for_it_and_goes_on():
    async def scene():
        async with house(slots=2, release_after_s=0.1) as running:
            second = await resting(running)
            with tenant(running):
                await second.send(WAKE)
                assert (await read_until(second, "warning"))[-1]["code"] == "waiting_for_slot"
                await second.send(audio(40))
                await second.send(END)
            finals = [m for m in await read_all(second) if m["type"] == "final"]
            assert {final["channel"] for final in finals} == {0, 1}

    run(scene())


def test_a_file_that_waits_for_a_slot_loses_nothing():
    async def scene():
        async with house(slots=2, max_ahead_s=8, release_after_s=0.1) as running:
            second = await resting(running, "&encoding=mulaw&sample_rate=8000")
            with tenant(running):
                await second.send(WAKE)
                await second.send(bytes(40 * 2 * 8000))
                await second.send(END)
                await until(lambda: not all(c._credit.is_set() for c in running.service._connections))
            messages = await read_all(second)
            assert "gap" not in [message["type"] for message in messages]
            assert messages[-1]["audio_ms"] == 40_000

    run(scene())


def test_a_client_that_sends_nothing_gives_its_slot_to_others_and_gets_another():
    async def scene():
        async with house(slots=1, release_after_s=0.1) as running, running.stream("vad=on") as quiet:
            await until(lambda: running.engine.slots_in_use == 0)
            await whole_stream(running)
            await quiet.send('{"type":"configure","vad":"off"}')
            await quiet.send(audio(20))
            await quiet.send(END)
            assert text_of(await read_all(quiet)).startswith("w0")

    run(scene())


def test_keepalives_keep_the_connection_and_not_the_slot():
    async def scene():
        async with house(slots=1, release_after_s=0.1) as running, running.stream("vad=on") as quiet:
            await read(quiet)
            assert running.engine.slots_in_use == 1
            keeping = asyncio.create_task(keep_alive(quiet))
            await until(lambda: running.engine.slots_in_use == 0)
            keeping.cancel()
            await quiet.send(END)
            assert (await read_all(quiet))[-1]["type"] == "done"

    run(scene())


def test_a_stream_that_never_gets_its_slot_is_told_and_closed():
    async def scene():
        async with house(slots=2, idle_timeout_s=0.3, release_after_s=0.1) as running:
            second = await resting(running)
            with tenant(running):
                await second.send(WAKE)
                await second.send(audio(40))
                keeping = asyncio.create_task(keep_alive(second))
                messages = await read_all(second)
                keeping.cancel()
                assert (messages[-1]["code"], second.close_code) == ("at_capacity", 1013)

    run(scene())


WAKE = '{"type":"configure","vad":"off"}'  # a stream that rests asks for its slots again


async def resting(running, query: str = "") -> ClientConnection:
    """A stream of two channels that was admitted and has given its slots back."""
    ws = await running.stream("vad=on&channels=2" + query)
    await read(ws)
    await until(lambda: running.engine.slots_in_use == 0)
    return ws


@contextmanager
def tenant(running) -> Iterator[None]:
    """Somebody else on one slot."""
    seats = running.service.admission.admit(1)
    stream = seats.open(6)
    try:
        yield
    finally:
        seats.release(stream)
        seats.close()


def test_a_channel_more_is_refused_when_there_is_no_slot():
    async def scene():
        async with house(slots=1) as running, running.stream() as ws:
            await ws.send('{"type":"configure","channels":2}')
            messages = await read_all(ws)
            assert (messages[-1]["code"], ws.close_code) == ("at_capacity", 1013)

    run(scene())


def test_a_channel_more_after_the_first_audio_costs_no_slot():
    async def scene():
        async with house(slots=2) as running, running.stream() as ws:
            await ws.send(audio(4))
            await ws.send('{"type":"configure","channels":2}')
            assert (await read_until(ws, "error"))[-1]["code"] == "out_of_order"
            assert running.service.admission.free == 1

    run(scene())


async def keep_alive(ws) -> None:
    while True:
        await ws.send('{"type":"keepalive"}')
        await asyncio.sleep(0.02)


# ---------------------------------------------------------------- faults of ours


def test_a_fault_in_one_stream_is_told_without_its_text_and_harms_no_other(monkeypatch):
    async def scene():
        async with house() as running, running.stream() as good, running.stream() as bad:
            await read(good)
            decode = NativeDialect.decode

            def faulty(self, message):
                if message == '{"type":"keepalive"}':
                    raise RuntimeError("a secret path")
                return decode(self, message)

            monkeypatch.setattr(NativeDialect, "decode", faulty)
            await bad.send('{"type":"keepalive"}')
            messages = await read_all(bad)
            assert (messages[-1]["code"], bad.close_code) == ("internal_error", 1011)
            assert "secret" not in json.dumps(messages)
            await good.send(audio(20))
            await good.send(END)
            assert (await read_all(good))[-1]["type"] == "done"

    run(scene())


def test_an_event_that_cannot_be_written_ends_its_stream_with_a_word(monkeypatch):
    async def scene():
        async with house() as running, running.stream() as ws:
            encode = NativeDialect.encode

            def faulty(self, event):
                if isinstance(event, Final):
                    raise RuntimeError("a secret path")
                return encode(self, event)

            monkeypatch.setattr(NativeDialect, "encode", faulty)
            await ws.send(audio(20))
            await ws.send(FLUSH)
            messages = await read_all(ws)
            assert (messages[-1]["code"], ws.close_code) == ("internal_error", 1011)
            assert "secret" not in json.dumps(messages)

    run(scene())


def test_a_fault_while_steps_are_handed_out_harms_no_other(monkeypatch):
    async def scene():
        async with house() as running:
            running.engine.hold()
            async with running.stream() as bad, running.stream() as good:
                await bad.send(audio(20))
                await until(lambda: running.engine.streams[0].waiting)
                await good.send(audio(20))
                await good.send(END)
                victim = next(iter(running.service.exchange._owners.values()))

                def faulty(steps):
                    raise RuntimeError("scripted")

                monkeypatch.setattr(victim, "advance", faulty)
                running.engine.go()
                assert (await read_all(bad))[-1]["code"] == "internal_error"
                assert (await read_all(good))[-1]["type"] == "done"

    run(scene())


def test_a_fatal_error_of_the_session_closes_with_its_code():
    async def scene():
        async with house() as running, running.stream() as ws:
            await read(ws)
            [connection] = running.service._connections
            connection._session.fail(LimitReached("Enough."))
            await ws.send('{"type":"keepalive"}')
            assert (await read_all(ws))[-1]["code"] == "limit_reached"
            assert ws.close_code == 1008

    run(scene())
