"""The tracks of a call, each in packets with a time stamp, → one stream of interleaved µ-law at 8 kHz.

Packets may be lost, doubled, late or out of order. What is complete on every track goes out at once; for what is
missing the others wait at most `MAX_LAG_MS`, then it is silence. So a track that says nothing costs them that much.

    inbound    0    20    40    60              in:  (inbound, 0) (inbound, 20) (outbound, 0) (inbound, 60) …
    outbound   0    20     –    60              out: 0–20 at once, 20–40 with the outbound packet, …
"""

from __future__ import annotations

BYTES_PER_MS = 8  # one byte a sample
SILENCE = b"\xff"  # zero in µ-law
MAX_LAG_MS = 200
SNAP_MS = 5  # time stamps off by no more continue the track: senders round them
MAX_GAP_MS = 10_000  # a jump beyond is a clock that was set, not a gap


class TrackMixer:
    """Mixes `tracks` tracks. Positions are samples of the stream, whose 0 is the time stamp 0."""

    def __init__(self, tracks: int):
        self._tracks = [_Track() for _ in range(tracks)]
        self._mixed = 0  # everything before went out
        self._shift = 0  # from the sender's clock to the stream's, once it was set anew

    def push(self, track: int, timestamp_ms: int, data: bytes) -> bytes:
        """A packet of one track; returns what is complete, interleaved, which may be nothing."""
        target = self._tracks[track]
        start = self._place(target, timestamp_ms * BYTES_PER_MS)
        too_late = max(0, self._mixed - start)
        if too_late < len(data):
            target.put(start + too_late - self._mixed, data[too_late:])
        return self._take(self._complete())

    def flush(self) -> bytes:
        """The end of all tracks: what still waits."""
        return self._take(self._furthest)

    @property
    def _furthest(self) -> int:
        return self._mixed + max(track.n_samples for track in self._tracks)

    def _place(self, track: _Track, stamp: int) -> int:
        """Where in the stream a packet begins."""
        start, furthest = stamp + self._shift, self._furthest
        if abs(start - furthest) > MAX_GAP_MS * BYTES_PER_MS:
            self._shift += furthest - start
            return furthest
        end = self._mixed + track.n_samples
        return end if abs(start - end) <= SNAP_MS * BYTES_PER_MS else start

    def _complete(self) -> int:
        """Up to where every track is known, or has been waited for long enough."""
        known = min(self._mixed + track.known_samples for track in self._tracks)
        return max(known, self._furthest - MAX_LAG_MS * BYTES_PER_MS)

    def _take(self, until: int) -> bytes:
        n_samples = until - self._mixed
        if n_samples <= 0:
            return b""
        self._mixed = until
        rows = [track.take(n_samples) for track in self._tracks]
        if len(rows) == 1:
            return rows[0]
        mixed = bytearray(n_samples * len(rows))
        for index, row in enumerate(rows):
            mixed[index :: len(rows)] = row
        return bytes(mixed)


class _Track:
    """What is known of one track behind the mixed part; offsets count from there."""

    def __init__(self) -> None:
        self._audio = bytearray()  # silence where nothing is known
        self._known: list[tuple[int, int]] = []  # spans, in order and apart

    @property
    def n_samples(self) -> int:
        return len(self._audio)

    @property
    def known_samples(self) -> int:
        """Known without a hole from the beginning."""
        return self._known[0][1] if self._known and self._known[0][0] == 0 else 0

    def put(self, start: int, data: bytes) -> None:
        end = start + len(data)
        if start > len(self._audio):
            self._audio += SILENCE * (start - len(self._audio))
        self._audio[start:end] = data
        touching = [span for span in self._known if span[0] <= end and span[1] >= start]
        apart = [span for span in self._known if span not in touching]
        whole = (min([start, *(s for s, _ in touching)]), max([end, *(e for _, e in touching)]))
        self._known = sorted([*apart, whole])

    def take(self, n_samples: int) -> bytes:
        """The first `n_samples`, silence where they are not known."""
        taken = bytes(self._audio[:n_samples])
        del self._audio[:n_samples]
        self._known = [(max(0, s - n_samples), e - n_samples) for s, e in self._known if e > n_samples]
        return taken + SILENCE * (n_samples - len(taken))
