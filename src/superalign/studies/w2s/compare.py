"""Methods ranked across records, with paired intervals, corrected for how many were tried.

Records can be ranked together where they share test items, weak floor and ceiling: the same task, models
and seeds, with other methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core import measure
from superalign.core.digest import digest
from superalign.core.errors import SpecError, StoreError
from superalign.core.ports import Store
from superalign.core.spec import Record, Table
from superalign.core.steps import decode
from superalign.studies.w2s import figures

if TYPE_CHECKING:
    from superalign.core.ports import Floats


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ranks and pairwise differences of methods."""

    records: tuple[str, ...]
    ranks: Table
    differences: Table

    def summary(self) -> dict[str, Any]:
        """For `--json`."""
        tables = {"ranks": self.ranks, "differences": self.differences}
        rows = {name: [dict(zip(t.columns, row, strict=True)) for row in t.rows] for name, t in tables.items()}
        return {"records": list(self.records), **rows}


@dataclass(slots=True)
class Group:
    """Methods over the same test items, floor and ceiling; what `figures` draws ranks from."""

    weak: Floats
    ceiling: Floats
    clusters: np.ndarray
    chance: float
    methods: dict[str, Floats]
    elicited: dict[str, measure.Elicited]


def compare(records: Sequence[Record], store: Store) -> Ranking:
    """Rank the methods of the records. SpecError where they do not share test items, floor and ceiling, or
    hold fewer than two methods; StoreError where their graded predictions are gone."""
    groups: dict[str, Group] = {}
    for record in records:
        for key, group in _groups(record, store):
            known = groups.setdefault(key, group)
            for name, matrix in group.methods.items():
                shown = (
                    name
                    if name not in known.methods or np.array_equal(known.methods[name], matrix)
                    else f"{name} ({record.id})"
                )
                known.methods[shown] = matrix
    names = tuple(r.id for r in records)
    if len(groups) > 1:
        raise SpecError(
            f"{' and '.join(names)} do not share test items, weak floor and ceiling, so their methods cannot be paired; "
            "run the methods on one spec with the same seeds, or `superalign show` each"
        )
    (group,) = groups.values()
    if len(group.methods) < 2:
        raise SpecError(f"{' and '.join(names)} hold one method; name two or more with --methods, or two records")
    for name, matrix in group.methods.items():
        group.elicited[name] = measure.elicited(
            group.weak, matrix, group.ceiling, chance=group.chance, clusters=group.clusters
        )
    comparisons = measure.compare(group.weak, group.methods, group.ceiling, group.clusters, chance=group.chance)
    return Ranking(names, figures.ranks(group.elicited, comparisons), figures.differences(comparisons))


def _groups(record: Record, store: Store) -> list[tuple[str, Group]]:
    if record.study != "w2s":
        raise SpecError(f"{record.id} is a {record.study} record; compare takes weak-to-strong records")
    artifact = store.get(record.artifacts.get("graded", ""))
    if artifact is None:
        raise StoreError(f"the graded predictions of {record.id} are not in this store; run its spec again")
    value = decode(artifact.data)
    found = []
    for k, _pair in enumerate(value["pairs"]):
        if f"{k}/weak" not in value or f"{k}/ceiling" not in value:
            continue
        weak, ceiling = value[f"{k}/weak"], value[f"{k}/ceiling"]
        methods = {m: value[f"{k}/{m}"] for m in value[f"{k}.methods"] if f"{k}/{m}" in value}
        group = Group(weak, ceiling, value[f"{k}.clusters"], value[f"{k}.chance"], methods, {})
        found.append((digest(value[f"{k}.test"], weak, ceiling), group))
    if not found:
        raise SpecError(f"{record.id} has no weak floor or no ceiling, so there is nothing to compare")
    return found
