"""Choose a model's setting by split-half agreement, without labels of any held-out item.

Two students are trained on disjoint halves; the setting where their hard predictions on other items
agree most often is taken. Settings whose predicted class balance is far from the labels' are left out:
without that, near-constant predictions win (measured on SUBJ and SST-2 with frozen embeddings: PGR -.41
and .36 without, .19 and .71 with a tolerance of .1). The rule is ours; none is safe everywhere.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from superalign.core.errors import SpecError
from superalign.core.ports import Learner, Run, Trainable
from superalign.core.types import Data, Overseer
from superalign.learners.labels import folds, gather, judgments_of, probabilities, remembered


def split_half(learner: Learner, tolerance: float = 0.1) -> Learner:
    """Pick among `model.variants()` by split-half agreement, then train on everything.

    Agreement is measured on `data.unlabelled`, or on `data.valid` where that is empty (its labels are not
    asked for). A setting is left out if any class's share of the predictions differs by more than
    `tolerance` from its share of the labels; if all are, the closest is taken.
    """
    if not 0 < tolerance <= 1:
        raise ValueError(f"tolerance is a difference of shares, above 0 and at most 1, got {tolerance}")

    def chosen(model: Trainable, data: Data, overseer: Overseer, run: Run) -> Trainable:
        variants = list(model.variants())
        if len(variants) == 1:
            return learner(model, data, overseer, run)
        others = data.unlabelled or data.valid
        if not others:
            raise SpecError("split-half compares predictions on items outside the training set, and there are none")
        labels = gather(overseer, data.train)
        known = remembered(overseer, judgments_of(labels.items, labels.soft))
        halves = [tuple(labels.items[i] for i in part) for part in folds(labels.items, 2, run.seed)]
        quiet = replace(run, watch=None)
        prior = labels.soft.mean(axis=0)
        ranked = []
        for place, variant in enumerate(variants):
            pair = [learner(variant, replace(data, train=half), known, quiet) for half in halves]
            first, second = (probabilities(student, others) for student in pair)
            agree = float((first.argmax(axis=1) == second.argmax(axis=1)).mean())
            hard = np.concatenate([first.argmax(axis=1), second.argmax(axis=1)])
            off = float(np.abs(np.bincount(hard, minlength=len(prior)) / len(hard) - prior).max())
            ranked.append((off > tolerance, off if off > tolerance else -agree, place))
            run.progress("split-half", place + 1, len(variants))
        return learner(variants[min(ranked)[2]], replace(data, train=labels.items), known, run)

    return chosen
