"""One recording in many containers, over HTTP, to the real server: the words are those of a stream of it."""

from __future__ import annotations

import asyncio

import aiohttp
import jiwer
import numpy as np
import pytest
import soxr

from tests.e2e.test_stream import TIMEOUT_S, demo, stream
from tests.server.test_media import encoded

pytestmark = pytest.mark.e2e

LOSSLESS = [("wav", "pcm_s16le", 16000), ("flac", "flac", 16000), ("mp4", "alac", 16000)]
LOSSY = [
    ("mp3", "libmp3lame", 44100),
    ("ipod", "aac", 44100),
    ("webm", "libopus", 48000),
    ("ogg", "libopus", 48000),
]
WORST_WER = 0.1  # as in test_stream.py


async def transcribed(address: str, file: bytes) -> str:
    data = aiohttp.FormData()
    data.add_field("model", "any")
    data.add_field("file", file, filename="demo")
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S)) as client,
        client.post(f"http://{address}/v1/audio/transcriptions", data=data) as response,
    ):
        assert response.status == 200, await response.text()
        return (await response.json())["text"]


def test_every_container_has_the_words_of_the_stream(server):
    samples, rate = demo()
    rows = (samples / 32768).astype(np.float32)

    async def scene() -> tuple[str, list[str], list[str]]:
        messages = await stream(server.stream_url, samples.tobytes(), 64_000, f"sample_rate={rate}")
        streamed = " ".join(message["text"] for message in messages if message["type"] == "final")
        texts = []
        for container, codec, to_rate in LOSSLESS + LOSSY:
            resampled = np.clip(soxr.resample(rows, rate, to_rate), -1, 1)
            texts.append(
                await transcribed(server.address, encoded(resampled[None], to_rate, container, codec))
            )
        return streamed, texts[: len(LOSSLESS)], texts[len(LOSSLESS) :]

    streamed, lossless, lossy = asyncio.run(scene())
    assert lossless == [streamed] * len(LOSSLESS) and streamed
    for text in lossy:
        assert jiwer.wer(streamed, text) <= WORST_WER, text
