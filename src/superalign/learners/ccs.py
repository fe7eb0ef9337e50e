"""Contrast-consistent search: labels from a model's features of both choices, without any teacher.

Source: Burns et al. 2022 (arXiv 2212.03827). The direction that it finds has no sign; the weak labels are
used for that one bit alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import Degenerate
from superalign.core.random import stream
from superalign.learners.labels import Labels, View
from superalign.learners.losses import at_least

if TYPE_CHECKING:
    from superalign.core.ports import Floats


def inconsistency(one: Floats, other: Floats) -> Floats:
    """`(p - (1 - p'))^2 + min(p, p')^2`, (n,): zero where a pair of choices gets a sure 1 and a sure 0."""
    return np.asarray((one - (1 - other)) ** 2 + np.minimum(one, other) ** 2)


@dataclass(frozen=True)
class Ccs:
    """Relabel pairs of choices by the direction in which the two are most consistently opposite.

    Features (n, 2, d) are centred and scaled per choice position. `do=search` fits a logistic direction
    from `restarts` random starts and keeps the lowest loss; `do=pca` takes the first principal component
    of the difference, the cheap twin. Of the two signs the one that agrees more with the weak labels.
    """

    do: str = "search"
    restarts: int = 10
    l2: float = 1e-3

    def __post_init__(self) -> None:
        if self.do not in ("search", "pca"):
            raise ValueError(f"do is search or pca, got {self.do!r}")
        at_least("restarts", self.restarts, 1)
        at_least("l2", self.l2, 0)

    def __call__(self, labels: Labels, view: View) -> Labels:
        x = np.asarray(view.features(), np.float64)
        if x.ndim != 3 or x.shape[1] != 2:
            raise Degenerate(
                f"ccs needs features of both choices, (n, 2, d), and these are {x.shape}; "
                "use a task whose items have two choices of their own"
            )
        scale = x.std(axis=0)
        x = (x - x.mean(axis=0)) / np.where(scale > 1e-12, scale, np.inf)
        second = self.pca(x) if self.do == "pca" else self.search(x, view.seed)
        if ((second > 0.5) == (labels.hard == 1)).mean() < 0.5:
            second = 1 - second
        return labels.relabel(np.column_stack([1 - second, second]), f"ccs {self.do}")

    def pca(self, x: Floats) -> Floats:
        """The probability of the second choice, (n,), from the first principal component."""
        difference = x[:, 1] - x[:, 0]
        _, _, axes = np.linalg.svd(difference, full_matrices=False)
        along = difference @ axes[0]
        return np.asarray(1 / (1 + np.exp(-along / max(float(along.std()), 1e-12))))

    def search(self, x: Floats, seed: int) -> Floats:
        """The probability of the second choice, (n,), from the best of the restarts."""
        from scipy.optimize import minimize

        def loss(w: Floats) -> tuple[float, Floats]:
            first, second = _sigmoid(x[:, 0] @ w[:-1] + w[-1]), _sigmoid(x[:, 1] @ w[:-1] + w[-1])
            both = 2 * (first + second - 1)
            least = 2 * np.minimum(first, second)
            slope = [
                (both + least * (first <= second)) * first * (1 - first),
                (both + least * (first > second)) * second * (1 - second),
            ]
            gradient = np.append(slope[0] @ x[:, 0] + slope[1] @ x[:, 1], sum(slope).sum()) / len(x)
            ridge = np.append(w[:-1], 0.0) * self.l2
            return float(inconsistency(first, second).mean() + ridge @ w / 2), gradient + ridge

        rng = stream(seed, "ccs")
        starts = rng.normal(size=(self.restarts, x.shape[2] + 1)) / np.sqrt(x.shape[2])
        found = [minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}) for start in starts]
        w = min(found, key=lambda result: float(result.fun)).x
        first, second = _sigmoid(x[:, 0] @ w[:-1] + w[-1]), _sigmoid(x[:, 1] @ w[:-1] + w[-1])
        return np.asarray((second + 1 - first) / 2)


def _sigmoid(z: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(z))


ccs = Ccs  # the name by which methods mention it
