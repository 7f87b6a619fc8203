"""A call as chan_websocket sends it in slin16: 20 ms a binary message."""

from realtime.dialects.asterisk import AsteriskDialect
from tests.conversations.stage import s16

PACKET_SAMPLES = 320

new = AsteriskDialect


def messages(channels):
    """float32 [1, n] at 16 kHz → binary media."""
    [mono] = channels
    return [s16(mono[at : at + PACKET_SAMPLES]) for at in range(0, len(mono), PACKET_SAMPLES)]
