"""Near-duplicates across splits: an item that was learnt from, or searched on, must not be asked about.

Texts are compared by their runs of thirteen words (Jaccard index of .8 or more), rows of wide arrays by distance, and
items that belong together (the same question, the same author) by their group. One that straddles fails the testbed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.task import Task
from superalign.core.types import Item
from superalign.research.audits.result import AuditResult
from superalign.tasks.near import near_duplicates

if TYPE_CHECKING:
    from superalign.core.ports import Floats

THRESHOLD, WORDS = 0.8, 13
NEAR = 0.01
"""Distance of two rows, in median lengths of a row, up to which they are the same item."""
_BLOCK = 1024
_SHOWN = 5


def near_texts(splits: Mapping[str, Sequence[str]]) -> AuditResult:
    """Texts of different splits that nearly agree; shorter ones than 13 words must agree. The statistic counts pairs."""
    items = {
        split: [Item(f"{split}/{k}", text, ("no", "yes")) for k, text in enumerate(texts)]
        for split, texts in splits.items()
    }
    key = {item.id: 0 for held in items.values() for item in held}
    found = near_duplicates(Task("audit", items, key, choices=("no", "yes")), THRESHOLD, WORDS, _SHOWN)
    shown = tuple(f"{a} = {b}" for overlap in found.overlaps for a, b, _ in overlap.examples)
    return _result("texts", found.pairs, sum(map(len, splits.values())), shown[:_SHOWN])


def near_rows(splits: Mapping[str, Floats]) -> AuditResult:
    """Rows (n, d) of different splits at a distance of .01 median lengths or less. The statistic counts pairs."""
    rows = {split: np.asarray(values, np.float32) for split, values in splits.items()}
    pairs, shown = 0, []
    for a, b in combinations(rows, 2):
        left, right = _close(rows[a], rows[b])
        pairs += len(left)
        shown += [f"{a}/{i} = {b}/{j}" for i, j in zip(left[:_SHOWN], right[:_SHOWN], strict=True)]
    return _result("rows", pairs, sum(map(len, rows.values())), tuple(shown[:_SHOWN]))


def straddling(splits: Mapping[str, Sequence[Hashable]]) -> AuditResult:
    """Groups of items that are in several splits. The statistic counts them."""
    seen: dict[Hashable, set[str]] = {}
    for split, groups in splits.items():
        for group in groups:
            seen.setdefault(group, set()).add(split)
    across = [f"{group} in {', '.join(sorted(where))}" for group, where in seen.items() if len(where) > 1]
    return _result("groups", len(across), len(seen), tuple(across[:_SHOWN]))


def _close(a: Any, b: Any) -> tuple[list[int], list[int]]:
    """Rows of `a` and `b` that are near. Candidates in float32 by one matrix product, then the distance itself."""
    if not len(a) or not len(b) or a.shape[1] != b.shape[1]:
        return [], []
    length = float(np.median(np.linalg.norm(np.concatenate([a[:_BLOCK], b[:_BLOCK]]), axis=1)))
    limit = max(NEAR * length, 1e-12)
    squares = (b * b).sum(1)
    left: list[int] = []
    right: list[int] = []
    for start in range(0, len(a), _BLOCK):
        block = a[start : start + _BLOCK]
        apart = (block * block).sum(1)[:, None] + squares - 2 * (block @ b.T)
        i, j = np.nonzero(apart <= 4 * limit**2 + 1e-5 * length**2)
        near = np.linalg.norm(block[i].astype(np.float64) - b[j], axis=1) <= limit
        left += (i[near] + start).tolist()
        right += j[near].tolist()
    return left, right


def _result(kind: str, found: int, of: int, shown: tuple[str, ...]) -> AuditResult:
    what = "groups are in several splits" if kind == "groups" else f"pairs of {kind} agree across splits"
    said = f"{found:,} {what}, of {of:,} {kind}" if found else f"none of {of:,} {kind} is in two splits"
    return AuditResult(f"duplicates:{kind}", "fail" if found else "pass", float(found), None, None, said, shown)
