"""Which key opens which address, in one table: an operator's key all of them, a short-lived one its own streams."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
import uvloop
from websockets.exceptions import InvalidStatus

from realtime.errors import AtCapacity, EngineFailed, LimitReached, ShuttingDown, Unauthorized
from realtime.server.door import refusal_headers
from tests.server.fakes import TIMEOUT_S, house
from tests.server.phone import CALL, dial, twilio

STREAMS = (
    "/v1/stream",
    "/v1/realtime",
    "/v1/audio/transcriptions/realtime",
    "/v1/listen",
    "/v2/listen?model=flux-general-en",
    "/vosk",
    "/",
    "/asterisk",
    "/jambonz",
    "/freeswitch",
    f"/v1/calls/{CALL}",
)
OWN = {"ek_": "/v1/realtime", "rt_": "/v1/audio/transcriptions/realtime"}
REQUESTS = (
    ("POST", "/v1/audio/transcriptions"),
    ("POST", "/v1/audio/translations"),
    ("POST", "/v1/listen"),
    ("POST", "/v1/realtime/client_secrets"),
    ("POST", "/v1/realtime/transcription_sessions"),
    ("POST", "/v1/client/sessions"),
    ("GET", "/v1/models"),
    ("GET", "/v1/calls"),
    ("GET", f"/v1/calls/{CALL}"),
)


def run(scene) -> None:
    uvloop.run(asyncio.wait_for(scene, 60))


async def status(running, method: str, path: str, **headers: str) -> int:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S)) as client,
        client.request(method, f"http://{running.address}{path}", headers=headers) as response,
    ):
        return response.status


async def opens(running, path: str, key: str) -> bool:
    try:
        async with dial(running.address, path, additional_headers={"Authorization": f"Bearer {key}"}):
            return True
    except InvalidStatus as refused:
        assert refused.response.status_code == 401
        return False


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("api_keys", ["secret", ""])
def test_a_short_lived_key_opens_its_own_streams_and_nothing_else(kind, api_keys):
    async def scene():
        async with house(**({"api_keys": api_keys} if api_keys else {})) as running:
            key = running.service.keyring.mint(kind, 60).value
            assert [path for path in STREAMS if await opens(running, path, key)] == [OWN[kind]]
            for method, path in REQUESTS:
                assert await status(running, method, path, Authorization=f"Bearer {key}") == 401, path
            assert running.metric("refusals_total", cause="unauthorized") == len(STREAMS) - 1 + len(REQUESTS)

    run(scene())


@pytest.mark.parametrize("kind", OWN)
def test_a_short_lived_key_is_none_of_a_call(kind):
    async def scene():
        async with house(api_keys="secret") as running:
            key = running.service.keyring.mint(kind, 60).value
            async with twilio(running.address) as phone:
                await phone.start("inbound", api_key=key)
                await phone.ws.wait_closed()
                assert phone.ws.close_reason == "unauthorized"
            assert running.service.calls.get(CALL) is None

    run(scene())


def test_an_operators_key_opens_everything():
    async def scene():
        async with house(api_keys="secret") as running:
            assert [path for path in STREAMS if not await opens(running, path, "secret")] == []
            for method, path in REQUESTS:
                assert await status(running, method, path, Authorization="Bearer secret") not in (401, 403)

    run(scene())


def test_pages_of_other_sites_are_refused_everywhere():
    async def scene():
        async with house() as running:
            for method, path in REQUESTS:
                assert await status(running, method, path, Origin="https://evil.example") == 403, path

    run(scene())


def test_nobody_gets_a_key_of_a_server_that_ends():
    async def scene():
        async with house() as running:
            running.service._draining = True
            for path in ("/v1/realtime/client_secrets", "/v1/client/sessions"):
                assert await status(running, "POST", path) == 503

    run(scene())


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AtCapacity(retry_after_s=7), {"Retry-After": "7"}),
        (ShuttingDown("?"), {"Retry-After": "5"}),
        (EngineFailed("?"), {"Retry-After": "5"}),
        (Unauthorized("?"), {"WWW-Authenticate": 'Bearer realm="voxwire"'}),
        (LimitReached("?"), {}),
    ],
)
def test_a_refusal_says_what_to_do(error, told):
    assert refusal_headers(error) == {"Cache-Control": "no-store"} | told
