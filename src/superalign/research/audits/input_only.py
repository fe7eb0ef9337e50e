"""Input-only: can part of the input, which should not suffice, give more answers than the weak supervisor?

A linear model is taught with the right answers from the partial input alone (an answer without its question, metadata,
the order of the items), cross-fitted over five parts. Where it beats the weak supervisor, a gain on this testbed need not
come from the weak labels. After the hypothesis-only baselines of Poliak et al. 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.random import stream
from superalign.research.audits.result import AuditResult, Status, named
from superalign.research.inference import paired
from superalign.research.testbed import Problem
from superalign.research.testbeds.ridge import design, fit

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints
    from superalign.research.verdicts import Qualifier

Part = Callable[[Problem], "Floats"]
"""A partial input: features (m, d) of the test items."""

FOLDS, L2 = 5, 1.0
WIDE = 16
"""Columns from which on the mean or the size of a row is its form; of fewer columns it is their content."""


def form(problem: Problem) -> Floats:
    """What the shape of the data says: the place of an item, whether it is even, the mean, spread, size, extremes and
    zeros of its row in wide arrays, the length of its text."""
    items = len(problem.key.truth)
    place = np.arange(items)
    found = [place / items, place % 2]
    for name, values in problem.public.items():
        array = np.asarray(values)
        if not name.startswith("test_") or len(array) != items:
            continue
        if array.dtype.kind in "UO":
            found += [np.array([len(str(v)) for v in array.ravel()[:items]])]
        elif array.size >= WIDE * items:
            row = array.reshape(items, -1).astype(np.float64)
            found += [row.mean(1), row.std(1), np.linalg.norm(row, axis=1), row.min(1), row.max(1), (row == 0).mean(1)]
    return np.column_stack(found).astype(np.float64)


def input_only(
    problems: Sequence[Problem], parts: Mapping[str, Part] | None = None, seed: int = 0
) -> list[AuditResult]:
    """One result a partial input (by default `form`): `flag`, with `testbed-shortcut`, where its accuracy exceeds
    the weak supervisor's (interval of the mean difference above 0). The statistic is that difference.

    Raises SpecError for fewer than two problems.
    """
    found = []
    for name, part in (parts or {"form": form}).items():
        accuracy = np.array([fitted(part(p), p.key.truth, seed) for p in problems])
        weak = np.array([p.key.weak for p in problems])
        test = paired((accuracy - weak)[:, None])
        said = f"{name} alone gives {accuracy.mean():.3f} of the answers, the weak supervisor {weak.mean():.3f}"
        status: Status = "flag" if test.low > 0 else "pass"
        mark: Qualifier | None = "testbed-shortcut" if test.low > 0 else None
        where = named(problems)
        numbers = (test.estimate, test.low, test.high)
        found.append(AuditResult(f"input-only:{name}", status, *numbers, said, where, mark))
    return found


def fitted(features: Floats, truth: Ints, seed: int) -> float:
    """The cross-fitted accuracy of a ridge logistic regression on features (m, d) and their squares, a class against
    the others."""
    x = np.column_stack([features, np.square(features - features.mean(0))])
    x = design(((x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)).astype(np.float32))
    classes = np.unique(truth)
    fold = stream(seed, "research/input-only", len(truth)).permutation(len(truth)) % FOLDS
    right = 0
    for k in range(FOLDS):
        train, test = fold != k, fold == k
        logits = np.column_stack([x[test] @ fit(x[train], (truth[train] == c).astype(np.float64), L2) for c in classes])
        right += int((classes[logits.argmax(1)] == truth[test]).sum())
    return right / len(truth)
