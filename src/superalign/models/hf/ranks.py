"""Several processes, one fit: what `accelerate launch` or `torchrun` started.

Every process holds the whole model and the same batches; each runs its share of a batch. Logits are
assembled so that every process calls the objective on the whole effective batch, and each takes its
slice of the gradient. Without a launcher there is one process and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from superalign.core.ports import Ints


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among its peers."""

    rank: int = 0
    size: int = 1

    def mine(self, count: int) -> Ints:
        """The positions of a batch of `count` rows that this process runs."""
        return np.arange(self.rank, count, self.size)

    def whole(self, part: torch.Tensor, count: int) -> torch.Tensor:
        """All `count` rows, in every process, from the rows that each ran."""
        if self.size == 1:
            return part
        full = part.new_zeros(count, *part.shape[1:])
        full[torch.from_numpy(self.mine(count)).to(part.device)] = part
        torch.distributed.all_reduce(full)
        return full

    def add(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sum the gradients of all processes, in one message."""
        if self.size == 1:
            return
        held = list(parameters)
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in held]
        flat = torch.cat([g.reshape(-1) for g in grads])
        torch.distributed.all_reduce(flat)
        for p, piece in zip(held, torch.split(flat, [p.numel() for p in held]), strict=True):
            p.grad = piece.view_as(p)


def ranks(device: torch.device) -> Ranks:
    """The processes of this launch; joins them on first use."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Ranks()
    from accelerate import PartialState

    state = PartialState(cpu=device.type == "cpu")
    return Ranks(state.process_index, state.num_processes)
