"""Votes from a record of played games: two conditions meet on every item, the better score wins."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import numpy as np

from superalign.core.errors import StoreError, TaskError
from superalign.core.ports import Store
from superalign.core.spec import Record
from superalign.protocols.played import unpack
from superalign.studies.rate.votes import Votes


def votes_of(record: Record, store: Store) -> Votes:
    """Each item is a vote between each two conditions of the record, by how often their games on it were right.

    The item is the rater, so that errors are clustered by item. Raises TaskError where fewer than two conditions
    have graded games, StoreError where they are damaged.
    """
    scores: dict[str, dict[str, float]] = {}
    for name, key in record.artifacts.items():
        kind, _, condition = name.partition("/")
        if kind != "games":
            continue
        artifact = store.get(key)
        if artifact is None:
            raise StoreError(f"the games of {condition} are damaged in the store; run the spec of {record.id} again")
        by_item: dict[str, list[float]] = defaultdict(list)
        for game in unpack(artifact.data).games:
            if game.right is not None:
                by_item[game.item].append(game.right)
        if by_item:
            scores[condition] = {item: float(np.mean(values)) for item, values in by_item.items()}
    if len(scores) < 2:
        raise TaskError(f"{record.id} has {len(scores)} conditions with graded games; ratings need two")
    names, items = tuple(scores), tuple(sorted({i for s in scores.values() for i in s}))
    number = {item: k for k, item in enumerate(items)}
    rows = [
        (a, b, 0.5 + 0.5 * float(np.sign(scores[x][item] - scores[y][item])), number[item])
        for (a, x), (b, y) in combinations(enumerate(names), 2)
        for item in scores[x].keys() & scores[y].keys()
    ]
    left, right, won, rater = (np.asarray(c) for c in zip(*sorted(rows), strict=True))
    note = f"each of {len(items)} items of {record.id} is a vote between each two of {len(names)} conditions"
    return Votes(names, left, right, won, items, rater, notes=(note,))
