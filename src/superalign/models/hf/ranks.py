"""Several processes, one fit: what `accelerate launch` or `torchrun` started.

Every process holds the whole model and the same batches; each runs its share of a batch. What the
network said is assembled so that every process calls the objective on the whole effective batch, and
each takes its slice of the gradient. Without a launcher there is one process and nothing here does
anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from superalign.core.ports import Ints


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among its peers; messages travel on `device`."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def mine(self, count: int, together: int = 1) -> Ints:
        """The positions of a batch of `count` rows that this process runs; every `together` neighbours stay together."""
        found: Ints = np.flatnonzero(np.arange(count) // together % self.size == self.rank)
        return found

    def whole(self, part: Tensor, count: int, together: int = 1) -> Tensor:
        """All `count` rows, in every process, from the rows that each ran. Gradients flow into one's own rows alone, so
        the gradients that the processes make of one loss add up to that of the whole batch."""
        if self.size == 1:
            return part
        own = torch.from_numpy(self.mine(count, together)).to(part.device)
        sent = part.detach()
        full = sent.new_zeros(count, *part.shape[1:]).index_copy(0, own, sent).to(self.device)
        torch.distributed.all_reduce(full)
        return full.to(part.device).index_copy(0, own, part)

    def add(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum the gradients of all processes, in one message. What none of them has a gradient for keeps none."""
        if self.size == 1:
            return
        held = list(parameters)
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in held]
        there = torch.tensor([float(p.grad is not None) for p in held], device=grads[0].device, dtype=grads[0].dtype)
        flat = torch.cat([there, *(g.reshape(-1) for g in grads)])
        torch.distributed.all_reduce(flat)
        counts, *pieces = torch.split(flat, [len(held), *(p.numel() for p in held)])
        for p, count, piece in zip(held, counts.tolist(), pieces, strict=True):
            p.grad = piece.view_as(p) if count else None

    def any(self, happened: bool) -> bool:
        """Whether it happened in one of the processes."""
        if self.size == 1:
            return happened
        count = torch.tensor([float(happened)], device=self.device)
        torch.distributed.all_reduce(count)
        return bool(count > 0)

    def follow(self, tensors: Sequence[Tensor]) -> None:
        """Take the values of the first process, in place."""
        if self.size > 1:
            for tensor in tensors:
                sent = tensor.detach().to(self.device).contiguous()
                torch.distributed.broadcast(sent, 0)
                tensor.detach().copy_(sent)


def launched() -> int:
    """How many processes this launch has."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this process is the first of its launch: the one that writes and reports."""
    return launched() < 2 or int(os.environ.get("RANK", "0")) == 0


def ranks(device: torch.device) -> Ranks:
    """The processes of this launch; joins them on first use."""
    if launched() < 2:
        return Ranks()
    from accelerate import PartialState

    state = PartialState(cpu=device.type == "cpu")
    return Ranks(state.process_index, state.num_processes, str(device))
