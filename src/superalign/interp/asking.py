"""Questions to a model that speaks, as games of one turn: batches, transcripts and resumed runs come from the driver."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from superalign.core.driver import ask, play
from superalign.core.ports import Model, Progress, silent
from superalign.core.transcript import Transcript
from superalign.core.types import Cost, Item, Judgment, Message, Moves, Seat, Settings, Verdict
from superalign.interp.units import Failed, Status
from superalign.protocols.reading import visible
from superalign.protocols.replies import decide

_REFUSAL = re.compile(
    r"\W*(?:(?:I['’]m |I am )?sorry,? (?:but )?I\b|I(?:['’]m| am) (?:unable|not able)|as an AI\b"
    r"|I (?:can(?:['’]t|not| not)|won['’]t|will not|must decline|decline)\b)",
    re.IGNORECASE,
)
"""How a refusal begins. An explanation may well say `the word "sorry"` further on."""


def refuses(text: str) -> bool:
    """Whether a reply begins as a refusal."""
    return _REFUSAL.match(text) is not None


class Unreadable(Exception):
    """A reply that is not what was asked for."""

    def __init__(self, reason: str, status: Status = "parse_failed") -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for in free text: how a reply is read (`read` raises Unreadable), what is said if it cannot be,
    and how it is sampled. `sample` tells apart several draws."""

    messages: tuple[Message, ...]
    read: Callable[[str], Any]
    again: str
    settings: Settings = field(default_factory=Settings)
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read from the reply to a question, or why nothing was; and what the calls cost."""

    value: Any
    cost: Cost

    @property
    def failed(self) -> Failed | None:
        """The failure, if it is one."""
        return self.value if isinstance(self.value, Failed) else None


@dataclass(frozen=True)
class Desk:
    """The model cast as `role`, and where its replies are kept."""

    role: str
    model: Model
    transcript: Transcript = field(default_factory=Transcript)
    progress: Progress = silent

    def choose(
        self, asked: Iterable[tuple[Sequence[Message], Sequence[str]]], settings: Settings | None = None
    ) -> list[Verdict]:
        """A verdict on each question with choices. What cannot be read is asked once more, then abstains."""
        questions = [(tuple(messages), tuple(choices)) for messages, choices in asked]

        def protocol(item: Item, seat: Seat) -> Moves:
            messages, choices = questions[int(item.id)]
            choice = yield from decide(self.role, messages, choices, settings=settings)
            if choice.fault:
                return Verdict(None, abstained=f"{choice.fault}: {choice.note}".removesuffix(": "))
            return Verdict(choice.place, choice.probs)

        return [j.verdict for j in self._play(protocol, [choices for _, choices in questions])]

    def write(self, questions: Sequence[Question]) -> list[Answer]:
        """What was read from the reply to each question. What cannot be read is asked once more, then is a Failed."""

        def protocol(item: Item, seat: Seat) -> Moves:
            return (yield from _written(self.role, questions[int(item.id)]))

        return [
            Answer(_outcome(judgment.verdict, question), sum((r.cost for _, r in judgment.calls), Cost()))
            for question, judgment in zip(questions, self._play(protocol, [()] * len(questions)), strict=True)
        ]

    def _play(self, protocol: Any, choices: Sequence[tuple[str, ...]]) -> list[Judgment]:
        games = [(Item(str(k), "", shown), Seat()) for k, shown in enumerate(choices)]
        return play(protocol, {self.role: self.model}, games, self.transcript, self.progress)


def desk(role: str, model: Model, transcript: Transcript | None, progress: Progress = silent) -> Desk:
    """The desk of a model, with a transcript in memory where none is given."""
    return Desk(role, model, transcript or Transcript(), progress)


def likelihood(verdict: Verdict) -> float:
    """The probability of the first choice: as given, else 1 or 0 by the choice; NaN where there is no answer."""
    if verdict.abstained is not None:
        return math.nan
    return verdict.probs[0] if verdict.probs else float(verdict.answer == 0)


def reasons(verdicts: Iterable[Verdict]) -> str:
    """Why answers are missing, the most frequent reason first."""
    found = Counter(v.abstained.partition(":")[0] for v in verdicts if v.abstained is not None)
    return ", ".join(f"{count} {reason}" for reason, count in found.most_common())


def _written(role: str, question: Question) -> Moves:
    messages = question.messages
    fault = Unreadable("nothing was said")
    for _ in range(2):
        reply = yield from ask(role, messages, sample=question.sample, settings=question.settings)
        if reply.failure is not None:
            return Verdict(None, abstained=f"undefined: the call failed: {reply.failure}")
        said = visible(reply.text)
        try:
            question.read(said)
        except Unreadable as error:
            fault = Unreadable(said.strip()[:80], "refused") if refuses(said) else error
            messages = (*messages, Message("assistant", reply.text or "..."), Message("user", question.again))
        else:
            return Verdict(said)
    return Verdict(None, abstained=f"{fault.status}: {fault.reason}")


def _outcome(verdict: Verdict, question: Question) -> Any:
    if verdict.abstained is None:
        return question.read(str(verdict.answer))
    status, _, reason = verdict.abstained.partition(": ")
    known: dict[str, Status] = {"parse_failed": "parse_failed", "refused": "refused", "mismatch": "mismatch"}
    return Failed(known.get(status, "undefined"), reason if status in (*known, "undefined") else verdict.abstained)
