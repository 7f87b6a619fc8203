"""Everything a stream remembers between two ticks, for all slots at once. Modules own weights, this owns the rest.

Slot dimension first. A slot is reset by copying a template row (`copy_slot`); cells of the rings that the new tenant
has not written yet may hold its predecessor's keys, and are never seen because visibility is computed from absolute
positions alone.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from realtime.model.args import ModelArgs, TowerArgs


@dataclass(frozen=True)
class Rows:
    """The slots that take part in a tick.

    index:  [B] int64, slot of each row.
    active: [B] bool, rows that have a frame; None when all have. An inactive row leaves its slot untouched.
    prefix: true when index is 0, 1, … B-1: the rings are then read in place instead of gathered.
    """

    index: Tensor
    active: Tensor | None = None
    prefix: bool = False

    @property
    def count(self) -> int:
        return self.index.shape[0]

    def read(self, per_slot: Tensor) -> Tensor:
        """[S, …] -> [B, …]; a view for a prefix, a copy otherwise."""
        return per_slot[: self.count] if self.prefix else per_slot.index_select(0, self.index)

    def write(self, per_slot: Tensor, values: Tensor) -> None:
        """Store values [B, …] of the active rows into per_slot [S, …]."""
        if self.active is not None:
            shape = (-1,) + (1,) * (values.dim() - 1)
            values = torch.where(self.active.view(shape), values, self.read(per_slot))
        if self.prefix:
            per_slot[: self.count] = values
        else:
            per_slot.index_copy_(0, self.index, values)


class Ring:
    """Keys and values of the last positions of one tower: `kv` [layers, slots, cells + 1, 2 * kv_heads, head_dim], the
    keys' heads before the values'.

    A tick writes `positions` new entries before it attends, so that window + positions - 1 cells are needed: the
    oldest query still sees a whole window. The one cell more takes the writes of inactive rows and is never read.
    """

    def __init__(self, args: TowerArgs, slots: int, positions: int, dtype: torch.dtype, device: torch.device):
        self.window = args.sliding_window
        self.cells = args.sliding_window + positions - 1
        shape = (args.n_layers, slots, self.cells + 1, 2 * args.n_kv_heads, args.head_dim)
        self.kv = torch.zeros(shape, dtype=dtype, device=device)
        self._cell = torch.arange(self.cells, device=device)
        self._hidden = torch.tensor(float("-inf"), dtype=dtype, device=device)

    def plan(self, rows: Rows, positions: Tensor) -> RingTick:
        """Where this tick writes and what it sees; shared by all layers. positions [B, T] int64, absolute."""
        write = positions % self.cells
        if rows.active is not None:
            write = torch.where(rows.active[:, None], write, self.cells)
        last = positions[:, -1:]
        # The newest absolute position that each cell can hold; negative where nothing was written yet.
        held = last - (last - self._cell) % self.cells
        age = positions[:, :, None] - held[:, None]
        visible = (age >= 0) & (age < self.window) & (held >= 0)[:, None]
        return RingTick(self, rows, write, torch.where(visible, 0, self._hidden))

    def nbytes_per_slot(self) -> int:
        return self.kv[:, 0].numel() * self.kv.element_size()


@dataclass(frozen=True, slots=True)
class RingTick:
    """A ring during one tick: where to write, [B, T] cells, and an additive mask [B, T, cells]."""

    ring: Ring
    rows: Rows
    write: Tensor
    mask: Tensor

    def layer(self, index: int) -> RingLayer:
        """The memory that layer `index` attends to."""
        return RingLayer(self, self.ring.kv[index])


class RingLayer:
    """Rolling memory of one layer: append the new keys and values, get all that are kept."""

    def __init__(self, tick: RingTick, kv: Tensor):
        self.tick, self.kv, self.mask = tick, kv, tick.mask

    def append(self, kv: Tensor) -> Tensor:
        """kv [B, T, 2 * kv_heads, head_dim] -> [B, cells, 2 * kv_heads, head_dim]."""
        rows = self.tick.rows
        self.kv[rows.index[:, None], self.tick.write] = kv
        return rows.read(self.kv)[:, : self.tick.ring.cells]


class WholeMemory:
    """Memory of an offline pass: the keys of the pass itself under a causal sliding-window mask."""

    def __init__(self, length: int, window: int, dtype: torch.dtype, device: torch.device):
        age = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)
        visible = (age >= 0) & (age < window)
        self.mask = torch.zeros(1, length, length, dtype=dtype, device=device).masked_fill_(
            ~visible, float("-inf")
        )

    def layer(self, index: int) -> WholeMemory:
        return self

    def append(self, kv: Tensor) -> Tensor:
        return kv


class StreamState:
    """State of `slots` streams.

    samples    [S, 240] float32   the audio before the next frame that its first mel window needs
    mel_tail   [S, mel, 2]        input of the first convolution before the next frame
    conv_tail  [S, dim, 1]        input of the second convolution before the next frame
    encoder, decoder              rings
    position   [S] int64          decoder positions done; the encoder has done four times as many
    delay      [S] int64          in tokens
    next_token [S] int64          what goes into the next position
    blank_run  [S] int64          streaming pads sampled in a row
    """

    _ROWS = ("samples", "mel_tail", "conv_tail", "position", "delay", "next_token", "blank_run")

    def __init__(self, args: ModelArgs, slots: int, dtype: torch.dtype, device: torch.device):
        self.slots = slots
        self.samples = torch.zeros(slots, args.memory_samples, device=device)
        self.mel_tail = torch.zeros(slots, args.audio.num_mel_bins, 2, dtype=dtype, device=device)
        self.conv_tail = torch.zeros(slots, args.encoder.dim, 1, dtype=dtype, device=device)
        self.encoder = Ring(args.encoder, slots, args.positions_per_frame, dtype, device)
        self.decoder = Ring(args.decoder, slots, 1, dtype, device)
        self.position = torch.zeros(slots, dtype=torch.int64, device=device)
        self.delay = torch.zeros(slots, dtype=torch.int64, device=device)
        self.next_token = torch.zeros(slots, dtype=torch.int64, device=device)
        self.blank_run = torch.zeros(slots, dtype=torch.int64, device=device)

    def tensors(self) -> tuple[Tensor, ...]:
        """All that changes in a tick."""
        return (*(getattr(self, name) for name in self._ROWS), self.encoder.kv, self.decoder.kv)

    def over(self, tensors: tuple[Tensor, ...]) -> StreamState:
        """This state's shape over other tensors, as `tensors` gives them."""
        twin = copy.copy(self)
        for name, tensor in zip(self._ROWS, tensors, strict=False):
            setattr(twin, name, tensor)
        twin.encoder, twin.decoder = copy.copy(self.encoder), copy.copy(self.decoder)
        twin.encoder.kv, twin.decoder.kv = tensors[-2:]
        return twin

    def clear(self, slot: int, delay_tokens: int, first_token: int) -> None:
        """A stream that has heard nothing. The rings need no clearing, see above."""
        for name in self._ROWS:
            getattr(self, name)[slot] = 0
        self.delay[slot] = delay_tokens
        self.next_token[slot] = first_token

    def copy_slot(self, slot: int, source: StreamState, source_slot: int = 0) -> None:
        """Make `slot` equal to a slot of another state of the same model, whose rings may be shorter if they have
        not wrapped."""
        for name in self._ROWS:
            getattr(self, name)[slot] = getattr(source, name)[source_slot]
        for mine, theirs in ((self.encoder, source.encoder), (self.decoder, source.decoder)):
            cells = min(mine.cells, theirs.cells)
            mine.kv[:, slot, :cells] = theirs.kv[:, source_slot, :cells]

    @staticmethod
    def bytes_per_slot(args: ModelArgs, dtype: torch.dtype) -> int:
        """Memory that one more slot takes, without allocating it."""
        state = StreamState(args, 1, dtype, torch.device("meta"))
        rows = sum(
            getattr(state, name).numel() * getattr(state, name).element_size() for name in StreamState._ROWS
        )
        return rows + state.encoder.nbytes_per_slot() + state.decoder.nbytes_per_slot()
