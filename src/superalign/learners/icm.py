"""Internal coherence maximisation: labels that predict each other best, without any teacher.

Source: Wen et al. 2025 (arXiv 2506.10139). Mutual predictability comes from neighbours in frozen features
here, so it runs without a language model. What is found is a split; which side is class 1 is taken from
the weak labels, and nothing else is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import Degenerate
from superalign.core.random import stream
from superalign.learners.labels import Labels, View
from superalign.learners.losses import at_least
from superalign.learners.neighbours import nearest_rows, standardised

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints

UNLABELLED = -1


def acceptance(change: float, temperature: float) -> float:
    """`min(1, exp(change / temperature))` without overflow: the chance to accept a change of the objective."""
    return math.exp(max(-745.0, min(0.0, change / temperature)))


def temperature(accepted: int) -> float:
    """The annealing schedule after this many accepted changes."""
    return max(0.01, 10 / (1 + 2 * math.log(1 + accepted)))


@dataclass(frozen=True)
class Icm:
    """Relabel two-class items by simulated annealing of `alpha * mean score - inconsistent pairs`.

    The score of a labelled item is the log-odds of its label among its `k` nearest labelled neighbours,
    itself excluded, beyond the log-odds of all labels, in the direction of its label. With `exclusive` two items of one `info["group"]` that
    are both class 1 are an inconsistent pair (claims of which one at most is right). At most `pool` items,
    drawn at random, are annealed for `steps` draws, `restarts` times, the best kept; the others take the mean
    label of their `k` nearest in the pool. On two clusters of 100, a k of 10 stayed in mixed clusters in 6 of
    8 runs and a k of 40 in one; small k see walls between halves of a cluster as boundaries.
    """

    alpha: float = 50.0
    k: int = 40
    restarts: int = 4
    pool: int = 256
    steps: int = 3000
    exclusive: bool = False

    def __post_init__(self) -> None:
        at_least("alpha", self.alpha, 1e-6)
        at_least("k", self.k, 1)
        at_least("restarts", self.restarts, 1)
        at_least("pool", self.pool, 16)
        at_least("steps", self.steps, 1)

    def __call__(self, labels: Labels, view: View) -> Labels:
        if labels.soft.shape[1] != 2:
            raise Degenerate(f"icm is for two classes, and the labels have {labels.soft.shape[1]}")
        x = standardised(view.features())
        rng = stream(view.seed, "icm")
        chosen = np.sort(rng.permutation(len(x))[: self.pool])
        groups = [str(labels.items[i].info.get("group", labels.items[i].id)) for i in chosen]
        numbered = np.unique(groups, return_inverse=True)[1]
        searches = [Search(self, x[chosen], numbered, rng) for _ in range(self.restarts)]
        best = max(searches, key=lambda search: search.objective(search.run()))
        positive = self.spread(x, chosen, best.labels)
        if ((positive > 0.5) == (labels.hard == 1)).mean() < 0.5:
            positive = 1 - positive
        return labels.relabel(np.column_stack([1 - positive, positive]), f"icm {best.accepted} changes")

    def spread(self, x: Floats, chosen: Ints, found: Ints) -> Floats:
        """The share of class 1 (n,): the label itself in the pool, the neighbours' mean elsewhere."""
        chosen, found = chosen[found != UNLABELLED], found[found != UNLABELLED]
        distance = (x[chosen] ** 2).sum(axis=1) - 2 * x @ x[chosen].T
        near = np.argsort(distance, axis=1, kind="stable")[:, : self.k]
        positive = found[near].mean(axis=1)
        positive[chosen] = found
        return np.asarray(positive, np.float64)


class Search:
    """One annealing run over a pool: `x` (n, d), groups (n,)."""

    def __init__(self, rule: Icm, x: Floats, groups: Ints, rng: np.random.Generator) -> None:
        self.rule, self.rng, self.groups = rule, rng, groups
        self.adjacent = np.zeros((len(x), len(x)))
        np.put_along_axis(self.adjacent, nearest_rows(x, min(rule.k, len(x) - 1)), 1.0, axis=1)
        self.labels = np.full(len(x), UNLABELLED)
        start = rng.permutation(len(x))[:8]
        self.labels[start] = np.arange(len(start)) % 2
        self.accepted = 0

    def scores(self, labels: Ints) -> Floats:
        """Log-odds of class 1 by the labelled neighbours of each item, (n,), beyond those of all labels.

        One pseudo-count each way. Without the base rate one class for everything would score best.
        """
        one, zero = labels == 1, labels == 0
        odds = (self.adjacent @ one + 1) / (self.adjacent @ zero + 1)
        return np.asarray(np.log(odds) - np.log((one.sum() + 1) / (zero.sum() + 1)))

    def pairs(self, labels: Ints) -> int:
        """How many pairs of one group are both class 1; 0 unless the rule is exclusive."""
        if not self.rule.exclusive:
            return 0
        counts = np.bincount(self.groups[labels == 1])
        return int((counts * (counts - 1) // 2).sum())

    def objective(self, labels: Ints) -> float:
        """`alpha * mean signed score - inconsistent pairs` over the labelled items."""
        known = labels != UNLABELLED
        signed = np.where(labels == 1, 1, -1) * self.scores(labels)
        return self.rule.alpha * float(signed[known].mean()) - self.pairs(labels)

    def repaired(self, labels: Ints) -> Ints:
        """Free of inconsistent pairs if ten changes suffice, each the single one with the best objective."""
        for _ in range(10):
            counts = np.bincount(self.groups[labels == 1], minlength=int(self.groups.max()) + 1)
            if not self.rule.exclusive or counts.max() < 2:
                break
            members = np.flatnonzero((self.groups == counts.argmax()) & (labels == 1))
            options = [np.where(np.arange(len(labels)) == i, 0, labels) for i in members]
            labels = max(options, key=self.objective)
        return labels

    def draw(self) -> int:
        """An item; one without a label whose group has one is a hundred times likelier."""
        known = self.labels != UNLABELLED
        beside = np.isin(self.groups, self.groups[known]) & ~known
        weights = np.where(beside, 100.0, 1.0)
        return int(np.searchsorted(np.cumsum(weights) / weights.sum(), self.rng.random(), side="right"))

    def run(self) -> Ints:
        """The labels after all steps, (n,), some perhaps still unlabelled."""
        current = self.objective(self.labels)
        for _ in range(self.rule.steps):
            item = min(self.draw(), len(self.labels) - 1)
            proposed = self.labels.copy()
            proposed[item] = int(self.scores(self.labels)[item] > 0)
            if proposed[item] == self.labels[item]:
                continue
            proposed = self.repaired(proposed)
            value = self.objective(proposed)
            if self.rng.random() < acceptance(value - current, temperature(self.accepted)):
                self.labels, current = proposed, value
                self.accepted += 1
        return self.labels


icm = Icm  # the name by which methods mention it
