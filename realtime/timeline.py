"""Lease time ↔ stream time.

The model hears a lease: the audio that the gate passed, joined, with silence between utterances to drain
the delay. The client counts every sample it sent. This map is told what enters the framer, in order, and
gives the stream time of a moment of the lease:

    stream   ....aaaaaaaa.................bbbbbb...      add(4, 8)  add_silence(3)  add(29, 6)
    lease        aaaaaaaa000bbbbbb                       lease 2 → 6    lease 9 → 12    lease 12 → 30
"""

from __future__ import annotations

from typing import NamedTuple

SAMPLES_PER_MS = 16


class _Piece(NamedTuple):
    lease_start: int
    stream_start: int
    n_samples: int


class Timeline:
    """The pieces of audio of one lease. Positions are samples at 16 kHz, times are milliseconds."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []  # without gaps inside, ascending in lease and stream
        self._lease_samples = 0  # audio and silence that entered the framer
        self._stream_end = 0  # the end of the last audio, of this lease or of one before

    def add(self, start_sample: int, n_samples: int) -> None:
        """Audio that entered the framer: `n_samples` of the stream from `start_sample` on.

        Raises ValueError if that goes back within a lease.
        """
        last = self._pieces[-1] if self._pieces else None
        if last and start_sample < self._stream_end:
            raise ValueError(f"Sample {start_sample} of the stream after {self._stream_end}.")
        if last and self._continues(last, start_sample):
            self._pieces[-1] = last._replace(n_samples=last.n_samples + n_samples)
        elif n_samples:
            self._pieces.append(_Piece(self._lease_samples, start_sample, n_samples))
        self._lease_samples += n_samples
        self._stream_end = start_sample + n_samples

    def add_silence(self, n_samples: int) -> None:
        """Zeros that entered the framer: the padding of a frame, or frames that drain the delay."""
        self._lease_samples += n_samples

    def lease_to_stream_ms(self, lease_ms: float) -> int:
        """Stream time of a moment of the lease; within silence, the end of the audio before it."""
        lease_sample = round(lease_ms * SAMPLES_PER_MS)
        at = self._piece_at(lease_sample)
        if at < 0:
            stream_sample = self._pieces[0].stream_start if self._pieces else self._stream_end
        else:
            piece = self._pieces[at]
            stream_sample = piece.stream_start + min(lease_sample - piece.lease_start, piece.n_samples)
        return round(stream_sample / SAMPLES_PER_MS)

    def forget(self, before_lease_ms: float) -> None:
        """Nobody will ask about a moment before `before_lease_ms` again. Keeps memory bounded."""
        if len(self._pieces) < 2:
            return
        at = self._piece_at(round(before_lease_ms * SAMPLES_PER_MS))
        if at > 0:
            del self._pieces[:at]

    def reset(self) -> None:
        """A new lease begins: lease time starts at 0, stream time goes on."""
        self._pieces.clear()
        self._lease_samples = 0

    def __len__(self) -> int:
        """Pieces remembered."""
        return len(self._pieces)

    def _piece_at(self, lease_sample: int) -> int:
        """Index of the last piece that begins by then, -1 for none. Nearly always the last is asked for."""
        at = len(self._pieces) - 1
        while at >= 0 and self._pieces[at].lease_start > lease_sample:
            at -= 1
        return at

    def _continues(self, piece: _Piece, start_sample: int) -> bool:
        return (
            piece.stream_start + piece.n_samples == start_sample
            and piece.lease_start + piece.n_samples == self._lease_samples
        )
