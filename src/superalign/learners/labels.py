"""Labels: what an overseer said about a transfer set, and the steps that filter, weigh or replace it.

A step is `step(labels, view) -> Labels`. It may return fewer items (a filter), other weights, or other
soft labels; `notes` says what it did, with the number and the class balance of what is kept. No step
sees an answer: `View` shows the strong model's features and its own labels before training, and nothing
of the key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from typing import Protocol as Interface

import numpy as np

from superalign.core.errors import Degenerate, ModelError, SpecError
from superalign.core.random import stream
from superalign.core.types import Item, Judgment, Overseer, Seat, Verdict
from superalign.learners.losses import at_least, half_margin, log_softmax, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from superalign.core.ports import Floats, Ints, Trainable

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Labels:
    """Items with soft labels (n, K), whose rows sum to 1, and weights (n,) of mean 1 or any other scale."""

    items: tuple[Item, ...]
    soft: Floats
    weight: Floats
    notes: tuple[str, ...] = ()

    @property
    def hard(self) -> Ints:
        """The class of each item, (n,); the first of those that tie."""
        return np.asarray(self.soft.argmax(axis=1))

    @property
    def balance(self) -> Floats:
        """The share of each class among the hard labels, (K,)."""
        return np.bincount(self.hard, minlength=self.soft.shape[1]) / max(1, len(self.items))

    def keep(self, rows: Ints | NDArray[np.bool_], what: str) -> Labels:
        """These rows alone (a mask, or positions), in the order of the items. Raises Degenerate for none."""
        kept = np.sort(np.arange(len(self.items))[rows])
        if not len(kept):
            raise Degenerate(f"{what} keeps none of {len(self.items)} labels; loosen it")
        left = replace(self, items=tuple(self.items[i] for i in kept), soft=self.soft[kept], weight=self.weight[kept])
        shares = "/".join(f"{share:.2f}" for share in left.balance)
        return left.noted(f"{what}: kept {len(kept)} of {len(self.items)}, classes {shares}")

    def relabel(self, soft: Floats, what: str) -> Labels:
        """Other soft labels for the same items."""
        moved = int((soft.argmax(axis=1) != self.hard).sum())
        return replace(self, soft=soft).noted(f"{what}: {moved} of {len(self.items)} labels changed class")

    def noted(self, note: str) -> Labels:
        """The same with one more note, which is logged too."""
        _log.info(note)
        return replace(self, notes=(*self.notes, note))


@dataclass(frozen=True, slots=True)
class View:
    """What a step may look at besides the labels, for the items it was given.

    `features()` are the strong model's, (n, d); `zero_shot()` are its own probabilities before any
    training, (n, K), or None where it has none. Both cost a forward pass when called. `seed` is the run's.
    """

    features: Callable[[], Floats]
    zero_shot: Callable[[], Floats | None]
    seed: int


class Step(Interface):
    """`step(labels, view) -> Labels`."""

    def __call__(self, labels: Labels, view: View) -> Labels: ...


def gather(overseer: Overseer, items: Sequence[Item]) -> Labels:
    """Ask the overseer about these items. What it abstained from is left out and counted in the notes.

    Raises ModelError where its judgments do not fit the items, or nothing is left.
    """
    judgments = overseer(items)
    if [j.item for j in judgments] != [i.id for i in items]:
        raise ModelError(f"the overseer returned {len(judgments)} judgments that do not match the {len(items)} items")
    said = [(item, j.verdict) for item, j in zip(items, judgments, strict=True) if j.verdict.abstained is None]
    if not said:
        raise Degenerate(f"the overseer abstained from all of {len(items)} items, so there is nothing to learn from")
    rows = [_soft(item, verdict) for item, verdict in said]
    widths = sorted({len(row) for row in rows})
    if len(widths) > 1:
        raise ModelError(f"items have {widths[0]} to {widths[-1]} choices; a learner needs the same number for all")
    soft = np.asarray(rows, np.float64)
    totals = soft.sum(axis=1, keepdims=True)
    if not np.isfinite(soft).all() or (soft < 0).any() or (totals <= 0).any():
        raise ModelError("the overseer gave probabilities that are negative, missing or all zero")
    labels = Labels(tuple(item for item, _ in said), soft / totals, np.ones(len(said)))
    dropped = len(items) - len(said)
    return labels.noted(f"abstained: {dropped} of {len(items)} left out") if dropped else labels


def _soft(item: Item, verdict: Verdict) -> tuple[float, ...]:
    choices = len(item.choices) or len(verdict.probs)
    if verdict.probs:
        if len(verdict.probs) != choices:
            raise ModelError(f"item {item.id!r} has {choices} choices and its label {len(verdict.probs)} probabilities")
        return verdict.probs
    if not isinstance(verdict.answer, int) or not 0 <= verdict.answer < choices:
        raise ModelError(f"the label of {item.id!r} is {verdict.answer!r}, not one of its {choices} choices")
    return tuple(float(k == verdict.answer) for k in range(choices))


def probabilities(model: Trainable, items: Sequence[Item]) -> Floats:
    """The model's probabilities (n, K)."""
    return np.exp(log_softmax(np.asarray(model.logits(items), np.float64)))


def judgments_of(items: Sequence[Item], soft: Floats) -> list[Judgment]:
    """Soft labels (n, K) as judgments."""
    return [
        Judgment(item.id, Seat(), Verdict(int(np.argmax(row)), tuple(map(float, row))))
        for item, row in zip(items, soft, strict=True)
    ]


def overseer_of(model: Trainable) -> Overseer:
    """An overseer that says what the model predicts."""
    return lambda items: judgments_of(items, probabilities(model, items)) if items else []


def remembered(overseer: Overseer, said: Sequence[Judgment] = ()) -> Overseer:
    """An overseer that is asked once about each item; `said` are judgments that count as asked already."""
    known = {j.item: j for j in said}

    def once(items: Sequence[Item]) -> list[Judgment]:
        unknown = list({item.id: item for item in items if item.id not in known}.values())
        if unknown:
            known.update((j.item, j) for j in overseer(unknown))
        return [known[item.id] for item in items]

    return once


def folds(items: Sequence[Item], count: int, seed: int) -> list[Ints]:
    """Positions of the items in `count` random folds of near-equal size; a group stays in one fold.

    Raises Degenerate where there are fewer groups than folds.
    """
    names = np.unique([str(item.info.get("group", item.id)) for item in items], return_inverse=True)[1]
    groups = int(names.max()) + 1
    if groups < count:
        raise Degenerate(
            f"{count} folds need {count} items or groups, there are {groups}; type a smaller number of folds"
        )
    place = stream(seed, "folds", count, groups).permutation(groups) % count
    return [np.flatnonzero(place[names] == fold) for fold in range(count)]


def by_size(scores: Floats, items: Sequence[Item]) -> Ints:
    """Positions from the largest score to the smallest, ties by item id."""
    return np.lexsort((np.unique([item.id for item in items], return_inverse=True)[1], -scores))


@dataclass(frozen=True)
class Hard:
    """One-hot labels: the class with the largest probability, the first of those that tie."""

    def __call__(self, labels: Labels, view: View) -> Labels:
        return labels.relabel(np.eye(labels.soft.shape[1])[labels.hard], "hard")


@dataclass(frozen=True)
class Sharpen:
    """`y <- y^(1/t)`, normalised: `t` below 1 sharpens, above 1 softens."""

    t: float = 0.5

    def __post_init__(self) -> None:
        at_least("t", self.t, 1e-3)

    def __call__(self, labels: Labels, view: View) -> Labels:
        with np.errstate(divide="ignore"):
            soft = np.exp(log_softmax(np.log(labels.soft) / self.t))
        return labels.relabel(soft, f"sharpen t={self.t:g}")


@dataclass(frozen=True)
class Confident:
    """Keep the labels whose largest probability is `tau` or more (.75), or the surest `fraction`.

    With `per_class` the surest `fraction` of each class is kept, so that the class balance stays.
    Filtering also shrinks the set: compare with `subset` of equal size.
    """

    tau: float | None = None
    fraction: float | None = None
    per_class: bool = False

    def __post_init__(self) -> None:
        if self.tau is not None and self.fraction is not None:
            raise ValueError("give tau or fraction, not both")
        if self.per_class and self.fraction is None:
            raise ValueError("per_class goes with fraction, for example confident:fraction=.5:per_class=true")
        unit("tau", 0.75 if self.tau is None else self.tau)
        unit("fraction", 1.0 if self.fraction is None else self.fraction)

    def __call__(self, labels: Labels, view: View) -> Labels:
        surest = labels.soft.max(axis=1)
        if self.fraction is None:
            tau = 0.75 if self.tau is None else self.tau
            what = f"confident tau={tau:g} (the surest label has {surest.max():.3f})"
            return labels.keep(surest >= tau - 1e-12, what)  # so that tau = 1/K keeps a uniform label
        order = by_size(surest, labels.items)
        parts = [order]
        if self.per_class:
            parts = [order[labels.hard[order] == k] for k in range(labels.soft.shape[1])]
        kept = np.concatenate([part[: round(self.fraction * len(part))] for part in parts])
        return labels.keep(kept, f"confident fraction={self.fraction:g}{' per class' if self.per_class else ''}")


@dataclass(frozen=True)
class Subset:
    """A random subset, by `fraction` or by number `n`; the control for every filter.

    For one seed the subsets are nested: a smaller one lies in a larger one.
    """

    fraction: float | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.n is None):
            raise ValueError("give fraction or n, for example subset:fraction=.5")
        unit("fraction", 1.0 if self.fraction is None else self.fraction)
        at_least("n", 1 if self.n is None else self.n, 1)

    def __call__(self, labels: Labels, view: View) -> Labels:
        total = len(labels.items)
        size = round((self.fraction or 0) * total) if self.n is None else self.n
        if size > total:
            raise SpecError(f"subset n={size} is more than the {total} labels there are; type n={total} or less")
        order = stream(view.seed, "subset", [item.id for item in labels.items]).permutation(total)
        return labels.keep(order[:size], f"subset {size}")


@dataclass(frozen=True)
class Weighted:
    """Weigh each label by its confidence, `(margin between the two largest probabilities)^power`."""

    power: float = 1.0

    def __post_init__(self) -> None:
        at_least("power", self.power, 0)

    def __call__(self, labels: Labels, view: View) -> Labels:
        weight = labels.weight * (2 * half_margin(labels.soft)) ** self.power
        if not weight.any():
            raise Degenerate("weighted: every label is undecided, so every weight would be zero; leave the step out")
        effective = weight.sum() ** 2 / (weight**2).sum()
        weighed = replace(labels, weight=weight / weight.mean())
        return weighed.noted(f"weighted power={self.power:g}: worth {effective:.0f} of {len(weight)} equal labels")


@dataclass(frozen=True)
class Shuffle:
    """Permute the labels among the items: a negative control, its PGR should not be above zero."""

    def __call__(self, labels: Labels, view: View) -> Labels:
        order = stream(view.seed, "shuffle", [item.id for item in labels.items]).permutation(len(labels.items))
        return labels.relabel(labels.soft[order], "shuffle")


# The names by which methods mention the steps.
hard, sharpen, confident = Hard, Sharpen, Confident
subset, weighted, shuffle = Subset, Weighted, Shuffle
