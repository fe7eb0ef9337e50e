"""Human: people as a Model. Questions are written to a file, answers are read from another.

`human:answers.jsonl` reads lines `{"call": "...", "text": "..."}` for free text, and for a choice `{"call": "...",
"choice": "B"}` (or its place, from 0), or `"probs": [0.2, 0.8]` in the order of the choices. Questions without an
answer go to `answers.questions.jsonl`, once each, with the `call` to answer to; their games wait, for days if need
be, and a later run goes on. Files are only ever appended to. A question holds what the person is to see, its
messages and choices, and of the item its id alone.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from superalign.core.errors import ModelError
from superalign.core.ports import Inputs
from superalign.core.transcript import key_of
from superalign.core.types import Ask, Pending, Reply

if TYPE_CHECKING:
    from superalign.core.steps import Steps

SURE = 0.99
"""A person's probabilities are kept in [1 - SURE, SURE]: the logarithm of 0 would outweigh all other answers."""

_FORM = '{"call": "...", "text": "..."}, or with "choice": "B" or "probs": [0.2, 0.8]'


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of the answers, and where it was."""

    where: str
    text: str = ""
    choice: int | None = None
    probs: tuple[float, ...] = ()

    def reply(self, ask: Ask) -> Reply:
        """The reply to the ask that it answers. Raises ModelError where it does not fit the choices."""
        count = len(ask.choices)
        if (self.choice is not None or self.probs) and not count:
            raise ModelError(f'{self.where}: this question has no choices; answer it with "text"')
        if self.choice is not None and self.choice >= count:
            raise ModelError(f"{self.where}: choice {_letter(self.choice)} of a question with {count} choices")
        if not self.probs:
            return Reply(self.text if self.choice is None else ask.choices[self.choice])
        if len(self.probs) != count:
            raise ModelError(f"{self.where}: {len(self.probs)} probabilities for {count} choices")
        best = self.probs.index(max(self.probs)) if self.choice is None else self.choice
        if self.probs[best] < max(self.probs):
            raise ModelError(f"{self.where}: the choice is {_letter(best)}, and another has a higher probability")
        kept = [min(max(p, 1 - SURE), SURE) for p in self.probs]
        return Reply(ask.choices[best], tuple(p / sum(kept) for p in kept))


class Human:
    """A Model whose answers are in the file `answers`; `questions` is the file of what is asked.

    `unknown` counts the answers of the last look that belong to no question. Raises ModelError, with file and
    line, for an answer that is malformed or does not fit its question.
    """

    serial = True

    def __init__(self, name: str, answers: Path) -> None:
        self.name, self.answers = name, answers
        self.questions = answers.with_name(f"{answers.stem}.questions.jsonl")
        self.unknown = 0

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]:
        """What has been answered; for the rest, the questions are written down and the reply is `Pending`."""
        if not asks:
            return
        calls = [key_of(self.name, ask) for ask in asks]
        answers = read_answers(self.answers)
        new = {call: ask for call, ask in zip(calls, asks, strict=True) if call not in answers}
        asked = self._ask(new)
        self.unknown = len(answers.keys() - asked - set(calls))
        waiting = Pending(f"human: {len(asked - answers.keys())} questions wait in {self.questions}")
        for i, (call, ask) in enumerate(zip(calls, asks, strict=True)):
            yield i, answers[call].reply(ask) if call in answers else waiting

    def _ask(self, new: Mapping[str, Ask]) -> set[str]:
        """Append the questions that are not there yet; the calls of all that are there then."""
        try:
            with _locked(self.questions) as file:
                text = file.read().decode("utf-8", "replace")
                there = {call for line in text.split("\n") if (call := _call(line))}
                fresh = "".join(_question(call, ask) for call, ask in new.items() if call not in there)
                if fresh:
                    # a run that was killed while it wrote leaves half a line
                    broken = bool(text) and not text.endswith("\n")
                    file.write((("\n" if broken else "") + fresh).encode("utf-8", "replace"))
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise ModelError(f"questions cannot be written to {self.questions}: {error.strerror}") from error
        return there | new.keys()


def human(
    argument: str = "", *, inputs: Inputs | None = None, steps: Steps | None = None, choices: tuple[str, ...] = ()
) -> Human:
    """People who answer from a file: `human:answers.jsonl`. The file need not be there yet, its folder must."""
    if not argument:
        raise ModelError("human needs the file that answers will be in; write human:answers.jsonl")
    path = Path(argument)
    if path.is_dir() or not path.parent.is_dir():
        raise ModelError(f"{argument!r} is no place for answers; give a file in a folder that is there")
    if path.name.endswith(".questions.jsonl"):
        raise ModelError(f"{argument!r} holds questions; answers go to {path.name.replace('.questions', '')}")
    return Human(f"human:{argument}", path)


def read_answers(path: Path) -> dict[str, Answer]:
    """The answers by call, the last where there are several; none where there is no file.

    Raises ModelError with file and line for what is not an answer.
    """
    try:
        text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the answers in {path} cannot be read: {error}") from error
    found: dict[str, Answer] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                body = _checked(json.loads(line), dict, "line")
                found[_checked(body["call"], str, "call")] = _answer(where, body)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                why = f"{type(error).__name__}: {error}"
                raise ModelError(f"{where}: not an answer ({why}); a line is {_FORM}") from error
    return found


def _answer(where: str, body: Mapping[str, Any]) -> Answer:
    given = body.keys() & {"text", "choice", "probs"}
    if not given:
        raise ValueError("neither text nor choice nor probs")
    probs = tuple(float(_checked(p, (int, float), "probability")) for p in body.get("probs") or ())
    if probs and not (all(0 <= p <= 1 for p in probs) and math.isclose(sum(probs), 1, abs_tol=0.01)):
        raise ValueError(f"probabilities {list(probs)}; they are numbers from 0 to 1 with sum 1")
    return Answer(where, _checked(body.get("text") or "", str, "text"), _place(body.get("choice")), probs)


def _place(choice: Any) -> int | None:
    """A letter, or a place from 0."""
    if choice is None:
        return None
    if isinstance(choice, str) and len(choice) == 1 and "A" <= choice.upper() <= "Z":
        return ord(choice.upper()) - 65
    if isinstance(choice, int) and not isinstance(choice, bool) and choice >= 0:
        return choice
    raise ValueError(f"choice {choice!r}; it is a letter, or a place from 0")


def _checked(value: Any, kind: Any, what: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{what} {value!r}")
    return value


def _question(call: str, ask: Ask) -> str:
    body = {
        "call": call,
        "role": ask.role,
        "item": ask.item.id if ask.item is not None else None,
        "messages": [{"role": m.role, "content": m.content} for m in ask.messages],
        "choices": list(ask.choices),
    }
    return json.dumps(body, ensure_ascii=False) + "\n"


def _call(line: str) -> str | None:
    try:
        return str(json.loads(line)["call"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # half a line, or an edited one: its question is asked again


def _letter(place: int) -> str:
    return chr(65 + place) if place < 26 else str(place)


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """The file at its beginning, open for reading and appending, by this process alone where the system has flock."""
    with path.open("a+b") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)  # ends with the file
        except ImportError:
            pass
        file.seek(0)
        yield file
