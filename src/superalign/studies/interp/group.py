"""Units of one kind, examined together: explained, simulated on held-out text, scored, and held against shuffling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from superalign.core.ports import Progress, silent
from superalign.core.spec import Number
from superalign.interp.controls import controlled, mean
from superalign.interp.evidence import Evidence
from superalign.interp.units import Explainer, Explanation, Failed, Score, Scorer
from superalign.studies.interp.kept import Kept

PRIMARY = "correlation:random-only"
MIXED = "correlation:top-and-random"
BLOCK = 64
"""Units explained between two reports of progress."""
BOOTSTRAP = 200
"""Resamples behind the interval of each unit's scores: 860 units with 1,000 took a quarter of the whole run."""


@dataclass(frozen=True)
class Group:
    """Units with what became of them: an explanation or why there is none, and scores by name (none where it failed)."""

    name: str
    evidence: tuple[Evidence, ...]
    explanations: tuple[Explanation | Failed, ...]
    scores: tuple[dict[str, Score], ...]
    site: str = ""
    each: dict[str, tuple[Number, ...]] = field(default_factory=dict)
    """By name of a table: what it reaches for every unit."""

    def __len__(self) -> int:
        return len(self.evidence)

    def values(self, score: str, control: str | None = None) -> list[Number]:
        """A score (or its control) of every unit; undefined for units without an explanation."""
        missing = Number(value=None, reason="undefined: the unit is not explained")
        found = [s.get(score) for s in self.scores]
        if control is None:
            return [missing if s is None else s.number for s in found]
        return [missing if s is None else s.controls.get(control, missing) for s in found]

    def mean(self, score: str, control: str | None = None) -> Number:
        """The mean over units where it is defined, with its interval over units."""
        return mean(self.values(score, control))

    @property
    def bounds(self) -> dict[str, Number]:
        """What tables reach, on average."""
        return {name: mean(numbers) for name, numbers in self.each.items()}

    @property
    def explained(self) -> int:
        """Units that have an explanation."""
        return sum(isinstance(e, Explanation) for e in self.explanations)

    @property
    def failures(self) -> dict[str, int]:
        """Units without an explanation or a main score, by status."""
        found: dict[str, int] = {}
        for explanation, scores in zip(self.explanations, self.scores, strict=True):
            main = scores.get(PRIMARY)
            status = explanation.status if isinstance(explanation, Failed) else main.status if main else "ok"
            if status != "ok":
                found[status] = found.get(status, 0) + 1
        return found


def examine(
    name: str,
    evidence: Sequence[Evidence],
    explainer: Explainer,
    scorers: Sequence[Scorer],
    *,
    seed: int = 0,
    shuffle: bool = True,
    progress: Progress = silent,
    kept: Kept | None = None,
) -> Group:
    """Explain and score units; with `shuffle` every score has the control of another unit's explanation beside it.

    What is `kept` already is not found out again.
    """
    explanations: list[Explanation | Failed] = []
    for start in range(0, len(evidence), BLOCK):
        block = evidence[start : start + BLOCK]
        explain = partial(explainer.explain, block)
        explanations += kept.explanations([e.unit for e in block], explain) if kept is not None else explain()
        progress(f"explain {name}", len(explanations), len(evidence))
    places = [k for k, e in enumerate(explanations) if isinstance(e, Explanation)]
    pairs = [(e, evidence[k]) for k, e in enumerate(explanations) if isinstance(e, Explanation)]
    scores: list[dict[str, Score]] = [{} for _ in evidence]
    for done, scorer in enumerate(scorers):
        progress(f"score {name}", done, len(scorers))
        own = getattr(scorer, "controlled", False)
        mixed = shuffle and not own
        score = partial(controlled, scorer, pairs, seed) if mixed else partial(scorer.score, pairs)
        asked = [(explanation, each.unit) for explanation, each in pairs]
        label = f"{scorer.name}{', shuffled' if mixed else ''}"
        found = kept.scores(label, asked, score) if kept is not None else score()
        for place, row in zip(places, found, strict=True):
            scores[place] |= {each.name: each for each in row}
    progress(f"score {name}", len(scorers), len(scorers))
    return Group(name, tuple(evidence), tuple(explanations), tuple(scores))
