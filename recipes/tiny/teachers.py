"""Models that have been trained already, whose doubts another learns beside what was said.

Hinton et al. 2015, distillation; Furlanello et al. 2018, born-again networks: of the size of the one that learns.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from recipes.tiny import export
from recipes.tiny.data import FRAMES_PER_TICK, IGNORE, Batch
from recipes.tiny.model import Model


class Teachers:
    """share: how much of the loss they are where they teach; the rest is what was said."""

    def __init__(self, models: Sequence[Model], share: float):
        self.models, self.share = list(models), share
        for model in self.models:
            model.requires_grad_(False)

    @classmethod
    def load(cls, checkpoints: Sequence[Path], share: float, device: str) -> "Teachers":
        return cls([export.load(path).to(device) for path in checkpoints], share)

    @torch.no_grad()
    def probabilities(self, batch: Batch, tokens: torch.Tensor) -> torch.Tensor:
        """The mean [B, T, V] of what they expect behind tokens [B, T]."""
        each = [m.decode(m.adapt(m.encode(batch.mel)), tokens, batch.delay).float() for m in self.models]
        return sum(logits.softmax(-1) for logits in each) / len(each)

    def blend(
        self, losses: torch.Tensor, logits: torch.Tensor, batch: Batch, tokens: torch.Tensor
    ) -> torch.Tensor:
        """losses [B, T] of logits [B, T, V] against what was said -> with their share against what they expect."""
        theirs = -(self.probabilities(batch, tokens) * F.log_softmax(logits.float(), -1)).sum(-1)
        return losses.lerp(theirs, self.share * is_english(batch))


def is_english(batch: Batch) -> torch.Tensor:
    """float [B, T], 1.0 where a token is to be learned of speech or pauses with known phones.

    Speech of which nothing is to be written has none: of it the truth is better than what any model makes of it.
    """
    known = (batch.phones.unflatten(1, (-1, FRAMES_PER_TICK)) != IGNORE).any(-1)
    heard = torch.arange(known.shape[1], device=known.device)[None] - batch.delay[:, None]
    return (known.gather(1, heard.clamp(min=0)) & (batch.targets != IGNORE)).float()
