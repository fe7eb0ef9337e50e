"""Votes from a record: two conditions meet on every item that both have, the better score wins."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations

import numpy as np

from superalign.core.errors import StoreError, TaskError
from superalign.core.ports import Store
from superalign.core.spec import Record
from superalign.core.steps import decode
from superalign.protocols.played import unpack
from superalign.studies.rate.votes import Votes

Scores = dict[str, dict[str, float]]
"""By condition, by item."""


def votes_of(record: Record, store: Store) -> Votes:
    """Each item is a vote between each two conditions of the record: of played games by how often they were right, of
    trained policies by the gold reward of their responses to the same prompt.

    The item is the rater, so that errors are clustered by item. Raises TaskError where fewer than two conditions
    can be compared, StoreError where what they rest on is damaged.
    """
    scores = _games(record, store) or _policies(record, store)
    if len(scores) < 2:
        raise TaskError(
            f"{record.id} has {len(scores)} conditions with graded games or policies on the same prompts; ratings need two"
        )
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


def _games(record: Record, store: Store) -> Scores:
    scores: Scores = {}
    for name, key in record.artifacts.items():
        kind, _, condition = name.partition("/")
        if kind != "games":
            continue
        by_item: dict[str, list[float]] = defaultdict(list)
        for game in unpack(_data(record, store, condition, key)).games:
            if game.right is not None:
                by_item[game.item].append(game.right)
        if by_item:
            scores[condition] = {item: float(np.mean(values)) for item, values in by_item.items()}
    return scores


def _policies(record: Record, store: Store) -> Scores:
    """Of arms that were graded on equally many prompts; those that were not saw other prompts."""
    graded: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for name, key in record.artifacts.items() if record.study == "rlhf" else ():
        arm, mark, seed = name.rpartition("/seed ")
        if mark:
            gold = decode(_data(record, store, arm, key)).get("final/gold")
            if gold is not None:
                graded[arm][seed] = np.asarray(gold)
    sizes = Counter(sum(len(g) for g in seeds.values()) for seeds in graded.values())
    usual = max(sizes, key=lambda size: (sizes[size], size), default=0)
    return {
        arm: {f"seed {s}, prompt {k}": float(v) for s, gold in seeds.items() for k, v in enumerate(gold)}
        for arm, seeds in graded.items()
        if sum(len(g) for g in seeds.values()) == usual
    }


def _data(record: Record, store: Store, condition: str, key: str) -> bytes:
    artifact = store.get(key)
    if artifact is None:
        raise StoreError(f"what {condition} rests on is damaged in the store; run the spec of {record.id} again")
    return artifact.data
