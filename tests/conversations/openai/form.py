"""How a client of OpenAI's Realtime API puts its audio: base64 of 24 kHz PCM, as it is unless told otherwise."""

import base64
import json

import numpy as np
import soxr

from realtime.dialects.openai_realtime import OpenAIRealtimeDialect

CHUNK_MS = 100
RATE_HZ = 24_000


def new():
    return OpenAIRealtimeDialect(now=lambda: 1_795_000_000.0)


def messages(channels):
    """float32 [1, n] at 16 kHz → appends of 100 ms."""
    pcm = (np.clip(soxr.resample(channels[0], 16_000, RATE_HZ), -1, 1) * 32767).astype("<i2").tobytes()
    step = CHUNK_MS * RATE_HZ // 1000 * 2
    return [append(pcm[at : at + step]) for at in range(0, len(pcm), step)]


def append(data):
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode()})
