"""Calls over real sockets, from the telephone system's side; a follower tells what was heard."""

from __future__ import annotations

import asyncio
import json

import pytest
import uvloop
from websockets.exceptions import ConnectionClosed, InvalidStatus

from realtime.server import connection
from tests.server.fakes import TIMEOUT_S, house, read, read_all, read_until, text_of, until
from tests.server.phone import CALL, SILENCE, UUID, UUID_TEXT, audiosocket, dial, frame, twilio

VAD_OFF = {"vad": "off"}
KEY = {"Authorization": "Bearer good"}


def run(scene) -> None:
    uvloop.run(asyncio.wait_for(scene, 60))


def follow(running, call):
    return dial(running.address, f"/v1/calls/{call}")


async def nothing(ws) -> None:
    """The vendor is told nothing that it would not understand."""
    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(ws.recv(), TIMEOUT_S)


# ---------------------------------------------------------------- Twilio


def test_a_call_is_followed_from_its_start_to_its_stop():
    async def scene():
        async with house(**VAD_OFF) as running, follow(running, CALL) as follower:
            async with twilio(running.address) as phone:
                await phone.start("inbound", agent="7", api_key="never told")
                await phone.silence(1600)
                await phone.dtmf("5")
                await phone.stop()
                await nothing(phone.ws)
            messages = await read_all(follower)
            assert follower.close_code == 1000
            started, stopped = messages[0], messages[-1]
            assert (started["type"], started["call"], started["carrier"]) == ("call_started", CALL, "twilio")
            assert started["parameters"] == {"agent": "7"}
            assert started["tracks"] == ["inbound"]
            assert (stopped["type"], stopped["reason"]) == ("call_stopped", "ended")
            assert text_of(messages).startswith("w0 w1 w2")
            assert [m["digit"] for m in messages if m["type"] == "dtmf"] == ["5"]
            [done] = [m for m in messages if m["type"] == "done"]
            assert done["audio_ms"] == 1600

    run(scene())


def test_both_tracks_are_two_channels_of_one_stream():
    async def scene():
        async with house(**VAD_OFF) as running, follow(running, CALL) as follower:
            async with twilio(running.address) as phone:
                await phone.start("inbound", "outbound")
                await phone.silence(1600, "inbound", "outbound")
                await phone.stop()
            finals = [m for m in await read_all(follower) if m["type"] == "final"]
            assert {final["channel"] for final in finals} == {0, 1}

    run(scene())


def test_a_second_track_without_a_slot_is_refused_at_once():
    async def scene():
        async with house(1, **VAD_OFF) as running, follow(running, CALL) as follower:
            async with twilio(running.address) as phone:
                await phone.start("inbound", "outbound")
                await nothing(phone.ws)
                assert (phone.ws.close_code, phone.ws.close_reason) == (1013, "at_capacity")
            messages = await read_all(follower)
            assert [m["code"] for m in messages if m["type"] == "error"] == ["at_capacity"]
            assert messages[-1]["reason"] == "at_capacity"
            assert running.metric("errors_total", code="at_capacity") == 1

    run(scene())


def test_a_second_track_has_its_slot_from_the_start():
    """Who comes before its first word finds none."""

    async def scene():
        async with house(2, **VAD_OFF) as running, twilio(running.address) as phone:
            await phone.start("inbound", "outbound")
            await until(lambda: running.service.admission.leased == 2)
            assert running.metric("calls") == 1
            with pytest.raises(InvalidStatus):
                await running.stream()
            await phone.stop()

    run(scene())


def test_a_call_that_breaks_off_still_has_its_finals():
    async def scene():
        async with house(**VAD_OFF) as running, follow(running, CALL) as follower:
            async with twilio(running.address) as phone:
                await phone.start()
                await phone.silence(1600)
                phone.ws.transport.abort()
            messages = await read_all(follower)
            assert text_of(messages).startswith("w0 w1 w2")
            assert messages[-1]["reason"] == "disconnected"

    run(scene())


def test_two_streams_of_one_call_are_told_apart():
    async def scene():
        async with (
            house(**VAD_OFF) as running,
            follow(running, CALL) as first,
            follow(running, f"{CALL}-2") as second,
            twilio(running.address) as one,
            twilio(running.address, stream="MZ2") as two,
        ):
            await one.start("inbound")
            await read_until(first, "ready")
            await two.start("outbound")
            [started, _] = await read_until(second, "ready")
            assert (started["call"], started["stream_sid"]) == (f"{CALL}-2", "MZ2")

    run(scene())


@pytest.mark.parametrize("given", [{}, {"api_key": "wrong"}])
def test_a_call_without_the_key_is_not_heard(given):
    async def scene():
        async with house(api_keys="good", **VAD_OFF) as running:
            async with twilio(running.address) as phone:
                await phone.start("inbound", **given)
                await nothing(phone.ws)
                assert (phone.ws.close_code, phone.ws.close_reason) == (1008, "unauthorized")
            status, _, body = await running.get("/v1/calls", headers={"Authorization": "Bearer good"})
            assert (status, json.loads(body)) == (200, {"calls": []})
            assert running.service.calls.get(CALL) is None

    run(scene())


def test_who_sends_no_key_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(connection, "KEY_TIMEOUT_S", 0.05)

    async def scene():
        async with house(api_keys="good") as running, twilio(running.address) as phone:
            await nothing(phone.ws)
            assert (phone.ws.close_code, phone.ws.close_reason) == (1008, "unauthorized")

    run(scene())


def test_who_has_no_key_yet_takes_no_slot_from_others():
    async def scene():
        async with house(1, api_keys="good", **VAD_OFF) as running, twilio(running.address) as stranger:
            await until(lambda: running.service.admission.connections == 1)
            assert running.service.admission.free == 1
            async with (
                dial(running.address, f"/v1/calls/{CALL}", additional_headers=KEY) as follower,
                twilio(running.address) as phone,
            ):
                await phone.start("inbound", api_key="good")
                await read_until(follower, "ready")
                assert running.service.admission.free == 0
                await stranger.start("inbound", api_key="good")
                await nothing(stranger.ws)
                assert (stranger.ws.close_code, stranger.ws.close_reason) == (1013, "at_capacity")
                await phone.silence(800)
                await phone.stop()
                assert text_of(await read_all(follower)).startswith("w0")

    run(scene())


@pytest.mark.parametrize("in_header", [False, True])
def test_the_key_comes_as_a_parameter_or_in_the_header(in_header):
    async def scene():
        key = {"Authorization": "Bearer good"}
        async with house(api_keys="good", **VAD_OFF) as running:
            options = {"additional_headers": key}
            async with (
                dial(running.address, f"/v1/calls/{CALL}", **options) as follower,
                twilio(running.address, **(options if in_header else {})) as phone,
            ):
                await phone.start("inbound", **({} if in_header else {"api_key": "good"}))
                await phone.silence(800)
                await phone.stop()
                messages = await read_all(follower)
                assert messages[-1]["reason"] == "ended"
                assert "good" not in json.dumps(messages)

    run(scene())


def test_a_start_that_cannot_be_ends_the_stream():
    async def scene():
        async with house() as running, twilio(running.address) as phone:
            await phone.start("inbound", "sideways")
            await nothing(phone.ws)
            assert (phone.ws.close_code, phone.ws.close_reason) == (1008, "bad_option")

    run(scene())


def test_a_plain_request_is_answered_as_http():
    async def scene():
        async with house(slots=1) as running:
            assert (await running.get("/twilio"))[0] == 426
            async with dial(running.address, "/twilio"):
                with pytest.raises(InvalidStatus) as refused:
                    await dial(running.address, "/twilio")
                assert refused.value.response.status_code == 503

    run(scene())


def test_a_shutdown_tells_the_followers():
    async def scene():
        async with house(**VAD_OFF) as running, follow(running, CALL) as follower:
            async with twilio(running.address) as phone:
                await phone.start()
                await phone.silence(1600)
                messages = await read_until(follower, "partial")
                await running.service.drain()
                await nothing(phone.ws)
                assert phone.ws.close_code == 1001
            messages += await read_all(follower)
            assert text_of(messages).startswith("w0 w1 w2")
            assert [m["type"] for m in messages[-2:]] == ["error", "call_stopped"]
            assert messages[-1]["reason"] == "shutting_down"

    run(scene())


# ---------------------------------------------------------------- Asterisk

MEDIA_START = {
    "event": "MEDIA_START",
    "connection_id": "voxwire",
    "channel": "WebSocket/voxwire/0x5140001a0040",
    "channel_id": "1761245643.1",
    "format": "ulaw",
    "optimal_frame_size": 160,
    "ptime": 20,
    "channel_variables": {"MEDIA_WEBSOCKET_CONNECTION_ID": "voxwire"},
}
PLAIN_START = (
    "MEDIA_START connection_id:voxwire channel:WebSocket/voxwire/0x5140001a0040 "
    "channel_id:1761245643.1 format:ulaw optimal_frame_size:160 ptime:20"
)


@pytest.mark.parametrize("start", [json.dumps(MEDIA_START), PLAIN_START])
def test_chan_websocket_hangs_up_by_closing(start):
    async def scene():
        async with house(**VAD_OFF) as running, follow(running, "1761245643.1") as follower:
            async with dial(running.address, "/asterisk", subprotocols=["media"]) as ws:
                assert ws.subprotocol == "media"
                await ws.send(start)
                for _ in range(80):
                    await ws.send(SILENCE)
                await ws.close()
                await nothing(ws)
            messages = await read_all(follower)
            assert (messages[0]["carrier"], messages[0]["format"]) == ("asterisk", "ulaw")
            assert text_of(messages).startswith("w0 w1 w2")
            assert (messages[-1]["type"], messages[-1]["reason"]) == ("call_stopped", "ended")

    run(scene())


def test_the_dialplan_may_name_the_call():
    async def scene():
        async with (
            house() as running,
            follow(running, "front-desk-7") as follower,
            dial(running.address, "/asterisk?call_id=front-desk-7") as ws,
        ):
            await ws.send(PLAIN_START)
            [started, _] = await read_until(follower, "ready")
            assert (started["call"], started["channel_id"]) == ("front-desk-7", "1761245643.1")

    run(scene())


def test_asterisk_sends_its_key_as_a_password():
    async def scene():
        async with house(api_keys="good") as running:
            basic = {"Authorization": "Basic dm94d2lyZTpnb29k"}  # voxwire:good
            async with dial(running.address, "/asterisk", additional_headers=basic) as ws:
                assert ws.response.status_code == 101
            with pytest.raises(InvalidStatus) as refused:
                await dial(running.address, "/asterisk", additional_headers={"Authorization": "Basic dm94"})
            assert refused.value.response.status_code == 401

    run(scene())


# ---------------------------------------------------------------- AudioSocket


@pytest.mark.parametrize("hang_up", [frame(0x00), b""])
def test_audiosocket_ends_with_a_hang_up_or_its_connection(hang_up):
    async def scene():
        async with house(**VAD_OFF) as running, follow(running, UUID_TEXT) as follower:
            async with audiosocket(running) as (reader, writer):
                data = frame(0x01, UUID) + b"".join(frame(0x10, bytes(320)) for _ in range(80))
                data += frame(0x03, b"9") + hang_up
                for at in range(0, len(data), 333):
                    writer.write(data[at : at + 333])
                    await writer.drain()
                if not hang_up:
                    writer.close()
                else:
                    assert await reader.read() == b""
                messages = await read_all(follower)
            assert messages[0]["carrier"] == "audiosocket"
            assert text_of(messages).startswith("w0 w1 w2")
            assert [m["digit"] for m in messages if m["type"] == "dtmf"] == ["9"]
            assert messages[-1]["reason"] == "ended"

    run(scene())


def test_what_is_no_audiosocket_is_cut_off():
    async def scene():
        async with house() as running, audiosocket(running) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert await asyncio.wait_for(reader.read(), TIMEOUT_S) == b""

    run(scene())


# ---------------------------------------------------------------- those that understand text


def test_jambonz_is_answered_and_the_connection_closed():
    async def scene():
        async with (
            house(api_keys="good", **VAD_OFF) as running,
            dial(running.address, "/jambonz", additional_headers={"Authorization": "Bearer good"}) as ws,
        ):
            start = {"type": "start", "language": "en-US", "format": "raw", "encoding": "LINEAR16"}
            await ws.send(json.dumps(start | {"interimResults": True, "sampleRateHz": 8000}))
            for _ in range(80):
                await ws.send(bytes(320))
            await ws.send('{"type":"stop"}')
            messages = await read_all(ws)
            assert ws.close_code == 1000
            assert {m["type"] for m in messages} == {"transcription"}
            # A partial that is not read in time gives way to the final.
            assert [m["is_final"] for m in messages] == [False] * (len(messages) - 1) + [True]
            assert messages[-1]["alternatives"][0]["transcript"].startswith("w0 w1 w2")

    run(scene())


def test_freeswitch_is_answered_on_both_channels():
    async def scene():
        async with (
            house(**VAD_OFF, max_utterance_ms=1000) as running,
            dial(running.address, "/freeswitch?channels=2", subprotocols=["audio.drachtio.org"]) as ws,
        ):
            assert ws.subprotocol == "audio.drachtio.org"
            await ws.send('{"call": 7}')
            for _ in range(150):
                await ws.send(bytes(640))
            finals = []
            while {final["channel"] for final in finals} != {0, 1}:
                message = await read(ws)
                if message["data"]["is_final"]:
                    finals.append(message["data"])
            assert all(final["text"].startswith("w0 w1") for final in finals[:2])

    run(scene())
