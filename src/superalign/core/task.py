"""A Task: items in named splits, the key sealed inside.

The key leaves by two doors only: `score`, which grades judgments, and `truth`, an overseer that
knows the answer. Both are logged; the log is the oracle audit of a Record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from superalign.core.digest import digest
from superalign.core.errors import TaskError, nearest
from superalign.core.types import Item, Judgment, Overseer, Seat, Verdict

if TYPE_CHECKING:
    import numpy as np

    from superalign.core.ports import Floats, Inputs


@dataclass(frozen=True, slots=True)
class Read:
    """One use of the key: by which door, for which split, to what end, over how many items."""

    door: str
    split: str
    purpose: str
    n: int


class Task:
    """Items in named splits with a sealed key.

    `choices` are the labels of a class task; they are empty where each item has choices of its own.
    `key` maps item ids to indices into `Item.choices`. `inputs` serves tasks whose items are vectors.
    Raises TaskError for duplicate ids, splits that overlap, and answers outside the choices.
    """

    def __init__(
        self,
        name: str,
        splits: Mapping[str, Sequence[Item]],
        key: Mapping[str, int],
        *,
        choices: tuple[str, ...] = (),
        inputs: Inputs | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.choices = choices
        self.notes = tuple(notes)
        self.reads: list[Read] = []
        self._splits = {split: tuple(items) for split, items in splits.items()}
        self._inputs = inputs
        self._key = dict(key)
        self._where: dict[str, str] = {}
        for split, items in self._splits.items():
            for item in items:
                if item.id in self._where:
                    raise TaskError(f"{name}: the id {item.id!r} is in {self._where[item.id]} and again in {split}")
                if item.id not in self._key or not 0 <= self._key[item.id] < len(item.choices):
                    raise TaskError(f"{name}: item {item.id!r} has no answer among its {len(item.choices)} choices")
                self._where[item.id] = split
        self.digests = {s: digest([(i.id, self._key[i.id]) for i in items]) for s, items in self._splits.items()}
        """Content hash of each split, answers included."""
        self.digest = digest(name, self.digests, list(choices))

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self._splits)

    def items(self, split: str) -> tuple[Item, ...]:
        """The items of a split. Raises TaskError for an unknown split."""
        if split not in self._splits:
            raise TaskError(f"{self.name} has no split {split!r}; {nearest(split, self._splits)}")
        return self._splits[split]

    def inputs(self, ids: Sequence[str]) -> Floats:
        """Vectors (n, d) of these items. Raises TaskError for a task of texts."""
        if self._inputs is None:
            raise TaskError(
                f"{self.name} holds texts, not vectors; choose a model that reads text (bow, minilm, hf:...)"
            )
        return self._inputs(ids)

    @property
    def has_vectors(self) -> bool:
        return self._inputs is not None

    def clusters(self, split: str) -> np.ndarray:
        """The resampling unit of each item of a split: its group where it has one, else itself. Shape (n,)."""
        import numpy as np

        names = [str(i.info.get("group", i.id)) for i in self.items(split)]
        return np.unique(np.asarray(names), return_inverse=True)[1]

    def score(self, judgments: Sequence[Judgment], metric: str = "accuracy") -> Floats:
        """One number per judgment, (n,): `accuracy`, `log` (nats, higher is better) or `brier` (lower is
        better). A judgment that abstained scores as a guess: chance accuracy, uniform probabilities."""
        from superalign.core import measure

        key = [self._answer(j.item) for j in judgments]
        choices = [len(self._item_choices(j.item)) for j in judgments]
        self._log("score", [j.item for j in judgments], metric)
        scores: Floats = measure.score([j.verdict for j in judgments], key, choices, metric)
        return scores

    def constant_accuracy(self, split: str) -> tuple[float, ...]:
        """The accuracy of always choosing each place, in order: what a guard calls chance is the best of them."""
        items = self.items(split)
        self._log("score", [i.id for i in items], "accuracy of constant answers")
        most = max((len(i.choices) for i in items), default=0)
        return tuple(sum(self._key[i.id] == k for i in items) / len(items) for k in range(most))

    def grade(self, split: str, answers: np.ndarray, purpose: str) -> np.ndarray:
        """Which of these answers (..., n) to the items of a split are right; `score` for many answers at once."""
        import numpy as np

        items = self.items(split)
        self._log("score", [i.id for i in items], purpose)
        right: np.ndarray = answers == np.asarray([self._key[i.id] for i in items])
        return right

    def truth(self, split: str, purpose: str) -> Overseer:
        """An overseer that knows the answers of `split` (and of no other). Each call is logged with `purpose`."""
        allowed = {item.id for item in self.items(split)}

        def overseer(items: Sequence[Item]) -> list[Judgment]:
            outside = [i.id for i in items if i.id not in allowed]
            if outside:
                raise TaskError(
                    f"truth of {split!r} was asked for {outside[0]!r}, which is in {self._where.get(outside[0])}"
                )
            self._log("truth", [i.id for i in items], purpose)
            return [Judgment(i.id, Seat(), self._certain(i)) for i in items]

        return overseer

    def _certain(self, item: Item) -> Verdict:
        answer = self._key[item.id]
        return Verdict(answer, tuple(float(k == answer) for k in range(len(item.choices))))

    def _answer(self, item_id: str) -> int:
        if item_id not in self._key:
            raise TaskError(f"{self.name} has no item {item_id!r}")
        return self._key[item_id]

    def _item_choices(self, item_id: str) -> tuple[str, ...]:
        if self.choices:
            return self.choices
        if not hasattr(self, "_by_id"):
            self._by_id = {i.id: i.choices for items in self._splits.values() for i in items}
        return self._by_id[item_id]

    def _log(self, door: str, ids: Sequence[str], purpose: str) -> None:
        counts: dict[str, int] = {}
        for item_id in ids:
            counts[self._where[item_id]] = counts.get(self._where[item_id], 0) + 1
        self.reads.extend(Read(door, split, purpose, n) for split, n in counts.items())
