"""A call as Twilio streams it: 20 ms of µ-law in base64 a message, the tracks in turn, every number a string."""

import base64
from itertools import count

from realtime.dialects.twilio import TwilioDialect
from tests.conversations.test_equalities import mulaw

PACKET_MS, BYTES_PER_MS = 20, 8
STREAM = "MZ18ad3ab5a668481ce02b83e7395059f0"


class Call:
    """Numbers of one stream: messages, and chunks of each track."""

    def __init__(self):
        self.sequence = count(2)  # 1 is `start`
        self.sent_packets = 0

    def media(self, track, packet, payload):
        return {
            "event": "media",
            "sequenceNumber": str(next(self.sequence)),
            "streamSid": STREAM,
            "media": {
                "track": track,
                "chunk": str(packet + 1),
                "timestamp": str(packet * PACKET_MS),
                "payload": base64.b64encode(payload).decode(),
            },
        }


call = Call()


def new():
    global call
    call = Call()
    return TwilioDialect()


def messages(channels, tracks=("inbound", "outbound")):
    """float32 [channels, n] at 16 kHz → `media` of one track or of both, behind what was sent before."""
    rows = [mulaw(row[::2]) for row in channels]
    size = PACKET_MS * BYTES_PER_MS
    for at in range(0, len(rows[0]), size):
        for track, row in zip(tracks, rows, strict=False):
            yield call.media(track, call.sent_packets, row[at : at + size])
        call.sent_packets += 1
