"""The Ladder: a leaderboard that leaks almost nothing, however it is asked (Blum and Hardt 2015).

A submission learns only whether it is better than the best so far by a step, and the best is told in whole steps. With
exact counts 1,000 answers give 1,000 labels away; here at most one step's worth of information leaves per release.

Accuracy gained on n = 500 public items (means of 10 to 20 repeats) after 50, 200 and 1,000 submissions:

    attack                                              exact counts      step .01          step .02          free
    climb by single flips from a model right in 75 %    .023 .084 .212    .000 .000 .000    .000 .000 .000    .000 .000 .000
    climb by flips of two                               .013 .040 .122    .000 .000 .000    .000 .000 .000    .013 .040 .122
    climb by flips of eight                             .006 .023 .058    .000 .000 .004    .000 .000 .000    .000 .005 .022
    random submissions, all vote by the sign told       .099 .193 .373    .017 .021 .004    .012 .018 .003    .008 .013 .000
    random submissions, those told to improve vote      .070 .135 .293    .036 .050 .066    .034 .042 .057    .036 .040 .046

The last row is what the best of so many random submissions has by luck (.050, .061, .072): choosing is no leak. The
variant without a step (`free`) accepts any two flips that are both right, as exact counts would, so it is not the
default and its budget must be small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from superalign.core.errors import SpecError

Correct = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Answer:
    """All that a submission is told: whether it improved on the best by a step, the best, and what is left."""

    improved: bool
    best: float
    left: int


@dataclass(frozen=True)
class Ladder:
    """The state: the best that was told, the submissions used, and their budget.

    `step` is the size of a release; None is the variant without one, which needs the answers of the best (`holder`).
    """

    best: float
    step: float | None
    budget: int
    used: int = 0
    holder: Correct | None = None

    def __post_init__(self) -> None:
        if self.step is not None and not 0 < self.step < 1:
            raise SpecError(
                f"a step of {self.step:g} is no step between two accuracies; standard_error gives the usual one"
            )

    @property
    def left(self) -> int:
        """Submissions that may still be made."""
        return self.budget - self.used

    def submit(self, correct: Correct) -> tuple[Ladder, Answer]:
        """The next state and what is told. Raises SpecError where the budget is used up, and for no answers at all."""
        if self.left <= 0:
            raise SpecError(f"all {self.budget} submissions of this campaign are used; pre-register what you have")
        if correct.dtype != np.bool_ or correct.ndim != 1 or not len(correct):
            raise SpecError(f"answers are one row of right or wrong, got {correct.dtype} of shape {correct.shape}")
        score = float(np.mean(correct))
        improved, best = self._stepped(score) if self.step is not None else self._free(correct, score)
        holder = correct if improved and self.step is None else self.holder
        after = replace(self, best=best, used=self.used + 1, holder=holder)
        return after, Answer(improved, best, after.left)

    def _stepped(self, score: float) -> tuple[bool, float]:
        assert self.step is not None
        if score <= self.best + self.step:
            return False, self.best
        return True, max(self.best, round(round(score / self.step) * self.step, 10))

    def _free(self, correct: Correct, score: float) -> tuple[bool, float]:
        """Accept where the gain on the holder's answers is more than its standard error.

        For answers that are right or wrong that is (wins - losses)^2 > wins + losses. Whole numbers decide: a single
        flip lies exactly on the border, and floats put it on the wrong side for 898 of the sizes from 10 to 3,000,
        which would give away a label per submission.
        """
        if self.holder is None:
            accepted = score > self.best + standard_error(score, len(correct))
        elif self.holder.shape != correct.shape:
            raise SpecError(
                f"{len(correct)} answers, but the best so far has {len(self.holder)}; one board, one dataset"
            )
        else:
            wins, losses = int((correct & ~self.holder).sum()), int((self.holder & ~correct).sum())
            accepted = wins > losses and (wins - losses) ** 2 > wins + losses
        return (True, score) if accepted else (False, self.best)


def standard_error(score: float, items: int) -> float:
    """One standard error of an accuracy: the usual step. Raises SpecError for fewer than two items."""
    if items < 2:
        raise SpecError(f"{items} items show no standard error; give at least 2")
    inside = min(max(score, 1 / items), 1 - 1 / items)
    return math.sqrt(inside * (1 - inside) / items)
