"""Near-duplicates across splits: texts that share most of their five-word runs.

The similarity is the Jaccard index of the sets of word runs ("shingles", Broder 1997). Pairs at or above the
threshold are found exactly: of two sets whose Jaccard index is t or more, the rarest `|A| - ceil(t |A|) + 1`
shingles of each must meet (prefix filtering, Chaudhuri et al. 2006, Bayardo et al. 2007).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from superalign.core.task import Task
from superalign.core.types import Item

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

BUDGET = 5_000_000
"""Candidate pairs that are looked at for two splits; more come from boilerplate only."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Overlap:
    """Near-duplicates between two splits: how many pairs, how many items of each split are in one, and the
    closest pairs as (id, id, similarity)."""

    first: str
    second: str
    pairs: int
    items_first: int
    items_second: int
    examples: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """One `Overlap` per pair of splits. `complete` is False where so much text is boilerplate that the runs shared
    by most items had to be left out of the search."""

    threshold: float
    overlaps: tuple[Overlap, ...]
    complete: bool

    @property
    def pairs(self) -> int:
        """Pairs in all."""
        return sum(o.pairs for o in self.overlaps)


def near_duplicates(task: Task, threshold: float = 0.7, words: int = 5, examples: int = 3) -> NearDuplicates:
    """Pairs of items in different splits whose texts (prompt, and choices of their own) nearly agree.

    Texts shorter than `words` count as one run. A task of vectors has no texts and gets no overlaps.
    Raises ValueError for a threshold outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold}")
    if task.has_vectors:
        return NearDuplicates(threshold, (), True)
    items = [item for split in task.splits for item in task.items(split)]
    sets = _shingles([_text(item, task) for item in items], words)
    full, prefix = _matrices(sets, threshold)
    bounds, start = {}, 0
    for split in task.splits:
        bounds[split] = (start, start + len(task.items(split)))
        start = bounds[split][1]
    overlaps, complete = [], True
    for first, second in combinations(task.splits, 2):
        left, right, similarity, whole = _pairs(full, prefix, bounds[first], bounds[second], threshold)
        complete = complete and whole
        best = sorted(range(len(left)), key=lambda k: (-similarity[k], items[left[k]].id, items[right[k]].id))[
            :examples
        ]
        shown = tuple((items[left[k]].id, items[right[k]].id, float(similarity[k])) for k in best)
        overlaps.append(Overlap(first, second, len(left), len(set(left)), len(set(right)), shown))
    return NearDuplicates(threshold, tuple(overlaps), complete)


def _text(item: Item, task: Task) -> str:
    return item.prompt if task.choices else "\n".join((item.prompt, *sorted(item.choices)))


def _shingles(texts: Sequence[str], words: int) -> list[list[int]]:
    """The distinct word runs of each text, as numbers."""
    numbers: dict[tuple[str, ...], int] = {}
    sets = []
    for text in texts:
        tokens = _WORD.findall(text.lower())
        runs = zip(*(tokens[k:] for k in range(words)), strict=False) if len(tokens) > words else [tuple(tokens)]
        sets.append(list({numbers.setdefault(run, len(numbers)) for run in runs}))
    return sets


def _matrices(sets: Sequence[Sequence[int]], threshold: float) -> tuple[csr_matrix, csr_matrix]:
    """Items by shingles (0 or 1): all shingles, and the rarest ones by which near-duplicates must meet."""
    import numpy as np
    from scipy.sparse import csr_matrix

    count = Counter(s for members in sets for s in members)
    size = max(count, default=0) + 1

    def matrix(rows: Sequence[Sequence[int]]) -> csr_matrix:
        ends = np.cumsum([0, *(len(r) for r in rows)])
        columns = np.fromiter((s for r in rows for s in r), np.int64, int(ends[-1]))
        return csr_matrix((np.ones(len(columns), np.int32), columns, ends), shape=(len(rows), size))

    rare = []
    for members in sets:
        kept = len(members) - math.ceil(threshold * len(members) - 1e-9) + 1
        rare.append(sorted(members, key=lambda s: (count[s], s))[:kept])
    return matrix(sets), matrix(rare)


def _pairs(
    full: csr_matrix, prefix: csr_matrix, first: tuple[int, int], second: tuple[int, int], threshold: float
) -> tuple[list[int], list[int], np.ndarray[Any, Any], bool]:
    """Rows of the two splits that reach the threshold, their similarity, and whether the search was complete."""
    import numpy as np

    a, b = prefix[first[0] : first[1]], prefix[second[0] : second[1]]
    work = np.asarray(a.sum(axis=0)).ravel().astype(np.int64) * np.asarray(b.sum(axis=0)).ravel()
    complete = int(work.sum()) <= BUDGET
    if not complete:
        order = np.argsort(work, kind="stable")
        keep = order[np.cumsum(work[order]) <= BUDGET]
        a, b = a[:, keep], b[:, keep]
    met = (a @ b.T).tocoo()
    left, right = met.row.astype(np.int64) + first[0], met.col.astype(np.int64) + second[0]
    size = np.diff(full.indptr)
    possible = np.minimum(size[left], size[right]) >= threshold * np.maximum(size[left], size[right]) - 1e-9
    left, right = left[possible], right[possible]
    similarity = np.zeros(len(left))
    for start in range(0, len(left), 100_000):  # in pieces, so that memory stays bounded
        piece = slice(start, start + 100_000)
        shared = np.asarray(full[left[piece]].multiply(full[right[piece]]).sum(axis=1)).ravel()
        similarity[piece] = shared / (size[left[piece]] + size[right[piece]] - shared)
    kept = similarity >= threshold - 1e-9
    return left[kept].tolist(), right[kept].tolist(), similarity[kept], complete
