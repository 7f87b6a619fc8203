"""What feeds a conversation: chunks of interleaved 16-bit samples with their place in the source's time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

CHUNK_MS = 80  # the model's frame: smaller gains nothing, larger adds delay


@dataclass(frozen=True, slots=True)
class Chunk:
    """`data` is s16le, interleaved; `start_sample` and `n_samples` count per channel at the source's rate."""

    start_sample: int
    n_samples: int
    data: bytes


class Source(Protocol):
    """Audio to be captioned. `read` may be cancelled and called again without losing a chunk."""

    sample_rate: int
    channels: int

    async def read(self) -> Chunk | None:
        """The next chunk, None at the end. Raises ClientError when the source breaks."""

    def stop(self) -> None:
        """End the source early: what was captured may still be read, then None."""


def to_s16le(samples: np.ndarray) -> bytes:
    """float [n, channels] in -1..1 to interleaved 16-bit bytes; louder samples are clipped."""
    return (np.clip(samples, -1.0, 32767 / 32768) * 32768).round().astype("<i2").tobytes()


SILENT_DBFS = -96.0  # below the smallest 16-bit sample


def level_dbfs(data: bytes) -> float:
    """Loudness (RMS) of 16-bit samples in dB below full scale, SILENT_DBFS for digital silence or nothing."""
    samples = np.frombuffer(data, "<i2").astype(np.float32)
    if not samples.any():
        return SILENT_DBFS
    return max(SILENT_DBFS + 0.1, 20 * float(np.log10(np.sqrt(np.mean(samples * samples)) / 32768)))
