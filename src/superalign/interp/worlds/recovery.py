"""How much of a planted truth explanations recover, and whether scores say so.

The overlap of a simulated mask with a planted label is their intersection over union on text that no explanation was
fitted to. A unit is matched with the label that it overlaps most; a label is recovered where some unit overlaps it by
`enough`. A score is worth what its rank correlation with the overlap is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import SpecError
from superalign.interp.evidence import Evidence
from superalign.interp.units import Kind, Unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from superalign.core.ports import Floats, Ints
    from superalign.interp.corpus import Corpus

ENOUGH = 0.95


@dataclass(frozen=True)
class Recovery:
    """`overlap` (U,) of each unit with its best label, and which that is, `best` (U,); `recall` is the share of labels
    that some unit recovers, `precision` the share of units that recover one."""

    overlap: Floats
    best: Ints
    recall: float
    precision: float

    def agreement(self, scores: Sequence[float | None]) -> float | None:
        """Spearman's correlation of the units' scores with their overlaps, over the units that have a score; None where
        fewer than three have one, or all are equal."""
        from scipy.stats import spearmanr

        pairs = [(s, o) for s, o in zip(scores, self.overlap.tolist(), strict=True) if s is not None]
        if len(pairs) < 3 or any(len(set(side)) < 2 for side in zip(*pairs, strict=True)):
            return None
        return float(spearmanr(*zip(*pairs, strict=True)).statistic)


def recover(masks: NDArray[np.bool_], labels: NDArray[np.bool_], enough: float = ENOUGH) -> Recovery:
    """Compare simulated masks (U, m) of units with planted labels (m, n) at the same rows."""
    if masks.ndim != 2 or labels.ndim != 2 or masks.shape[1] != len(labels):
        raise SpecError(f"masks {masks.shape} and labels {labels.shape}; give (units, rows) and (rows, planted)")
    both = masks.astype(np.float32) @ labels.astype(np.float32)  # exact: counts below 2^24
    either = masks.sum(1)[:, None] + labels.sum(0)[None, :] - both
    overlap = both / np.maximum(either, 1)
    return Recovery(
        overlap.max(1),
        overlap.argmax(1),
        float((overlap >= enough).any(0).mean()),
        float((overlap >= enough).any(1).mean()),
    )


def evidence_of(
    corpus: Corpus, columns: Floats, site: str, kind: Kind = "direction", *, seed: int = 0
) -> list[Evidence]:
    """The positive sides of the columns of (T, n) activations, as the evidence of n units of a site."""
    if len(columns) != len(corpus):
        raise SpecError(f"{len(columns)} rows of activations for a corpus of {len(corpus)}; give one for each token")
    found = []
    for index, column in enumerate(np.asarray(columns, np.float32).T):
        rows = np.flatnonzero(column > 0)
        found.append(Evidence(Unit(site, index, kind), corpus, rows, column[rows], seed))
    return found
