"""Files over HTTP with real sockets; the engine is scripted and hears words in silence."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import threading
import tracemalloc
import wave
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import pytest
import uvloop

from realtime.server.admission import Seats
from realtime.server.files import endpoints
from realtime.server.files.run import in_thread
from realtime.server.media import Media
from tests.conversations.stage import silence, voice
from tests.server.fakes import TIMEOUT_S, audio, house, read, read_all, text_of, until

PATH = "/v1/audio/transcriptions"
LISTEN = "/v1/listen"
END = '{"type":"end"}'
MISTRAL = {"User-Agent": "mistral-client-python/3.7.0"}


def run(scene) -> None:
    uvloop.run(asyncio.wait_for(scene, 60))


def wav(pcm: bytes, channels: int = 1, rate: int = 16000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pcm)
    return file.getvalue()


def spoken(*pieces: np.ndarray) -> bytes:
    """float32 pieces as a WAV file."""
    return wav((np.concatenate(pieces) * 32767).astype("<i2").tobytes())


def form(file: object = None, *pairs: tuple[str, str], **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in [("model", "whisper-1"), *pairs, *fields.items()]:
        data.add_field(name, value)
    if file is not None:
        data.add_field("file", file, filename="talk.wav")
    return data


@asynccontextmanager
async def posting(running, path: str, **options):
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S)) as client,
        client.post(f"http://{running.address}{path}", **options) as response,
    ):
        yield response


async def post(running, data, path: str = PATH, **options) -> tuple[int, dict]:
    """Status and JSON of an answer."""
    async with posting(running, path, data=data, **options) as response:
        return response.status, await response.json(content_type="application/json")


async def post_raw(running, data) -> tuple[int, str]:
    async with posting(running, PATH, data=data) as response:
        return response.status, (await response.read()).decode()


@asynccontextmanager
async def impatient_house(**settings):
    """The library goes on reading a refused body for ten seconds, even when the client is gone; here it does not."""
    async with house(**settings) as running:
        running.server._runner.server._kwargs["lingering_time"] = 0.05
        yield running
        await until(lambda: not running.server._runner.server.connections)


async def sse(running, *pairs, file: bytes, headers=None) -> list[dict]:
    data = form(file, ("stream", "true"), *pairs)
    async with posting(running, PATH, data=data, headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        return events((await response.read()).decode())


def events(text: str) -> list[dict]:
    assert text.endswith("\n\n")
    lines = [line for block in text.split("\n\n") for line in block.split("\n")]
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


async def streamed_text(running, pcm: bytes, query: str) -> str:
    async with running.stream(query) as ws:
        await ws.send(pcm)
        await ws.send(END)
        return text_of(await read_all(ws))


# ---------------------------------------------------------------- good files


def test_a_file_has_the_words_of_a_stream():
    async def scene():
        async with house(vad="off") as running:
            for path, data in ((PATH, form(wav(audio(100)))), (LISTEN, wav(audio(100)))):
                status, told = await post(running, data, path)
                assert status == 200
                [alternative] = told["results"]["channels"][0]["alternatives"] if path == LISTEN else [None]
                text = alternative["transcript"] if alternative else told["text"]
                assert text == await streamed_text(running, audio(100), "vad=off") != ""

    run(scene())


def test_a_file_passes_the_gate_like_a_stream():
    async def scene():
        sound = np.concatenate([silence(900), voice(1500), silence(2500), voice(800), silence(700)])
        pcm = (sound * 32767).astype("<i2").tobytes()
        async with house() as running:
            _, told = await post(running, form(wav(pcm), response_format="verbose_json"))
            assert told["text"] == await streamed_text(running, pcm, "vad=on") != ""
            assert len(told["segments"]) >= 2
            assert told["duration"] == pytest.approx(6.4)

    run(scene())


@pytest.mark.parametrize(
    ("format", "content_type", "begins"),
    [
        ("json", "application/json", '{"text":"w0 w1'),
        ("verbose_json", "application/json", '{"task":"transcribe"'),
        ("text", "text/plain; charset=utf-8", "w0 w1"),
        ("srt", "text/plain; charset=utf-8", "1\n00:00:0"),
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT\n\n00:00:0"),
    ],
)
def test_every_format_has_its_type(format, content_type, begins):
    async def scene():
        async with house(vad="off") as running:
            data = form(wav(audio(50)), response_format=format)
            async with posting(running, PATH, data=data) as response:
                assert response.status == 200
                assert response.headers["Content-Type"].removesuffix("; charset=utf-8") in content_type
                assert (await response.text()).startswith(begins)
                assert response.headers["x-request-id"]

    run(scene())


def test_deltas_come_while_the_file_is_heard():
    async def scene():
        async with house(vad="off") as running:
            data = form(wav(audio(2000)), stream="true")
            async with posting(running, PATH, data=data) as response:
                first = await response.content.readuntil(b"\n\n")
                running.engine.hold()
                rest = asyncio.create_task(response.read())
                assert running.engine.slots_in_use == 1  # it is still at work
                running.engine.go()
                told = events((first + await rest).decode())
            deltas, done = told[:-1], told[-1]
            assert len(deltas) > 100 and {delta["type"] for delta in deltas} == {"transcript.text.delta"}
            assert done["type"] == "transcript.text.done"
            assert done["text"] == "".join(delta["delta"] for delta in deltas)

    run(scene())


def test_mistrals_clients_get_their_own_events():
    async def scene():
        async with house(vad="off") as running:
            for pairs, headers in (((), MISTRAL), ([("diarize", "false")], None)):
                told = await sse(running, *pairs, file=wav(audio(60)), headers=headers)
                assert {event["type"] for event in told[:-1]} == {"transcription.text.delta"}
                assert told[-1]["type"] == "transcription.done"
                assert told[-1]["text"] == "".join(event["text"] for event in told[:-1])

    run(scene())


def test_the_file_may_come_before_the_fields():
    async def scene():
        async with house(vad="off") as running:
            data = aiohttp.FormData()
            data.add_field("file", wav(audio(30)), filename="a.wav")
            data.add_field("timestamp_granularities", "word")
            data.add_field("diarize", "false")
            status, told = await post(running, data)
            assert status == 200 and told["segments"][0]["text"] == "w0"

    run(scene())


def test_two_channels_take_two_slots_and_are_told_apart():
    async def scene():
        async with house(slots=2, vad="off") as running:
            stereo = wav(bytes(4 * 16000 * 4), channels=2)
            status, told = await post(running, stereo, LISTEN + "?multichannel=true&utterances=true")
            assert status == 200 and told["metadata"]["channels"] == 2
            first, second = told["results"]["channels"]
            assert first == second and first["alternatives"][0]["transcript"]
            assert {utterance["channel"] for utterance in told["results"]["utterances"]} == {0, 1}
            status, told = await post(running, stereo, LISTEN)
            assert len(told["results"]["channels"]) == 1

    run(scene())


def test_raw_samples_are_read_as_the_query_says_but_a_container_as_it_says_itself():
    async def scene():
        async with house(vad="off") as running:
            texts = []
            for body in (audio(40), wav(audio(40))):
                status, told = await post(running, body, LISTEN + "?encoding=linear16&sample_rate=16000")
                assert status == 200 and told["metadata"]["duration"] == pytest.approx(3.2)
                texts.append(told["results"]["channels"][0]["alternatives"][0]["transcript"])
            assert texts[0] == texts[1] != ""

    run(scene())


def test_a_silent_file_is_answered_with_no_words():
    async def scene():
        async with house() as running:
            status, told = await post(running, form(wav(audio(100))))
            assert (status, told["text"]) == (200, "")
            assert (await sse(running, file=wav(audio(100))))[-1]["text"] == ""
            assert running.engine.most_waiting == 0

    run(scene())


def test_a_file_that_breaks_off_is_answered_as_far_as_it_goes():
    async def scene():
        async with house(vad="off") as running:
            status, told = await post(running, form(wav(audio(100))[: 44 + 2560 * 50]))
            assert status == 200 and told["usage"]["seconds"] == pytest.approx(4.0)

    run(scene())


def test_a_file_is_fed_no_faster_than_the_engine_hears():
    async def scene():
        async with house(vad="off") as running:
            await post(running, form(wav(audio(1500))))
            assert (
                running.engine.most_waiting <= 64 + 7 + 20
            )  # the bound, a block, the silence behind the end

    run(scene())


def test_a_long_file_is_never_in_memory():
    seconds = 300

    async def pieces():
        yield wav(b"")[:40] + struct.pack("<I", seconds * 32000)
        for _ in range(seconds):
            yield bytes(32000)

    async def scene():
        async with house() as running:
            tracemalloc.start()
            try:
                status, told = await post(running, pieces(), LISTEN)
                peak_bytes = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert status == 200 and told["metadata"]["duration"] == seconds
            assert peak_bytes < 5_000_000  # of 10 of the file, and 19 of its samples

    run(scene())


def test_a_file_that_has_lost_its_slot_waits_for_another_and_loses_nothing(monkeypatch):
    """The slot goes back in a long silence; when it is wanted again there is none for a while."""
    grant, asked = Seats.open, []

    def hesitant(self, delay_tokens, channel):
        asked.append(self)
        if len(asked) == 2:
            asyncio.get_running_loop().call_later(0.05, self.retry)
            return None
        return grant(self, delay_tokens, channel)

    async def scene():
        file = spoken(voice(1500), silence(4000), voice(9000), silence(700))
        async with house(release_after_s=1, max_ahead_s=1) as running:
            _, expected = await post(running, form(file, response_format="verbose_json"))
            monkeypatch.setattr(Seats, "open", hesitant)
            _, told = await post(running, form(file, response_format="verbose_json"))
            assert len(asked) == 3
            assert told == expected and len(told["segments"]) >= 2

    run(scene())


def test_metrics_count_files():
    async def scene():
        async with house(vad="off") as running:
            await post(running, form(wav(audio(50))))
            assert running.metric("audio_seconds_total") == pytest.approx(4.0)
            assert running.metric("finals_total", reason="end") == 1
            assert running.metric("frames_total") >= 50
            await post(running, form(b"not audio at all"))
            assert running.metric("files_total", status="200") == 1
            assert running.metric("files_total", status="400") == 1

    run(scene())


@pytest.mark.parametrize(
    ("channels", "status"),
    [(1, 200), (6, 400), (2, 503)],  # heard; refused by what it says; refused for want of slots
)
def test_every_file_that_was_opened_is_closed(monkeypatch, channels, status):
    closed = []
    monkeypatch.setattr(Media, "close", lambda media: closed.append(media))

    async def scene():
        async with house(slots=1) as running:
            file = wav(bytes(3200 * channels), channels=channels)
            async with posting(running, LISTEN + "?multichannel=true", data=file) as response:
                assert response.status == status
            assert len(closed) == 1

    run(scene())


def test_who_is_cancelled_waits_for_its_thread():
    begun, may_end = threading.Event(), threading.Event()

    def read() -> None:
        begun.set()
        may_end.wait(30)

    async def scene():
        reading = asyncio.create_task(in_thread(read))
        await until(begun.is_set)
        reading.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not reading.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await reading

    run(scene())


# ---------------------------------------------------------------- bad files and bad requests


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"not audio at all",
        bytes(4000),
        wav(b""),
        wav(audio(3))[:30],
        b"#EXTM3U\nhttp://127.0.0.1/a.ts\n",
    ],
)
def test_what_is_no_audio_gets_each_vendors_400(file):
    async def scene():
        async with house() as running:
            status, told = await post(running, form(file))
            assert (status, told["error"]["param"], told["error"]["code"]) == (400, "file", "invalid_value")
            assert told["error"].keys() == {"message", "type", "param", "code"}
            status, told = await post(running, form(file, stream="true"))
            assert status == 400
            status, told = await post(running, form(file), headers=MISTRAL)
            assert (status, told["object"], told["param"]) == (400, "error", "file")
            status, told = await post(running, file, LISTEN)
            assert (status, told["err_code"]) == (400, "Bad Request")

    run(scene())


def test_a_form_needs_a_file():
    async def scene():
        async with house() as running:
            status, told = await post(running, form())
            assert (status, told["error"]["param"]) == (400, "file")
            assert told["error"]["code"] == "missing_required_parameter"

    run(scene())


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "yaml"}, "response_format"),
        ({"response_format": "diarized_json"}, "response_format"),
    ],
)
def test_wrong_values_are_told_in_shape(fields, param):
    async def scene():
        async with house() as running:
            status, told = await post(running, form(wav(audio(5)), **fields))
            assert (status, told["error"]["param"]) == (400, param)

    run(scene())


def test_no_address_is_fetched():
    async def scene():
        async with house() as running:
            data = {
                "model": "voxtral",
                "file_url": "http://127.0.0.1:1/a.wav",
                "stream": "false",
                "diarize": "false",
            }
            status, told = await post(running, data)
            assert (status, told["param"]) == (400, "file_url")
            async with posting(running, LISTEN, json={"url": "http://127.0.0.1:1/a.wav"}) as response:
                assert response.status == 400 and "url" in (await response.json())["err_msg"]
                assert response.headers["dg-error"] and response.headers["dg-request-id"]

    run(scene())


def test_translations_are_refused_in_shape():
    async def scene():
        async with house() as running:
            status, told = await post(running, form(wav(audio(5))), "/v1/audio/translations")
            assert (status, told["error"]["code"]) == (400, "unsupported")

    run(scene())


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{}", "application/json"),
        (b"audio", "audio/wav"),
        (b"no boundary", "multipart/form-data"),
        (
            b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\nbreaks off",
            "multipart/form-data; boundary=x",
        ),
        (b"", "multipart/form-data; boundary=x"),
        (
            b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\na\r\n--y--\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
        (b"&".join(b"a=b" for _ in range(2000)), "application/x-www-form-urlencoded"),
    ],
)
def test_bodies_that_are_no_form_are_refused_in_shape(body, content_type):
    async def scene():
        async with house() as running:
            status, told = await post(running, body, headers={"Content-Type": content_type})
            assert (status, told["error"]["type"]) == (400, "invalid_request_error")

    run(scene())


def test_a_form_of_very_many_fields_is_refused():
    async def scene():
        async with house() as running:
            status, told = await post(running, form(None, *((f"f{n}", "") for n in range(1100))))
            assert (status, told["error"]["code"]) == (400, "bad_message")

    run(scene())


def test_a_long_field_that_nobody_asked_for_is_read_past():
    async def scene():
        async with house(vad="off") as running:
            status, told = await post(running, form(wav(audio(30)), known_speaker_references="x" * 200_000))
            assert status == 200 and told["text"]

    run(scene())


@pytest.mark.parametrize("path", [PATH, LISTEN])
@pytest.mark.parametrize("tells_size", [True, False])
def test_a_file_beyond_the_limit_gets_413(path, tells_size):
    async def pieces():
        for _ in range(40):
            yield bytes(100_000)

    async def scene():
        async with impatient_house(max_upload_bytes=2_000_000) as running:
            file = io.BytesIO(bytes(4_000_000)) if tells_size else pieces()
            status, told = await post(running, form(file) if path == PATH else file, path)
            assert status == 413
            assert "2000000 bytes" in (told["error"]["message"] if path == PATH else told["err_msg"])

    run(scene())


# ---------------------------------------------------------------- who may ask, and when


def test_keys_are_asked_for_in_every_vendors_shape():
    async def scene():
        async with house(api_keys="sesame", vad="off") as running:
            status, told = await post(running, form(wav(audio(30))))
            assert (status, told["error"]["code"]) == (401, "invalid_api_key")
            status, told = await post(running, form(wav(audio(30))), headers=MISTRAL)
            assert (status, told["code"]) == (401, "invalid_api_key")
            status, told = await post(running, wav(audio(30)), LISTEN)
            assert (status, told["err_code"]) == (401, "INVALID_AUTH")
            assert (await running.get("/v1/models"))[0] == 401
            good = {"Authorization": "Bearer sesame"}
            assert (await post(running, form(wav(audio(30))), headers=good))[0] == 200
            assert (await post(running, wav(audio(30)), LISTEN, headers={"Authorization": "Token sesame"}))[
                0
            ] == 200

    run(scene())


def test_pages_of_other_sites_are_refused():
    async def scene():
        async with house() as running:
            status, told = await post(running, form(wav(audio(5))), headers={"Origin": "http://evil.example"})
            assert (status, told["error"]["code"]) == (403, "forbidden_origin")

    run(scene())


def test_a_busy_server_asks_to_come_back():
    async def scene():
        async with house(slots=1) as running, running.stream() as ws:
            await read(ws)
            async with posting(running, PATH, data=form(wav(audio(5)))) as response:
                assert (response.status, response.headers["Retry-After"]) == (503, "5")
                assert (await response.json())["error"]["type"] == "server_error"
            status, told = await post(running, wav(audio(5)), LISTEN)
            assert (status, told["err_code"]) == (503, "Service Unavailable")
            await ws.close()

    run(scene())


def test_uploads_on_disk_are_counted(monkeypatch):
    monkeypatch.setattr(endpoints, "LEAST_PLACES", 0)
    monkeypatch.setattr(endpoints, "PLACES_PER_SLOT", 1)

    async def scene():
        async with house(slots=1, vad="off") as running:
            begun, going = asyncio.Event(), asyncio.Event()

            async def slowly():
                yield wav(audio(20))[:1000]
                begun.set()
                await going.wait()
                yield wav(audio(20))[1000:]

            first = asyncio.create_task(post(running, slowly(), LISTEN))
            await begun.wait()
            assert (await post(running, wav(audio(1)), LISTEN))[0] == 503
            going.set()
            assert (await first)[0] == 200
            assert (await post(running, wav(audio(20)), LISTEN))[0] == 200

    run(scene())


def test_an_upload_that_stalls_is_given_up():
    async def scene():
        async with impatient_house(idle_timeout_s=0.1) as running:
            never = asyncio.Event()

            async def stalls():
                yield b"RIFF"
                await never.wait()

            status, told = await post(running, stalls(), LISTEN)
            assert (status, told["err_code"]) == (408, "Request Timeout")

    run(scene())


def test_models():
    async def scene():
        async with house() as running:
            status, headers, body = await running.get("/v1/models")
            told = json.loads(body)
            assert (status, told["object"]) == (200, "list") and headers["x-request-id"]
            [card] = told["data"]
            assert (card["id"], card["object"], type(card["created"])) == ("fake", "model", int)
            status, _, body = await running.get("/v1/models/fake")
            assert (status, json.loads(body)) == (200, card)
            status, _, body = await running.get("/v1/models/mistralai/Voxtral-Mini")
            assert (status, json.loads(body)["error"]["code"]) == (404, "model_not_found")

    run(scene())


# ---------------------------------------------------------------- ends of all kinds


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_client_that_leaves_stops_its_work(stream):
    async def scene():
        async with house(vad="off") as running:
            running.engine.hold()
            posted = asyncio.create_task(post(running, form(wav(audio(500)), stream=stream)))
            await until(lambda: running.engine.streams and running.engine.streams[0].waiting)
            posted.cancel()
            await asyncio.gather(posted, return_exceptions=True)
            await running.until_all_left()
            assert running.engine.most_waiting == 0

    run(scene())


def test_a_client_that_leaves_within_its_upload_leaves_nothing():
    async def scene():
        async with house() as running:
            _, writer = await asyncio.open_connection(*running.address.split(":"))
            head = f"POST {LISTEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
            writer.write(head.encode() + bytes(5000))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            status, told = await post(running, form(wav(audio(30)), response_format="json"))
            assert (status, told["text"]) == (200, "")

    run(scene())


def test_a_drain_lets_a_file_finish():
    async def scene():
        async with house(vad="off") as running:
            running.engine.hold()
            posted = asyncio.create_task(post(running, form(wav(audio(300)))))
            await until(lambda: running.engine.streams and running.engine.streams[0].waiting)
            draining = asyncio.create_task(running.service.drain())
            await asyncio.sleep(0)
            status, told = await post(running, form(wav(audio(5))))
            assert (status, told["error"]["code"]) == (503, "shutting_down")
            running.engine.go()
            status, told = await posted
            assert status == 200 and told["usage"]["seconds"] == pytest.approx(24.0)
            await draining

    run(scene())


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_drain_is_bounded(stream):
    async def scene():
        async with house(vad="off", drain_timeout_s=0.1) as running:
            running.engine.hold()
            posted = asyncio.create_task(post_raw(running, form(wav(audio(300)), stream=stream)))
            await until(lambda: running.engine.streams and running.engine.streams[0].waiting)
            await running.service.drain()
            status, body = await posted
            told = events(body)[-1] if stream == "true" else json.loads(body)
            assert status == (200 if stream == "true" else 503)
            assert told["error"]["code"] == "shutting_down"

    run(scene())


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_dead_engine_is_told(stream):
    async def scene():
        async with house(vad="off") as running:
            running.engine.hold()
            data = form(wav(audio(300)), stream=stream)
            posted = asyncio.create_task(post_raw(running, data))
            await until(lambda: running.engine.streams and running.engine.streams[0].waiting)
            running.engine.fail()
            _, body = await posted
            told = events(body)[-1] if stream == "true" else json.loads(body)
            assert told["error"]["code"] == "engine_failed"

    run(scene())


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_fault_of_ours_is_told_without_its_text(monkeypatch, stream):
    async def scene():
        async with house(vad="off") as running:
            monkeypatch.setattr(endpoints.Heard, "text", property(lambda heard: 1 / 0))
            status, body = await post_raw(running, form(wav(audio(60)), stream=stream))
            told = events(body)[-1] if stream == "true" else json.loads(body)
            assert status == (200 if stream == "true" else 500)
            assert told["error"]["code"] == "internal_error" and "zero" not in body

    run(scene())


def test_audio_longer_than_the_longest_session_is_refused():
    async def scene():
        async with house(max_session_s=3, vad="off") as running:
            status, told = await post(running, form(wav(audio(100))))
            assert status == 400 and "longer than 3 s" in told["error"]["message"]

    run(scene())
