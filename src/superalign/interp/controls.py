"""What a score is worth: the same score of something that knows nothing.

A correlation of .65 says nothing by itself: on a world with planted truth random directions score as much. So scores are
shown beside four controls.

    shuffled    the explanation of another unit of the same site that fires about as often
    random      random directions of the same space, explained and scored in the same way
    constant    a simulator that says the same everywhere, "none" or "all"
    permuted    the whole pipeline on the model with permuted weights (`Subject.permuted`)

`shuffled` is a derangement, always: no unit is compared with its own explanation, and a unit that is alone at its site
has no such control. `mean` and `gap` sum controls up over units, with their intervals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from superalign.core import resample
from superalign.core.errors import SpecError
from superalign.core.random import stream
from superalign.core.spec import Number
from superalign.interp.evidence import Evidence
from superalign.interp.units import Explanation, Score, Scorer, Simulation, Unit

if TYPE_CHECKING:
    from superalign.core.ports import Floats
    from superalign.interp.corpus import Corpus, Windows

_DECILES = 10

Pair = tuple[Explanation, Evidence]


def derangement(units: Sequence[Unit], densities: Sequence[float], seed: int = 0) -> tuple[int | None, ...]:
    """For each unit the place of another one of its site and density decile; None for one that is alone at its site.

    Every unit is borrowed from once. Does not depend on the order of the units or on those of other sites.
    """
    found: list[int | None] = [None] * len(units)
    sites: dict[str, list[int]] = defaultdict(list)
    for k in sorted(range(len(units)), key=lambda k: (densities[k], units[k])):
        sites[units[k].site].append(k)
    for site, places in sites.items():
        if len(places) < 2:
            continue
        rng = stream(seed, "shuffled", site)
        for part in np.array_split(places, max(1, min(_DECILES, len(places) // 2))):  # two or more in each
            ring = rng.permutation(part).tolist()  # one cycle has no fixed point
            for k, other in zip(ring, [*ring[1:], ring[0]], strict=True):
                found[k] = other
    return tuple(found)


def controlled(scorer: Scorer, pairs: Sequence[Pair], seed: int = 0) -> list[list[Score]]:
    """The scores of each pair, each with the control `shuffled`: the same score of another unit's explanation."""
    others = derangement([e.unit for _, e in pairs], [e.density for _, e in pairs], seed)
    asked = [
        (replace(pairs[other][0], source="control:shuffled"), evidence)
        for (_, evidence), other in zip(pairs, others, strict=True)
        if other is not None
    ]
    shuffled = iter(scorer.score(asked))
    alone = Number(value=None, reason="undefined: no other unit of this site was explained")
    found = []
    for scores, other in zip(scorer.score(pairs), others, strict=True):
        known = {} if other is None else {s.name: s.number for s in next(shuffled)}
        found.append([replace(s, controls={**s.controls, "shuffled": known.get(s.name, alone)}) for s in scores])
    return found


def random_directions(width: int, count: int, seed: int = 0) -> Floats:
    """Uniform unit vectors, (count, width)."""
    drawn = stream(seed, "random directions", width, count).standard_normal((count, width))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def along(x: Floats, directions: Floats, corpus: Corpus, site: str, seed: int = 0) -> list[Evidence]:
    """When each direction fires, relu(x @ d): activations x (T, d) of the corpus, directions (n, d) of the space."""
    if len(x) != len(corpus) or x.shape[1] != directions.shape[1]:
        raise SpecError(
            f"activations {x.shape} and directions {directions.shape} do not fit a corpus of {len(corpus)} rows"
        )
    found = []
    for k, direction in enumerate(directions):
        column = (x @ direction).astype(np.float32)
        rows = np.flatnonzero(column > 0)
        found.append(Evidence(Unit(site, k, "direction"), corpus, rows, column[rows], seed))
    return found


@dataclass(frozen=True, slots=True)
class Constant:
    """A simulator that reads nothing and says `value` everywhere: 0 is "none", 1 is "all"."""

    value: float
    name: str = "constant"

    def simulate(self, asked: Sequence[tuple[Explanation, Windows]]) -> list[Simulation]:
        """The same everywhere."""
        sizes = [len(windows.rows) for _, windows in asked]
        return [Simulation(np.full(m, self.value), np.zeros(m, bool)) for m in sizes]


def mean(numbers: Sequence[Number]) -> Number:
    """The mean over units where it is defined, with its interval over units; `n` counts those units."""
    values = [n.value for n in numbers if n.value is not None]
    if not values:
        return Number(value=None, n=0, reason=f"undefined: {_why(numbers)}")
    return resample.mean(np.array([values])).model_copy(update={"n": len(values), "seeds": None})


def gap(numbers: Mapping[str, Number], control: Mapping[str, Number]) -> Number:
    """The mean of score - control over the units (by name) where both are defined: trained - permuted, own - shuffled."""
    both = [(n.value, control[k].value) for k, n in numbers.items() if k in control]
    return mean([Number(value=a - b) for a, b in both if a is not None and b is not None])


def _why(numbers: Sequence[Number]) -> str:
    reasons = sorted({n.reason.removeprefix("undefined: ") for n in numbers if n.reason})
    return reasons[0] if len(reasons) == 1 else "no unit has this score"
