"""What the kinds of dictionary share while they are trained: their weights, and which latents fire where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol as Interface

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Weights:
    """W_enc (F, d_in), b_enc (F,), W_dec (F, d_out), b_dec (d_out,), W_skip (d_out, d_in) of a skip transcoder."""

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    W_skip: Tensor | None = None

    @property
    def tensors(self) -> list[Tensor]:
        """All of them, to be trained."""
        return [t for t in (self.W_enc, self.b_enc, self.W_dec, self.b_dec, self.W_skip) if t is not None]


@dataclass(frozen=True, slots=True)
class Activity:
    """The entries of a batch (see `sparse`) with their activations `values` (m,), zero where a latent is silent after
    all, and the penalty on their number."""

    values: Tensor
    rows: Tensor
    latents: Tensor
    penalty: Tensor | float = 0.0


class Rule(Interface):
    """How a kind decides which latents fire. `activate` reads a batch x (n, d_in) in training; `tensors` are trained
    with the weights; `threshold` is (F,) or None, and what a latent must exceed when the dictionary is used."""

    tensors: list[Tensor]

    def activate(self, x: Tensor, weights: Weights) -> Activity: ...

    def threshold(self) -> Tensor | None: ...
