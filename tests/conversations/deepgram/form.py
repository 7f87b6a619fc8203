"""A stream as Deepgram's clients send it: linear16 at 16 kHz, 100 ms a message."""

import re
from functools import partial

from realtime.audio.containers import unpacker
from realtime.dialects.deepgram import DeepgramDialect
from tests.conversations.stage import s16

MESSAGE_SAMPLES = 1600


class Nova(DeepgramDialect):
    """The digest of made sound differs by the machine that made it."""

    def encode(self, event):
        return [re.sub('"sha256":"[0-9a-f]{64}"', '"sha256":"…"', frame) for frame in super().encode(event)]


new = partial(Nova, unpacker, "r1", "2026-01-02T03:04:05.006Z")


def messages(channels):
    """float32 [c, n] at 16 kHz → binary messages, channels interleaved."""
    starts = range(0, channels.shape[1], MESSAGE_SAMPLES)
    return [s16(channels[:, at : at + MESSAGE_SAMPLES].T.reshape(-1)) for at in starts]
