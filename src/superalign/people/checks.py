"""Quality control: questions whose answer is known, mixed in with those of a run.

`human:checks=checks.jsonl:every=10` makes one of ten questions that a person is shown one of the file's. A line is
`{"prompt": "...", "choices": ["...", "..."], "answer": 1}`, or `"best": 1` in place of `answer` for responses to be
ranked. It is put as the protocols `direct` and `rank` put theirs, to the role that the run asks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from superalign.core.digest import digest
from superalign.core.driver import seated
from superalign.core.errors import ModelError
from superalign.core.types import Ask, Item, Seat
from superalign.people.forms import Answer
from superalign.people.questions import Question, form_of, question_of
from superalign.protocols.direct import direct
from superalign.protocols.rank import rank

LINE = '{"prompt": "...", "choices": ["...", "..."], "answer": 1}, or "best" for a ranking'
EVERY = 10
Check = tuple[Question, dict[str, Any]]
"""A question, and what its answer should hold."""


class Checks:
    """The checks of a file, for one desk."""

    def __init__(self, path: Path, every: int) -> None:
        self.every = every
        self._lines = read(path)
        self._known: set[tuple[str, str]] = set()

    def for_(self, asks: Sequence[Ask]) -> list[Check]:
        """The checks that look like these asks, and were not given out before: their form, their role."""
        wanted = {(form_of(ask), ask.role.partition("/")[0]) for ask in asks} - self._known
        self._known |= wanted
        return [_put(line, role) for form, role in sorted(wanted) for line in self._lines if _form(line) == form]


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of checks. Raises ModelError, with file and line, for what is none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the checks in {str(path)!r} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_checked(json.loads(line)))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                why = f"{type(error).__name__}: {error}"
                raise ModelError(f"{path}, line {number}: not a check ({why}); a line is {LINE}") from error
    if not found:
        raise ModelError(f"{str(path)!r} holds no checks; a line is {LINE}")
    return found


def passed(answer: Answer, check: Mapping[str, Any]) -> bool:
    """Whether an answer is what a check should get: `best` alone on the first rank, all else the same."""
    wanted = dict(check)
    best = wanted.pop("best", None)
    ranks = answer.get("ranks", [])
    alone = best is None or (ranks.count(1) == 1 and ranks.index(1) == best)
    return alone and all(answer.get(name) == value for name, value in wanted.items())


def _checked(line: Any) -> dict[str, Any]:
    prompt, choices = line["prompt"], line["choices"]
    (kind,) = line.keys() & {"answer", "best"} or ("answer",)
    place = line[kind]
    if not isinstance(prompt, str) or not isinstance(choices, list) or not all(isinstance(c, str) for c in choices):
        raise TypeError("prompt is a text, choices are texts")
    if not 2 <= len(set(choices)) == len(choices) <= 26:
        raise ValueError(f"{len(choices)} choices; give 2 to 26 that differ")
    if isinstance(place, bool) or place not in range(len(choices)):
        raise ValueError(f"{kind} {place!r}; it is the place of a choice, from 0")
    return {"prompt": prompt, "choices": choices, "kind": kind, "place": place}


def _form(line: Mapping[str, Any]) -> str:
    return {"answer": "belief", "best": "rank"}[line["kind"]]


def _put(line: Mapping[str, Any], role: str) -> Check:
    """A line as a question, its choices in an order drawn by hash."""
    name = digest("check", line["prompt"], line["choices"], line["kind"], role)
    order = tuple(sorted(range(len(line["choices"])), key=lambda k: digest(name, k)))
    item = Item(name[:16], line["prompt"], tuple(line["choices"]))
    protocol = direct() if line["kind"] == "answer" else rank()
    (asked,) = next(protocol(item, Seat(order=order)))
    ask = Ask(role, asked.messages, asked.choices, seated(item, order))
    place = order.index(line["place"])
    return question_of(name, ask), {"choice" if line["kind"] == "answer" else "best": place}
