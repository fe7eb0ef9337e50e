"""Bootstrapping: a chain of models of growing strength, each labelling for the next.

Source: Burns et al. 2023 (arXiv 2312.09390), where it helped most in chess and for large gaps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from superalign.core.ports import Learner, Run, Trainable
from superalign.core.random import derive
from superalign.core.types import Data, Overseer
from superalign.learners.labels import folds, overseer_of


def bootstrap(learner: Learner, build: Callable[[str], Trainable], through: str = "", fresh: bool = False) -> Learner:
    """Train the models named in `through` one after the other, each on the labels of the one before.

    `through` is `mlp:32>mlp:64`, weakest first, with `@` for the colons: `mlp@32>mlp@64`. With `fresh`
    each hop gets a part of the training items of its own, else all of them. Intermediate models draw seeds
    of their own; the last hop, on the learner's model, has the run's.
    """
    names = [name.strip().replace("@", ":") for name in through.split(">")] if through else []
    if not all(names):
        raise ValueError(f"through names models as mlp@32>mlp@64, got {through!r}")

    def chained(model: Trainable, data: Data, overseer: Overseer, run: Run) -> Trainable:
        hops = [data] * (len(names) + 1)
        if fresh and names:
            parts = folds(data.train, len(names) + 1, run.seed)
            hops = [replace(data, train=tuple(data.train[i] for i in part)) for part in parts]
        for hop, name in enumerate(names):
            alone = replace(run, seed=derive(run.seed, "bootstrap", hop, name), watch=None)
            overseer = overseer_of(learner(build(name), hops[hop], overseer, alone))
            run.progress("bootstrap", hop + 1, len(hops))
        return learner(model, hops[-1], overseer, run)

    return chained
