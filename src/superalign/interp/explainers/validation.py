"""Which of several explanations is best, by simulation on the split `validate`.

Windows are drawn from the active and from the silent ones, and each stands for as many as there are: the correlation is
an estimate of the one on random windows, which top windows alone would flatter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from superalign.interp import metrics
from superalign.interp.corpus import Windows
from superalign.interp.evidence import Evidence
from superalign.interp.units import Explanation, Simulator

SPLIT = "validate"


def validate(
    simulator: Simulator, candidates: Sequence[tuple[Explanation, Evidence]], each: int = 10
) -> list[float | None]:
    """The correlation of every candidate on the same windows of its unit, `each` active and as many silent; None where
    it is undefined (the unit never fires there, the simulation is constant, no position could be simulated)."""
    windows = [_windows(evidence, each) for _, evidence in candidates]
    asked = [(explanation, w) for (explanation, _), (w, _) in zip(candidates, windows, strict=True)]
    found: list[float | None] = []
    for (_, evidence), (shown, weights), simulation in zip(candidates, windows, simulator.simulate(asked), strict=True):
        kept = ~np.asarray(simulation.failed, bool)
        if not kept.any():
            found.append(None)
            continue
        groups = metrics.clusters(shown.documents[kept], replicates=0)
        a = evidence.on(shown)[kept]
        found.append(metrics.correlation(a, simulation.values[kept], groups, weights=weights[kept]).value)
    return found


def _windows(evidence: Evidence, each: int) -> tuple[Windows, np.ndarray]:
    """The windows of a unit and how many each position stands for, (m,)."""
    active = evidence.strata(SPLIT, 1, each, "validation")[0].index
    silent = evidence.quiet(SPLIT, each, "validation").index
    stands = [
        np.full(len(part), size / max(len(part), 1))
        for part, size in ((active, len(evidence.active(SPLIT))), (silent, len(evidence.silent(SPLIT))))
    ]
    windows = Windows(evidence.corpus, np.concatenate([active, silent]))
    return windows, np.repeat(np.concatenate(stands), np.diff(windows.bounds))
