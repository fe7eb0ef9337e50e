"""What a student did with its weak labels, beyond one number; and predictors of it that need no truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superalign.core.errors import SpecError
from superalign.core.resample import Floats, Ints, clustering, interval, mean, resample
from superalign.core.spec import Number

Mask = NDArray[np.bool_]
_CELLS = 4_000_000  # similarities held at once, 32 MB


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Shares of judgments. `agreement` with the weak labels: overall, and where they are right.

    `imitation` = P(student = weak | weak wrong), `corrections` = P(student right | weak wrong), `damage` =
    P(student wrong | weak right), `weak_accuracy` = P(weak right). Each Number's `n` counts the judgments
    (items times seeds) of its condition. `deciles` hold the same by weak confidence, least sure first, each
    with the `confidence` range that it covers.
    """

    agreement: Number
    agreement_right: Number
    imitation: Number
    corrections: Number
    damage: Number
    weak_accuracy: Number
    confidence: tuple[float, float] | None = None
    deciles: tuple[Anatomy, ...] = ()


def anatomy(
    student_pred: ArrayLike,
    weak_pred: ArrayLike,
    weak_right: ArrayLike,
    student_right: ArrayLike | None = None,
    *,
    weak_confidence: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
) -> Anatomy:
    """Anatomy of a student from predicted classes and 0/1 correctness, each (items,) or (seeds, items).

    With classes 0 and 1 the student is right where it agrees with a right label or departs from a wrong
    one; with more classes `student_right` must be given, else SpecError. `weak_confidence`: the weak
    model's top probability; equal confidences stay in one decile, so a decile may be empty.
    """
    given = [student_pred, weak_pred, weak_right, *([] if student_right is None else [student_right])]
    arrays = _stack([*given, *([] if weak_confidence is None else [weak_confidence])])
    student, weak, right = arrays[0], arrays[1], arrays[2] > 0.5
    agree: Mask = student == weak
    if student_right is not None:
        student_ok = arrays[3] > 0.5
    elif np.isin(np.concatenate([student, weak]), (0, 1)).all():
        student_ok = agree == right
    else:
        raise SpecError("with more than two classes, agreement does not tell who is right; pass student_right too")
    masks: list[Mask] = [np.ones_like(agree)]
    ranges: list[tuple[float, float] | None] = [None]
    if weak_confidence is not None:
        edges = np.quantile(arrays[-1], np.arange(11) / 10)
        where = np.searchsorted(edges[1:-1], arrays[-1], side="right")
        masks += [where == d for d in range(10)]
        ranges += [(float(a), float(b)) for a, b in pairwise(edges)]
    parts = _shares(masks, agree, right, student_ok, clustering(clusters, student.shape[1]))
    deciles = tuple(replace(p, confidence=r) for p, r in zip(parts[1:], ranges[1:], strict=True))
    return replace(parts[0], deciles=deciles)


def _stack(values: list[ArrayLike]) -> list[Floats]:
    try:
        arrays = np.broadcast_arrays(*(np.atleast_2d(np.asarray(v, np.float64)) for v in values))
    except ValueError:
        shapes = ", ".join(str(np.shape(v)) for v in values)
        raise SpecError(f"the arrays {shapes} do not fit; give each as (items,) or (seeds, items)") from None
    if arrays[0].ndim != 2 or arrays[0].size == 0:
        raise SpecError(f"the arrays have shape {arrays[0].shape}; give (items,) or (seeds, items), with items")
    return list(arrays)


def _shares(masks: list[Mask], agree: Mask, right: Mask, student_ok: Mask, groups: Ints) -> list[Anatomy]:
    """An anatomy for each mask; one bootstrap serves them all. Each is a share: (numerator, denominator)."""
    pairs: list[tuple[Mask, Mask, str]] = []
    for m in masks:
        sound, wrong = m & right, m & ~right
        pairs += [(agree & m, m, "there are no judgments here"), (agree & sound, sound, "no weak label is right here")]
        pairs += [(agree & wrong, wrong, "no weak label is wrong here")]
        pairs += [(student_ok & wrong, wrong, "no weak label is wrong here")]
        pairs += [
            (~student_ok & sound, sound, "no weak label is right here"),
            (sound, m, "there are no judgments here"),
        ]
    stars = resample([side.astype(np.float64) for pair in pairs for side in pair[:2]], groups)
    numbers = []
    for i, (hit, of, empty) in enumerate(pairs):
        count, seeds = int(of.sum()), len(of)
        if count == 0:
            numbers.append(Number(value=None, n=0, seeds=seeds, reason=f"undefined: {empty}"))
            continue
        above, below = stars[:, 2 * i], stars[:, 2 * i + 1]
        low, high = interval(above[below > 0] / below[below > 0])
        value = float(hit.sum() / count)
        units = len(np.unique(groups[of.any(0)]))  # all or none resamples to itself: exact binomial bound instead
        low = 0.025 ** (1 / units) if value == 1 else low
        high = 1 - 0.025 ** (1 / units) if value == 0 else high
        numbers.append(Number(value=value, low=low, high=high, n=count, seeds=seeds))
    sixes = [numbers[i : i + 6] for i in range(0, len(numbers), 6)]
    return [Anatomy(s[0], s[1], s[2], s[3], s[4], s[5]) for s in sixes]


def misfit(student_probs: ArrayLike, weak_probs: ArrayLike) -> Number:
    """Mean squared distance of student and weak labels, (items, K) or (seeds, items, K): half the sum over classes.

    With two classes it is mean (p_student - p_weak)^2 of class 1. For squared loss, and a student that is
    the least-squares fit over a convex class that holds the target, error(weak) - error(student) is at
    least the misfit (Charikar et al. 2024, arXiv 2405.15116), with equality for a linear span.
    Elsewhere it predicts the gain without a guarantee.
    """
    student, weak = np.asarray(student_probs, np.float64), np.asarray(weak_probs, np.float64)
    if student.shape != weak.shape or student.ndim not in (2, 3):
        raise SpecError(
            f"misfit takes two equal shapes (items, K) or (seeds, items, K), got {student.shape}, {weak.shape}"
        )
    distance = ((student - weak) ** 2).sum(-1) / 2
    return mean(distance.reshape(-1, distance.shape[-1]))


@dataclass(frozen=True, slots=True)
class Expansion:
    """Neighbourhood structure of weak labels, each in [0, 1].

    `other`: mean share of an item's k neighbours that carry another weak label. `classes`: for each weak
    label, the share of its items that are a neighbour of at least one item labelled otherwise.
    `coefficient`: the smallest of `classes`.
    """

    other: Number
    classes: dict[int, Number]
    coefficient: Number


def neighbour_expansion(features: ArrayLike, labels: ArrayLike, k: int = 10) -> Expansion:
    """Expansion of weak labels (n,) in strong features (n, d): k nearest neighbours by cosine, without the item.

    A label-free reading of expansion (arXiv 2405.16043): sets whose neighbours reach far
    into the other class let a student correct labels. Theirs quantifies over all subsets and knows which
    labels are wrong; ours takes the whole of the other labels as the one subset, so it is a predictor, not
    their constant. Intervals resample items with their neighbours fixed. Memory: 32 MB and (n, k).
    """
    x, y = np.asarray(features, np.float64), np.asarray(labels)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise SpecError(f"features are (n, d) with one label each, got {x.shape} and {y.shape}")
    if not 0 < k < len(x):
        raise SpecError(f"k = {k} neighbours among {len(x)} items; give 1 to {len(x) - 1}")
    near = _neighbours(x, k)
    differs = y[near] != y[:, None]
    other = mean(differs.mean(1)[None, :])
    reached = np.zeros(len(x), bool)
    reached[near[differs]] = True
    names = [int(c) for c in np.unique(y)]
    if len(names) < 2:
        lone = Number(value=None, n=len(x), reason="undefined: all items carry one weak label")
        return Expansion(other, dict.fromkeys(names, lone), lone)
    classes = {c: mean(reached[y == c].astype(np.float64)[None, :]) for c in names}
    return Expansion(other, classes, min(classes.values(), key=lambda number: number.value or 0.0))


def _neighbours(x: Floats, k: int) -> Ints:
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    near = np.empty((len(x), k), np.int64)
    step = max(1, _CELLS // len(x))
    for start in range(0, len(x), step):
        rows = np.arange(start, min(start + step, len(x)))
        similar = unit[rows] @ unit.T
        similar[np.arange(len(rows)), rows] = -np.inf  # an item is not its own neighbour
        near[rows] = np.argpartition(-similar, k - 1, axis=1)[:, :k]
    return near
