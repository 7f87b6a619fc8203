"""A call as AudioSocket sends it at 8 kHz: 20 ms a frame, in reads that are cut anywhere."""

from realtime.dialects.audiosocket import AudioSocketDialect
from tests.conversations.stage import s16

PACKET_SAMPLES = 160
READ_BYTES = 777

new = AudioSocketDialect


def messages(channels):
    """float32 [1, n] at 16 kHz → the bytes of its frames."""
    [mono] = channels
    slow = mono[::2]
    frames = (s16(slow[at : at + PACKET_SAMPLES]) for at in range(0, len(slow), PACKET_SAMPLES))
    data = b"".join(frame(0x10, payload) for payload in frames)
    return [data[at : at + READ_BYTES] for at in range(0, len(data), READ_BYTES)]


def frame(kind, payload=b""):
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload
