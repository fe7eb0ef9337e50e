"""What a job's value means on the test items: one outcome per condition and seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from superalign.core.task import Task
from superalign.studies.w2s.cells import Cell, Job, judged

if TYPE_CHECKING:
    from superalign.core.ports import Floats

SCORES = ("accuracy", "log", "brier")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A model's predictions for one seed, graded.

    `probs` is (n, K) on test, `transfer` (m, K) on transfer; `scores` holds (n,) per metric; `trail`
    (checkpoints, n) are predictions during training, at `trail_steps`, and
    `trail_right` whether they are right.
    """

    key: str
    probs: Floats
    scores: Mapping[str, Floats]
    label_accuracy: float | None = None
    transfer: Floats | None = None
    trail: NDArray[np.int16] | None = None
    trail_right: NDArray[np.bool_] | None = None
    trail_steps: tuple[int, ...] = ()
    trained: str = ""
    reads: tuple[tuple[str, str, str, int], ...] = ()
    seconds: float = 0.0
    reason: str | None = None
    extra: Mapping[str, float] = field(default_factory=dict)

    @property
    def predictions(self) -> NDArray[np.intp]:
        """The choice made on each test item, (n,)."""
        choices: NDArray[np.intp] = np.nan_to_num(self.probs, nan=0.0).argmax(1)
        return choices

    @classmethod
    def of(cls, value: Mapping[str, Any], key: str, task: Task) -> Outcome:
        """Grade what a job left; a job may leave only a reason why there is nothing to grade."""
        reads = tuple((r[0], r[1], r[2], r[3]) for r in value.get("reads", ()))
        seconds = float(value.get("seconds", 0.0))
        if "test" not in value:
            extra = {k: v for k, v in value.items() if isinstance(v, float) and k != "seconds"}
            return cls(key, np.zeros((0, 0)), {}, reads=reads, seconds=seconds, reason=value.get("reason"), extra=extra)
        judgments = [judged(i, row) for i, row in zip(task.items("test"), value["test"], strict=True)]
        transfer = value.get("transfer")
        trail = value.get("trail")
        label_accuracy = None
        if transfer is not None and key.startswith("w2s-weak"):
            labels = [judged(i, row) for i, row in zip(task.items("transfer"), transfer, strict=True)]
            label_accuracy = float(task.score(labels, "accuracy").mean())
        return cls(
            key,
            value["test"],
            {metric: task.score(judgments, metric) for metric in SCORES},
            label_accuracy,
            transfer,
            trail,
            None if trail is None else task.grade("test", trail, "accuracy over training, for the report"),
            tuple(value.get("trail_steps", ())),
            value.get("trained", ""),
            reads,
            seconds,
        )


@dataclass(slots=True)
class Pair:
    """A weak and a strong model: the outcomes of every condition by seed."""

    weak: str
    strong: str
    outcomes: dict[str, dict[int, Outcome]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, job: Job, cell: Cell, outcome: Outcome) -> None:
        self.outcomes.setdefault(job.name, {})[cell.seed] = outcome

    def fail(self, job: Job, reason: str) -> None:
        self.failures.setdefault(job.name, reason)

    def names(self) -> list[str]:
        """Conditions in the order in which they were first met."""
        return list(dict.fromkeys([*self.outcomes, *self.failures]))

    def matrix(self, name: str, metric: str) -> Floats:
        """Scores (seeds, items) of a condition."""
        return np.stack([o.scores[metric] for _, o in sorted(self.outcomes[name].items())])

    def predictions(self, name: str) -> NDArray[np.intp]:
        """Choices (seeds, items) of a condition."""
        return np.stack([o.predictions for _, o in sorted(self.outcomes[name].items())])

    def undefined(self, name: str, seeds: int) -> str | None:
        """Why a condition has no numbers, if it has none."""
        if name in self.failures:
            return f"undefined: {self.failures[name]}"
        reasons = [o.reason for o in self.outcomes[name].values() if o.reason]
        if reasons:
            return reasons[0]
        return None if len(self.outcomes[name]) == seeds else "undefined: not every seed finished"
