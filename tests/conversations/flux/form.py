"""A stream as clients of Deepgram's Flux send it: linear16 at 16 kHz, 80 ms a message."""

from functools import partial

from realtime.audio.containers import unpacker
from realtime.dialects.deepgram_flux import FluxDialect
from tests.conversations.stage import s16

MESSAGE_SAMPLES = 1280

new = partial(FluxDialect, unpacker, "r1")


def messages(channels):
    """float32 [1, n] at 16 kHz → binary messages."""
    [mono] = channels
    return [s16(mono[at : at + MESSAGE_SAMPLES]) for at in range(0, len(mono), MESSAGE_SAMPLES)]
