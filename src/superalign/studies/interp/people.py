"""People's labels beside explanations: on the pages of the units, and as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import TaskError
from superalign.core.spec import Number
from superalign.interp import metrics
from superalign.interp.dossier import Dossier
from superalign.interp.formats import labels
from superalign.interp.units import Explanation, Unit
from superalign.studies.interp.group import PRIMARY

if TYPE_CHECKING:
    from superalign.core.ports import Store


def labelled(dossiers: Sequence[Dossier], path: str | Path) -> list[Dossier]:
    """The dossiers with the labels of a file on those that it names. Raises TaskError where it names none of them."""
    found = labels.read(path)
    own = labels.placed(found.of, [d.unit for d in dossiers])
    if not own:
        theirs = ", ".join(u.name for u in list(found.of)[:3]) or "nothing"
        ours = ", ".join(d.unit.name for d in dossiers[:3]) or "nothing"
        raise TaskError(f"{Path(path).name} labels none of the {len(dossiers):,} units: it names {theirs}, ..., and the "
                        f"units are {ours}, ...")  # fmt: skip
    said = {unit: tuple(dict.fromkeys(e.text for e in several)) for unit, several in own.items()}
    return [
        replace(d, labels=tuple(dict.fromkeys((*d.labels, *said[d.unit])))) if d.unit in said else d for d in dossiers
    ]


def compared(dossiers: Sequence[Dossier], embedder: str | None, store: Store) -> dict[str, Number]:
    """How close the last explanation of each unit is to its labels: by shared words, or as an encoder sees them.

    `agreement` is the mean similarity over units; `shuffled` the same with the labels of the other units; `gap` their
    difference; `rank` the share of the other units' labels that are less close (chance .5); `score` the rank
    correlation over units of the held-out score with the similarity, where there are scores.
    """
    said = {d.unit: [Explanation(text, source="person") for text in d.labels] for d in dossiers if d.labels}
    made = {d.unit: d.explanations[-1] for d in dossiers if d.labels and d.explanations}
    found = labels.agreement(said, made, _similarity(embedder, store))
    numbers = {"agreement": found.similarity, "shuffled": found.shuffled, "gap": found.gap, "rank": found.rank}
    scores = {d.unit: s.number.value for d in dossiers if (s := d.score(PRIMARY)) is not None}
    both = [(u, close, scores[u]) for u, close in found.by_unit.items() if scores.get(u) is not None]
    return numbers | ({"score": _ranked(both)} if both else {})


def _ranked(both: Sequence[tuple[Unit, float, float | None]]) -> Number:
    """Spearman's correlation of similarity with score, with an interval over units."""
    from scipy.stats import rankdata

    close, scores = (rankdata(np.array(side, np.float64)) for side in list(zip(*both, strict=True))[1:])
    return metrics.correlation(close, scores, np.arange(len(both)))


def _similarity(embedder: str | None, store: Store) -> labels.Similarity | None:
    if embedder is None:
        return None
    from superalign.core.registry import build
    from superalign.core.steps import Steps
    from superalign.interp.scorers.embedding import embedded

    model = build("models", embedder, inputs=None, steps=Steps(store), choices=("no", "yes"))
    return labels.by_embedding(embedded(model))
