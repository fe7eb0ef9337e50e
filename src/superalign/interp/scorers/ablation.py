"""Is the explanation enough for the model? Replace the unit by its simulation and see what the model says next.

    score = 1 - E[JSD(model with the simulation, model)] / E[JSD(model with the unit's mean, model)]

(the ablation score of Bills et al. 2023, "Validating against a larger range of behavior"): 1 where the simulation does
for the unit, 0 where it does no better than the mean, below 0 where it does harm. The simulation is calibrated, because
uncalibrated the score speaks of its scale. A label that misses a quarter of a unit's firings scores about its squared
correlation; one that is too broad can correlate at .6 and score 0, because what is wrong with it is what the model
notices. A unit whose mean changes less than `floor` nats has no effect to explain and no score.

Whole contexts of the split `test` are run, drawn uniformly and the same for all units. The unit is replaced in windows
that are new and were answered; elsewhere it keeps its activation, in both runs. The effect counts at every position,
because later ones read earlier ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from superalign.core.random import stream
from superalign.core.spec import Number
from superalign.interp import metrics
from superalign.interp.calibrate import fit, usable
from superalign.interp.corpus import Corpus, Windows, code_of
from superalign.interp.evidence import Evidence
from superalign.interp.metrics import clusters, ratio
from superalign.interp.scorers.effects import Directions, begun, check, divergence, logits, written
from superalign.interp.subject import Subject
from superalign.interp.units import Explanation, Score, Simulation, Simulator, undefined

Values = NDArray[Any]
FLOOR = 1e-4
_UNITS = 64  # planned at once: their replacements are two numbers a position each
_TOKENS = 4096  # of one forward pass
_CELLS = 16_000_000  # logits of one forward pass, 64 MB


@dataclass(frozen=True)
class _Run:
    """Some contexts of a split, ascending, with the new windows in them."""

    corpus: Corpus
    split: str
    contexts: Values

    @cached_property
    def lengths(self) -> Values:
        return np.diff(self.corpus.contexts)[self.contexts]

    @cached_property
    def rows(self) -> Values:
        """(m,) all their rows, ascending."""
        first = self.corpus.contexts[self.contexts] - (np.cumsum(self.lengths) - self.lengths)
        return np.asarray(np.arange(self.lengths.sum()) + np.repeat(first, self.lengths))

    @cached_property
    def windows(self) -> Windows:
        return Windows(
            self.corpus, np.flatnonzero(_new(self.corpus, self.split) & np.isin(_owner(self.corpus), self.contexts))
        )


@dataclass(frozen=True)
class _Change:
    """One unit's replacement: `simulated` and `mean` (m,) are added along `direction` at `site`, at the rows of a run."""

    site: str
    direction: Tensor
    simulated: Values
    mean: Values
    failed: int


@dataclass(frozen=True)
class Ablation:
    """The ablation score of a simulator's predictions.

    `directions` says where latents and directions are written; a neuron needs none. `contexts` are run of the split
    `test`, and as many simulated of `calibrate`; None is all. `calibration` is `linear`, `percentile` or `identity`.
    """

    subject: Subject
    simulator: Simulator
    directions: Directions = field(default_factory=dict)
    contexts: int | None = 64
    calibration: str = "linear"
    floor: float = FLOOR
    bootstrap: int = metrics.REPLICATES
    seed: int = 0
    name: str = "ablation"

    def score(self, pairs: Sequence[tuple[Explanation, Evidence]]) -> list[list[Score]]:
        """One score for each pair. Raises ModelError for a corpus or unit that is not the subject's."""
        found: list[list[Score]] = []
        for _, group in groupby(pairs, key=lambda pair: id(pair[1].corpus)):
            held = list(group)
            corpus = held[0][1].corpus
            check(self.subject, corpus)
            before, run = (_drawn(corpus, split, self.contexts, self.seed) for split in ("calibrate", "test"))
            for start in range(0, len(held), _UNITS):
                found += [[score] for score in self._scores(held[start : start + _UNITS], before, run)]
        return found

    def _scores(self, pairs: Sequence[tuple[Explanation, Evidence]], before: _Run, run: _Run) -> list[Score]:
        answers = self.simulator.simulate([(e, w) for e, _ in pairs for w in (before.windows, run.windows)])
        plans = [self._plan(e, (before, run), answers[2 * k], answers[2 * k + 1]) for k, (_, e) in enumerate(pairs)]
        effects = iter(_effects(self.subject, run, [plan for plan in plans if isinstance(plan, _Change)]))
        return [self._ratio(plan, next(effects), run) if isinstance(plan, _Change) else plan for plan in plans]

    def _plan(
        self, evidence: Evidence, runs: tuple[_Run, _Run], before: Simulation, after: Simulation
    ) -> _Change | Score:
        """What is added to the stream in the two runs; a score where there is nothing to run."""
        windows = runs[0].windows, runs[1].windows
        known, answered = usable(before, windows[0]), usable(after, windows[1])
        failed = int((~answered).sum())
        broken = next((s for s in (after, before) if s.status != "ok"), None)
        if broken is not None:
            number = Number(value=None, n=0, reason=f"{broken.status}: {broken.reason or 'no simulation'}")
            return Score(self.name, number, broken.status, 0, failed)
        calibration = fit(self.calibration, before, evidence, windows[0])
        a = evidence.on(windows[1])[answered]
        if calibration is None or not len(a):
            return undefined(self.name, "undefined: no position was answered", failed=failed)
        if not a.any():
            reason = f"undefined: it fires at none of the {len(a):,} positions that were run"
            return undefined(self.name, reason, n=len(a), failed=failed)
        at = np.searchsorted(runs[1].rows, windows[1].rows[answered])
        simulated, mean = np.zeros((2, len(runs[1].rows)), np.float32)
        simulated[at] = calibration(np.asarray(after.values)[answered]) - a
        mean[at] = evidence.on(windows[0])[known].mean(dtype=np.float64) - a
        return _Change(*written(evidence.unit, self.subject, self.directions), simulated, mean, failed)

    def _ratio(self, change: _Change, effect: Values, run: _Run) -> Score:
        """From the divergences (contexts, 2) of simulation and mean, summed over the positions of each context."""
        positions = len(run.rows)
        each = float(effect[:, 1].sum()) / positions
        if each < self.floor:
            reason = (
                f"undefined: replacing it by its mean moves the next token by {each:.1e} nats, less than {self.floor:g}: "
                "it has no effect downstream"
            )
            return undefined(self.name, reason, n=positions, failed=change.failed)
        documents = run.corpus.document_of[run.corpus.contexts[run.contexts]]
        lost = ratio(effect[:, 0], effect[:, 1], clusters(documents, self.seed, self.bootstrap))
        low, high = (None if end is None else 1 - end for end in (lost.high, lost.low))
        number = Number(value=1 - (lost.value or 0.0), low=low, high=high, n=positions)
        return Score(self.name, number, "ok", positions, change.failed)


def _owner(corpus: Corpus) -> Values:
    """(N,) the context of each window."""
    return np.asarray(np.searchsorted(corpus.contexts, corpus.windows[:-1], side="right") - 1)


def _new(corpus: Corpus, split: str) -> Values:
    """(N,) the windows of a split that are new."""
    return np.asarray((corpus.window_split == code_of(split)) & corpus.new)


def _drawn(corpus: Corpus, split: str, count: int | None, seed: int) -> _Run:
    """Contexts of a split that hold a new window; the same whatever the unit."""
    among = np.unique(_owner(corpus)[_new(corpus, split)])
    if count is not None and count < len(among):
        among = np.sort(stream(seed, "contexts", split).choice(among, count, replace=False))
    return _Run(corpus, split, among)


def _effects(subject: Subject, run: _Run, changes: Sequence[_Change]) -> list[Values]:
    """For each change the divergence from the clean run, (contexts, 2), summed over positions. Batches of contexts are
    the outer loop: the clean run of a batch is shared by all units and forgotten with it."""
    found = [np.zeros((len(run.contexts), 2)) for _ in changes]
    if not changes:
        return found
    longest = int(run.lengths.max()) + 1
    size = max(1, min(_TOKENS // longest, _CELLS // (longest * len(subject.strings))))
    order = np.argsort(-run.lengths, kind="stable")
    ends = np.cumsum(run.lengths)
    first = int(subject.start is not None)
    for part in np.split(order, range(size, len(order), size)):
        lengths, begins = run.lengths[part], (ends - run.lengths)[part]
        rows = [run.rows[a : a + n] for a, n in zip(begins, lengths, strict=True)]
        ids = begun(subject, [run.corpus.tokens[row] for row in rows])
        places = np.arange(ids.shape[1]) - first
        inside = (places >= 0) & (places < lengths[:, None])  # neither the start token nor padding is a row
        at = np.where(inside, begins[:, None] + places, 0)
        seen = torch.from_numpy(inside).to(subject.device)
        clean = logits(subject, ids)[seen]
        member = np.repeat(np.arange(len(part)), lengths)
        for held, change in zip(found, changes, strict=True):
            for k, amount in enumerate((change.simulated, change.mean)):
                added = torch.from_numpy(np.where(inside, amount[at], np.float32(0))).to(subject.device)
                moved = logits(subject, ids, change.site, added[..., None] * change.direction)[seen]
                held[part, k] = np.bincount(member, divergence(moved, clean), len(part))
    return found
