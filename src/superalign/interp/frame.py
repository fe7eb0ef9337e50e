"""Random directions of a site as an encoder: a control that is cached beside the site, in the same pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from superalign.interp.controls import random_directions

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """`count` uniform unit vectors of a space of `d` numbers; the activation of each is relu(x @ direction)."""

    d: int
    count: int
    seed: int = 0

    @property
    def identity(self) -> Mapping[str, Any]:
        """JSON-like; everything that encoding depends on."""
        return {"frame": 1, "kind": "random", "d": self.d, "count": self.count, "seed": self.seed}

    @property
    def width(self) -> int:
        """The number of directions."""
        return self.count

    @property
    def per_row(self) -> int:
        """All of them are given for each row; those that are silent are 0."""
        return self.count

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Activations (n, count) >= 0 and their places (n, count), int64, of rows (n, d)."""
        import torch

        values = (x.float() @ self._directions.to(x.device)).relu_()
        return values, torch.arange(self.count, device=x.device).expand(len(x), -1)

    @cached_property
    def _directions(self) -> Tensor:
        """(d, count)"""
        import torch

        return torch.from_numpy(random_directions(self.d, self.count, self.seed).T.copy()).float()
