"""The TCP carrier with real sockets: half-close, cut messages, slow readers, refusals. A dialect of lines serves."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager

import pytest
import uvloop

from realtime import config
from realtime.dialects.base import Dialect, HangUp, Reply
from realtime.errors import BadMessage, ConfigError
from realtime.events import Audio, Done, End, Error, Final
from realtime.server import tcp
from realtime.server.app import bind
from realtime.server.tcp import TcpEndpoint, TcpPort
from tests.server.fakes import TIMEOUT_S, audio, house, until

OFF = {"vad": "off"}


def run(scene) -> None:
    uvloop.run(asyncio.wait_for(scene, 60))


class Lines(Dialect):
    """Every byte is audio but the first of a message, which may be a command. Answers are lines."""

    def decode(self, message):
        match message[:1]:
            case b"":
                return [End()]
            case b"e":
                raise BadMessage("An e.")
            case b"f":
                return [Reply(b"x" * 65536)] * 16
            case b"q":
                return [HangUp()]
        return [Audio(message)]

    def encode(self, event):
        match event:
            case Final(text=text) if text:
                return [f"final {text}\n"]
            case Error(code=code):
                return [f"error {code}\n".encode()]
            case Done():
                return ["done\n"]
        return []


@asynccontextmanager
async def lines(running):
    """A port of that dialect in a running house."""
    port = TcpPort(TcpEndpoint(running.service, Lines), bind("127.0.0.1", 0))
    await port.start()
    try:
        yield port
        await running.until_all_left()
    finally:
        await port.close()


@asynccontextmanager
async def client(port, **options):
    reader, writer = await asyncio.open_connection("127.0.0.1", port.port, **options)
    try:
        yield reader, writer
    finally:
        writer.close()


async def read_all(reader) -> str:
    return (await asyncio.wait_for(reader.read(), TIMEOUT_S)).decode()


def test_a_client_that_ends_its_half_gets_everything():
    async def scene():
        async with house(**OFF) as running, lines(running) as port, client(port) as (reader, writer):
            writer.write(audio(20))
            writer.write_eof()
            answer = await read_all(reader)
            assert answer.startswith("final w0 w1 w2") and answer.endswith("done\n")
            await running.until_all_left()
            assert running.metric("closes_total", code="1000") == 1

    run(scene())


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
def test_a_client_that_leaves_gives_its_slot_back(reset):
    async def scene():
        async with house(**OFF) as running, lines(running) as port:
            async with client(port) as (_, writer):
                writer.write(audio(20))
                await until(lambda: running.engine.streams and running.engine.streams[0].position)
                if reset:
                    raw = writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await running.until_all_left()
            assert not reset or running.metric("closes_total", code="1006") == 1

    run(scene())


def test_the_dialect_hangs_up_and_what_is_unread_resets_nothing():
    async def scene():
        async with house(**OFF) as running, lines(running) as port, client(port) as (reader, writer):
            writer.write(b"q")
            writer.write(bytes(100_000))
            assert await read_all(reader) == ""
            writer.write_eof()

    run(scene())


def test_an_error_of_the_client_is_told_and_the_stream_goes_on():
    async def scene():
        async with house(**OFF) as running, lines(running) as port, client(port) as (reader, writer):
            writer.write(b"e")
            assert await reader.readline() == b"error bad_message\n"
            writer.write_eof()
            assert await read_all(reader) == "done\n"

    run(scene())


def test_a_client_that_does_not_read_is_cut_off():
    async def scene():
        async with house(slow_reader_s=0.1, **OFF) as running, lines(running) as port:
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.setblocking(False)
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port.port))
            await asyncio.get_running_loop().sock_sendall(raw, b"f")
            await until(lambda: running.metric("closes_total", code="1008") == 1 and not port._clients)
            raw.close()

    run(scene())


def test_without_a_slot_the_dialect_says_so():
    async def scene():
        async with house(slots=1, **OFF) as running, lines(running) as port, client(port) as (_, first):
            await until(lambda: running.service.admission.connections == 1)
            async with client(port) as (reader, writer):
                assert await read_all(reader) == "error at_capacity\n"
                writer.write_eof()
            assert running.metric("refusals_total", cause="at_capacity") == 1
            first.write_eof()

    run(scene())


def test_a_drain_gives_what_was_heard_and_says_why():
    async def scene():
        async with house(**OFF) as running, lines(running) as port, client(port) as (reader, writer):
            writer.write(audio(20))
            await until(lambda: running.engine.streams and running.engine.streams[0].position == 20)
            draining = asyncio.create_task(running.service.drain())
            answer = await read_all(reader)
            assert answer.startswith("final w0") and answer.endswith("error shutting_down\n")
            writer.close()
            await draining
            async with client(port) as (reader, writer):
                assert await read_all(reader) == "error shutting_down\n"

    run(scene())


def test_closing_the_port_leaves_nobody():
    async def scene():
        async with house(**OFF) as running:
            port = TcpPort(TcpEndpoint(running.service, Lines), bind("127.0.0.1", 0))
            await port.start()
            async with client(port) as (reader, _):
                await until(lambda: running.service.admission.connections == 1)
                await port.close()
                await port.close()
                with pytest.raises(ConnectionError):
                    await read_all(reader) and await asyncio.open_connection("127.0.0.1", port.port)
                    await asyncio.open_connection("127.0.0.1", port.port)
            await running.until_all_left()

    run(scene())


# ---------------------------------------------------------------- keys


KEYS = {"VOXWIRE_API_KEYS": "secret", "VOXWIRE_WYOMING_PORT": "10300"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"VOXWIRE_HOST": "0.0.0.0", "VOXWIRE_WYOMING_PORT": "10300"},
        {"VOXWIRE_HOST": "0.0.0.0", "VOXWIRE_API_KEYS": "secret"},
        KEYS,
        KEYS | {"VOXWIRE_HOST": "0.0.0.0", "VOXWIRE_TCP_WITHOUT_KEYS": "on"},
    ],
)
def test_a_port_without_keys_may_be_opened(environ):
    tcp.check_keys(config.load({}, environ))


def test_a_server_with_keys_opens_no_port_without_them_to_its_network():
    with pytest.raises(ConfigError, match=r"wyoming_port.*tcp_without_keys"):
        tcp.check_keys(config.load({}, KEYS | {"VOXWIRE_HOST": "0.0.0.0"}))
