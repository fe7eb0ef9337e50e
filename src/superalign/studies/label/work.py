"""What a labelling study gives to its raters, and what came back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from typing import Protocol as Interface

from superalign.core.digest import digest
from superalign.core.spec import Audit, Condition, Table
from superalign.core.types import Item, Judgment, Seat
from superalign.protocols.rules import Rules

Row = dict[str, Any]
"""One label as JSON values: what was labelled, by whom, and what was said."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one rater was shown and said. `waiting` counts games that wait for a reply by reason, `faults` replies that
    could not be read or failed by kind."""

    rater: str
    judgments: tuple[Judgment, ...]
    waiting: Mapping[str, int]
    faults: Mapping[str, int]

    @property
    def given(self) -> list[Judgment]:
        """The games in which a label was given."""
        return [j for j in self.judgments if j.verdict.abstained is None]


@dataclass
class Parts:
    """What the branches of a study put into its record."""

    conditions: list[Condition] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    charts: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    audit: tuple[Audit, ...] = ()


class Work(Interface):
    """Things to be labelled. `identity` is their content, without what raters are compared with."""

    @property
    def name(self) -> str: ...

    @property
    def role(self) -> str: ...

    @property
    def rules(self) -> Rules: ...

    @property
    def items(self) -> tuple[Item, ...]: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def seats(self, item: Item, rater: str, person: bool) -> Sequence[Seat]:
        """The presentations of an item to a rater."""
        ...

    def faults(self, judgment: Judgment) -> Counter[str]:
        """What was malformed in a game, by kind."""
        ...

    def rows(self, result: Result) -> list[Row]:
        """The labels of a rater, one by one."""
        ...

    def parts(self, results: Sequence[Result]) -> Parts:
        """The numbers, once every rater is through."""
        ...


def drawn(ids: Sequence[str], count: int | None, seed: int) -> list[str]:
    """`count` of the ids (all where it is None), in an order drawn by hash: more of them add to fewer."""
    ordered = sorted(ids, key=lambda i: digest(seed, "label", i))
    return ordered if count is None else ordered[:count]
