"""Finetune a model on an overseer's labels: the learner that all methods are built around.

Labels are asked of the overseer, changed by the label steps, and fitted under a loss. Where a model
offers variants (settings of its regularisation), each is fitted and its agreement with the overseer's hard
labels on the validation items decides: the most strongly regularised variant within `tolerance` standard
errors of the best is kept (Breiman et al. 1984, section 3.4.3, use one). No answer is read anywhere. Weak
labels reward imitation, so a student takes a tolerance of one; a model trained on truth takes none. The
rule is honest, not safe: a teacher that is a fixed function rewards imitation to the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.errors import Degenerate, SpecError
from superalign.learners.labels import Labels, Step, View, gather, probabilities
from superalign.learners.losses import Loss, cross_entropy

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints, Objective, Run, Trainable, Watch
    from superalign.core.types import Data, Item, Overseer

EARLY = ("accuracy", "ce")


@dataclass(frozen=True)
class Finetune:
    """A learner: `finetune(loss, steps, early)(model, data, overseer, run)`.

    `early` keeps, of the states seen while fitting, the best by `accuracy` (most agreement) or `ce`
    (lowest cross-entropy) against the overseer's labels of `data.valid`; None keeps the last state.
    The run's seed is used as it is, so students of one seed share initialisation and batch order.
    """

    loss: Loss
    steps: tuple[Step, ...] = ()
    early: str | None = None
    tolerance: float = 0.0

    def labels(self, model: Trainable, data: Data, overseer: Overseer, run: Run) -> Labels:
        """The labels that this learner would train on. Raises Degenerate where they hold one class alone."""
        labels = gather(overseer, data.train)
        for step in self.steps:
            _refuse_constant(labels)
            labels = step(labels, _view(model, labels.items, run.seed))
        _refuse_constant(labels)
        return labels

    def __call__(self, model: Trainable, data: Data, overseer: Overseer, run: Run) -> Trainable:
        labels = self.labels(model, data, overseer, run)
        variants = list(model.variants())
        if len(variants) > 1 or self.early:
            if not data.valid:
                reason = "early stopping" if self.early else f"choosing among {len(variants)} variants of {model.name}"
                raise SpecError(f"{reason} needs validation items, and data.valid is empty; give the task such a split")
            valid = gather(overseer, data.valid)
        if len(variants) == 1:
            return self._fit(variants[0], labels, valid if self.early else None, run.seed, run.watch)
        scores = []
        for done, variant in enumerate(variants):
            fitted = self._fit(variant, labels, valid if self.early else None, run.seed, None)
            scores.append(agreement(fitted, valid))
            run.progress("variants", done + 1, len(variants))
        best = within(scores, len(valid.items), self.tolerance)
        return self._fit(variants[best], labels, valid if self.early else None, run.seed, run.watch)

    def _fit(self, model: Trainable, labels: Labels, valid: Labels | None, seed: int, watch: Watch | None) -> Trainable:
        goal = objective(self.loss, labels)
        if self.early is None or valid is None:
            return model.fit(labels.items, goal, seed, watch)
        best = _Best(self.early, valid, watch)
        fitted = model.fit(labels.items, goal, seed, best)
        return fitted.load(best.state) if best.state else fitted


def finetune(loss: Loss, steps: Sequence[Step] = (), early: str | None = None, tolerance: float = 0.0) -> Finetune:
    """A learner from a loss, label steps in order, an early-stopping rule (`accuracy`, `ce` or None), and how
    many standard errors of agreement a more regularised variant may lie below the best."""
    if early is not None and early not in EARLY:
        raise SpecError(f"early stopping goes by accuracy or ce, got {early!r}; type early:by=accuracy")
    return Finetune(loss, tuple(steps), early, tolerance)


def within(agreements: Sequence[float], items: int, tolerance: float) -> int:
    """The first of the agreements (shares of `items`) that is within `tolerance` standard errors of the best."""
    best = max(agreements)
    least = best - tolerance * float(np.sqrt(best * (1 - best) / items))
    return next(k for k, share in enumerate(agreements) if share >= least)


def objective(loss: Loss, labels: Labels) -> Objective:
    """The loss bound to its labels. Weights are scaled to mean 1; ties in a loss go by item id.

    The loss is prepared here, so each fit has state of its own.
    """
    prepare = getattr(loss, "prepared", None)
    prepared: Loss = prepare(labels.soft) if prepare is not None else loss
    soft, weight = labels.soft, labels.weight / labels.weight.mean()
    ids = np.unique([item.id for item in labels.items], return_inverse=True)[1]

    def goal(logits: Floats, rows: Ints, step: int, total: int) -> tuple[Floats, Floats]:
        if not np.isfinite(logits).all():
            raise Degenerate(
                f"the fit diverged: logits are not finite at step {step} of {total}; lower the learning rate"
            )
        values, gradients = prepared(logits, soft[rows], step, total, ids[rows])
        return weight[rows] * values, weight[rows, None] * gradients

    return goal


def agreement(model: Trainable, labels: Labels) -> float:
    """The share of items whose predicted class is the labels' hard class."""
    return float((probabilities(model, labels.items).argmax(axis=1) == labels.hard).mean())


@dataclass
class _Best:
    """A watch that keeps the state of the best model so far; of equal ones the earliest."""

    rule: str
    valid: Labels
    watch: Watch | None
    score: float = -np.inf
    state: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    def __call__(self, step: int, total: int, model: Trainable) -> None:
        if self.rule == "accuracy":
            score = agreement(model, self.valid)
        else:
            score = -float(cross_entropy(self.valid.soft, np.asarray(model.logits(self.valid.items)))[0].mean())
        if score > self.score:
            self.score = score
            self.state = {name: np.array(array) for name, array in model.state().items()}
        if self.watch is not None:
            self.watch(step, total, model)


def _view(model: Trainable, items: Sequence[Item], seed: int) -> View:
    ask = getattr(model, "zero_shot", None)  # only models that answer untrained have it

    def zero_shot() -> Floats | None:
        return ask(items) if ask is not None else None

    return View(lambda: model.features(items), zero_shot, seed)


def _refuse_constant(labels: Labels) -> None:
    """A class missing from all labels is fine; one class alone is a broken overseer or a filter gone too far."""
    count = len(labels.items)
    if np.ptp(labels.soft, axis=0).max() < 1e-9:
        shown = "/".join(f"{p:.3f}" for p in labels.soft[0])
        raise Degenerate(
            f"all {count} labels are the same ({shown}), so there is nothing to learn; look at the overseer"
        )
    if len(np.unique(labels.hard)) == 1:
        raise Degenerate(
            f"all {count} labels name class {labels.hard[0]}, so there is nothing to learn; "
            "look at the overseer, or loosen the filter"
        )
