"""Human: people as a Model, at a desk that the page serves or in files.

`human` puts its questions on the desk `people`, `human:team-a` on another one; `superalign serve` shows them, and a
waiting run goes on as soon as the answers are in. `people=2` asks two people each question and takes their mean.
`human:answers.jsonl` reads answers from a file (see `people.files`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from superalign.core.errors import ModelError
from superalign.core.ports import Inputs
from superalign.core.transcript import key_of
from superalign.core.types import Ask, Pending, Reply
from superalign.people import files
from superalign.people.desk import DESK, NAME, Desk
from superalign.people.questions import question_of

if TYPE_CHECKING:
    from superalign.core.steps import Steps


class AtDesk:
    """A Model whose questions are put to the people at a desk.

    Questions are posted all at once and replies are `Pending` until `people` people have answered, so a run asks
    everything it can before it waits.
    """

    serial = True

    def __init__(self, name: str, desk: Desk, people: int = 1) -> None:
        self.name, self.desk, self.people = name, desk, people

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]:
        """What has been answered; the rest is posted, and `Pending`."""
        questions = [question_of(key_of(self.name, ask), ask, self.people) for ask in asks]
        self.desk.post(questions)
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
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
) -> AtDesk | files.Human:
    """People: `human` at the desk of the store, `human:team-a` at another, `human:answers.jsonl` in a file.

    Raises ModelError for a bad name, for a number of people below 1, and where there is no store to hold a desk.
    """
    if argument and not NAME.fullmatch(argument):
        if people != 1:
            raise ModelError(
                f"answers in a file are one person's; leave people={people} out, or name a desk: human:team-a"
            )
        return files.human(argument)
    if not isinstance(people, int) or people < 1:
        raise ModelError(f"people is how many people answer each question, 1 or more; got people={people!r}")
    if steps is None or steps.store is None:
        raise ModelError("human needs a store for its questions; give one, or a file: human:answers.jsonl")
    name = ":".join(filter(None, ("human", argument, f"people={people}" if people > 1 else "")))
    return AtDesk(name, Desk(steps.store, argument or DESK), people)
