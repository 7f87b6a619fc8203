"""Conversations with Mistral's realtime transcription."""

import base64

from realtime.dialects.mistral_realtime import MistralRealtimeDialect
from tests.conversations.stage import s16

MESSAGE_SAMPLES = 1600

new = MistralRealtimeDialect


def messages(channels):
    """float32 [1, n] → appends of 100 ms in the vendor's default format."""
    [mono] = channels
    starts = range(0, len(mono), MESSAGE_SAMPLES)
    return [append(s16(mono[start : start + MESSAGE_SAMPLES])) for start in starts]


def append(data):
    return {"type": "input_audio.append", "audio": base64.b64encode(data).decode()}
