"""Tables of mean activations by token and by pair of tokens: no explanations, but bounds.

What a table predicts is all that the current token, or it and the one before, can tell of a unit. They are fitted on
the explain split and bound what a program over the same tokens can reach. Pairs are shrunk towards the mean of their
token, (sum + 2 mean) / (rows + 2); pairs and tokens that the split does not hold get the mean of what is known of them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from superalign.interp.predicates.reading import Reading

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints
    from superalign.interp.corpus import Corpus
    from superalign.interp.evidence import Evidence

PRIOR = 2.0
"""A pair's mean is as if it had been seen twice more, with the mean of its token."""


class Tables:
    """The tables of one corpus. The pairs are numbered once, for all units; predictions are at `rows` (m,)."""

    def __init__(self, corpus: Corpus, rows: Ints) -> None:
        self.corpus, self.rows = corpus, rows
        self._explain = Reading(corpus, corpus.rows("explain"))
        self._asked = Reading(corpus, rows)

    def predict(self, evidence: Evidence, by: Literal["token", "pair"]) -> Floats:
        """(m,) the mean activation of the token, or of the token after the one before it, on the explain split."""
        values = evidence.at(self._explain.rows).astype(np.float64)
        size = len(self.corpus.strings)
        count, total = self._count, np.bincount(self._explain.token, values, size)
        means = np.where(count > 0, total / np.maximum(count, 1), values.mean())
        if by == "token":
            return means[self._asked.token].astype(np.float32)
        known, code, rows, asked, found = self._pairs
        prior = means[known % size]
        table = (np.bincount(code, values, len(known)) + PRIOR * prior) / (rows + PRIOR)
        return np.where(found, table[asked], means[self._asked.token]).astype(np.float32)

    @cached_property
    def _count(self) -> Ints:
        return np.bincount(self._explain.token, minlength=len(self.corpus.strings))

    @cached_property
    def _pairs(self) -> tuple[Ints, Ints, Ints, Ints, Ints]:
        """The pairs of the explain split (p,), which of them its rows are (n,), and how many rows each is (p,); which
        of them the asked rows are (m,), and whether they are any (m,)."""
        size = len(self.corpus.strings)
        known, code, count = np.unique(
            self._explain.previous * size + self._explain.token, return_inverse=True, return_counts=True
        )
        key = self._asked.previous * size + self._asked.token
        place = np.minimum(np.searchsorted(known, key), len(known) - 1)
        return known, code, count, place, known[place] == key
