"""Losses as pure functions of logits and soft labels, with their gradients.

A loss takes the logits `z` (B, K) of one effective batch and soft labels `y` (B, K) whose rows sum to
1, and returns the value of each row (B,) and its gradient with respect to the logits (B, K), both before
any mean over B. What a formula marks as stop-gradient is a constant of the gradient. All arithmetic is
float64 and in log space, so saturated logits and one-hot labels stay finite. With K = 2 the second column
of the gradient is the gradient of the binary formula in the logit of class 1.

Sources: cross-entropy: Burns et al. 2023 (arXiv 2312.09390); window: EleutherAI/w2s; reverse losses and
CACE: arXiv 2505.24313; symmetric: Wang et al. 2019 (arXiv 1908.06112).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Protocol as Interface

import numpy as np

from superalign.core.errors import SpecError

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints


class Loss(Interface):
    """`loss(z, y, step, total, ids) -> (values (B,), gradients (B, K))`.

    `step` of `total` drives schedules; `ids` (B,) break ties, so that a batch in another order gives the
    same rows. A loss may also have `prepared(labels) -> Loss`, called once per fit with all soft labels
    (n, K) of the transfer set; what it returns is used for that fit alone.
    """

    def __call__(
        self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None
    ) -> tuple[Floats, Floats]: ...


def log_softmax(z: Floats) -> Floats:
    """Log-probabilities (B, K) of logits; entries of minus infinity are probabilities of zero."""
    shifted = z - z.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def in_float64(z: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Logits and labels in float64. Raises ValueError unless both are (B, K) with K >= 2."""
    if z.shape != y.shape or z.ndim != 2 or z.shape[1] < 2:
        raise ValueError(f"logits {z.shape} and labels {y.shape} must both be (B, K) with K >= 2")
    return np.asarray(z, np.float64), np.asarray(y, np.float64)


def half_margin(p: Floats) -> Floats:
    """Half the distance between the two largest probabilities, (B,); `abs(p - .5)` for K = 2."""
    top = np.sort(p, axis=1)[:, -2:]
    return np.asarray((top[:, 1] - top[:, 0]) / 2)


def cross_entropy(target: Floats, z: Floats) -> tuple[Floats, Floats]:
    """`CE(target, p)` and its gradient `p - target`; the target is a constant."""
    log_p = log_softmax(z)
    return -(target * log_p).sum(axis=1), np.exp(log_p) - target


def reverse_cross_entropy(z: Floats, y: Floats, eps: float) -> tuple[Floats, Floats]:
    """`-sum_k p_k log y~_k` with `y~ = (1 - eps) y + eps / K`; gradient `p_j (-log y~_j - value)`."""
    if eps == 0 and (y == 0).any():
        raise SpecError("a reverse loss with eps=0 cannot take labels that are exactly 0; type eps=.02")
    cost = -np.log((1 - eps) * y + eps / y.shape[1])
    p = np.exp(log_softmax(z))
    values = (p * cost).sum(axis=1)
    return values, p * (cost - values[:, None])


def unit(name: str, value: float, *, open_top: bool = False) -> None:
    """Raises ValueError unless `value` is in [0, 1], or in [0, 1) with `open_top`."""
    _number(name, value)
    if not (0 <= value < 1 or (value == 1 and not open_top)):
        raise ValueError(f"{name} must be between 0 and 1{' (1 excluded)' if open_top else ''}, got {value}")


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number, got {value!r}")


def at_least(name: str, value: float, low: float) -> None:
    """Raises ValueError unless `low <= value < infinity`."""
    _number(name, value)
    if not low <= value < np.inf:
        raise ValueError(f"{name} must be {low:g} or more and finite, got {value}")


@dataclass(frozen=True)
class Xent:
    """Cross-entropy `CE(y, p)`; for hard labels put the step `hard` before it."""

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        z, y = in_float64(z, y)
        return cross_entropy(y, z)


@dataclass(frozen=True)
class TrueEntropy:
    """`(1 - alpha) CE(y, p) + alpha H(p)`, the gradient flowing through both.

    With a stop-gradient on H the gradient would only be `(1 - alpha)` times that of cross-entropy.
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        unit("alpha", self.alpha)

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        z, y = in_float64(z, y)
        values, gradients = cross_entropy(y, z)
        log_p = log_softmax(z)
        p = np.exp(log_p)
        entropy = -(p * log_p).sum(axis=1)
        return (
            (1 - self.alpha) * values + self.alpha * entropy,
            (1 - self.alpha) * gradients - self.alpha * p * (log_p + entropy[:, None]),
        )


@dataclass(frozen=True)
class Window:
    """Cross-entropy on the rows of which the student is unsure: half margin of p below `r`.

    For K = 2 that is `max_k p_k < .5 + r`. The other rows are zero and still count in the mean over B.
    """

    r: float = 0.15

    def __post_init__(self) -> None:
        at_least("r", self.r, 0)

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        z, y = in_float64(z, y)
        values, gradients = cross_entropy(y, z)
        kept = half_margin(np.exp(log_softmax(z))) < self.r
        return np.where(kept, values, 0.0), np.where(kept[:, None], gradients, 0.0)


@dataclass(frozen=True)
class MidWeak:
    """The window whose `r` is the median half margin of the weak labels over the transfer set."""

    def prepared(self, labels: Floats) -> Window:
        """The window of these labels (n, K). An even n takes the mean of the two middle values."""
        return Window(float(np.median(half_margin(np.asarray(labels, np.float64)))))

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        raise SpecError("midweak takes its window from all transfer labels; call prepared(labels) before the fit")


@dataclass(frozen=True)
class ReverseCE:
    """`-sum_k p_k log y~_k`, labels smoothed by `eps`; ignores rows of which the weak label is unsure."""

    eps: float = 0.02

    def __post_init__(self) -> None:
        unit("eps", self.eps, open_top=True)

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        z, y = in_float64(z, y)
        return reverse_cross_entropy(z, y, self.eps)


@dataclass(frozen=True)
class ReverseKL:
    """`sum_k p_k log(p_k / y~_k)`, labels smoothed by `eps`; zero at `p = y~`."""

    eps: float = 0.02

    def __post_init__(self) -> None:
        unit("eps", self.eps, open_top=True)

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        z, y = in_float64(z, y)
        values, gradients = reverse_cross_entropy(z, y, self.eps)
        log_p = log_softmax(z)
        p = np.exp(log_p)
        entropy = -(p * log_p).sum(axis=1)
        return values - entropy, gradients + p * (log_p + entropy[:, None])


@dataclass(frozen=True)
class Cace:
    """Cross-entropy where the weak label is sure (half margin `c` or more), reverse CE elsewhere."""

    c: float = 0.01
    eps: float = 0.02

    def __post_init__(self) -> None:
        at_least("c", self.c, 0)
        unit("eps", self.eps, open_top=True)

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        z, y = in_float64(z, y)
        values, gradients = cross_entropy(y, z)
        unsure = half_margin(y) < self.c
        if unsure.any():
            values[unsure], gradients[unsure] = reverse_cross_entropy(z[unsure], y[unsure], self.eps)
        return values, gradients


@dataclass(frozen=True)
class Symmetric:
    """`alpha CE + beta RCE` (arXiv 1908.06112)."""

    alpha: float = 1.0
    beta: float = 0.1
    eps: float = 0.02

    def __post_init__(self) -> None:
        at_least("alpha", self.alpha, 0)
        at_least("beta", self.beta, 0)
        unit("eps", self.eps, open_top=True)

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        z, y = in_float64(z, y)
        values, gradients = cross_entropy(y, z)
        if self.beta == 0:
            return self.alpha * values, self.alpha * gradients
        reverse, reverse_gradients = reverse_cross_entropy(z, y, self.eps)
        return self.alpha * values + self.beta * reverse, self.alpha * gradients + self.beta * reverse_gradients


@dataclass(frozen=True)
class Squared:
    """`sum_k (z_k - y_k)^2` on the raw outputs, for students whose outputs are read as numbers."""

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        z, y = in_float64(z, y)
        return ((z - y) ** 2).sum(axis=1), 2 * (z - y)
