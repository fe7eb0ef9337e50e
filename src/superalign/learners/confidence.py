"""Losses that let the student follow its own confident predictions against the weak label.

Sources: logconf and product: Burns et al. 2023 (arXiv 2312.09390);
AugConf and AdaptConf: Guo et al. 2024 (arXiv 2402.03749). All targets are constants of the gradient.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import SpecError
from superalign.learners.hardening import harden
from superalign.learners.losses import at_least, cross_entropy, in_float64, log_softmax, unit

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints

_log = logging.getLogger(__name__)


def ramp(alpha: float, warmup: float, step: int, total: int) -> float:
    """`alpha * min(1, step / (warmup * total))`; constant for `warmup = 0`."""
    return alpha if warmup == 0 else alpha * min(1.0, step / (warmup * total))


@dataclass(frozen=True)
class LogConf:
    """`CE((1 - a) y + a h, p)`, where `h` is the student's own prediction hardened under a class prior.

    `alpha`: the largest weight `a` (.75 for the largest students of the paper, .5 otherwise).
    `warmup`: the share of the fit over which `a` grows linearly from 0 (0: constant).
    `schedule`: `linear`, or `openai_ref` to reproduce published numbers of openai/weak-to-strong (a grows
    to a tenth of alpha over the first tenth, then jumps).
    `prior`: `batch` (mean label of the effective batch), `dataset` (mean over the transfer set), the share
    of class 1, or shares of all classes as `.2/.3/.5`.
    `buffer`: harden among the last `buffer` predictions of this fit, for effective batches too small to
    carry a prior; 0 hardens within the batch.
    """

    alpha: float = 0.5
    warmup: float = 0.2
    schedule: str = "linear"
    prior: str | float | tuple[float, ...] = "batch"
    buffer: int = 0

    def __post_init__(self) -> None:
        unit("alpha", self.alpha)
        unit("warmup", self.warmup)
        at_least("buffer", self.buffer, 0)
        if self.schedule not in ("linear", "openai_ref"):
            raise ValueError(f"schedule is linear or openai_ref, got {self.schedule!r}")
        if self.schedule == "openai_ref" and self.warmup != 0.2:
            raise ValueError(f"schedule=openai_ref has a warm-up of its own; leave out warmup={self.warmup}")
        object.__setattr__(self, "prior", _checked_prior(self.prior))

    def weight(self, step: int, total: int) -> float:
        """The weight `a` of the student's own prediction at `step` of `total`."""
        if self.schedule == "openai_ref":
            share = step / total
            return self.alpha * share if share <= 0.1 else self.alpha
        return ramp(self.alpha, self.warmup, step, total)

    def prepared(self, labels: Floats) -> LogConf | Buffered:
        """The loss of one fit: the prior of the data set filled in, a fresh buffer."""
        loss = self
        if self.prior == "dataset":
            loss = replace(self, prior=tuple(np.asarray(labels, np.float64).mean(axis=0).tolist()))
        return Buffered(replace(loss, buffer=0), self.buffer) if self.buffer else loss

    def shares(self, y: Floats) -> Floats:
        """The class prior (K,) for labels `y` (B, K). Raises SpecError where it does not fit K."""
        if self.prior == "batch":
            return np.asarray(y.mean(axis=0))
        if self.prior == "dataset":
            raise SpecError("logconf:prior=dataset needs all transfer labels; call prepared(labels) before the fit")
        shares = np.asarray((1 - self.prior, self.prior) if isinstance(self.prior, float) else self.prior)
        if len(shares) != y.shape[1]:
            raise SpecError(f"the prior names {len(shares)} classes and the labels have {y.shape[1]}; type prior=batch")
        return shares.astype(np.float64)

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        if self.buffer:
            raise SpecError("logconf with a buffer keeps state for one fit; call prepared(labels) before the fit")
        z, y = in_float64(z, y)
        hard = harden(z, self.shares(y), ids)
        return self.toward(hard, z, y, step, total)

    def toward(self, hard: Floats, z: Floats, y: Floats, step: int, total: int) -> tuple[Floats, Floats]:
        """The loss for given hardened predictions (B, K)."""
        a = self.weight(step, total)
        return cross_entropy((1 - a) * y + a * hard, z)


def _checked_prior(prior: str | float | tuple[float, ...]) -> str | float | tuple[float, ...]:
    if prior in ("batch", "dataset"):
        return prior
    if isinstance(prior, int | float):
        if not 0 < prior < 1:
            raise ValueError(f"prior is the share of class 1, between 0 and 1, got {prior}")
        return float(prior)
    try:
        shares = tuple(float(part) for part in (prior.split("/") if isinstance(prior, str) else prior))
    except ValueError as error:
        raise ValueError(f"prior is batch, dataset, a share, or shares as .2/.3/.5, got {prior!r}") from error
    if len(shares) < 2 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"the shares of a prior must be two or more and sum to 1, got {prior!r}")
    return shares


class Buffered:
    """LogConf whose hardening looks at the last `size` predictions of this fit, `seen` (m, K) of them so far.

    Only training batches pass through a loss, so evaluation leaves the buffer alone.
    """

    def __init__(self, loss: LogConf, size: int) -> None:
        self.loss, self.size = loss, size
        self.seen: Floats = np.zeros((0, 0))
        self.labels: Floats = np.zeros((0, 0))

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        z, y = in_float64(z, y)
        if len(z) >= self.size:
            return self.loss(z, y, step, total, ids)
        empty = not len(self.seen)
        self.seen = z.copy() if empty else np.concatenate([self.seen, z])[-self.size :]
        self.labels = y.copy() if empty else np.concatenate([self.labels, y])[-self.size :]
        hard = harden(self.seen, self.loss.shares(self.labels))[-len(z) :]
        return self.loss.toward(hard, z, y, step, total)


@dataclass(frozen=True)
class Product:
    """`CE(q, p)` with `q = softmax(beta log p + alpha log y)`.

    The target moves with the student: with alpha = beta = 1 confidence grows without bound, so stop by a
    budget of steps. `beta=0, alpha=1` is cross-entropy; a one-hot label gives a one-hot target.
    """

    alpha: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        at_least("alpha", self.alpha, 0)
        at_least("beta", self.beta, 0)

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        z, y = in_float64(z, y)
        target = self.beta * log_softmax(z)
        if self.alpha:  # 0 * log 0 would not be a number
            with np.errstate(divide="ignore"):
                target = target + self.alpha * np.log(y)
        return cross_entropy(np.exp(log_softmax(target)), z)


def distil(z: Floats, y: Floats, tau: float) -> tuple[Floats, Floats]:
    """`tau^2 KL(softmax(log y / tau), softmax(z / tau))` and its gradient in `z`."""
    from scipy.special import xlogy

    with np.errstate(divide="ignore"):
        weak = np.exp(log_softmax(np.log(y) / tau))
    log_p = log_softmax(z / tau)
    values = xlogy(weak, weak).sum(axis=1) - (weak * log_p).sum(axis=1)
    return tau**2 * values, tau * (np.exp(log_p) - weak)


@dataclass(frozen=True)
class AugConf:
    """`(1 - a) KD + a CE(argmax p, p)`; `a` ramps to `alpha` over the first `warmup` of the fit.

    Nothing holds the class balance, so the student may collapse onto one class: if the last batch of a fit
    (of 16 rows or more) is predicted to be all one class, against its labels, that is logged as a warning.
    """

    alpha: float = 0.5
    tau: float = 1.0
    warmup: float = 0.3

    def __post_init__(self) -> None:
        unit("alpha", self.alpha)
        unit("warmup", self.warmup)
        at_least("tau", self.tau, 1e-3)

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        z, y = in_float64(z, y)
        a = ramp(self.alpha, self.warmup, step, total)
        if step + 1 >= total and collapsed(z, y):
            _log.warning("augconf: after %d steps the student predicts one class for a batch with several", total)
        weak, weak_gradients = distil(z, y, self.tau)
        own, own_gradients = cross_entropy(own_labels(z), z)
        return (1 - a) * weak + a * own, (1 - a) * weak_gradients + a * own_gradients


def own_labels(z: Floats) -> Floats:
    """One-hot rows of the largest logit, (B, K)."""
    return np.asarray(np.eye(z.shape[1])[z.argmax(axis=1)])


def collapsed(z: Floats, y: Floats) -> bool:
    """Whether 16 or more rows are predicted to be one class that less than .8 of their labels name."""
    predicted = z.argmax(axis=1)
    alike = bool((predicted == predicted[0]).all())
    return len(z) >= 16 and alike and float((y.argmax(axis=1) == predicted[0]).mean()) < 0.8


@dataclass(frozen=True)
class AdaptConf:
    """`(1 - b) KD + b CE_self`, row by row `b = sigmoid((CE_self - CE_weak) / temperature)`.

    `CE_self = -log max p`, `CE_weak = -log p[argmax y]`; `b` is a constant of the gradient, at most .5,
    and .5 exactly where student and weak label agree.
    """

    temperature: float = 0.5
    tau: float = 1.0

    def __post_init__(self) -> None:
        at_least("temperature", self.temperature, 1e-6)
        at_least("tau", self.tau, 1e-3)

    def trust(self, z: Floats, y: Floats) -> Floats:
        """The weight `b` (B,) of the student's own prediction."""
        from scipy.special import expit

        log_p = log_softmax(z)
        own = -log_p.max(axis=1)
        weak = -np.take_along_axis(log_p, y.argmax(axis=1)[:, None], axis=1)[:, 0]
        return np.asarray(expit((own - weak) / self.temperature))

    def __call__(self, z: Floats, y: Floats, step: int, total: int, ids: Ints | None = None) -> tuple[Floats, Floats]:
        z, y = in_float64(z, y)
        b = self.trust(z, y)
        weak, weak_gradients = distil(z, y, self.tau)
        own, own_gradients = cross_entropy(own_labels(z), z)
        return (1 - b) * weak + b * own, (1 - b[:, None]) * weak_gradients + b[:, None] * own_gradients
