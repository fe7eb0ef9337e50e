"""Recursive reward modelling: assistants answer easier questions, each judged in a game of its own, to help a judge.

Leike, Krueger, Everitt, Martic, Maini, Legg (2018), "Scalable agent alignment via reward modeling: a research
direction", arXiv 1811.07871. Evaluating the item is a task; so is every question that helps with it.
The questions form a graph without cycles: the template's section `questions` has one per line,

    facts: Which facts decide this?
    answer <- facts: Given these findings, which choice is right?

where a question after `<-` is answered and judged first, and its finding is shown. For each question `assistant`,
who sees the source, answers in words; another protocol judges whether that answer is right and returns a
distribution; answer and probability are a finding. The judge of the item sees all findings, never the source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from superalign.core.errors import SpecError, nearest
from superalign.core.random import derive
from superalign.core.types import Ask, Item, Message, Moves, Protocol, Seat
from superalign.protocols.compose import Steps, once, together
from superalign.protocols.critique import critique
from superalign.protocols.direct import direct
from superalign.protocols.replies import decide, verdict
from superalign.protocols.room import briefed, listed, order_of, public, relabelled, source_of
from superalign.protocols.rules import Rules, Silence
from superalign.protocols.speech import hear
from superalign.protocols.template import Template
from superalign.protocols.template import template as read

RIGHT = ("wrong", "right")
SECTIONS = {
    "questions": (),
    "assistant": ("prompt", "choices", "source", "findings", "question"),
    "evaluation": ("prompt", "choices", "findings", "question", "answer"),
    "judge": ("prompt", "choices", "findings"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """A question that helps to judge an item, and the questions whose findings help to judge this one."""

    name: str
    text: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """An assistant's answer, with the probability that it is right; None where the judging failed or abstained."""

    question: str
    answer: str
    right: float | None

    def __str__(self) -> str:
        worth = "its answer could not be judged" if self.right is None else f"judged right with {self.right:.0%}"
        return f"Asked: {self.question}\nAn assistant ({worth}): {self.answer}"


def recursive(*, assist: str | Protocol = "direct", depth: int = 3, template: str = "") -> Rules:
    """The protocol. Roles: `assistant`, `judge`, and those of `assist`.

    `assist` judges the assistants' answers: `direct`, `critique`, or in Python any protocol, also another
    `recursive`. No chain of questions may be longer than `depth`. A failed call of an assistant ends the game; an
    evaluation that abstains leaves its finding unjudged, and says so. Raises SpecError for questions that go round,
    wait for one that is not there, or are too deep.
    """
    text = read("recursive", template, SECTIONS)
    levels = levelled(questions_in(text.sections["questions"]), depth)
    nested = _nested(assist)

    def play(item: Item, seat: Seat) -> Moves:
        order, shown = order_of(item, seat), public(item, order_of(item, seat))
        findings: dict[str, Finding] = {}
        for level in levels:
            parts = [_found(text, nested, item, seat, question, findings) for question in level]
            for question, finding in zip(level, (yield from together(parts)), strict=True):
                findings[question.name] = finding
        told = relabelled("\n\n".join(map(str, findings.values())), order)
        prompt = text.fill("judge", prompt=item.prompt, choices=listed(shown.choices), findings=told)
        choice = yield from decide("judge", (Message("user", prompt),), shown.choices, item=shown, sample=seat.seed)
        return verdict(choice, order)

    return Rules(play, template=text.digest)


def _found(
    text: Template, nested: Protocol, item: Item, seat: Seat, question: Question, known: Mapping[str, Finding]
) -> Steps[Finding]:
    """Have a question answered, and the answer judged."""
    told = {
        "prompt": item.prompt,
        "choices": listed(item.choices),
        "findings": "\n\n".join(str(known[name]) for name in question.after),
        "question": question.text,
    }
    prompt = text.fill("assistant", **told, source=source_of(item))
    reply = yield from once(Ask("assistant", (Message("user", prompt),), item=briefed(item), sample=seat.seed))
    if reply.failure is not None:
        raise Silence("assistant", reply.failure)
    said = hear(reply.text, source_of(item)).text
    claim = replace(
        item, id=f"{item.id}/{question.name}", prompt=text.fill("evaluation", **told, answer=said), choices=RIGHT
    )
    lot = derive(seat.seed, "recursive", item.id, question.name)
    judged = yield from nested(claim, Seat(lot >> 1, (0, 1) if lot % 2 else (1, 0)))
    if judged.abstained is not None or not isinstance(judged.answer, int):
        return Finding(question.text, said, None)
    return Finding(question.text, said, judged.probs[1] if judged.probs else float(judged.answer))


def _nested(assist: str | Protocol) -> Protocol:
    known = {"direct": direct, "critique": critique}
    if not isinstance(assist, str):
        return assist
    if assist not in known:
        raise SpecError(f"recursive is assisted by no protocol {assist!r}; {nearest(assist, known)}")
    return known[assist]()


_LINE = re.compile(r"([\w-]+)[ \t]*(?:<-([\w\-, \t]*))?:[ \t]*(\S.*)")


def questions_in(section: str) -> tuple[Question, ...]:
    """The questions of a template's section. Raises SpecError for a line that is none, and for a name used twice."""
    found: dict[str, Question] = {}
    for line in filter(None, map(str.strip, section.splitlines())):
        match = _LINE.fullmatch(line)
        if match is None:
            raise SpecError(f"{line!r} is no question; write `name: question` or `name <- other, other: question`")
        if match[1] in found:
            raise SpecError(f"two questions are named {match[1]!r}; every question needs a name of its own")
        after = tuple(filter(None, re.split(r"[,\s]+", match[2] or "")))
        found[match[1]] = Question(match[1], match[3].strip(), after)
    if not found:
        raise SpecError("the template's section `questions` holds no question; write one per line, `name: question`")
    return tuple(found.values())


def levelled(questions: Sequence[Question], depth: int) -> tuple[tuple[Question, ...], ...]:
    """The questions in levels, each after those that it waits for. Raises SpecError where that cannot be done."""
    named = {q.name: q for q in questions}
    for question in questions:
        for name in question.after:
            if name not in named:
                raise SpecError(f"the question {question.name!r} waits for {name!r}; {nearest(name, named)}")
    sorter = TopologicalSorter({q.name: q.after for q in questions})
    try:
        sorter.prepare()
    except CycleError as error:
        raise SpecError(
            f"questions go round: {' -> '.join(error.args[1])}; no evaluation may wait for itself"
        ) from error
    levels = []
    while sorter.is_active():
        ready = set(sorter.get_ready())
        levels.append(tuple(q for q in questions if q.name in ready))
        sorter.done(*ready)
    if len(levels) > depth:
        raise SpecError(f"the questions are {len(levels)} deep; depth={depth} allows no more than {depth}")
    return tuple(levels)
