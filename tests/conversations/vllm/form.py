"""Conversations with vLLM's realtime endpoint, behind the hello."""

import base64

from realtime.dialects.vllm_realtime import VllmRealtimeDialect
from tests.conversations.stage import s16

MESSAGE_SAMPLES = 1280

new = VllmRealtimeDialect


def messages(channels):
    """float32 [1, n] → appends of 80 ms."""
    [mono] = channels
    starts = range(0, len(mono), MESSAGE_SAMPLES)
    return [append(s16(mono[start : start + MESSAGE_SAMPLES])) for start in starts]


def append(data):
    return {"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode()}
