"""A Pool: all rows of a task with their answers, before they are divided.

Only a study holds a Pool. What solvers meet is the Task that it makes, whose key is sealed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from superalign.core.digest import digest
from superalign.core.errors import TaskError
from superalign.core.ports import Inputs
from superalign.core.task import Task
from superalign.core.types import Item
from superalign.tasks.divide import FIXABLE, Sizes, divide


def content_id(prompt: str, choices: Sequence[str]) -> str:
    """The id of an item whose row has no name: 16 hex digits of the hash of its prompt and choices."""
    return digest(prompt, list(choices))[:16]


@dataclass(frozen=True)
class Pool:
    """Rows of a task with their answers, some perhaps given as `test` or `validation` beforehand.

    `key` maps item ids to indices into `Item.choices`. `choices` are the labels of a class task; they are empty
    where each item has choices of its own. `fixed` holds the ids of rows whose split was given. `inputs(ids)` gives
    vectors (n, d) where items are not texts. `notes` say what was done to the rows.
    Raises TaskError for repeated ids, for answers outside the choices, and for fixed rows that are not there.
    """

    name: str
    items: tuple[Item, ...]
    key: Mapping[str, int] = field(repr=False)
    choices: tuple[str, ...] = ()
    fixed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    inputs: Inputs | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ids = {item.id for item in self.items}
        if len(ids) != len(self.items):
            twice = next(i for i, n in Counter(item.id for item in self.items).items() if n > 1)
            raise TaskError(f"{self.name}: the id {twice!r} is there twice; ids must differ")
        for item in self.items:
            if self.choices and item.choices != self.choices:
                raise TaskError(
                    f"{self.name}: item {item.id!r} has choices {item.choices}, the task has {self.choices}"
                )
            if not 0 <= self.key.get(item.id, -1) < len(item.choices):
                raise TaskError(f"{self.name}: item {item.id!r} has no answer among its {len(item.choices)} choices")
        self._check_fixed(ids)

    def _check_fixed(self, ids: set[str]) -> None:
        named: set[str] = set()
        for split, rows in self.fixed.items():
            if split not in FIXABLE:
                raise TaskError(f"{self.name}: rows can be given for {' and '.join(FIXABLE)} only, not for {split!r}")
            for row in rows:
                if row not in ids or row in named:
                    why = "named twice" if row in named else "not an item"
                    raise TaskError(f"{self.name}: the given {split} row {row!r} is {why}")
                named.add(row)

    @cached_property
    def digest(self) -> str:
        """Content hash of all rows, answers and vectors included; the order of the rows does not matter."""
        rows = sorted(self.items, key=lambda item: item.id)
        body = [(i.id, i.prompt, list(i.choices), dict(i.info), self.key[i.id]) for i in rows]
        fixed = {split: sorted(ids) for split, ids in self.fixed.items() if ids}
        return digest(self.name, list(self.choices), body, fixed, self._vectors([i.id for i in rows]))

    def _vectors(self, ids: list[str]) -> str | None:
        if self.inputs is None:
            return None
        import numpy as np

        # Four decimals: the last bits of a matrix product differ between machines and numbers of threads.
        return digest(np.round(np.asarray(self.inputs(ids), np.float64), 4) + 0.0)

    def task(self, seed: int = 0, sizes: Sizes | None = None, split_seed: int = 0) -> Task:
        """Divide the rows into weak-train, transfer, validation and test.

        `test` depends on `split_seed` alone; the other three are drawn again for each `seed`.
        Raises TaskError where there are fewer rows than the splits need.
        """
        division = divide(self.name, self.items, self.key, self.choices, self.fixed, sizes or Sizes(), seed, split_seed)
        key = {item.id: self.key[item.id] for items in division.splits.values() for item in items}
        notes = (*self.notes, *division.notes)
        return Task(self.name, division.splits, key, choices=self.choices, inputs=self.inputs, notes=notes)
