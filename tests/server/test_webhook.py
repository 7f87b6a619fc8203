"""The webhook against a receiver that takes, refuses and fails."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from realtime.config import CallsConfig
from realtime.events import Final, SpeechStarted
from realtime.server import webhook as webhook_module
from realtime.server.hub import Hub
from realtime.server.webhook import Webhook, signature_headers
from tests.server.fakes import house, until
from tests.server.phone import CALL, twilio

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def run(scene) -> None:
    asyncio.run(asyncio.wait_for(scene, 60))


class Receiver:
    """`answers` are statuses, or "hang" and "break", one for every request; then 204."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []  # (headers, body)
        self.url = ""
        self.resume = asyncio.Event()

    async def handle(self, request):
        self.requests.append((request.headers, await request.read()))
        answer = self.answers.pop(0) if self.answers else 204
        if answer == "hang":
            await self.resume.wait()
        elif answer == "break":
            request.transport.abort()
        elif answer != 204:
            return web.Response(status=answer, headers={"Location": self.url} if answer < 400 else {})
        return web.Response(status=204)

    @property
    def messages(self):
        return [json.loads(body) for _, body in self.requests]

    def told(self, call="c"):
        return [(m["sequence"], m["message"]["type"]) for m in self.messages if m["call"] == call]


@asynccontextmanager
async def receiver(*answers):
    hook = Receiver(*answers)
    app = web.Application()
    app.router.add_post("/calls", hook.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/calls"
    try:
        yield hook
    finally:
        hook.resume.set()
        await runner.cleanup()


@asynccontextmanager
async def calls(hook, secret=""):
    """A hub that reports to the receiver. Leaving checks that nothing is left."""
    webhook = Webhook(CallsConfig(hook.url, secret), first_pause_s=0.001)
    try:
        yield Hub(asyncio.get_running_loop(), webhook.observe)
    finally:
        await webhook.close()
        assert (webhook._waiting, webhook._queues, webhook._tasks) == (0, {}, set())


def final(n):
    return Final(n, f"word {n}", (), 0, 500, "silence")


WHOLE = [(1, "call_started"), (3, "final"), (4, "final"), (5, "call_stopped")]


def talk(hub, name="c"):
    call = hub.open(name, {"carrier": "test"})
    call.tell(SpeechStarted(0))
    call.tell(final(0))
    call.tell(final(1))
    call.end("ended")


def test_finals_starts_and_ends_come_in_order():
    async def scene():
        async with receiver() as hook, calls(hook) as hub:
            talk(hub)
            await until(lambda: len(hook.requests) == 4)
            assert hook.told() == WHOLE
            assert hook.messages[1]["message"]["text"] == "word 0"
            headers, _ = hook.requests[0]
            assert headers["Content-Type"] == "application/json"
            assert "webhook-signature" not in headers

    run(scene())


def test_the_signature_is_that_of_the_specification():
    headers = signature_headers(
        base64.b64decode(SECRET.removeprefix("whsec_")),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    ("secret", "key"),
    [("plain text", b"plain text"), (SECRET, base64.b64decode(SECRET.removeprefix("whsec_")))],
)
def test_every_post_is_signed(secret, key):
    async def scene():
        async with receiver(500) as hook, calls(hook, secret) as hub:
            talk(hub)
            await until(lambda: len(hook.requests) == 5)
            for headers, body in hook.requests:
                signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
                digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
                assert headers["webhook-signature"] == f"v1,{digest}"
            ids = [headers["webhook-id"] for headers, _ in hook.requests]
            assert ids[0] == ids[1] and len(set(ids)) == 4

    run(scene())


@pytest.mark.parametrize("fault", [500, 503, 429, 408, "break"])
def test_what_may_pass_is_tried_again_before_the_next(fault):
    async def scene():
        async with receiver(fault, fault) as hook, calls(hook) as hub:
            talk(hub)
            await until(lambda: len(hook.requests) == 6)
            assert hook.told() == [WHOLE[0], WHOLE[0], *WHOLE]

    run(scene())


@pytest.mark.parametrize("fault", [400, 401, 404, 410, 302])
def test_what_will_not_pass_is_given_up_at_once(fault):
    async def scene():
        async with receiver(204, fault) as hook, calls(hook) as hub:
            talk(hub)
            await until(lambda: len(hook.requests) == 4)
            assert hook.told() == WHOLE

    run(scene())


def test_tries_are_bounded(monkeypatch):
    monkeypatch.setattr(webhook_module, "MAX_PAUSE_S", 0.002)

    async def scene():
        async with receiver(*[500] * webhook_module.TRIES) as hook, calls(hook) as hub:
            talk(hub)
            await until(lambda: len(hook.requests) == webhook_module.TRIES + 3)
            assert hook.told() == [WHOLE[0]] * webhook_module.TRIES + WHOLE[1:]

    run(scene())


def test_a_call_that_is_stuck_holds_up_no_other():
    async def scene():
        async with receiver("hang") as hook, calls(hook) as hub:
            talk(hub, "stuck")
            await until(lambda: len(hook.requests) == 1)
            talk(hub, "other")
            await until(lambda: len(hook.told("other")) == 4)
            assert hook.told("stuck") == WHOLE[:1]
            hook.resume.set()
            await until(lambda: len(hook.told("stuck")) == 4)

    run(scene())


def test_what_waits_is_bounded_and_the_end_is_always_told(monkeypatch):
    monkeypatch.setattr(webhook_module, "MAX_WAITING", 3)

    async def scene():
        async with receiver("hang") as hook, calls(hook) as hub:
            call = hub.open("c", {})
            await until(lambda: len(hook.requests) == 1)
            for n in range(100):
                call.tell(final(n))
            call.end("ended")
            hook.resume.set()
            await until(lambda: len(hook.requests) == 4)
            assert hook.told() == [(1, "call_started"), (2, "final"), (3, "final"), (102, "call_stopped")]

    run(scene())


def test_the_end_of_the_server_waits_but_not_for_ever(monkeypatch):
    monkeypatch.setattr(webhook_module, "CLOSE_TIMEOUT_S", 0.05)

    async def scene():
        async with receiver("hang") as hook:
            async with calls(hook) as hub:
                talk(hub)
                await until(lambda: len(hook.requests) == 1)
            assert hook.told() == WHOLE[:1]

    run(scene())


def test_without_an_address_nothing_is_kept():
    async def scene():
        webhook = Webhook(CallsConfig("", ""))
        talk(Hub(asyncio.get_running_loop(), webhook.observe))
        assert (webhook._queues, webhook._client) == ({}, None)
        await webhook.close()

    run(scene())


def test_a_server_posts_what_a_telephone_says():
    async def scene():
        async with (
            receiver() as hook,
            house(vad="off", webhook_url=hook.url, webhook_secret=SECRET) as running,
        ):
            async with twilio(running.address) as phone:
                await phone.start("inbound", agent="7", api_key="hidden")
                await phone.silence(1600)
                await phone.dtmf("5")
                await phone.stop()
            await until(lambda: hook.requests and hook.messages[-1]["message"]["type"] == "call_stopped")
            said = [m["message"] for m in hook.messages]
            assert {m["call"] for m in hook.messages} == {CALL}
            assert said[0]["parameters"] == {"agent": "7"}
            assert sorted({m["type"] for m in said}) == ["call_started", "call_stopped", "dtmf", "final"]
            assert any(m["type"] == "final" and m["text"].startswith("w0 w1") for m in said)
            assert not any(b"hidden" in body for _, body in hook.requests)
            await until(lambda: not running.service.webhook._tasks)

    run(scene())
