"""Labels of a record to a file: preferences as trainers read them, ratings with who gave them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from superalign.core.ports import Store
from superalign.core.spec import Record
from superalign.studies.label.record import labels_of
from superalign.studies.label.work import Row
from superalign.tasks.preferences import Comparison
from superalign.tasks.preferences.writing import write


@dataclass(frozen=True, slots=True)
class Written:
    """How many lines were written, and how many pairs were left out because they tie."""

    lines: int
    ties: int = 0


def write_labels(record: Record, store: Store, file: Path) -> Written:
    """Write the labels of a record as JSON lines.

    Preferences are written as `prompt`, `chosen`, `rejected`, a line for each pair of responses; where there are several
    raters, their mean ranks decide. Ratings are written with rater, item, rating, flaws and the rest, as they were given.
    Raises StoreError for a record without labels.
    """
    rows = labels_of(record, store)
    if record.spec["what"] == "preferences":
        made = list(comparisons(rows))
        ties = sum(len(c.pairs(ties=True)) - len(c.pairs()) for c in made)
        return Written(write(made, file, "pairs"), ties)
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(json.dumps(row, sort_keys=True) + "\n")
    return Written(len(rows))


def comparisons(rows: Sequence[Row]) -> Iterator[Comparison]:
    """The ranked items of labels, by the mean rank of all raters and presentations."""
    seen: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        seen[row["item"]].append(row)
    for shown in seen.values():
        ranks = np.mean([np.mean([r["ranks"] for r in rs], axis=0) for rs in _by_rater(shown)], axis=0)
        first = shown[0]
        yield Comparison(
            first["prompt"], tuple(first["responses"]), tuple((-ranks).tolist()), group=str(first["group"])
        )


def _by_rater(rows: Sequence[Row]) -> list[list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["rater"]].append(row)
    return list(found.values())
