"""Voxtral Realtime: one batched streaming step for all sessions, and the offline pass as the same code."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.model.args import ModelArgs
from realtime.model.blanks import BlankPenalty
from realtime.model.decoder import Decoder
from realtime.model.encoder import Encoder
from realtime.model.layers import Linear
from realtime.model.mel import LogMel
from realtime.model.state import Rows, StreamState, WholeMemory


@dataclass(frozen=True, slots=True)
class Prompt:
    """What every stream begins with: BOS, then streaming pads over the left padding and the delay."""

    bos: int
    pad: int
    left_pad_tokens: int


class Adapter(nn.Module):
    """`downsample_factor` encoder positions side by side -> one decoder vector."""

    def __init__(self, args: ModelArgs):
        super().__init__()
        self.factor = args.downsample_factor
        self.linear1 = Linear(args.encoder.dim * self.factor, args.decoder.dim, bias=False)
        self.linear2 = Linear(args.decoder.dim, args.decoder.dim, bias=False)

    def forward(self, encoded: Tensor) -> Tensor:
        """[B, factor * n, encoder dim] -> [B, n, decoder dim]."""
        side_by_side = encoded.reshape(encoded.shape[0], -1, encoded.shape[2] * self.factor)
        return self.linear2(F.gelu(self.linear1(side_by_side)))


class Voxtral(nn.Module):
    """Weights and pure functions of (weights, state, input)."""

    def __init__(self, args: ModelArgs):
        super().__init__()
        self.args = args
        self.encoder = Encoder(args)
        self.adapter = Adapter(args)
        self.decoder = Decoder(args)

    def prepare(self) -> Voxtral:
        """Once, after the weights are in place: the front-end, the rotations and the table of delays."""
        weight = self.decoder.tok_embeddings.weight
        self.encoder.prepare()
        self.decoder.prepare()
        self.mel = LogMel(self.args.audio).to(weight.device)
        with torch.inference_mode():
            self.scales = self.decoder.scale_table()
        return self.eval().requires_grad_(False)

    @property
    def dtype(self) -> torch.dtype:
        return self.decoder.tok_embeddings.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.decoder.tok_embeddings.weight.device

    def new_state(self, slots: int) -> StreamState:
        return StreamState(self.args, slots, self.dtype, self.device)

    @torch.inference_mode()
    def step(
        self,
        state: StreamState,
        rows: Rows,
        frames: Tensor,
        prompt: Prompt,
        penalty: BlankPenalty | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One tick: frames [B, 1280] float32 -> tokens [B] int64 and their log probabilities [B] float32.

        Frame k of a stream holds samples 1280 k + 40 … 1280 (k + 1) + 40 of its padded audio. A token that the prompt
        overrules comes out as the prompt's, with log probability 0.
        """
        return self.tick(state, rows, frames, prompt, penalty)

    def tick(
        self, state: StreamState, rows: Rows, frames: Tensor, prompt: Prompt, penalty: BlankPenalty | None
    ) -> tuple[Tensor, Tensor]:
        """`step` without its inference mode, as a tracer wants it."""
        audio = self._hear(state, rows, frames)
        return self._speak(state, rows, audio, prompt, penalty)

    def _hear(self, state: StreamState, rows: Rows, frames: Tensor) -> Tensor:
        """Frames through mel, stem, encoder ring and adapter: [B, 1, decoder dim]."""
        samples = torch.cat((rows.read(state.samples), frames), 1)
        mel = self.mel(samples).to(self.dtype)
        x, mel_tail, conv_tail = self.encoder.stem(mel, rows.read(state.mel_tail), rows.read(state.conv_tail))
        per_frame = self.args.positions_per_frame
        first = rows.read(state.position)[:, None] * per_frame
        positions = first + torch.arange(per_frame, device=first.device)
        encoded = self.encoder.transform(x, positions, state.encoder.plan(rows, positions))
        rows.write(state.samples, samples[:, -self.args.memory_samples :])
        rows.write(state.mel_tail, mel_tail)
        rows.write(state.conv_tail, conv_tail)
        return self.adapter(encoded)

    def _speak(
        self, state: StreamState, rows: Rows, audio: Tensor, prompt: Prompt, penalty: BlankPenalty | None
    ) -> tuple[Tensor, Tensor]:
        """Audio vectors and the previous tokens through the decoder ring: tokens [B], log probabilities [B]."""
        position, delay = rows.read(state.position), rows.read(state.delay)
        x = audio + self.decoder.tok_embeddings(rows.read(state.next_token))[:, None]
        memory = state.decoder.plan(rows, position[:, None])
        logits = self.decoder.transform(x, position[:, None], memory, self.scales.index_select(0, delay))[
            :, 0
        ].float()
        blank_run = rows.read(state.blank_run)
        if penalty is not None:
            logits[:, prompt.pad] -= penalty.logits(blank_run)
        best, token = logits.max(-1)
        log_probability = best - logits.logsumexp(-1)
        overruled = position < prompt.left_pad_tokens + delay
        token = torch.where(overruled, prompt.pad, token)
        log_probability = torch.where(overruled, 0.0, log_probability)
        rows.write(state.next_token, token)
        rows.write(state.blank_run, torch.where(overruled | (token != prompt.pad), 0, blank_run + 1))
        rows.write(state.position, position + 1)
        return token, log_probability

    @torch.inference_mode()
    def encode_whole(self, mel: Tensor) -> Tensor:
        """Offline: mel [B, mel, 8 T] -> encoder output [B, 4 T, encoder dim]."""
        batch, bins, _ = mel.shape
        mel = mel.to(self.dtype)
        tails = mel.new_zeros(batch, bins, 2), mel.new_zeros(batch, self.args.encoder.dim, 1)
        x, _, _ = self.encoder.stem(mel, *tails)
        return self.encoder.transform(x, *self._whole(x, self.args.encoder.sliding_window))

    @torch.inference_mode()
    def forward(self, mel: Tensor, tokens: Tensor, delay_tokens: int) -> Tensor:
        """Offline, teacher-forced: mel [B, mel, 8 T], tokens [B, T] -> logits [B, T, vocab]."""
        x = self.adapter(self.encode_whole(mel)) + self.decoder.tok_embeddings(tokens)
        scales = self.scales[delay_tokens].expand(x.shape[0], -1, -1)
        return self.decoder.transform(x, *self._whole(x, self.args.decoder.sliding_window), scales)

    def _whole(self, x: Tensor, window: int) -> tuple[Tensor, WholeMemory]:
        length = x.shape[1]
        positions = torch.arange(length, device=x.device).expand(x.shape[0], -1)
        return positions, WholeMemory(length, window, x.dtype, x.device)
