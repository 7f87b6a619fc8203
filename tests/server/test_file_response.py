"""Answers to clients that do not read, without a server."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from realtime.dialects.files import Fields
from realtime.dialects.openai_files import OpenAIFiles
from realtime.server.files.response import Response
from tests.dialects.heard import EVENTS, HEARD


def response_for(dialect: OpenAIFiles, slow_reader_s: float = 5.0) -> tuple[web.Request, Response]:
    request = make_mocked_request("POST", "/v1/audio/transcriptions")
    return request, Response(request, dialect, headers={}, slow_reader_s=slow_reader_s)


def streaming() -> OpenAIFiles:
    return OpenAIFiles(Fields([("stream", "true")]))


def test_a_client_that_does_not_read_is_cut_off(monkeypatch):
    async def never(self, data):
        await asyncio.Event().wait()

    async def scene():
        request, response = response_for(streaming(), slow_reader_s=0.01)
        monkeypatch.setattr(web.StreamResponse, "write", never)
        with pytest.raises(ConnectionResetError):
            await response.tell(EVENTS)
        request.transport.abort.assert_called_once_with()

    asyncio.run(scene())


def test_nothing_has_begun_until_something_was_told():
    async def scene():
        _, response = response_for(streaming())
        assert not response.has_begun
        await response.tell([])
        assert response.has_begun

    asyncio.run(scene())


def test_an_answer_in_one_piece_has_never_begun():
    async def scene():
        _, response = response_for(OpenAIFiles(Fields([])))
        await response.tell(EVENTS)
        assert not response.has_begun
        answer = await response.finish(HEARD)
        assert answer.status == 200 and answer.body.startswith(b'{"text":"Hello, world.')

    asyncio.run(scene())
