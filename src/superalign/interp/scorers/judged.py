"""Windows of the test split that are judged one by one, and the numbers that follow (NeuronEval's lesson included).

Half of the windows judged hold the unit's activity and half do not, or more; in the text one in a hundred does. On a
sample as it is, an explanation that is far too broad looks fine. So every window stands for as many as its stratum
has: precision, F1 and the area under precision and recall are those at the prevalence of the text. Balanced accuracy
and AUC stay beside them as what they are, blind to extra labels of a rare unit (Oikarinen et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from superalign.core.errors import Degenerate
from superalign.core.spec import Number
from superalign.interp import metrics
from superalign.interp.corpus import Windows
from superalign.interp.evidence import Evidence
from superalign.interp.negatives import negatives
from superalign.interp.units import Explanation, Score, undefined

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints

SPLIT = "test"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many windows are judged: `each` from every one of `bins` quantiles of the active ones, `silent` others.

    No false positive in n negatives only says that their rate is below 3/n: for a unit that is active in 1 % of the
    windows that needs n of 300 or more, which the interval of precision shows.
    """

    bins: int = 10
    each: int = 5
    silent: int = 50


@dataclass(frozen=True)
class Sample:
    """Windows to be judged: `index` (n,) their numbers, `positive` (n,) whether the unit is active there, `stratum`
    (n,) and `sizes` (strata,), how many windows of the split each stratum stands for. `source` is that of the
    negatives; `base_rate` the share of active windows in the split."""

    evidence: Evidence
    source: str
    index: Ints
    positive: Any
    stratum: Ints
    sizes: Ints
    base_rate: float

    @property
    def windows(self) -> Windows:
        """The windows, in the order in which they are judged."""
        return Windows(self.evidence.corpus, self.index)

    @property
    def weighted(self) -> bool:
        """Whether its negatives stand for all silent windows, so that there is a prevalence to speak of."""
        return self.source == "uniform"


def sample(evidence: Evidence, source: str, sampling: Sampling) -> Sample:
    """The windows of the test split that are judged. Raises Degenerate where a class is empty."""
    active, silent = len(evidence.active(SPLIT)), len(evidence.silent(SPLIT))
    parts = [(w.index, size) for w, size in zip(*strata(evidence, sampling), strict=True) if len(w)]
    drawn, size = negatives(evidence, SPLIT, source, sampling.silent)
    if not parts:
        raise Degenerate(f"{evidence.unit.name} is silent in all {silent} windows of the {SPLIT} split")
    if not silent:
        raise Degenerate(f"{evidence.unit.name} is active in all {active} windows of the {SPLIT} split")
    if not len(drawn):
        raise Degenerate(f"none of the {silent} windows where {evidence.unit.name} is silent is a {source}")
    index = np.concatenate([*(part for part, _ in parts), drawn])
    counts = [*(len(part) for part, _ in parts), len(drawn)]
    stratum = np.repeat(np.arange(len(counts)), counts)
    sizes = np.array([*(count for _, count in parts), size], np.int64)
    return Sample(evidence, source, index, stratum < len(parts), stratum, sizes, active / (active + silent))


def strata(evidence: Evidence, sampling: Sampling) -> tuple[list[Windows], list[int]]:
    """Active windows of the test split by quantile, the strongest first, and how many each quantile has."""
    drawn = evidence.strata(SPLIT, sampling.bins, sampling.each, "positives")
    return drawn, [len(part) for part in np.array_split(evidence.active(SPLIT), sampling.bins)]


S = TypeVar("S", bound=Sample)


def judged(
    name: str,
    pairs: Sequence[tuple[Explanation, Evidence]],
    sources: Sequence[str],
    draw: Callable[[Evidence, str], S],
    likely: Callable[[Sequence[tuple[Explanation, S]]], Sequence[Floats]],
    *,
    decided: bool,
) -> list[list[Score]]:
    """Scores of each pair, source by source: `draw` a sample for each, judge all of them at once by `likely`, which
    gives a probability to each window. Where a sample cannot be drawn its score is undefined, and the others go on."""
    drawn: list[list[S | str]] = [[_drawn(draw, evidence, source) for source in sources] for _, evidence in pairs]
    asked = [
        (explanation, s)
        for (explanation, _), row in zip(pairs, drawn, strict=True)
        for s in row
        if not isinstance(s, str)
    ]
    found = iter(likely(asked))
    return [
        [
            score
            for source, s in zip(sources, row, strict=True)
            for score in (
                [undefined(full(name, _names(True, decided)[0], source), f"undefined: {s}")]
                if isinstance(s, str)
                else scores(name, s, next(found), decided=decided)
            )
        ]
        for row in drawn
    ]  # fmt: skip


def _drawn(draw: Callable[[Evidence, str], S], evidence: Evidence, source: str) -> S | str:
    try:
        return draw(evidence, source)
    except Degenerate as error:
        return str(error)


def scores(name: str, chosen: Sample, likely: Floats, *, decided: bool) -> list[Score]:
    """Scores from the probability (n,) of "active" that was given to each window, NaN where there was no answer.

    `decided` says that .5 is where yes begins; without it there are areas alone. Controls are the same numbers for
    yes to all and no to all. Names are `<name>:<number>`, with the source behind it where that is not `uniform`.
    """
    answered = np.isfinite(likely)
    failed = int((~answered).sum())
    names = [full(name, n, chosen.source) for n in _names(chosen.weighted, decided)]
    for kind, label in ((True, "active"), (False, "silent")):
        if not (answered & (chosen.positive == kind)).any():
            reason = f"undefined: no {label} window has an answer, {failed} of {len(likely)} failed"
            return [undefined(n, reason, n=int(answered.sum()), failed=failed) for n in names]
    found = numbers(chosen, likely, decided=decided)
    constant = {
        label: numbers(chosen, np.where(answered, value, np.nan), decided=decided, replicates=0)
        for label, value in (("yes to all", 1.0), ("no to all", 0.0))
    }
    rate = chosen.base_rate if chosen.weighted else float(chosen.positive[answered].mean())
    return [
        Score(
            full(name, key, chosen.source), number, "ok" if number.value is not None else "undefined",
            int(answered.sum()), failed, base_rate=rate,
            controls={label: values[key] for label, values in constant.items()},
        )
        for key, number in found.items()
    ]  # fmt: skip


def full(name: str, number: str, source: str) -> str:
    """The name of a score: `detection:f1`, `detection:auc:near-miss`."""
    return f"{name}:{number}" if source == "uniform" else f"{name}:{number}:{source}"


def numbers(
    chosen: Sample, likely: Floats, *, decided: bool, replicates: int = metrics.REPLICATES
) -> dict[str, Number]:
    """The numbers of one sample by name; windows without an answer (NaN) are left out. No intervals without
    `replicates` of the bootstrap over documents."""
    kept = np.isfinite(likely)
    a, s = chosen.positive[kept].astype(np.float64), likely[kept]
    stratum = chosen.stratum[kept]
    weights = (chosen.sizes / np.maximum(np.bincount(stratum, minlength=len(chosen.sizes)), 1))[stratum]
    corpus = chosen.evidence.corpus
    groups = metrics.clusters(corpus.document_of[corpus.windows[chosen.index[kept]]], replicates=replicates)
    found: dict[str, Number] = {}
    if decided:
        said = (s >= 0.5).astype(np.float64)
        found["balanced-accuracy"] = metrics.balanced_accuracy(a, said, groups, weights=weights)
        found["false-positive-rate"] = _false_positives(a, said, weights, groups)
        if chosen.weighted:
            found |= _at_prevalence(a, said, weights, groups)
    found["auc"] = metrics.auc(a, s, groups, weights=weights)
    if chosen.weighted:
        found["auprc"] = metrics.auprc(a, s, groups, weights=weights)
    return found


def _names(weighted: bool, decided: bool) -> Sequence[str]:
    names = ["balanced-accuracy", "false-positive-rate"] if decided else []
    names += ["precision", "f1"] if decided and weighted else []
    return [*names, "auc", *(["auprc"] if weighted else [])]


def _false_positives(a: Floats, said: Floats, weights: Floats, groups: metrics.Clusters) -> Number:
    """The share of silent windows called active, at most 3/n where none was."""
    silent = (a == 0).astype(np.float64)
    number = metrics.ratio(said * silent * weights, silent * weights, groups)
    if number.value == 0:
        number = number.model_copy(update={"low": 0.0, "high": _bound(a)})
    return number.model_copy(update={"n": int(silent.sum())})


def _at_prevalence(a: Floats, said: Floats, weights: Floats, groups: metrics.Clusters) -> Mapping[str, Number]:
    """Precision and F1; where there was no false positive their lower ends allow for 3/n of them."""
    found = {
        "precision": metrics.precision(a, said, groups, weights=weights),
        "f1": metrics.f1(a, said, groups, weights=weights),
    }
    hits, missed = (float((weights * (a > 0) * part).sum()) for part in (said, 1 - said))
    if (said * (a == 0)).any() or not hits:
        return found
    extra = _bound(a) * float(weights[a == 0].sum())
    worst = {"precision": hits / (hits + extra), "f1": 2 * hits / (2 * hits + extra + missed)}
    return {
        key: number.model_copy(update={"low": min(worst[key], number.low if number.low is not None else 1.0)})
        for key, number in found.items()
    }


def _bound(a: Floats) -> float:
    """The rate that 0 of n does not rule out at 95 % (the rule of three)."""
    return min(1.0, 3 / max(int((a == 0).sum()), 1))
