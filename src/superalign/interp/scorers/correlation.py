"""How well a simulation of held-out text agrees with the activations: the scores of Bills et al. 2023, and of labels.

    correlation:random-only      Pearson's correlation over uniformly drawn windows: the primary number
    correlation:top-and-random   the same over 5 strongest and 5 random windows, for comparison with older work; it does
                                 not notice an explanation that is far too broad (see `interp.sensitivity`)
    explained-variance           of the simulation as calibrated on the split `calibrate`
    auprc, f1, iou               of the simulation as a label of where the unit fires, over the windows of random-only

A unit fires where a > 0; a unit that is active at more than a tenth of the positions (raw neurons are, at half of them)
fires at its strongest tenth. A share of the peak would not do: the peak grows with the text. A simulation says "fires"
above the cut between two of its values that labels the split `calibrate` best, which leaves a program's 0 and 1 as they
are and finds the cut of any other scale. (Half of its mean where it fires, the obvious cut, would give a perfect
simulation of exponential activations an F1 of .75.) Level and cut are fitted on `calibrate`.

Failed positions are left out and counted; a simulation that failed as a whole has no score, and its status.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superalign.core.spec import Number
from superalign.interp import metrics
from superalign.interp.calibrate import fit, usable
from superalign.interp.corpus import Windows
from superalign.interp.evidence import Evidence
from superalign.interp.metrics import Clusters, Metric, clusters, levels
from superalign.interp.units import Explanation, Score, Simulation, Simulator, Status, undefined

Values = NDArray[Any]
NAMES = ("correlation:random-only", "correlation:top-and-random", "explained-variance", "auprc", "f1", "iou")
DENSE = 0.1
"""The largest share of positions at which a unit is said to fire."""
_TOP = _RANDOM = 5
_BATCH = 128  # pairs simulated at once: their three samples are some 40 MB; a simulator may share work within a batch


def firing_level(a: Values) -> float:
    """The activation from which a unit fires, if it is above 0: what the strongest tenth of `a` reaches, which is 0
    for a unit that is active more seldom."""
    return float(np.quantile(a, 1 - DENSE)) if len(a) else 0.0


def fires(a: Values, level: float) -> NDArray[np.bool_]:
    """(m,) where a unit fires. At the level itself too: a unit that is always equally strong fires wherever it is."""
    return np.asarray((a > 0) & (a >= level))


def best_cut(s: Values, fired: NDArray[np.bool_]) -> float:
    """Predictions above it say "fires": halfway between the two neighbouring values of `s` whose cut labels these
    positions best, by F1. Never below all of them: an answer of 0 and 1 has one cut, however wrong it is. The middle of
    the range where the unit was silent."""
    values, level = levels(s)
    counts = np.bincount(level, minlength=len(values))
    if not fired.any() or len(values) < 2:
        return float(values[0] + values[-1]) / 2 if len(values) else 0.0
    hits = np.bincount(level, fired)[::-1].cumsum()[:-1]
    f1 = 2 * hits / (counts[::-1].cumsum()[:-1] + fired.sum())
    last = len(values) - 1 - int(np.argmax(f1))  # the lowest value above the cut
    return float(values[last - 1] + values[last]) / 2


@dataclass(frozen=True, slots=True)
class SimulationScores:
    """Scores of a simulator's predictions on the split `test`; `NAMES` in that order for each pair.

    `windows` of them drawn uniformly, or all that are new where it is None (a program predicts a whole corpus, a
    language model is asked window by window); as many of `calibrate`. `bootstrap` draws behind each interval.
    """

    simulator: Simulator
    windows: int | None = None
    bootstrap: int = metrics.REPLICATES
    seed: int = 0
    name: str = "simulation"

    def score(self, pairs: Sequence[tuple[Explanation, Evidence]]) -> list[list[Score]]:
        """The scores of each pair. Raises PluginError for a simulator that does not answer what it was asked."""
        whole: dict[int, tuple[Windows, Windows, Clusters]] = {}
        found = []
        for start in range(0, len(pairs), _BATCH):
            batch = pairs[start : start + _BATCH]
            drawn = [self._drawn(evidence, whole) for _, evidence in batch]
            asked = [(pair[0], windows) for pair, three in zip(batch, drawn, strict=True) for windows in three]
            answers = self.simulator.simulate(asked)
            for k, ((_, evidence), three) in enumerate(zip(batch, drawn, strict=True)):
                shared = whole[id(evidence.corpus)][2] if self.windows is None else None
                found.append(self._scores(evidence, three, answers[3 * k : 3 * k + 3], shared))
        return found

    def _drawn(
        self, evidence: Evidence, whole: dict[int, tuple[Windows, Windows, Clusters]]
    ) -> tuple[Windows, Windows, Windows]:
        """Windows of `calibrate`, of `test`, and the strongest and random ones of `test`."""
        corpus = evidence.corpus
        mixed = [evidence.top("test", _TOP).index, evidence.random("test", _RANDOM, "beside the strongest").index]
        beside = Windows(corpus, np.unique(np.concatenate(mixed)))
        if self.windows is not None:
            return evidence.random("calibrate", self.windows), evidence.random("test", self.windows), beside
        if id(corpus) not in whole:
            test = corpus.pick("test")
            whole[id(corpus)] = corpus.pick("calibrate"), test, clusters(test.documents, self.seed, self.bootstrap)
        return *whole[id(corpus)][:2], beside

    def _scores(
        self,
        evidence: Evidence,
        drawn: tuple[Windows, Windows, Windows],
        simulations: Sequence[Simulation],
        shared: Clusters | None,
    ) -> list[Score]:
        calibration = fit("linear", simulations[0], evidence, drawn[0])
        known = usable(simulations[0], drawn[0])
        before = evidence.on(drawn[0])
        level = firing_level(before)
        cut = best_cut(simulations[0].values[known], fires(before, level)[known]) if calibration is not None else None
        test = self._sample(evidence, drawn[1], simulations[1], shared)
        mixed = self._sample(evidence, drawn[2], simulations[2], None)
        labels = fires(test.a, level)
        scored = [
            test.score(NAMES[0], metrics.correlation, test.a, test.s),
            mixed.score(NAMES[1], metrics.correlation, mixed.a, mixed.s),
            test.score(
                NAMES[2], metrics.explained_variance, test.a, None if calibration is None else calibration(test.s)
            ),
            test.score(NAMES[3], metrics.auprc, labels, test.s, lambda rate: rate),
            test.score(NAMES[4], metrics.f1, labels, None if cut is None else test.s > cut, lambda r: 2 * r / (1 + r)),
            test.score(NAMES[5], metrics.iou, labels, None if cut is None else test.s > cut, lambda rate: rate),
        ]
        return scored

    def _sample(self, evidence: Evidence, windows: Windows, simulation: Simulation, shared: Clusters | None) -> _Sample:
        known = usable(simulation, windows)
        failed = int((~known).sum())
        if shared is None or failed:
            shared = clusters(windows.documents[known], self.seed, self.bootstrap)
        values = np.asarray(simulation.values)[known] if failed < len(known) else np.zeros(0)
        return _Sample(evidence.on(windows)[known], values, shared, failed, simulation)


@dataclass(frozen=True, slots=True)
class _Sample:
    """What happened beside what was predicted, (m,), at the positions that were answered."""

    a: Values
    s: Values
    groups: Clusters
    failed: int
    simulation: Simulation

    def score(
        self,
        name: str,
        metric: Metric,
        truth: Values,
        predicted: Values | None,
        everywhere: Callable[[float], float] | None = None,
    ) -> Score:
        """One score; `everywhere` is what the answer "all" scores at a base rate, for scores of labels."""
        if self.simulation.status != "ok" or not len(truth):
            reason = self.simulation.reason or "no position was answered"
            why: Status = "undefined" if self.simulation.status == "ok" else self.simulation.status
            return Score(name, Number(value=None, n=0, reason=f"{why}: {reason}"), why, 0, self.failed)
        if predicted is None:
            reason = "undefined: no position of the split 'calibrate' was answered, so there is no calibration"
            return undefined(name, reason, n=len(truth), failed=self.failed)
        number = metric(truth, predicted, self.groups)
        status: Status = "undefined" if number.value is None else "ok"
        if everywhere is None:
            return Score(name, number, status, len(truth), self.failed)
        rate = float(np.mean(truth))
        control = {"all": Number(value=everywhere(rate), n=len(truth))} if rate else {}
        return Score(name, number, status, len(truth), self.failed, base_rate=rate, controls=control)
