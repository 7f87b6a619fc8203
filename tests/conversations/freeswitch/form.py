"""mod_audio_stream: 20 ms of 16-bit audio at 8 kHz a message, two channels interleaved."""

from realtime.dialects.freeswitch import FreeswitchDialect
from tests.conversations.stage import s16

PACKET_SAMPLES = 160

new = FreeswitchDialect


def messages(channels):
    """float32 [channels, n] at 16 kHz → binary audio."""
    slow = channels[:, ::2]
    starts = range(0, slow.shape[1], PACKET_SAMPLES)
    return [s16(slow[:, at : at + PACKET_SAMPLES].T.reshape(-1)) for at in starts]
