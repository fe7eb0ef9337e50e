"""Strong-to-strong iterations: the student relabels the transfer set, and a fresh copy learns from that.

Source: Burns et al. 2023 (arXiv 2312.09390) for chains of students; EleutherAI/w2s for strong-to-strong.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from superalign.core.ports import Learner, Run, Trainable
from superalign.core.types import Data, Judgment, Overseer
from superalign.learners.labels import folds as split
from superalign.learners.labels import judgments_of, overseer_of, probabilities, remembered


def iterate(learner: Learner, times: int = 1, folds: int = 0) -> Learner:
    """Train a student, let it label the training and validation items, train a fresh copy; `times` times.

    With `folds` of 2 or more each training item is labelled by a student that did not see it, since
    predictions on one's own training items mostly repeat the labels. 0 times is the learner itself. All
    students share the run's seed; label steps of the learner apply anew in each iteration.
    """
    if not isinstance(times, int) or times < 0:
        raise ValueError(f"times counts the iterations, 0 or more, got {times}")
    if not isinstance(folds, int) or folds < 0 or folds == 1:
        raise ValueError(f"folds is 0 (no cross-fitting) or 2 and more, got {folds}")

    def iterated(model: Trainable, data: Data, overseer: Overseer, run: Run) -> Trainable:
        quiet = replace(run, watch=None)
        for done in range(times):
            student = learner(model, data, overseer, quiet)
            said: list[Judgment] = []
            for part in split(data.train, folds, run.seed) if folds else []:
                held = [data.train[i] for i in part]
                rest = tuple(data.train[i] for i in np.setdiff1d(np.arange(len(data.train)), part))
                other = learner(model, replace(data, train=rest), overseer, quiet)
                said += judgments_of(held, probabilities(other, held))
            overseer = remembered(overseer_of(student), said)
            run.progress("iterate", done + 1, times + 1)
        return learner(model, data, overseer, run)

    return iterated
