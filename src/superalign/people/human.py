"""Human: people as a Model, at a desk that the page serves or in files.

`human` puts its questions on the desk `people`, `human:team-a` on another one; `superalign serve` shows them, and a
waiting run goes on as soon as the answers are in. `people=2` asks two people each question and takes their mean.
`checks=checks.jsonl:every=10` mixes in questions with known answers (see `people.checks`). `human:answers.jsonl` reads
answers from a file (see `people.files`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from superalign.core.errors import ModelError
from superalign.core.ports import Inputs
from superalign.core.transcript import key_of
from superalign.core.types import Ask, Pending, Reply
from superalign.people import files
from superalign.people.checks import EVERY, Checks
from superalign.people.desk import DESK, NAME, Desk
from superalign.people.questions import question_of

if TYPE_CHECKING:
    from superalign.core.steps import Steps


class AtDesk:
    """A Model whose questions are put to the people at a desk.

    Questions are posted all at once and replies are `Pending` until `people` people have answered, so a run asks
    everything it can before it waits. `checks` are mixed in and change neither names nor replies.
    """

    serial = True

    def __init__(self, name: str, desk: Desk, people: int = 1, checks: Checks | None = None) -> None:
        self.name, self.desk, self.people, self.checks = name, desk, people, checks

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]:
        """What has been answered; the rest is posted, and `Pending`."""
        questions = [question_of(key_of(self.name, ask), ask, self.people) for ask in asks]
        self.desk.post(questions)
        if self.checks is not None and (fresh := self.checks.for_(asks)):
            self.desk.mix(fresh, self.checks.every)
        replies = self.desk.take(questions)
        left = self.desk.counts().waiting
        waiting = Pending(
            f"human: {left:,} {'question waits' if left == 1 else 'questions wait'} at the desk {self.desk.name}"
        )
        for k, question in enumerate(questions):
            yield k, replies.get(question.call, waiting)


def human(
    argument: str = "",
    *,
    people: int = 1,
    checks: str = "",
    every: int = EVERY,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
) -> AtDesk | files.Human:
    """People: `human` at the desk of the store, `human:team-a` at another, `human:answers.jsonl` in a file.

    Raises ModelError for a bad name, for a number of people below 1, for checks that cannot be read, and where there is
    no store to hold a desk.
    """
    if argument and not NAME.fullmatch(argument):
        if people != 1 or checks:
            what = f"checks={checks}" if checks else f"people={people}"
            raise ModelError(f"answers in a file are one person's; leave {what} out, or name a desk: human:team-a")
        return files.human(argument)
    if not isinstance(people, int) or isinstance(people, bool) or people < 1:
        raise ModelError(f"people is how many people answer each question, 1 or more; got people={people!r}")
    if not isinstance(every, int) or isinstance(every, bool) or every < 2:
        raise ModelError(f"every says which of the questions shown is a check, 2 or more; got every={every!r}")
    if steps is None or steps.store is None:
        raise ModelError("human needs a store for its questions; give one, or a file: human:answers.jsonl")
    name = ":".join(filter(None, ("human", argument, f"people={people}" if people > 1 else "")))
    mixed = Checks(Path(str(checks)), every) if checks else None
    return AtDesk(name, Desk(steps.store, argument or DESK), people, mixed)
