"""Fuzzing: are these the tokens that the explanation speaks of? (Paulo et al. 2024, arXiv 2410.13928, section 3.)

Each positive is a window with the unit's own tokens marked. Its partner is another window of the same length with marks
at the same positions, where the unit is silent: so neither the number of marks nor where they stand says anything, which
a classifier of positions and one of counts confirm on each run (`position-only`, `count-only`, both .5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.errors import Degenerate, SpecError, nearest
from superalign.core.ports import Model, Progress, silent
from superalign.core.random import stream
from superalign.core.spec import Number
from superalign.core.transcript import Transcript
from superalign.core.types import Message, Settings
from superalign.interp import metrics
from superalign.interp.asking import desk, likelihood
from superalign.interp.corpus import Windows
from superalign.interp.evidence import Evidence
from superalign.interp.layout import bright, highlighted, marks_for
from superalign.interp.scorers.detection import CHOICES
from superalign.interp.scorers.judged import SPLIT, Sample, Sampling, judged, strata
from superalign.interp.templates import sheet
from superalign.interp.units import Explanation, Score
from superalign.protocols.room import listed

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints

SOURCES = ("misplaced", "uniform")
"""Partners: active windows with the marks in the wrong place, or silent windows."""

_TRIED = 1000  # windows that may become partners, of pools that can be large


@dataclass(frozen=True)
class Marked(Sample):
    """A sample with the positions that are marked in each window."""

    marks: tuple[Ints, ...]


class Fuzzing:
    """A Scorer: as `Detection`, of windows with marked tokens. Only silent partners have a prevalence to speak of."""

    def __init__(
        self,
        judge: Model,
        transcript: Transcript | None = None,
        *,
        sampling: Sampling | None = None,
        sources: Sequence[str] = ("misplaced",),
        template: str = "",
        settings: Settings | None = None,
        progress: Progress = silent,
    ) -> None:
        self.name = f"fuzzing:{judge.name}"
        self._desk, self._settings = desk("judge", judge, transcript, progress), settings
        self._sampling, self._sources = sampling or Sampling(), tuple(sources)
        for source in self._sources:
            if source not in SOURCES:
                raise SpecError(f"no partners come from {source!r}; {nearest(source, SOURCES)}")
        fields = ("explanation", "text", "before", "after", "choices")
        self._sheet = sheet("fuzzing", template, {"task": (), "question": fields})

    def score(self, pairs: Sequence[tuple[Explanation, Evidence]]) -> list[list[Score]]:
        """Scores of each explanation, with the two classifiers that know nothing of it, pooled over all pairs."""
        pooled: list[Marked] = []

        def likely(asked: Sequence[tuple[Explanation, Marked]]) -> list[Floats]:
            pooled.extend(chosen for _, chosen in asked)
            return self._likely(asked)

        found = judged("fuzzing", pairs, self._sources, self._draw, likely, decided=True)
        marks = [m for chosen in pooled for m in chosen.marks]
        positive = np.concatenate([np.asarray(chosen.positive) for chosen in pooled]) if pooled else np.zeros(0, bool)
        controls = tells(marks, positive)
        return [
            [replace(s, controls={**s.controls, **controls}) if s.status == "ok" else s for s in row] for row in found
        ]

    def _draw(self, evidence: Evidence, source: str) -> Marked:
        return paired(evidence, source, self._sampling)

    def _likely(self, asked: Sequence[tuple[Explanation, Marked]]) -> list[Floats]:
        questions = [
            (self._question(explanation, tokens, marks), CHOICES)
            for explanation, chosen in asked
            for tokens, marks in zip(chosen.windows.texts(), chosen.marks, strict=True)
        ]
        likely = np.array([likelihood(v) for v in self._desk.choose(questions, self._settings)])
        return np.split(likely, np.cumsum(np.array([len(chosen.index) for _, chosen in asked], np.int64))[:-1])

    def _question(self, explanation: Explanation, tokens: Sequence[str], marked: Ints) -> list[Message]:
        marks = marks_for("".join(tokens) + explanation.text)
        on = np.isin(np.arange(len(tokens)), marked)
        question = self._sheet.fill(
            "question", explanation=explanation.text, text=highlighted(tokens, on, marks), before=marks.before,
            after=marks.after, choices=listed(CHOICES),
        )  # fmt: skip
        return [Message("system", self._sheet.fill("task")), Message("user", question)]


def paired(evidence: Evidence, source: str, sampling: Sampling) -> Marked:
    """Active windows of the test split, each followed (half the sample later) by its partner. A window without a
    partner is left out; no window is a partner twice. Raises Degenerate where none has one."""
    active, others = evidence.active(SPLIT), evidence.silent(SPLIT)
    drawn, sizes = strata(evidence, sampling)
    index = np.concatenate([part.index for part in drawn])
    pool = active if source == "misplaced" else others
    rng = stream(evidence.seed, "windows", evidence.unit.name, SPLIT, f"partners/{source}")
    partners = _Partners(evidence, rng.permutation(pool)[:_TRIED])
    marks = [np.flatnonzero(bright(values)) for values in _values(evidence, index)]
    found = [(k, partners.take(int(index[k]), marks[k])) for k in range(len(index))]
    kept = [(k, other) for k, other in found if other is not None]
    if not kept:
        raise Degenerate(
            f"none of the {len(active)} active windows of {evidence.unit.name} has a partner among {len(pool)} others"
        )
    chosen = np.array([k for k, _ in kept], np.int64)
    stratum = np.repeat(np.arange(len(drawn)), [len(part) for part in drawn])[chosen]
    return Marked(
        evidence, source, np.concatenate([index[chosen], np.array([other for _, other in kept], np.int64)]),
        np.arange(2 * len(kept)) < len(kept), np.concatenate([stratum, np.full(len(kept), len(drawn))]),
        np.array([*sizes, len(pool)]), len(active) / (len(active) + len(others)),
        tuple(marks[k] for k in chosen) * 2,
    )  # fmt: skip


def tells(marks: Sequence[Ints], positive: Any) -> dict[str, Number]:
    """AUC of two classifiers fitted to the very windows they judge: one knows the positions that are marked (the share
    of positives among all windows with a mark there, averaged over the marks), one their number."""
    if not 0 < np.sum(positive) < len(positive):
        return {}
    counts = np.array([len(m) for m in marks])
    flat, labels = np.concatenate(marks), np.repeat(np.asarray(positive, np.float64), counts)
    place = np.bincount(flat, labels) / np.maximum(np.bincount(flat), 1)
    number = np.bincount(counts, np.asarray(positive, np.float64)) / np.maximum(np.bincount(counts), 1)
    guesses = {"position-only": np.array([place[m].mean() for m in marks]), "count-only": number[counts]}
    alone = metrics.clusters(np.zeros(len(marks), np.int64), replicates=0)
    return {name: metrics.auc(np.asarray(positive, np.float64), s, alone) for name, s in guesses.items()}


class _Partners:
    """Windows that may still be a partner, in the order in which they are tried."""

    def __init__(self, evidence: Evidence, index: Ints) -> None:
        self._left: dict[int, Floats] = dict(zip(index.tolist(), _values(evidence, index), strict=True))
        edges = evidence.corpus.windows
        self._length = np.diff(edges)

    def take(self, window: int, marked: Ints) -> int | None:
        """The first that is as long as the window and silent wherever it is marked."""
        length = int(self._length[window])
        for other, values in self._left.items():
            if other != window and len(values) == length and not values[marked].any():
                del self._left[other]
                return other
        return None


def _values(evidence: Evidence, index: Ints) -> list[Floats]:
    windows = Windows(evidence.corpus, index)
    values = evidence.on(windows)
    return [values[a:b] for a, b in pairwise(windows.bounds.tolist())]
