"""BatchTopK: the n * k largest pre-activations of a batch of n rows fire (Bussmann et al. 2024, arXiv 2412.06410).

A row gets as many latents as it needs. Outside training there is no batch to compare with: a latent then fires above
one threshold, the running average of the smallest activation that fired in a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from superalign.interp.dictionaries.activity import Activity, Weights
from superalign.interp.dictionaries.sparse import encode

RATE, SHARE = 0.01, 20
"""Weight of the newest batch in the average, or SHARE / steps if that is more: thresholds fall while directions are
found, and in 450 steps an average over the last 100 ended with 27 latents a row where 32 were meant."""


class BatchTopK:
    """A Rule. The average is kept in double precision, and corrected for having started at 0."""

    def __init__(self, k: int, width: int, steps: int) -> None:
        self.k, self.width, self.rate = k, width, min(1.0, max(RATE, SHARE / steps))
        self.tensors: list[Tensor] = []
        self._sum, self._weight = 0.0, 0.0

    def activate(self, x: Tensor, weights: Weights) -> Activity:
        """The n * k largest of the batch, those above 0."""
        with torch.no_grad():
            pre = torch.addmm(weights.b_enc, x, weights.W_enc.T).flatten()
            values, place = pre.topk(len(x) * self.k, sorted=False)
            place = place[values > 0].sort().values  # entries go row by row
            values = pre[place]
        if len(values):
            self._sum += self.rate * (float(values.min()) - self._sum)
            self._weight += self.rate * (1 - self._weight)
        rows, latents = place // self.width, place % self.width
        return Activity(encode(x, weights.W_enc, weights.b_enc, (rows, latents, values)), rows, latents)

    def threshold(self) -> Tensor:
        """(F,) the average; 0 where nothing ever fired."""
        return torch.full((self.width,), self._sum / self._weight if self._weight else 0.0)
