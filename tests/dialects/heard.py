"""A file that was heard, for the tests of those who tell of it."""

from dataclasses import replace

from realtime.dialects.files import Heard
from realtime.events import Final, Partial, Piece, Word

HELLO = Final(
    utterance=0,
    text="Hello, world.",
    words=(Word("Hello,", 500, 900, 0.9), Word("world.", 1000, 1400, 0.7)),
    start_ms=500,
    end_ms=1400,
    reason="silence",
    pieces=(Piece(b"Hello,", -0.1), Piece(b" world.", -0.3)),
)
CAFE = Final(
    utterance=1,
    text="Café.",
    words=(Word("Café.", 3000, 3600, 0.5),),
    start_ms=3000,
    end_ms=3600,
    reason="end",
    pieces=(Piece(b" Caf\xc3", -0.2), Piece(b"\xa9.", -0.4)),
)
NOTHING = Final(1, "", (), 2000, 2000, "silence", pieces=())
EVENTS = (
    Partial(0, "Hello,", "Hello,", 500, 1000, pieces=HELLO.pieces[:1]),
    Partial(0, "Hello, world.", " world.", 500, 1500, pieces=HELLO.pieces),
    HELLO,
    NOTHING,
    Partial(1, "Café.", "Café.", 3000, 3700, pieces=CAFE.pieces),
    CAFE,
)
HEARD = Heard(
    model="voxtral",
    finals=(HELLO, CAFE),
    audio_ms=4250,
    request_id="r-1",
    created="2026-01-02T03:04:05.678Z",
    sha256="ab" * 32,
)
SILENCE = replace(HEARD, finals=())
