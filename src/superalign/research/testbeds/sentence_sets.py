"""Sets of sentences with two classes, their items parted into dev, public and confirm for good.

A sentence belongs to one tier, whatever is drawn from it later: the tier follows from a hash of its id. Near-duplicates
(most of their five-word runs are shared) go together, so that what is confirmed was not searched on in other words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import TaskError
from superalign.core.random import derive
from superalign.core.task import Task
from superalign.core.types import Item
from superalign.research.testbed import Tier
from superalign.tasks.load import load
from superalign.tasks.near import near_duplicates
from superalign.tasks.pool import Pool
from superalign.tasks.source import Source
from superalign.tasks.worlds.reviews import reviews

if TYPE_CHECKING:
    from superalign.core.ports import Ints

SHARES: Mapping[Tier, float] = {"dev": 0.4, "public": 0.2, "confirm": 0.4}
MOST = 5000
"""Sentences taken of a file: an encoder of 22M parameters needs 3 to 14 ms for each."""
FEWEST = 1500
"""Sentences of a set: its smallest tier has some 300 then, of which 115 are asked about."""


@dataclass(frozen=True)
class SentenceSet:
    """Sentences and their classes (0 or 1) by tier, in the order of their ids. `about` says what the classes are,
    `digest` what the set holds."""

    name: str
    about: str
    digest: str
    items: Mapping[Tier, tuple[Item, ...]]
    answers: Mapping[Tier, Ints]


@dataclass(frozen=True, slots=True)
class Topic:
    """Generated reviews of these things; `misleading` is the share of sentences whose words have the wrong sign."""

    things: tuple[str, ...]
    misleading: float


def generated(name: str, topic: Topic, count: int = 3000) -> SentenceSet:
    """About `count` review sentences on a topic's things, half of them positive. No two topics share a sentence."""
    drawn = reviews(n=count * 16 // len(topic.things), contrastive=topic.misleading, seed=derive(0, "research", name))
    wanted = re.compile(rf"\b(?:{'|'.join(topic.things)})\b")
    items = [i for i in drawn.items if wanted.search(i.prompt)]
    pool = Pool(name, tuple(items), {i.id: drawn.key[i.id] for i in items}, drawn.choices)
    about = f"reviews of {', '.join(topic.things)}: negative or positive? {topic.misleading:.0%} mislead a word counter"
    return parted(pool, about)


def given(place: str) -> SentenceSet:
    """A set from a file that `tasks.load` reads, or from all files of a folder together.

    Of more than two classes the two commonest are kept. Raises TaskError for what is no set of sentences with classes,
    and for one that is too small to be parted.
    """
    folder = Path(place).expanduser()
    files = sorted(str(f) for f in folder.iterdir() if f.is_file()) if folder.is_dir() else [place]
    if not files:
        raise TaskError(
            f"the folder {place!r} holds no file; give a file, or a folder of files with a label and a text"
        )
    pools = [load(Source(task=file, limit=MOST)) for file in files]
    if any(not pool.choices or pool.inputs is not None for pool in pools):
        raise TaskError(f"{place!r} is no set of sentences with classes; give one text and one label a row")
    answers = {i.id: pool.choices[pool.key[i.id]] for pool in pools for i in pool.items}
    texts = {i.id: i for pool in pools for i in pool.items}
    classes = sorted(label for label, _ in Counter(answers.values()).most_common(2))
    chosen = sorted((n for n in texts if answers[n] in classes), key=lambda n: derive(0, "research/sentences", n))[
        :MOST
    ]
    if len(chosen) < FEWEST:
        raise TaskError(f"{place!r} has {len(chosen)} sentences of its two commonest classes; give {FEWEST} or more")
    items = tuple(Item(n, texts[n].prompt, tuple(classes), texts[n].info) for n in chosen)
    pool = Pool(Path(place).name, items, {n: classes.index(answers[n]) for n in chosen}, tuple(classes))
    return parted(pool, f"{Path(place).name}: {classes[0]} or {classes[1]}?")


def parted(pool: Pool, about: str) -> SentenceSet:
    """The set of a pool with two classes: tiers by hash, near-duplicates together."""
    leader = {i.id: i.id for i in pool.items}

    def tiers() -> dict[Tier, tuple[Item, ...]]:
        found: dict[Tier, list[Item]] = {tier: [] for tier in SHARES}
        for item in sorted(pool.items, key=lambda i: i.id):
            found[_tier(_first(leader, item.id))].append(item)
        return {tier: tuple(items) for tier, items in found.items()}

    while True:  # who moves may leave a near-duplicate behind, so look again; groups only grow, so this ends
        split = tiers()
        task = Task(pool.name, {str(t): i for t, i in split.items()}, pool.key, choices=pool.choices)
        pairs = [pair for o in near_duplicates(task, examples=len(pool.items) ** 2).overlaps for pair in o.examples]
        if not pairs:
            break
        for one, other, _ in pairs:
            a, b = sorted((_first(leader, one), _first(leader, other)))
            leader[b] = a
    answers = {tier: np.array([pool.key[i.id] for i in items], np.int64) for tier, items in split.items()}
    small = min(len(items) for items in split.values())
    if small < FEWEST // 10:
        raise TaskError(f"{pool.name}: near-duplicates leave a tier of {small} sentences; give a set that varies more")
    return SentenceSet(pool.name, about, pool.digest[:8], split, answers)


def _first(leader: dict[str, str], name: str) -> str:
    """The id that leads the group of near-duplicates of an item."""
    while leader[name] != name:
        name = leader[name]
    return name


def _tier(leading: str) -> Tier:
    """The tier of a group, by the hash of the id that leads it."""
    place, total = derive(0, "research/tier", leading) / 2**63, 0.0
    for tier, share in SHARES.items():
        total += share
        if place < total:
            return tier
    return "confirm"


def names_of(sets: Sequence[SentenceSet]) -> tuple[str, ...]:
    """The names of sets. Raises TaskError where two are equal."""
    names = tuple(s.name for s in sets)
    twice = [n for n, count in Counter(names).items() if count > 1]
    if twice:
        raise TaskError(f"two sets are called {twice[0]!r}; rename a file, so that results can be told apart")
    return names
