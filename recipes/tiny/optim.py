"""Muon for matrices, AdamW for the rest; the work of Muon is shared between the processes."""

import collections

import torch
import torch.distributed as dist

from recipes.tiny.precision import has_half


def world() -> tuple[int, int]:
    """(rank, ranks); (0, 1) without a process group."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def orthogonal(x: torch.Tensor) -> torch.Tensor:
    """[n, rows, columns] -> roughly the nearest orthogonal matrices, by five Newton-Schulz steps.

    They are rough anyway, so that bfloat16 is enough for them.
    """
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    if has_half(x.device.type):
        x = x.bfloat16()
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Momentum, then the nearest orthogonal matrix (Jordan et al. 2024); matrices of one shape go through together.

    Every rank updates every n-th matrix and keeps the momentum of those alone; the updates are summed over ranks.
    """

    def __init__(self, parameters, lr=0.02, momentum=0.95, weight_decay=0.01):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            matrices = group["params"]
            sizes = [p.numel() for p in matrices]
            flat = torch.zeros(sum(sizes), device=matrices[0].device)
            updates = [u.view_as(p) for u, p in zip(flat.split(sizes), matrices, strict=True)]
            self._fill(matrices, updates, group["momentum"])
            if world()[1] > 1:
                dist.all_reduce(flat)
            for p, update in zip(matrices, updates, strict=True):
                if p.grad is None:
                    continue
                scale = max(1, p.shape[0] / p.shape[1]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)

    def _fill(self, matrices, updates, momentum):
        """Writes the updates of this rank's matrices; the others stay zero."""
        rank, ranks = world()
        shapes = collections.defaultdict(list)
        for i, (p, update) in enumerate(zip(matrices, updates, strict=True)):
            if i % ranks == rank and p.grad is not None:
                shapes[tuple(p.shape)].append((p, update))
        for members in shapes.values():
            nesterov = []
            for p, _ in members:
                m = self.state[p].setdefault("momentum", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - momentum)
                nesterov.append(p.grad.lerp(m, momentum))
            for (_, update), u in zip(members, orthogonal(torch.stack(nesterov)), strict=True):
                update.copy_(u)


def joined(states: list[dict]) -> dict:
    """Muon's state_dict of every rank -> one that any number of ranks can go on from."""
    owned = (
        (i, state)
        for rank, part in enumerate(states)
        for i, state in part["state"].items()
        if i % len(states) == rank
    )
    return {**states[0], "state": dict(sorted(owned))}


def optimisers(model: torch.nn.Module, muon_lr: float, adam_lr: float) -> list[torch.optim.Optimizer]:
    """Muon takes every matrix but the embedding, the aux head and the delay's; AdamW takes what is left."""
    matrices, rest = [], []
    for name, p in model.named_parameters():
        plain = p.ndim == 2 and not any(s in name for s in ("tok_embeddings", "aux", "t_cond"))
        (matrices if plain else rest).append(p)
    adam = torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.01)
    return [Muon(matrices, lr=muon_lr), adam]


def average_gradients(model: torch.nn.Module) -> None:
    """Replaces every gradient by its mean over the ranks, in one message."""
    _, ranks = world()
    if ranks == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients]) / ranks
    dist.all_reduce(flat)
    for g, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        g.copy_(mean.view_as(g))
