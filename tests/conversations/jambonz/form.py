"""jambonz's side of a custom recogniser: 20 ms of 16-bit audio at 8 kHz a message."""

from realtime.dialects.jambonz import JambonzDialect
from tests.conversations.stage import s16

PACKET_SAMPLES = 160

new = JambonzDialect


def messages(channels):
    """float32 [1, n] at 16 kHz → binary audio."""
    slow = channels[0][::2]
    return [s16(slow[at : at + PACKET_SAMPLES]) for at in range(0, len(slow), PACKET_SAMPLES)]
