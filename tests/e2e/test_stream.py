"""The whole way: recording → socket → gate → model → captions, with the real server as a process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import jiwer
import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.e2e.conftest import DEMO, ROOT, SCRIPT, SLOTS, environment, running_server

pytestmark = pytest.mark.e2e

TIMEOUT_S = 100
END = '{"type":"end"}'


def demo() -> tuple[np.ndarray, int]:
    """int16 [n] and its rate."""
    return soundfile.read(DEMO, dtype="int16")


async def read_all(socket) -> list[dict]:
    messages = []
    try:
        while True:
            messages.append(json.loads(await asyncio.wait_for(socket.recv(), TIMEOUT_S)))
    except ConnectionClosed:
        return messages


async def stream(url: str, audio: bytes, chunk_bytes: int, query: str) -> list[dict]:
    """Everything the server says about `audio`, sent as fast as it is read."""
    async with connect(f"{url}?{query}", compression=None, ping_interval=None, proxy=None) as socket:

        async def send() -> None:
            for start in range(0, len(audio), chunk_bytes):
                await socket.send(audio[start : start + chunk_bytes])
            await socket.send(END)

        messages, _ = await asyncio.gather(read_all(socket), send())
        assert socket.close_code == 1000
        return messages


def heard(
    server, audio: bytes | None = None, chunk_bytes: int = 3200, query: str = "sample_rate=16000"
) -> list[dict]:
    audio = demo()[0].tobytes() if audio is None else audio
    return asyncio.run(asyncio.wait_for(stream(server.stream_url, audio, chunk_bytes, query), TIMEOUT_S))


def finals(messages: list[dict], channel: int = 0) -> list[dict]:
    return [m for m in messages if m["type"] == "final" and m["channel"] == channel]


@pytest.mark.skipif(
    "VOXWIRE_MODEL" in os.environ, reason="VOXWIRE_MODEL names another model than the bundled one"
)
def test_the_bundled_model_hears_the_bundled_conversation(server):
    """Nine words in ten, in a voice it was not trained on: a broken model, or one read wrongly, writes other words."""
    said = " ".join(utterance["text"] for utterance in json.loads(SCRIPT.read_text())["utterances"])
    written = " ".join(final["text"] for final in finals(heard(server)))
    assert jiwer.wer(said, written) <= 0.1


@pytest.fixture(scope="module")
def whole(server) -> list[dict]:
    """The demo, streamed in chunks of 100 ms."""
    return heard(server)


def test_every_scripted_utterance_becomes_one_final_at_its_time(whole):
    spoken = json.loads(SCRIPT.read_text())["utterances"]
    found = finals(whole)
    assert len(found) == len(spoken)
    for final, utterance in zip(found, spoken, strict=True):
        middle_ms = (final["start_ms"] + final["end_ms"]) / 2
        assert utterance["start_ms"] < middle_ms < utterance["end_ms"]


def test_the_order_of_events_is_the_protocols(whole):
    kinds = [message["type"] for message in whole]
    assert kinds[0] == "ready" and kinds[-1] == "done"
    assert kinds.count("ready") == kinds.count("done") == 1
    assert "error" not in kinds and "warning" not in kinds
    assert whole[-1]["audio_ms"] == len(demo()[0]) * 1000 // 16000
    assert whole[-1]["utterances"] == len(finals(whole))


def test_partials_grow_into_their_final(whole):
    texts: dict[int, str] = {}
    for message in whole:
        if message["type"] == "partial":
            before = texts.get(message["utterance"], "")
            assert message["text"] == before + message["delta"]
            texts[message["utterance"]] = message["text"]
    assert texts
    for final in finals(whole):
        assert final["text"].startswith(texts.get(final["utterance"], ""))


def test_words_say_what_the_text_says_and_follow_each_other(whole):
    for final in finals(whole):
        words = final["words"]
        assert " ".join(word["text"] for word in words) == final["text"]
        times = [time for word in words for time in (word["start_ms"], word["end_ms"])]
        assert times == sorted(times)
        assert all(0 <= word["confidence"] <= 1 for word in words)


@pytest.mark.parametrize("chunk_bytes", [777, 640, 1 << 20], ids=["odd", "20 ms", "one message"])
def test_any_chunking_is_heard_alike(server, whole, chunk_bytes):
    assert finals(heard(server, chunk_bytes=chunk_bytes)) == finals(whole)


def test_streams_beside_each_other_hear_what_each_hears_alone(server, whole):
    async def together() -> list[list[dict]]:
        audio = demo()[0].tobytes()
        streams = (stream(server.stream_url, audio, 3200, "sample_rate=16000") for _ in range(3))
        return await asyncio.wait_for(asyncio.gather(*streams), TIMEOUT_S)

    texts = [[final["text"] for final in finals(messages)] for messages in asyncio.run(together())]
    assert texts == [[final["text"] for final in finals(whole)]] * 3


def test_two_channels_are_told_apart(server, whole):
    samples, _ = demo()
    both = np.stack([samples, np.zeros_like(samples)], axis=1)
    messages = heard(server, both.tobytes(), 6400, "sample_rate=16000&channels=2")
    assert [f["text"] for f in finals(messages)] == [f["text"] for f in finals(whole)]
    assert finals(messages, channel=1) == []


def test_a_file_is_heard_like_a_stream(whole):
    command = [
        sys.executable,
        "-m",
        "realtime.cli",
        "transcribe",
        str(DEMO),
        "--format",
        "json",
        "--slots",
        "1",
    ]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment(), cwd=ROOT
    )
    assert result.returncode == 0, result.stderr
    utterances = json.loads(result.stdout)["utterances"]
    assert [u["text"] for u in utterances] == [f["text"] for f in finals(whole)]


def test_clients_that_vanish_leave_nothing_behind(server):
    async def vanish(n_chunks: int) -> None:
        socket = await connect(f"{server.stream_url}?vad=off", compression=None, proxy=None)
        for _ in range(n_chunks):
            await socket.send(bytes(3200))
        socket.transport.abort()

    async def scene() -> None:
        for n_chunks in range(2 * SLOTS):
            await vanish(n_chunks)
            async with asyncio.timeout(TIMEOUT_S):
                while (await asyncio.to_thread(server.ready))["slots_in_use"]:
                    await asyncio.sleep(0.01)

    asyncio.run(scene())


def test_one_more_than_there_are_slots_is_refused_with_503(server):
    async def scene() -> None:
        sockets = [await connect(server.stream_url, proxy=None) for _ in range(SLOTS)]
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.stream_url, proxy=None)
        assert caught.value.response.status_code == 503
        assert int(caught.value.response.headers["Retry-After"]) > 0
        for socket in sockets:
            await socket.send(END)
            assert (await read_all(socket))[-1]["type"] == "done"

    asyncio.run(scene())


def test_the_port_serves_page_health_and_metrics(server):
    assert b"<html" in server.get("/")[1]
    assert server.get("/healthz")[0] == 200
    assert server.ready()["slots"] == SLOTS
    assert b"voxwire_tick_seconds_count" in server.get("/metrics")[1]


def test_sigterm_lets_a_speaker_finish_and_ends_with_1001():
    with running_server() as own:

        async def scene() -> tuple[list[dict], int]:
            async with connect(f"{own.stream_url}?sample_rate=16000", compression=None, proxy=None) as socket:
                samples, rate = demo()
                await socket.send(samples[: 6 * rate].tobytes())
                await (await socket.ping())  # all of it has been read
                stopping = asyncio.create_task(asyncio.to_thread(own.terminate))
                messages = await read_all(socket)
                assert socket.close_code == 1001
                return messages, await stopping

        messages, status = asyncio.run(asyncio.wait_for(scene(), TIMEOUT_S))
        assert status == 0
        assert (messages[-1]["type"], messages[-1]["code"]) == ("error", "shutting_down")
        assert finals(messages)[-1]["reason"] == "end"  # in the middle of the second utterance
        assert "done" not in [message["type"] for message in messages]
        assert "Traceback" not in own.said()
