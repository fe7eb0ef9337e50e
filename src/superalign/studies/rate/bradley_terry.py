"""Bradley-Terry ratings from pairwise votes, with errors that one can trust.

P(a beats b) = 1 / (1 + exp(theta_b - theta_a)) (Bradley and Terry 1952); a tie is half a win for each side. The
likelihood is maximised by Newton's method on the (M, M) system. Votes are aggregated first, so a million votes
cost what their distinct rows cost. Errors are sandwich errors, by vote or by rater; the inverse Hessian alone
overstates them where there are ties (1.35 times with 39 % ties). Ratings are shown as 1000 + 400 / ln 10 * theta.

Covariates (position, style) enter as logit = theta_a - theta_b + z . gamma; z must change sign when the sides
are exchanged, so it is scaled, never centred.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, log_expit

from superalign.core.errors import Degenerate, SpecError

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

SCALE = 400 / np.log(10)
TOLERANCE = 1e-10
_STEPS = 100


@dataclass(frozen=True, slots=True)
class Rows:
    """Votes between `n` competitors: `left`, `right` (r,) are indices, `won` (r,) is the left side's share in
    [0, 1], `count` (r,) how many such votes, `weight` (r,) what each counts. `z` (r, k) holds covariates, `rater`
    (r,) who voted; rows with either are single votes. `category` is only for the reader."""

    n: int
    left: Ints
    right: Ints
    won: Floats
    count: Floats
    weight: Floats
    z: Floats
    rater: Ints | None = None

    @property
    def votes(self) -> int:
        return int(self.count.sum())


def rows(
    left: Ints,
    right: Ints,
    won: Floats,
    n: int,
    *,
    weight: Floats | None = None,
    z: Floats | None = None,
    rater: Ints | None = None,
) -> Rows:
    """Votes as Rows. Raises SpecError for sides that are equal or unknown, shares outside [0, 1], or ragged input."""
    left, right, won = np.asarray(left, np.int64), np.asarray(right, np.int64), np.asarray(won, np.float64)
    if not len(left) == len(right) == len(won):
        raise SpecError(f"{len(left)} left sides, {len(right)} right sides, {len(won)} outcomes; give as many of each")
    if len(left) and (min(left.min(), right.min()) < 0 or max(left.max(), right.max()) >= n):
        raise SpecError(f"a side is not one of the {n} competitors")
    if (left == right).any():
        raise SpecError(f"vote {int((left == right).argmax())} has the same competitor on both sides")
    if len(won) and not (won.min() >= 0 and won.max() <= 1):
        raise SpecError("an outcome is the left side's share: 1 won, 0.5 tie, 0 lost")
    ones = np.ones(len(left))
    z = np.zeros((len(left), 0)) if z is None else np.asarray(z, np.float64)
    return Rows(n, left, right, won, ones, ones if weight is None else np.asarray(weight, np.float64), z, rater)


def aggregate(votes: Rows) -> Rows:
    """Equal votes as one row with a count, the lower index on the left. Nothing changes but the cost of a fit."""
    if votes.z.shape[1] or votes.rater is not None:
        raise SpecError("votes with covariates or raters cannot be aggregated")
    swap = votes.left > votes.right
    low, high = np.where(swap, votes.right, votes.left), np.where(swap, votes.left, votes.right)
    won = np.where(swap, 1 - votes.won, votes.won)
    shares, share = (np.asarray([0.0, 0.5, 1.0]), (2 * won).astype(np.int64))
    if not np.array_equal(shares[share], won):
        shares, share = np.unique(won, return_inverse=True)
    weights, kind = np.ones(1), np.zeros(len(won), np.int64)
    if not (votes.weight == 1).all():
        weights, kind = np.unique(votes.weight, return_inverse=True)
    shape = (votes.n, votes.n, len(shares), len(weights))
    code = ((low * votes.n + high) * len(shares) + share) * len(weights) + kind
    if np.prod(shape) <= 50_000_000:
        found = np.bincount(code, votes.count, minlength=1).astype(np.float64)
        there: Ints = np.flatnonzero(found)
        count = found[there]
    else:
        there, where = np.unique(code, return_inverse=True)
        count = np.bincount(where, votes.count).astype(np.float64)
    i, j, s, w = np.unravel_index(there, shape)
    return Rows(votes.n, i, j, shares[s], count, weights[w], np.zeros((len(i), 0)))


@dataclass(frozen=True, slots=True)
class Fit:
    """`theta` (M,), sum zero; `gamma` (k,); `covariance` (M + k, M + k) of both, sum-to-zero gauge; `steps` of Newton."""

    theta: Floats
    gamma: Floats
    covariance: Floats
    steps: int

    def se(self) -> Floats:
        """Standard errors of theta, (M,)."""
        return np.sqrt(np.diag(self.covariance)[: len(self.theta)])

    def difference(self, i: int, j: int) -> tuple[float, float]:
        """theta_i - theta_j and its standard error."""
        v = self.covariance
        return float(self.theta[i] - self.theta[j]), float(np.sqrt(max(v[i, i] + v[j, j] - 2 * v[i, j], 0.0)))


def components(votes: Rows) -> Ints:
    """The strongly connected component of each competitor in the graph of who beat or tied whom, (M,)."""
    forward, backward = votes.won > 0, votes.won < 1
    edges = (
        np.concatenate([votes.left[forward], votes.right[backward]]),
        np.concatenate([votes.right[forward], votes.left[backward]]),
    )
    graph = coo_array((np.ones(len(edges[0])), edges), shape=(votes.n, votes.n))
    found: Ints = connected_components(graph, directed=True, connection="strong")[1]
    return found


def check(votes: Rows, names: tuple[str, ...]) -> None:
    """Raise Degenerate where the likelihood has no finite maximum, naming who stands apart."""
    parts = components(votes)
    if parts.max(initial=0) == 0:
        return
    lost = np.bincount(votes.left, votes.won < 1, votes.n) + np.bincount(votes.right, votes.won > 0, votes.n)
    won = np.bincount(votes.left, votes.won > 0, votes.n) + np.bincount(votes.right, votes.won < 1, votes.n)
    reasons = [
        f"{what}: {', '.join(names[k] for k in np.flatnonzero(mask)[:5])}"
        for what, mask in (
            ("never met anyone", (won == 0) & (lost == 0)),
            ("undefeated", (won > 0) & (lost == 0)),
            ("winless", (won == 0) & (lost > 0)),
        )
        if mask.any()
    ]
    reasons = reasons or ["groups: " + " | ".join(_few(names, parts == p) for p in range(min(4, parts.max() + 1)))]
    raise Degenerate(
        f"ratings are undefined: the votes do not connect all {votes.n} competitors both ways ({'; '.join(reasons)});"
        " leave them out, collect more votes, or give a ridge (--ridge 0.01), which the report then states"
    )


def _few(names: tuple[str, ...], mask: NDArray[np.bool_]) -> str:
    chosen = [n for n, m in zip(names, mask, strict=True) if m]
    return ", ".join(chosen[:3]) + (f" and {len(chosen) - 3} more" if len(chosen) > 3 else "")


def fit(votes: Rows, *, ridge: float = 0.0, ridge_z: float = 0.0, start: Floats | None = None) -> Fit:
    """The maximum of the weighted likelihood, with sandwich errors (clustered where votes have raters).

    `ridge` adds ridge / 2 * |theta|^2 to the summed loss, `ridge_z` the same for gamma; both enter the Hessian.
    Raises Degenerate where Newton's method does not settle.
    """
    solved, hessian, steps = newton(votes, ridge, ridge_z, start)
    inverse = np.linalg.inv(hessian)
    covariance = inverse @ meat(votes, solved) @ inverse
    return Fit(solved[: votes.n], solved[votes.n :], covariance, steps)


def newton(votes: Rows, ridge: float, ridge_z: float, start: Floats | None) -> tuple[Floats, Floats, int]:
    """(theta and gamma, Hessian with its gauge, steps)."""
    m, size = votes.n, votes.n + votes.z.shape[1]
    penalty = np.concatenate([np.full(m, ridge), np.full(size - m, ridge_z)])
    at = np.zeros(size) if start is None else start.copy()
    loss = _loss(votes, at, penalty)
    for step in range(1, _STEPS + 1):
        gradient, hessian = _slopes(votes, at, penalty)
        try:
            move = np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            break
        length = 1.0
        while (ahead := _loss(votes, at - length * move, penalty)) > loss + 1e-12 * abs(loss) and length > 1e-6:
            length /= 2
        at = at - length * move
        at[:m] -= at[:m].mean()
        loss = ahead
        if np.abs(length * move).max(initial=0.0) < TOLERANCE:
            return at, _slopes(votes, at, penalty)[1], step
    raise Degenerate(
        "ratings did not settle: some competitor is separated, or a style or the side only repeats who competes;"
        " give a ridge (--ridge 0.01)"
    )


def _logit(votes: Rows, at: Floats) -> Floats:
    logit = at[votes.left] - at[votes.right]
    return logit + votes.z @ at[votes.n :] if votes.z.shape[1] else logit


def _loss(votes: Rows, at: Floats, penalty: Floats) -> float:
    logit = _logit(votes, at)
    each = votes.won * log_expit(logit) + (1 - votes.won) * log_expit(-logit)
    return float(-(votes.count * votes.weight) @ each + 0.5 * penalty @ at**2)


def _slopes(votes: Rows, at: Floats, penalty: Floats) -> tuple[Floats, Floats]:
    p = expit(_logit(votes, at))
    amount = votes.count * votes.weight
    gradient = _project(votes, amount * (p - votes.won)) + penalty * at
    hessian = _outer(votes, amount * p * (1 - p))
    # the level is free: a rank-one term fixes it at sum zero without changing any difference
    level = np.trace(hessian[: votes.n, : votes.n]) / votes.n**2
    hessian[: votes.n, : votes.n] += level or 1.0
    return gradient, hessian + np.diag(penalty)


def _project(votes: Rows, values: Floats) -> Floats:
    """sum_r values_r x_r for x = (e_left - e_right, z), (M + k,)."""
    theta = np.bincount(votes.left, values, votes.n) - np.bincount(votes.right, values, votes.n)
    return np.concatenate([theta, values @ votes.z])


def _outer(votes: Rows, values: Floats) -> Floats:
    """sum_r values_r x_r x_r' for x = (e_left - e_right, z), (M + k, M + k)."""
    m, k = votes.n, votes.z.shape[1]
    pairs = np.bincount(votes.left * m + votes.right, values, m * m).reshape(m, m)
    pairs = pairs + pairs.T
    found = np.zeros((m + k, m + k))
    found[:m, :m] = np.diag(pairs.sum(1)) - pairs
    for c in range(k):
        cross = values * votes.z[:, c]
        found[:m, m + c] = np.bincount(votes.left, cross, m) - np.bincount(votes.right, cross, m)
        found[m + c, :m] = found[:m, m + c]
        found[m + c, m:] = cross @ votes.z
    return found


def meat(votes: Rows, at: Floats) -> Floats:
    """The middle of the sandwich, (M + k, M + k): sums of squared scores by vote, or by rater with G / (G - 1)."""
    score = votes.weight * (votes.won - expit(_logit(votes, at)))
    if votes.rater is None:
        return _outer(votes, votes.count * score**2)
    score = votes.count * score
    groups, m = int(votes.rater.max(initial=-1)) + 1, votes.n
    sums = np.bincount(votes.rater * m + votes.left, score, groups * m)
    sums = (sums - np.bincount(votes.rater * m + votes.right, score, groups * m)).reshape(groups, m)
    z = [np.bincount(votes.rater, score * votes.z[:, c], groups) for c in range(votes.z.shape[1])]
    by_rater = np.column_stack([sums, *z])
    voted = len(np.unique(votes.rater))
    return by_rater.T @ by_rater * (voted / max(1, voted - 1))


def reweighted(votes: Rows, least: int = 50) -> Rows:
    """Votes weighed by 1 / max(votes on their pair, `least`): pairs that were sampled more do not count more."""
    pair = np.minimum(votes.left, votes.right) * votes.n + np.maximum(votes.left, votes.right)
    often = np.bincount(pair, votes.count)[pair]
    weight = 1 / np.maximum(often, least)
    return replace(votes, weight=weight * votes.count.sum() / (votes.count @ weight))


def bootstrap(votes: Rows, at: Fit, rounds: int, rng: np.random.Generator, ridge: float = 0.0) -> Floats:
    """theta of `rounds` resamples, (rounds, M): multinomial over rows, whole raters where votes have them.

    Rounds that disconnect the graph are held by a ridge of 1e-6.
    """
    ridge = max(ridge, 1e-6)
    start = np.concatenate([at.theta, at.gamma])
    found = np.zeros((rounds, votes.n))
    single = votes if votes.z.shape[1] or votes.rater is not None else _by_pair(votes)
    for k in range(rounds):
        if votes.rater is None:
            drawn = rng.multinomial(votes.votes, votes.count / votes.count.sum()).astype(float)
        else:
            raters = int(votes.rater.max()) + 1
            times = np.bincount(rng.integers(0, raters, raters), minlength=raters)
            drawn = votes.count * times[votes.rater]
        sample = single.drawn(drawn) if isinstance(single, _Pairs) else replace(single, count=drawn)
        found[k] = newton(sample, ridge, ridge, start)[0][: votes.n]
    return found


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Rows by pair: a fit needs each pair's weight and share of wins alone, a third of the rows."""

    votes: Rows
    pair: Ints
    left: Ints
    right: Ints

    def drawn(self, count: Floats) -> Rows:
        amount = count * self.votes.weight
        total = np.bincount(self.pair, amount, len(self.left)).astype(np.float64)
        won: Floats = np.bincount(self.pair, amount * self.votes.won, len(self.left)) / np.maximum(total, 1e-300)
        ones = np.ones(len(total))
        return Rows(self.votes.n, self.left, self.right, won, total, ones, np.zeros((len(total), 0)))


def _by_pair(votes: Rows) -> _Pairs:
    code, pair = np.unique(votes.left * votes.n + votes.right, return_inverse=True)
    return _Pairs(votes, pair, code // votes.n, code % votes.n)
