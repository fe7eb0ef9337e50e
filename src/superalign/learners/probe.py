"""Label steps that ask a second opinion: a probe on frozen features, or the strong model itself.

Probes predict out of fold, so no item's label reaches its own prediction. Sources: logistic probe:
EleutherAI/w2s; agreement: GAIR-NLP/weak-to-strong-reasoning (arXiv 2407.13647); selective: the idea of
arXiv 2511.14166, the details here are ours; noisy channel: Dawid and Skene 1979 with a classifier as
prior (Raykar et al. 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import Degenerate
from superalign.learners.labels import Labels, View, folds
from superalign.learners.losses import at_least, cross_entropy, log_softmax, unit
from superalign.learners.neighbours import check_probe, neighbour_mean, relabel_or_filter, standardised

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints


def conditioned(x: Floats, l2: float) -> tuple[Floats, Floats]:
    """The features in their principal axes, scaled so that L-BFGS needs tens of steps and not hundreds.

    Returns (n, r) and the penalty (r,) under which `logistic` has the solution that `x` has under `l2`.
    """
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    scale = np.maximum(np.sqrt(s**2 / len(x) / 4 + l2), 1e-6)  # the curvature of the loss at its start
    return u * (s / scale), l2 / scale**2


def logistic(x: Floats, soft: Floats, penalty: Floats | float, start: Floats | None = None) -> Floats:
    """Softmax regression on soft labels: weights (d + 1, K), the last row is the bias.

    Minimises `mean CE + |W|^2 penalty / 2` over `x` (n, d) with L-BFGS, from `start` or from zero; the
    penalty is one number or one per feature, the bias has none.
    """
    from scipy.optimize import minimize

    design = np.column_stack([x, np.ones(len(x))])
    shape = (design.shape[1], soft.shape[1])
    pull = np.append(np.broadcast_to(penalty, shape[0] - 1), 0.0)[:, None]

    def loss(flat: Floats) -> tuple[float, Floats]:
        w = flat.reshape(shape)
        values, gradients = cross_entropy(soft, design @ w)
        total = float(values.mean()) + float((pull * w**2).sum()) / 2
        return total, (design.T @ gradients / len(x) + pull * w).reshape(-1)

    first = np.zeros(shape) if start is None else start
    solved = minimize(loss, first.reshape(-1), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(solved.x.reshape(shape))


class FoldProbes:
    """Logistic probes on features (n, d), one per fold, each fitted on the other folds.

    Fitting again begins at the last fit, so a slow change of the labels costs little.
    """

    def __init__(self, x: Floats, l2: float, parts: list[Ints]) -> None:
        self.x, self.penalty = conditioned(x, l2)
        self.parts = parts
        self.weights: list[Floats | None] = [None] * len(parts)

    def predict(self, soft: Floats) -> Floats:
        """Fit to soft labels (n, K) and return each item's probabilities by the probe of its fold."""
        found = np.empty_like(soft)
        for place, part in enumerate(self.parts):
            others = np.setdiff1d(np.arange(len(self.x)), part)
            w = logistic(self.x[others], soft[others], self.penalty, self.weights[place])
            found[part] = np.exp(log_softmax(self.x[part] @ w[:-1] + w[-1]))
            self.weights[place] = w
        return found


def out_of_fold(x: Floats, soft: Floats, l2: float, parts: list[Ints]) -> Floats:
    """Probabilities (n, K) of each fold by a logistic probe fitted on the other folds."""
    return FoldProbes(x, l2, parts).predict(soft)


@dataclass(frozen=True)
class Probe:
    """Compare each label with an out-of-fold logistic probe on the strong model's features.

    `do=filter` drops the share `drop` that disagrees most; `do=relabel` takes the probe's label instead.
    Features are standardised; `l2` is per the mean cross-entropy.
    """

    do: str = "filter"
    drop: float = 0.1
    l2: float = 1e-3
    folds: int = 5

    def __post_init__(self) -> None:
        check_probe(self.do, self.drop)
        at_least("l2", self.l2, 0)
        at_least("folds", self.folds, 2)

    def __call__(self, labels: Labels, view: View) -> Labels:
        parts = folds(labels.items, self.folds, view.seed)
        probe = out_of_fold(standardised(view.features()), labels.soft, self.l2, parts)
        return relabel_or_filter(labels, probe, self.do, self.drop, f"probe l2={self.l2:g}")


def own_answers(view: View, step: str) -> Floats:
    """The strong model's probabilities before training. Raises Degenerate where it has none."""
    own = view.zero_shot()
    if own is None:
        raise Degenerate(
            f"{step} compares with the strong model's own labels, and this model has none before it is trained; "
            "choose a model that answers untrained (a language model), or the step probe"
        )
    return np.asarray(own, np.float64)


@dataclass(frozen=True)
class Agree:
    """Keep the items whose weak label names the class that the strong model names before training."""

    def __call__(self, labels: Labels, view: View) -> Labels:
        own = own_answers(view, "agree")
        return labels.keep(own.argmax(axis=1) == labels.hard, "agree")


@dataclass(frozen=True)
class Selective:
    """The strong model's own label where it seems to know, the smoothed weak label elsewhere.

    "Knows" is a logistic classifier, out of fold, on standardised features and the strong model's
    confidence, trained to tell where its own label and the weak label agree; `tau` is the probability from
    which its own label is taken. No truth is used, so systematic weak errors count as not knowing.
    """

    tau: float = 0.8
    mix: float = 0.5
    k: int = 20
    l2: float = 1e-2
    folds: int = 5

    def __post_init__(self) -> None:
        unit("tau", self.tau)
        unit("mix", self.mix)
        at_least("k", self.k, 1)
        at_least("l2", self.l2, 0)
        at_least("folds", self.folds, 2)

    def __call__(self, labels: Labels, view: View) -> Labels:
        own = own_answers(view, "selective")
        x = standardised(view.features())
        agree = (own.argmax(axis=1) == labels.hard).astype(np.float64)
        confidence = standardised(own.max(axis=1)[:, None])
        parts = folds(labels.items, self.folds, view.seed)
        target = np.column_stack([1 - agree, agree])
        knows = out_of_fold(np.column_stack([x, confidence]), target, self.l2, parts)[:, 1] >= self.tau
        smoothed = (1 - self.mix) * labels.soft + self.mix * neighbour_mean(labels.soft, x, self.k)
        soft = np.where(knows[:, None], own, smoothed)
        return labels.relabel(soft, f"selective tau={self.tau:g}: {int(knows.sum())} own labels")


def posterior(prior: Floats, channel: Floats, weak: Floats) -> Floats:
    """`q(y | x, weak) ~ prior(y | x) P(weak | y)`, (n, K).

    `channel` (K, K) or (n, K, K) holds `P(weak = w | y)` in row y. A soft weak label (n, K) stands for
    its mixture. The identity channel gives hard weak labels back; a channel of equal rows gives the prior.
    """
    likelihood = np.einsum("...yw,...w->...y", channel, weak)
    joint = prior * likelihood
    totals = joint.sum(axis=1, keepdims=True)
    return np.where(totals > 0, joint / np.where(totals > 0, totals, 1), prior)


@dataclass(frozen=True)
class Channel:
    """Relabel by expectation-maximisation over a noisy channel from the true class to the weak label.

    In turn: fit an out-of-fold probe on the current labels, combine it with the channel into new labels,
    estimate the channel `P(weak | y)` from them, per slice. Slices are `slices` equal parts by weak
    confidence. Each channel starts at, and is smoothed by `smoothing` pseudo-items of, one that is right
    with probability `start`, which also keeps the classes from swapping.
    """

    rounds: int = 20
    slices: int = 1
    start: float = 0.8
    smoothing: float = 20.0
    l2: float = 1e-3
    folds: int = 5

    def __post_init__(self) -> None:
        at_least("rounds", self.rounds, 1)
        at_least("slices", self.slices, 1)
        unit("start", self.start)
        at_least("smoothing", self.smoothing, 1e-6)
        at_least("l2", self.l2, 0)
        at_least("folds", self.folds, 2)

    def __call__(self, labels: Labels, view: View) -> Labels:
        weak = labels.soft
        n, classes = weak.shape
        parts = folds(labels.items, self.folds, view.seed)
        probes = FoldProbes(standardised(view.features()), self.l2, parts)
        place = np.argsort(np.argsort(weak.max(axis=1), kind="stable"), kind="stable") * self.slices // n
        away = (1 - self.start) / (classes - 1)
        first = np.full((classes, classes), away) + np.eye(classes) * (self.start - away)
        soft, channels = weak, np.stack([first] * self.slices)
        for _ in range(self.rounds):
            soft = posterior(probes.predict(soft), channels[place], weak)
            channels = np.stack([self.confusion(soft[place == s], weak[place == s], first) for s in range(self.slices)])
        right = np.einsum("skk->s", channels) / classes
        return labels.relabel(soft, "channel right " + "/".join(f"{share:.2f}" for share in right))

    def confusion(self, soft: Floats, weak: Floats, first: Floats) -> Floats:
        """`P(weak = w | y)` (K, K) from posteriors and weak labels, smoothed towards `first`."""
        counts = soft.T @ weak + self.smoothing / len(first) * first
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))


# The names by which methods mention the steps.
probe, agree, selective, channel = Probe, Agree, Selective, Channel
