"""Equal care: before a baseline is compared with what a search found, it is tuned with as many evaluations.

On `w2s-micro` each of six searches beat every published default (p below 1e-5), and none the auxiliary confidence loss
once that is tuned (-.028 to +.006 of PGR): the difference was care. So a baseline is tuned over its own axes, on the
same development problems and with the same schedule, with at least as many evaluations (a method on a problem) as the
search used; a grid that is smaller is exhausted. Choice is by the same rule: the simplest within one standard error of
the best.

Pure functions over `evaluate`, so that a campaign can parallelise, store and count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from superalign.core.errors import Degenerate, SpecError
from superalign.core.random import stream
from superalign.research.proposers.halving import rungs
from superalign.research.proposers.history import simplest
from superalign.research.proposers.propose import whole

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints
    from superalign.research.space import Method, Space
    from superalign.research.testbed import Baseline

Problems = TypeVar("Problems")
Evaluate = Callable[[Sequence["Method"], Sequence[Problems]], "Floats"]
"""`evaluate(methods, problems) -> (n, p)` performance gap recovered; NaN where a method failed."""


@dataclass(frozen=True, slots=True)
class Care:
    """A baseline with its published settings and with tuned ones, and their scores on the p development problems.

    `spent` counts evaluations, a method on a problem; `grid` is the number of settings there are, `tried` of those
    that were scored at all. Scores of the tuned settings are those of a winner, so they flatter: the care gap of a
    report comes from fresh problems.
    """

    baseline: str
    default: Method
    tuned: Method
    default_scores: tuple[float, ...]
    tuned_scores: tuple[float, ...]
    spent: int
    grid: int
    tried: int

    @property
    def gap(self) -> float:
        """The care gap on the development problems: mean score of the tuned less that of the default settings."""
        return float(np.mean(self.tuned_scores) - np.mean(self.default_scores))

    @property
    def exhausted(self) -> bool:
        """Whether every setting was scored on every problem."""
        return self.spent == self.grid * len(self.tuned_scores)

    def equals(self, evaluations: int) -> bool:
        """Whether the baseline had at least the care of a search of that many evaluations, or all there is."""
        return self.spent >= evaluations or self.exhausted


def tune(
    space: Space, baseline: Baseline, evaluate: Evaluate[Problems], problems: Sequence[Problems], budget: int, seed: int
) -> Care:
    """Tune the baseline on its axes with at least `budget` evaluations, or all there are.

    Halving over settings in random order, as wide as it takes. The default settings are always scored on every
    problem and may win. Raises SpecError for settings outside the space, Degenerate where every setting failed.
    """
    whole(budget=budget, problems=len(problems))
    settings = list(space.grid(baseline.settings, baseline.tuned))
    default = settings.index(space.method(**baseline.settings))
    scores = _Scores(evaluate, settings, problems)
    scores.add(np.array([default]), len(problems))
    entrants: Ints = stream(seed, "research/care", baseline.name).permutation(len(settings))
    for kept, fidelity in schedule(len(settings), len(problems), budget):
        entrants = scores.best(entrants, kept)
        scores.add(entrants, fidelity)
    if not np.isfinite(scores.values[default]).all():
        raise Degenerate(f"the baseline {baseline.name!r} failed with its published settings {dict(baseline.settings)}")
    chosen = simplest(space, settings, scores.values)
    return Care(
        baseline.name,
        settings[default],
        settings[chosen],
        tuple(float(s) for s in scores.values[default]),
        tuple(float(s) for s in scores.values[chosen]),
        int(scores.done.sum()),
        len(settings),
        int((scores.done > 0).sum()),
    )


def schedule(grid: int, problems: int, budget: int) -> list[tuple[int, int]]:
    """How many settings are scored on how many problems, in turn: the narrowest halving that spends `budget`.

    A setting keeps the scores that it has, so that a rung costs only the problems that are new. A grid that costs
    less than the budget is exhausted.
    """
    if grid * problems <= budget:
        return [(grid, problems)]
    for width in count(1):
        steps = [(min(grid, kept), fidelity) for kept, fidelity in rungs(width, problems)]
        before = [0, *(fidelity for _, fidelity in steps)]
        if sum(kept * (fidelity - b) for (kept, fidelity), b in zip(steps, before, strict=False)) >= budget:
            break
    return steps


class _Scores:
    """Scores (settings, problems) as they are filled in from the left; `done` counts the problems of each setting."""

    def __init__(self, evaluate: Evaluate[Problems], settings: Sequence[Method], problems: Sequence[Problems]) -> None:
        self._evaluate, self._settings, self._problems = evaluate, settings, problems
        self.values = np.full((len(settings), len(problems)), np.nan)
        self.done = np.zeros(len(settings), np.int64)

    def add(self, rows: Ints, fidelity: int) -> None:
        """Score the settings `rows` on the first `fidelity` problems, where they are not scored yet."""
        for start in np.unique(self.done[rows]):
            behind = rows[self.done[rows] == start]
            if start >= fidelity:
                continue
            asked = [self._settings[i] for i in behind]
            found = np.asarray(self._evaluate(asked, self._problems[int(start) : fidelity]), np.float64)
            if found.shape != (len(behind), fidelity - start):
                raise SpecError(
                    f"evaluate gave scores of shape {found.shape} for {len(behind)} methods "
                    f"on {fidelity - start} problems; give one row a method and one column a problem"
                )
            self.values[behind, int(start) : fidelity] = found
            self.done[behind] = fidelity

    def best(self, rows: Ints, count: int) -> Ints:
        """The `count` of the settings `rows` with the best means on the problems that all of them have."""
        shared = int(self.done[rows].min())
        means = np.nan_to_num(self.values[rows, :shared].mean(1), nan=-np.inf) if shared else np.zeros(len(rows))
        return rows[np.argsort(-means, kind="stable")[:count]]
