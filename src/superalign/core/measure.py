"""Measurement: scores, and numbers that carry their doubt.

Score matrices are (seeds, items), higher is better (negate errors and Brier scores), on the same items
for every seed and model. A matrix of one column holds per-seed totals whose items are not known. Intervals
are 95 % percentiles of a nested bootstrap over seeds and clusters of items (core/resample.py); the
functions are pure and deterministic. PGR and its guard: Burns et al. 2023 (arXiv 2312.09390).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from superalign.core.errors import SpecError, nearest
from superalign.core.power import delta_sd as delta_sd
from superalign.core.power import fieller as fieller
from superalign.core.power import holm as holm
from superalign.core.power import paired_test
from superalign.core.resample import LEVEL, Floats, Ints, checked, clustering, level, number, over_gap, resample
from superalign.core.resample import mean as mean
from superalign.core.spec import Number
from superalign.core.types import Verdict

METRICS = ("accuracy", "brier", "log")


def score(verdicts: Sequence[Verdict], key: Sequence[int], choices: Sequence[int], metric: str) -> Floats:
    """One number per verdict, (n,), given the right choice and the number of choices of each item.

    `accuracy`: 1 where the answer is right; an answer in free text never is. `log`: log probability of the
    right choice in nats, at least log(1e-12), higher is better. `brier`: squared error summed over the
    choices, 0 to 2, lower is better. A verdict that abstained, or has neither answer nor probabilities,
    scores as a guess: 1/choices, uniform probabilities. SpecError for an unknown metric, and for a verdict
    without one probability per choice where the metric needs them.
    """
    if metric not in METRICS:
        raise SpecError(f"no metric is named {metric!r}; {nearest(metric, METRICS)}")
    if not len(verdicts) == len(key) == len(choices):
        raise SpecError(f"{len(verdicts)} verdicts, {len(key)} answers, {len(choices)} counts of choices; give as many")
    return np.array([_score(*each, metric) for each in zip(verdicts, key, choices, strict=True)], np.float64)


def _score(verdict: Verdict, right: int, count: int, metric: str) -> float:
    guess = verdict.abstained is not None or (verdict.answer is None and (metric == "accuracy" or not verdict.probs))
    if metric == "accuracy":
        return 1 / count if guess else float(verdict.answer == right)
    probs = (1 / count,) * count if guess else verdict.probs
    if len(probs) != count:
        raise SpecError(
            f"the metric {metric!r} needs a probability for each of the {count} choices, a verdict has {len(probs)}; "
            "score 'accuracy', or use a judge that gives probabilities"
        )
    if metric == "log":
        return math.log(max(probs[right], 1e-12))
    return sum((p - (k == right)) ** 2 for k, p in enumerate(probs))


def ece(probs: ArrayLike, key: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error of the top choice: mean |accuracy - confidence| over bins, weighted by size.

    `probs` (n, K), `key` (n,). Bins hold equal mass, not equal width: confidences crowd near 1, and the
    near-empty bins of equal width would add noise. Equal confidences stay in one bin. Biased up for small n.
    """
    p, right = np.asarray(probs, np.float64), np.asarray(key)
    if p.ndim != 2 or right.shape != p.shape[:1] or len(p) == 0:
        raise SpecError(f"ece takes probabilities (n, K) and answers (n,), n > 0, got {p.shape} and {right.shape}")
    confidence, hit = p.max(1), p.argmax(1) == right
    edges = np.quantile(confidence, np.arange(1, bins) / bins)
    where = np.searchsorted(edges, confidence, side="right")
    return float(np.abs(np.bincount(where, hit - confidence, bins)).sum() / len(p))


def auroc(scores: ArrayLike, key: ArrayLike) -> float:
    """P(score of a random positive > score of a random negative), ties counting half. Scores and 0/1 key (n,)."""
    s, positive = np.asarray(scores, np.float64), np.asarray(key) == 1
    n = int(positive.sum())
    if s.ndim != 1 or s.shape != positive.shape or n in (0, len(s)):
        raise SpecError(f"AUROC needs scores (n,) with items of both classes, got {s.shape} with {n} of class 1")
    _, inverse, counts = np.unique(s, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((rank[positive].sum() - n * (n + 1) / 2) / (n * (len(s) - n)))


@dataclass(frozen=True, slots=True)
class Elicited:
    """What weak supervision elicited. `effect` is student - weak, `gap` ceiling - weak, `pgr` their ratio.

    `per_seed` is the PGR of each seed, None where that seed's gap is below the minimum.
    `share_nonpositive_gap` counts the bootstrap replicates whose gap is 0 or less. `notes` say in
    sentences what the intervals do not hold.
    """

    weak: Number
    student: Number
    ceiling: Number
    effect: Number
    gap: Number
    pgr: Number
    per_seed: tuple[float | None, ...]
    share_nonpositive_gap: float
    notes: tuple[str, ...]


def elicited(
    weak: ArrayLike,
    student: ArrayLike,
    ceiling: ArrayLike,
    *,
    chance: float,
    clusters: ArrayLike | None = None,
    minimum_gap: float = 0.01,
    independent: bool = False,
) -> Elicited:
    """Performance gap recovered, of the means over seeds, with its guard and paired nested interval.

    Row j of the three matrices is one seed, unless `independent` (baselines with seeds of their own, whose
    rows are then resampled too). `chance` is the score of the best constant guess, in the matrices' units.
    PGR is undefined, with the reason, where the gap is not above 0, within noise or below `minimum_gap`,
    where the ceiling is not above chance, and where one seed without items leaves no interval.
    """
    (w, s, c), groups, draws = _draw([weak, student, ceiling], clusters, independent)
    stars = resample([w, s, c], groups, draws)
    floor, reached, top = (level(m, stars[:, i], groups) for i, m in enumerate((w, s, c)))
    effect = number(s.mean() - w.mean(), stars[:, 1] - stars[:, 0], s, groups)
    gap = number(c.mean() - w.mean(), stars[:, 2] - stars[:, 0], s, groups)
    reason = _guard(floor, top, gap, minimum_gap, chance)
    pgr = Number(value=None, n=effect.n, seeds=effect.seeds, reason=reason)
    if reason is None:
        ratio = over_gap(stars[:, 1] - stars[:, 0], stars[:, 2] - stars[:, 0])
        pgr = number((s.mean() - w.mean()) / (c.mean() - w.mean()), ratio, s, groups)
    per_seed = _per_seed(w, s, c, max(minimum_gap, 1e-12), independent)
    share = float((stars[:, 2] <= stars[:, 0]).mean())
    return Elicited(floor, reached, top, effect, gap, pgr, per_seed, share, _notes(w, s, independent))


def _per_seed(
    weak: Floats, student: Floats, ceiling: Floats, minimum: float, independent: bool
) -> tuple[float | None, ...]:
    floor, top = (np.full(len(student), m.mean()) if independent else m.mean(1) for m in (weak, ceiling))
    rows = zip(student.mean(1), floor, top - floor, strict=True)
    return tuple(float((a - f) / g) if g >= minimum else None for a, f, g in rows)


def _guard(weak: Number, ceiling: Number, gap: Number, minimum: float, chance: float | None) -> str | None:
    g, top, floor = float(gap.value or 0), float(ceiling.value or 0), float(weak.value or 0)
    if gap.low is None or ceiling.low is None:
        return "undefined: one seed without scores of single items gives no interval for the gap; add seeds or items"
    reasons = []
    if g <= 0:
        reasons.append(f"the gap {g:.3f} is not above 0 (weak {floor:.3f}, ceiling {top:.3f})")
    elif gap.low <= 0:
        reasons.append(f"the gap {_span(gap)} is within noise (its lower bound is not above 0)")
    elif g < minimum:
        reasons.append(f"the gap {_span(gap)} is below {minimum:g}, the smallest that is divided by")
    if chance is not None and ceiling.low <= chance:
        reasons.append(f"the ceiling {_span(ceiling)} is not above chance, {chance:.3f}")
    return "undefined: " + ", and ".join(reasons) if reasons else None


def _span(number: Number) -> str:
    return f"{number.value:.3f} [{number.low:.3f}, {number.high:.3f}]"


def _notes(weak: Floats, student: Floats, independent: bool) -> tuple[str, ...]:
    notes, seeds = [], len(student)
    if seeds == 1 and student.shape[1] > 1:
        notes.append("One seed: the intervals hold the sampling of test items and no training noise.")
    elif 1 < seeds < 5:
        text = f"{seeds} seeds: the intervals are descriptive, because so few seeds understate the spread"
        if not independent:
            each = student.mean(1) - weak.mean(1)
            half = float(stdtrit(seeds - 1, (1 + LEVEL) / 2)) * float(each.std(ddof=1)) / math.sqrt(seeds)
            text += f"; by a t-interval over the seeds, on these items, the effect is {each.mean():.3f} ± {half:.3f}"
        notes.append(text + ".")
    if student.shape[1] == 1:
        notes.append(
            "No scores of single items: intervals, if any, hold the spread over seeds, not the sampling of items."
        )
    elif same := repeated_runs(weak):
        named = "; ".join(", ".join(map(str, group)) for group in same)
        notes.append(
            f"Seeds (from 0) with identical weak scores: {named}. A teacher counted twice understates the spread."
        )
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Method `a` against method `b`: `difference` of their PGRs, `effect` of their scores.

    `p` is two-sided (`power.paired_test`), `p_adjusted` after Holm. `ranked` is True where the interval of
    `effect` excludes 0 and p_adjusted <= .05; otherwise the two must not be put in order.
    """

    a: str
    b: str
    difference: Number
    effect: Number
    p: float | None
    p_adjusted: float | None
    ranked: bool


def compare(
    weak: ArrayLike,
    students: Mapping[str, ArrayLike],
    ceiling: ArrayLike,
    clusters: ArrayLike | None = None,
    reference: str | None = None,
    *,
    chance: float | None = None,
    minimum_gap: float = 0.01,
    independent: bool = False,
    tried: int | None = None,
) -> list[Comparison]:
    """Every pair of students, or each against `reference`, over the gap that they share.

    Students are paired by seed; weak and ceiling too unless `independent`. `tried` counts all comparisons
    made, where more were tried than are passed. The scores' `effect` and its p stay defined where the gap
    does not allow a PGR. With one seed p speaks of these trained models on new items, not of the methods.
    """
    if reference is not None and reference not in students:
        raise SpecError(f"no student is named {reference!r}; {nearest(reference, students)}")
    matrices, groups, draws = _draw([weak, *students.values(), ceiling], clusters, independent)
    stars = resample(matrices, groups, draws)
    gap_value, gaps = float(matrices[-1].mean() - matrices[0].mean()), stars[:, -1] - stars[:, 0]
    floor, top = level(matrices[0], stars[:, 0], groups), level(matrices[-1], stars[:, -1], groups)
    reason = _guard(floor, top, number(gap_value, gaps, matrices[0], groups), minimum_gap, chance)
    at = {name: i + 1 for i, name in enumerate(students)}
    pairs = list(combinations(at, 2)) if reference is None else [(n, reference) for n in at if n != reference]
    rows: list[tuple[str, str, Number, Number, float | None]] = []
    for a, b in pairs:
        parts, moved = matrices[at[a]] - matrices[at[b]], stars[:, at[a]] - stars[:, at[b]]
        effect = number(parts.mean(), moved, parts, groups)
        difference = Number(value=None, n=effect.n, seeds=effect.seeds, reason=reason)
        if reason is None:
            difference = number(parts.mean() / gap_value, over_gap(moved, gaps), parts, groups)
        rows.append((a, b, difference, effect, paired_test(parts, groups)))
    adjusted = iter(holm([row[4] for row in rows if row[4] is not None], tried))
    out = []
    for a, b, difference, effect, p in rows:
        q = None if p is None else next(adjusted)
        clear = effect.low is not None and effect.high is not None and (effect.low > 0 or effect.high < 0)
        out.append(Comparison(a, b, difference, effect, p, q, clear and q is not None and q <= 0.05))
    return out


def ranks(comparisons: Sequence[Comparison]) -> dict[str, tuple[int, int]]:
    """Best and worst possible rank (1 is best) of each method, given all pairs: only a ranked pair has an order."""
    names = list(dict.fromkeys(n for c in comparisons for n in (c.a, c.b)))
    up, down = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for c in comparisons:
        if c.ranked:
            better, worse = (c.a, c.b) if (c.effect.value or 0) > 0 else (c.b, c.a)
            down[better] += 1
            up[worse] += 1
    return {n: (1 + up[n], len(names) - down[n]) for n in names}


def repeated_runs(runs: ArrayLike) -> tuple[tuple[int, ...], ...]:
    """Groups of seeds (rows of (seeds, items) or (seeds, items, K)) that are identical: one run under several names."""
    seen: dict[bytes, list[int]] = {}
    for j, row in enumerate(np.asarray(runs, np.float64)):
        seen.setdefault(row.tobytes(), []).append(j)
    return tuple(tuple(group) for group in seen.values() if len(group) > 1)


def _draw(
    values: Sequence[ArrayLike], clusters: ArrayLike | None, independent: bool
) -> tuple[list[Floats], Ints, list[int]]:
    """Checked matrices [weak, students..., ceiling], clusters, and which matrices share their draw of seeds."""
    names = ["weak", *["student"] * (len(values) - 2), "ceiling"]
    matrices = [checked(v, n) for v, n in zip(values, names, strict=True)]
    draws = [0, *[1] * (len(values) - 2), 2] if independent else [0] * len(values)
    seeds = {(g, len(m)) for g, m in zip(draws, matrices, strict=True)}
    if len({m.shape[1] for m in matrices}) > 1 or len(seeds) > len(set(draws)) or any(m.size == 0 for m in matrices):
        shapes = ", ".join(f"{n} {m.shape[0]} x {m.shape[1]}" for n, m in zip(names, matrices, strict=True))
        raise SpecError(
            f"seeds x items do not fit: {shapes}; score every model on the same items, "
            "and pass independent=True where weak and ceiling have seeds of their own"
        )
    return matrices, clustering(clusters, matrices[0].shape[1]), draws
