"""Drain, engine failure and everything on the port that is no stream."""

from __future__ import annotations

import asyncio
import json

import pytest
import uvloop
from websockets.exceptions import InvalidStatus

from realtime.errors import ConfigError
from realtime.server import app, http
from realtime.server.app import EXIT_ENGINE_FAILED, bind
from tests.server.fakes import audio, house, read, read_all, text_of, until


def run(scene) -> None:
    uvloop.run(asyncio.wait_for(scene, 60))


def test_drain_gives_finals_says_why_and_closes_1001():
    async def scene():
        async with house() as running, running.stream() as ws:
            await ws.send(audio(20))
            await read(ws)
            draining = asyncio.create_task(running.service.drain())
            messages = await read_all(ws)
            await draining
            assert text_of(messages)
            assert (messages[-1]["code"], messages[-1]["fatal"], ws.close_code) == (
                "shutting_down",
                True,
                1001,
            )
            assert "done" not in [message["type"] for message in messages]

    run(scene())


def test_while_draining_nobody_is_admitted_and_readiness_fails():
    async def scene():
        async with house() as running:
            running.engine.hold()
            async with running.stream() as ws:
                await ws.send(audio(20))
                await read(ws)
                draining = asyncio.create_task(running.service.drain())
                await asyncio.sleep(0)
                status, _, body = await running.get("/readyz")
                assert (status, json.loads(body)["code"]) == (503, "shutting_down")
                with pytest.raises(InvalidStatus) as caught:
                    await running.stream()
                assert caught.value.response.status_code == 503
                assert json.loads(caught.value.response.body)["code"] == "shutting_down"
                assert (await running.get("/healthz"))[0] == 200
                running.engine.go()
                await read_all(ws)
                await draining

    run(scene())


def test_drain_is_bounded_when_the_engine_stands_still():
    async def scene():
        async with house(drain_timeout_s=0.2) as running:
            running.engine.hold()
            async with running.stream() as ws:
                await ws.send(audio(20))
                await read(ws)
                draining = asyncio.create_task(running.service.drain())
                assert (await read_all(ws))[-1]["code"] == "shutting_down"
                assert ws.close_code == 1001
                await draining

    run(scene())


def test_a_client_that_has_already_ended_gets_its_done():
    """Told that the server goes away it would do all of it again elsewhere."""

    async def scene():
        async with house() as running:
            running.engine.hold()
            async with running.stream() as ws:
                await ws.send(audio(20))
                await ws.send('{"type":"end"}')
                await read(ws)
                await asyncio.wait_for(await ws.ping(), 5)  # all of it has arrived
                draining = asyncio.create_task(running.service.drain())
                await asyncio.sleep(0)
                running.engine.go()
                messages = await read_all(ws)
                assert text_of(messages)
                assert (messages[-1]["type"], ws.close_code) == ("done", 1000)
                assert running.metric("errors_total", code="shutting_down") == 0
                await draining

    run(scene())


def test_what_a_client_sends_during_the_drain_is_not_held_against_it():
    async def scene():
        async with house() as running:
            running.engine.hold()
            async with running.stream() as ws:
                await ws.send(audio(20))
                await read(ws)
                await until(lambda: running.engine.streams[0].waiting)
                draining = asyncio.create_task(running.service.drain())
                await asyncio.sleep(0)
                for message in (audio(1), '{"type":"flush"}', '{"type":"end"}'):
                    await ws.send(message)
                await asyncio.wait_for(await ws.ping(), 5)  # all of it has arrived
                running.engine.go()
                messages = await read_all(ws)
                assert [m["code"] for m in messages if m["type"] == "error"] == ["shutting_down"]
                assert [m["reason"] for m in messages if m["type"] == "final"] == ["end"]
                await draining

    run(scene())


def test_a_dead_engine_ends_streams_readiness_and_the_process():
    async def scene():
        async with house() as running:
            ending = asyncio.create_task(running.server.run())
            async with running.stream() as ws:
                await read(ws)
                running.engine.fail()
                messages = await read_all(ws)
                assert (messages[-1]["code"], ws.close_code) == ("engine_failed", 1011)
            assert await ending == EXIT_ENGINE_FAILED

    run(scene())


def test_an_engine_that_dies_during_a_drain_ends_it():
    async def scene():
        async with house() as running:
            running.engine.hold()
            ending = asyncio.create_task(running.server.run())
            async with running.stream() as ws:
                await ws.send(audio(20))
                await read(ws)
                running.server.stop_because("SIGTERM")
                await until(lambda: running.service._draining)
                running.engine.fail()
                messages = await read_all(ws)
                assert (messages[-1]["code"], ws.close_code) == ("engine_failed", 1011)
            assert await ending == EXIT_ENGINE_FAILED

    run(scene())


def test_a_dead_engine_refuses_newcomers():
    async def scene():
        async with house() as running:
            running.engine.failure = RuntimeError("scripted")
            status, _, body = await running.get("/readyz")
            assert (status, json.loads(body)["code"]) == (503, "engine_failed")
            with pytest.raises(InvalidStatus) as caught:
                await running.stream()
            assert json.loads(caught.value.response.body)["code"] == "engine_failed"

    run(scene())


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTTP/1.1\r\nHost: "])
def test_a_connection_that_brings_no_request_is_closed(begun, monkeypatch):
    monkeypatch.setattr(app, "REQUEST_TIMEOUT_S", 0.1)

    async def scene():
        async with house() as running, running.stream() as ws:
            reader, writer = await asyncio.open_connection(*running.address.split(":"))
            writer.write(begun)
            await asyncio.wait_for(reader.read(), 10)
            writer.close()
            await ws.send(audio(20))
            await ws.send('{"type":"end"}')
            assert (await read_all(ws))[-1]["type"] == "done"  # a stream is no such connection

    run(scene())


def test_health_readiness_and_metrics_answer():
    async def scene():
        async with house(slots=3) as running:
            assert json.loads((await running.get("/healthz"))[2]) == {"status": "ok"}
            ready = json.loads((await running.get("/readyz"))[2])
            assert ready == {"status": "ready", "model": "fake", "slots": 3, "slots_in_use": 0}
            async with running.stream() as ws:
                await read(ws)
                status, headers, body = await running.get("/metrics")
            assert status == 200 and headers["Content-Type"].startswith("text/plain")
            assert b"voxwire_slots 3.0" in body
            assert b"voxwire_slots_in_use 1.0" in body
            assert b'voxwire_model_info{device="cpu",model="fake"} 1.0' in body

    run(scene())


def test_the_page_and_its_scripts_come_with_types_and_policy():
    async def scene():
        async with house() as running:
            status, headers, body = await running.get("/")
            assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
            assert b"<html" in body
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and f"ws://{running.address}" in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-cache"
            scripts = [path for path in http.page_files() if path.endswith(".js")]
            assert scripts
            for path in scripts:
                status, headers, _ = await running.get(path)
                assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")

    run(scene())


def test_a_page_that_has_not_changed_is_not_sent_again():
    async def scene():
        async with house() as running:
            _, headers, _ = await running.get("/")
            status, _, body = await running.get("/", headers={"If-None-Match": headers["ETag"]})
            assert (status, body) == (304, b"")

    run(scene())


@pytest.mark.parametrize(
    "path", ["/nothing", "/../pyproject.toml", "/%2e%2e/pyproject.toml", "/package.json", "//etc/passwd"]
)
def test_nothing_else_is_served(path):
    async def scene():
        async with house() as running:
            status, headers, body = await running.get(path)
            assert (status, json.loads(body)["code"]) == (404, "not_found")
            assert headers["Server"] == "voxwire"

    run(scene())


def test_a_fault_of_ours_is_told_without_its_text(monkeypatch):
    async def scene():
        async with house() as running:
            monkeypatch.setattr(running.service.metrics, "exposition", lambda: 1 / 0)
            status, _, body = await running.get("/metrics")
            assert (status, json.loads(body)["code"]) == (500, "internal_error")
            assert b"zero" not in body

    run(scene())


def test_only_listed_kinds_of_files_are_served(tmp_path):
    for name in ("index.html", "app.js", "notes.md", ".secret.js", "package.json"):
        (tmp_path / name).write_text("x")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "app.test.js").write_text("x")
    (tmp_path / "icons").mkdir()
    (tmp_path / "icons" / "a.svg").write_text("x")
    assert sorted(http.page_files(tmp_path)) == ["/", "/app.js", "/icons/a.svg", "/index.html"]


def test_a_host_that_is_no_host_does_not_get_into_the_policy():
    assert "evil" not in http.content_security_policy("evil; script-src *")


def test_a_taken_port_is_one_sentence():
    taken = bind("127.0.0.1", 0)
    taken.listen()
    port = taken.getsockname()[1]
    with pytest.raises(ConfigError, match=f"port {port} on 127"):
        bind("127.0.0.1", port)
    taken.close()


def test_a_host_that_is_not_ours_is_one_sentence():
    with pytest.raises(ConfigError, match="port 0 on 192"):
        bind("192.0.2.1", 0)
