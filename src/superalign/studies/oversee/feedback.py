"""Feedback to people who judge: what was right, once nothing about an item can be asked any more.

Judges who see their score after each game stay calibrated and do not tire of guessing (Michael et al. 2023, arXiv
2311.08702, section 3). A score tells the answer, so none is told while a person may still be asked about the item: in the
other order, in another condition, or again after a call that failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from superalign.core.driver import play
from superalign.core.ports import Model
from superalign.core.task import Task
from superalign.core.transcript import Transcript, key_of
from superalign.core.types import Ask, Item, Judgment, Message, Pending
from superalign.models.budgeted import Budgeted
from superalign.models.flawed import Flawed, skimmed
from superalign.people.desk import Desk
from superalign.people.files import Human
from superalign.people.human import AtDesk
from superalign.studies.oversee.cast import is_judge
from superalign.studies.oversee.conditions import Contest
from superalign.studies.oversee.parked import Held
from superalign.studies.oversee.rehearsal import Recorded
from superalign.studies.oversee.setting import SPLIT

PURPOSE = "feedback to judges, games over"


def with_people(contest: Contest) -> bool:
    """Whether somebody who is asked in a condition is a person."""
    return any(is_person(contest.chairs[role]) for role in contest.roles)


def is_person(model: Model) -> bool:
    """Whether a person answers as this model, be it with a flaw or at a price."""
    while isinstance(model, Flawed | Budgeted):
        model = model.model
    return isinstance(model, AtDesk | Human)


@dataclass
class Feedback:
    """The feedback of one study. `contests` are those with people; `held` are their games, by condition."""

    task: Task
    contests: Sequence[Contest]
    seeds: Sequence[int]
    swap: bool
    held: dict[str, Held] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    """Items whose judges were told."""

    def games(self, contest: Contest) -> Held | None:
        """The games of a condition, to be added to; None where there are no people in it."""
        return self.held.setdefault(contest.name, Held()) if any(c is contest for c in self.contests) else None

    def give(self, transcript: Transcript) -> None:
        """Tell the judges of every item that is through."""
        items = {item.id: item for item in self.task.items(SPLIT)}
        asked: dict[str, list[tuple[Contest, Judgment]]] = {name: [] for name in items}
        open_ = set(self.given)
        for contest in self.contests:
            seated = list(contest.games(list(items.values()), self.seeds, self.swap))
            if contest.name not in self.held:  # its value was in the store, so nothing was played
                found = play(contest.rules, _Absent(contest), seated, Recorded(transcript))
                self.held.setdefault(contest.name, Held()).keep(dict(enumerate(found)))
            over = self.held[contest.name].over
            for k, (item, _) in enumerate(seated):
                if k in over:
                    asked[item.id].append((contest, over[k]))
                else:
                    open_.add(item.id)
        through = [item for name, item in items.items() if name not in open_ and asked[name]]
        if through:
            self._tell(through, asked)

    def _tell(self, items: Sequence[Item], asked: Mapping[str, Sequence[tuple[Contest, Judgment]]]) -> None:
        found: dict[Desk, dict[str, int]] = {}
        for item, known in zip(items, self.task.truth(SPLIT, PURPOSE)(items), strict=True):
            right = item.choices[int(known.verdict.answer or 0)]
            for contest, judgment in asked[item.id]:
                for desk, call, shown in beliefs(contest, judgment, item):
                    found.setdefault(desk, {})[call] = shown.index(right)
        for desk, truths in found.items():
            desk.grade(truths)
        self.given |= {item.id for item in items}


def beliefs(contest: Contest, judgment: Judgment, item: Item) -> Iterator[tuple[Desk, str, Sequence[str]]]:
    """What people at desks believed at the end of a game: the desk, the call, and the choices as they were shown."""
    last: dict[tuple[str, int, tuple[str, ...]], Ask] = {}
    for ask, _ in judgment.calls:
        if is_judge(ask.role) and sorted(ask.choices) == sorted(item.choices):
            last[ask.role, ask.sample, ask.choices] = ask
    for ask in last.values():
        model, put = _bottom(contest.chairs[ask.role], ask)
        if isinstance(model, AtDesk):
            yield model.desk, key_of(model.name, put), ask.choices


def _bottom(model: Model, ask: Ask) -> tuple[Model, Ask]:
    """The model under its flaws and its purse, and the ask as it comes there."""
    while isinstance(model, Flawed | Budgeted):
        if isinstance(model, Flawed) and model.flaw.budget is not None:
            read = tuple(Message(m.role, skimmed(m.content, model.flaw.budget)) for m in ask.messages)
            ask = replace(ask, messages=read)
        model = model.model
    return model, ask


class _Absent(Mapping[str, Model]):
    """The chairs of a condition with nobody in them: what was said is found, and nothing is asked."""

    def __init__(self, contest: Contest) -> None:
        self._chairs = contest.chairs
        self._models: dict[str, Model] = {}

    def __getitem__(self, role: str) -> Model:
        name = self._chairs[role].name
        return self._models.setdefault(name, _Nobody(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._chairs)

    def __len__(self) -> int:
        return len(self._chairs)


class _Nobody:
    """A model that never answers."""

    serial = True

    def __init__(self, name: str) -> None:
        self.name = name

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Pending]]:
        yield from ((k, Pending()) for k in range(len(asks)))
