"""Near-duplicates across splits: texts that share most of their five-word runs.

The similarity is the Jaccard index of the sets of word runs ("shingles", Broder 1997). Pairs at or above the
threshold are found exactly: of two sets whose Jaccard index is t or more, the rarest `|A| - ceil(t |A|) + 1`
shingles of each must meet (prefix filtering, Chaudhuri et al. 2006, Bayardo et al. 2007).
"""

from __future__ import annotations

import re
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
    full = _shingles([_text(item, task) for item in items], words)
    prefix = _rarest(full, threshold)
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


def _shingles(texts: Sequence[str], words: int) -> csr_matrix:
    """Texts by word runs: 1 where the text holds the run."""
    import numpy as np
    from scipy.sparse import csr_matrix

    numbers: dict[str, int] = {}
    tokens = [[numbers.setdefault(word, len(numbers) + 1) for word in _WORD.findall(text.lower())] for text in texts]
    padded = [row + [0] * (words - len(row)) if row else [] for row in tokens]  # a short text is one run
    lengths = np.array([len(row) for row in padded], np.int64)
    flat = np.fromiter((word for row in padded for word in row), np.uint64, int(lengths.sum()))
    ends = np.cumsum(lengths)
    text = np.repeat(np.arange(len(texts)), lengths)
    begins = np.flatnonzero(np.arange(len(flat)) + words <= ends[text]) if len(flat) else np.zeros(0, np.int64)
    run = np.zeros(len(begins), np.uint64)
    for k in range(words):
        run = run * np.uint64(0x9E3779B97F4A7C15) + flat[begins + k]  # a hash modulo 2^64: collisions are negligible
    column = np.unique(run, return_inverse=True)[1]
    width = int(column.max(initial=-1)) + 1
    cells = np.sort(text[begins] * width + column)
    cells = cells[np.diff(cells, prepend=-1) > 0]  # several times faster than np.unique here
    body = (np.ones(len(cells), np.int32), (cells // max(width, 1), cells % max(width, 1)))
    return csr_matrix(body, shape=(len(texts), width))


def _rarest(full: csr_matrix, threshold: float) -> csr_matrix:
    """The rarest runs of each text, as many as near-duplicates must meet in."""
    import numpy as np
    from scipy.sparse import csr_matrix

    size = np.diff(full.indptr)
    text = np.repeat(np.arange(full.shape[0]), size)
    common = np.bincount(full.indices, minlength=full.shape[1])[full.indices]
    order = np.lexsort((full.indices, common, text))
    rank = np.arange(len(order)) - full.indptr[text]  # `text` is sorted already, so `order` keeps its blocks
    kept = order[rank < (size - np.ceil(threshold * size - 1e-9) + 1)[text]]
    return csr_matrix((full.data[kept], (text[kept], full.indices[kept])), shape=full.shape)


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
