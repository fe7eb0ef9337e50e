"""How much truth a proxy's optimisation buys: best-of-n curves and the laws fitted to them.

Source: Gao, Schulman, Hilton 2022 (arXiv 2210.10760). With d = sqrt(KL(pi || reference)) the gold reward gained is
d (a - b d) for best-of-n and d (a - b log d) for reinforcement learning. The estimator of best-of-n is that of Nakano
et al. 2021 (arXiv 2112.09332, appendix I).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lgamma
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superalign.core.errors import Degenerate, SpecError

Floats = NDArray[np.float64]
Form = Literal["best-of-n", "rl"]


def best_of_n_kl(n: ArrayLike) -> Floats:
    """KL of best-of-n to its base policy, log n - (n - 1) / n nats: an upper bound, reached by continuous scores."""
    sizes = np.asarray(n, np.float64)
    kl: Floats = np.log(sizes) - (sizes - 1) / sizes
    return kl


def best_of_n_mean(proxy: ArrayLike, gold: ArrayLike, sizes: Sequence[int]) -> Floats:
    """Expected gold of the best of n by proxy, for each n of `sizes`, from N samples of each prompt: (prompts, sizes).

    sum_i C(i - 1, n - 1) / C(N, n) gold_(i), sorted by proxy: every subset of n counts, so nothing is lost to splitting.
    `proxy` and `gold` are (prompts, N). Raises SpecError for an n that is not in 1..N and for scores that are not finite.
    """
    by, of = np.atleast_2d(np.asarray(proxy, np.float64)), np.atleast_2d(np.asarray(gold, np.float64))
    total = by.shape[1]
    if by.shape != of.shape or not (np.isfinite(by).all() and np.isfinite(of).all()):
        raise SpecError(f"proxy {by.shape} and gold {of.shape} must be finite and of one shape (prompts, samples)")
    if any(not 1 <= n <= total for n in sizes):
        raise SpecError(f"best of n for n = {list(sizes)}, from {total} samples; give sizes from 1 to {total}")
    ranked = np.take_along_axis(of, by.argsort(1, kind="stable"), 1)
    mean: Floats = ranked @ np.stack([_chance_best(total, n) for n in sizes], 1)
    return mean


def _chance_best(total: int, n: int) -> Floats:
    """The chance of each of `total` samples, worst first, to be the best of n drawn without replacement, (total,)."""
    chance = np.zeros(total)
    below = np.arange(n - 1, total)  # so many are worse; n - 1 of them must make up the rest
    logs = np.array([_log_binomial(int(k), n - 1) for k in below]) - _log_binomial(total, n)
    chance[n - 1 :] = np.exp(logs)
    return chance


def _log_binomial(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


@dataclass(frozen=True, slots=True)
class Fit:
    """Gold gained as d (a - b d), or d (a - b log d), of d = sqrt(KL); fitted for d in `span`, with `r2` there.

    `peak` is the d of the highest gold and `top` that gold; None where the curve has no peak (b of the wrong sign).
    """

    form: Form
    a: float
    b: float
    r2: float
    span: tuple[float, float]

    def __call__(self, d: ArrayLike) -> Floats:
        """The fitted gold at d; 0 at 0."""
        x = np.asarray(d, np.float64)
        curve: Floats = self.a * x - self.b * _bend(x, self.form)
        return curve

    @property
    def peak(self) -> float | None:
        """a / (2 b) for best-of-n, exp(a / b - 1) for RL."""
        if self.b <= 0 or (self.form == "best-of-n" and self.a <= 0):
            return None
        where = self.a / (2 * self.b) if self.form == "best-of-n" else np.exp(self.a / self.b - 1)
        return float(where)

    @property
    def top(self) -> float | None:
        """Gold at the peak: a^2 / (4 b), or b times the peak's d."""
        return None if self.peak is None else float(self(self.peak))


def fit(kl: ArrayLike, gold: ArrayLike, form: Form) -> Fit:
    """Least squares of the form on points of KL (nats) and gold gained over the base policy; both (points,).

    Points of KL 0 say nothing and are left out. Raises Degenerate for fewer than three points, SpecError for another form.
    """
    if form not in ("best-of-n", "rl"):
        raise SpecError(f"no form {form!r} of over-optimisation; there is: best-of-n, rl")
    x, y = np.asarray(kl, np.float64), np.asarray(gold, np.float64)
    used = (x > 0) & np.isfinite(x) & np.isfinite(y)
    if np.unique(x[used]).size < 3:
        raise Degenerate(
            f"{np.unique(x[used]).size} points of positive KL cannot fit two coefficients; give three or more"
        )
    d, y = np.sqrt(x[used]), y[used]
    design = np.stack([d, -_bend(d, form)], 1)
    (a, b), *_ = np.linalg.lstsq(design, y, rcond=None)
    left, spread = float(((y - design @ (a, b)) ** 2).sum()), float(((y - y.mean()) ** 2).sum())
    return Fit(
        form, float(a), float(b), 1 - left / spread if spread else float("nan"), (float(d.min()), float(d.max()))
    )


def _bend(d: Floats, form: Form) -> Floats:
    """What b multiplies: d^2, or d log d, which is 0 at 0."""
    bend: Floats = d * d if form == "best-of-n" else d * np.log(np.where(d > 0, d, 1.0))
    return bend
