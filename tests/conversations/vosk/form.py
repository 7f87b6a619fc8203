"""A client of vosk-server: 16-bit audio at 8 kHz, the default, in messages of 0.2 s."""

from realtime.dialects.vosk import VoskDialect
from tests.conversations.stage import s16

MESSAGE_SAMPLES = 1600

new = VoskDialect


def messages(channels):
    """float32 [1, n] at 16 kHz → its binary messages."""
    [mono] = channels
    narrow = mono[::2]
    return [s16(narrow[at : at + MESSAGE_SAMPLES]) for at in range(0, len(narrow), MESSAGE_SAMPLES)]
