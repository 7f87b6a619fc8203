"""A Wyoming client of 16-bit audio at 16 kHz; of two channels it sends both, as Wyoming mixes them."""

import json

from realtime.dialects.wyoming import WyomingDialect
from tests.conversations.stage import s16

CHUNK_SAMPLES = 1024


def new():
    return WyomingDialect("echo")


def messages(channels):
    """float32 [channels, n] at 16 kHz → the bytes of its audio-chunk events."""
    audio_format = {"rate": 16000, "width": 2, "channels": len(channels)}
    for at in range(0, channels.shape[1], CHUNK_SAMPLES):
        payload = s16(channels[:, at : at + CHUNK_SAMPLES].T.reshape(-1))
        yield event("audio-chunk", audio_format, payload)


def event(kind, data=None, payload=b""):
    """The bytes of one event."""
    text = json.dumps(data).encode() if data else b""
    header = {"type": kind, "version": "1.10.2"}
    if text:
        header["data_length"] = len(text)
    if payload:
        header["payload_length"] = len(payload)
    return json.dumps(header).encode() + b"\n" + text + payload
