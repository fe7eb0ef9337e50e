"""Which columns are the prompt and the answer, and how a row becomes a question.

Three forms: a class (`text, label`), multiple choice (`question, correct_answer, distractor1, ...`) and a pairwise
preference (`chosen, rejected`, or `output_1, output_2, label`). Columns that the user does not name are found by
the names that public data sets use. Choices that belong to one item are put in an order that is drawn from their
texts alone, so their position says nothing about the answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from superalign.core.errors import TaskError, nearest
from superalign.core.random import stream
from superalign.tasks.read import Row, Table
from superalign.tasks.source import Source

PROMPTS = (
    "text", "sentence", "prompt", "question", "premise", "sentence1", "statement", "claim", "input", "instruction",
    "review", "content", "message", "sms", "query",
)  # fmt: skip
BEFORE = ("passage", "support", "context")
AFTER = {"premise": "hypothesis", "sentence1": "sentence2"}
LABELS = ("label", "labels", "answer", "target", "class", "category", "sentiment")
TURN = "\n\nAssistant:"
"""What stands before a reply in the dialogues of hh-rlhf."""

_FIELD = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Plan:
    """How rows are read. `wrong` are the columns of wrong answers, `right` that of the label or right answer."""

    form: Literal["class", "choice", "pair", "outputs"]
    prompt: tuple[str, ...]
    right: str
    wrong: tuple[str, ...] = ()
    template: str | None = None

    def __str__(self) -> str:
        asked = self.template or " + ".join(self.prompt) or f"what both texts share up to {TURN.strip()!r}"
        answer = {"class": "label", "choice": "answer", "pair": "chosen", "outputs": "label"}[self.form]
        against = f", against {', '.join(self.wrong)}" if self.wrong else ""
        return f"prompt from {asked}; {answer} from {self.right}{against}"


@dataclass(frozen=True, slots=True)
class Question:
    """A row that has been read. A class question has no choices yet, and `answer` is its label; otherwise
    `answer` is the text of the right choice."""

    where: str
    prompt: str
    choices: tuple[str, ...]
    answer: str
    id: str | None = None
    group: str | None = None
    passage: str | None = None


def plan(table: Table, source: Source) -> Plan:
    """Choose the columns. Raises TaskError for columns that are not there and for what cannot be found."""
    columns = {c.lower(): c for c in reversed(table.columns) if c != source.passage}
    for name in (
        source.label,
        source.answer,
        source.chosen,
        source.rejected,
        *source.distractors,
        source.id,
        source.group,
        source.passage,
    ):
        if name is not None:
            need(table, name)
    prompt, template = _named_prompt(table, source.prompt)
    if (source.chosen is None) != (source.rejected is None):
        raise TaskError("a preference needs both columns: set chosen and rejected")
    if (source.answer is None) != (not source.distractors):
        raise TaskError("multiple choice needs both: set answer (one column) and distractors (columns)")
    ways = {"label": source.label, "answer": source.answer, "chosen": source.chosen}
    named = [name for name, column in ways.items() if column is not None]
    if len(named) > 1:
        raise TaskError(f"{' and '.join(named)} are different forms of a task; set one of them")
    classes = source.label is not None or bool(source.choices)
    if source.chosen is not None and source.rejected is not None:
        made = Plan("pair", prompt or _given(columns, "prompt"), source.chosen, (source.rejected,), template)
    elif source.answer is not None:
        made = Plan("choice", prompt or _found_prompt(table, columns), source.answer, source.distractors, template)
    elif not classes and {"chosen", "rejected"} <= columns.keys():
        made = Plan("pair", prompt or _given(columns, "prompt"), columns["chosen"], (columns["rejected"],), template)
    elif not classes and {"correct_answer", "distractor1"} <= columns.keys():
        wrong = tuple(sorted(c for name, c in columns.items() if re.fullmatch(r"distractor\d+", name)))
        made = Plan("choice", prompt or _found_prompt(table, columns), columns["correct_answer"], wrong, template)
    elif not source.choices and {"output_1", "output_2", "label"} <= columns.keys():
        wrong = (columns["output_1"], columns["output_2"])
        made = Plan("outputs", prompt or _found_prompt(table, columns), columns["label"], wrong, template)
    else:
        label = source.label or _found_label(table, columns, prompt)
        left = {name: c for name, c in columns.items() if c != label}
        made = Plan("class", prompt or _found_prompt(table, left), label, (), template)
    if source.choices and made.form != "class":
        raise TaskError(
            f"choices are the classes of a label, and this is read as: {made}; leave choices out, or set label"
        )
    if source.passage in made.prompt:
        raise TaskError(f"{table.name!r}: the prompt holds {source.passage!r}, the passage that a judge may not read")
    leaking = [c for c in made.prompt if c == made.right or c in made.wrong]
    if leaking:
        raise TaskError(
            f"{table.name!r}: the prompt holds {leaking[0]!r}, a column of the answer; take it out of prompt"
        )
    return made


def need(table: Table, column: str) -> None:
    """Raise TaskError unless the table has the column."""
    if column not in table.columns:
        near = nearest(column, table.columns)
        listed = "" if near.startswith("there is") else f" columns: {', '.join(table.columns)}"
        raise TaskError(f"{table.name!r} has no column {column!r}; {near}{listed}")


def _named_prompt(table: Table, prompt: str | None) -> tuple[tuple[str, ...], str | None]:
    """The prompt's columns, and the template where one was given."""
    if prompt is None:
        return (), None
    if prompt in table.columns:
        return (prompt,), None
    if "{" in prompt:
        names = tuple(dict.fromkeys(_FIELD.findall(prompt)))
        if not names:
            raise TaskError(f"the prompt template {prompt!r} names no column; write {{{table.columns[0]}}}")
    else:
        names = tuple(part.strip() for part in prompt.split(","))
    for name in names:
        need(table, name)
    return names, prompt if "{" in prompt else None


def _given(columns: dict[str, str], name: str) -> tuple[str, ...]:
    return (columns[name],) if name in columns else ()


def _found_prompt(table: Table, columns: dict[str, str]) -> tuple[str, ...]:
    first = next((name for name in PROMPTS if name in columns), None)
    if first is None:
        raise TaskError(
            f"{table.name!r}: cannot tell which column is the prompt; set prompt to one of: {', '.join(table.columns)}"
        )
    before = [name for name in BEFORE if name in columns]
    after = [AFTER[first]] if AFTER.get(first) in columns else []
    return tuple(columns[name] for name in (*before, first, *after))


def _found_label(table: Table, columns: dict[str, str], prompt: Sequence[str]) -> str:
    for name in LABELS:
        if name in columns and columns[name] not in prompt:
            return columns[name]
    raise TaskError(
        f"{table.name!r}: cannot tell which column is the label; set label to one of: {', '.join(table.columns)} "
        "(or answer and distractors, or chosen and rejected)"
    )


def question(made: Plan, table: Table, row: Row, source: Source) -> Question | str:
    """The row's question; where it cannot be one, a half-sentence that says why (empty, or choices that repeat)."""
    where = f"{table.name}, {row.where}"
    cells = {name: cell(row.cells.get(name), name, where) for name in _used(made, source)}
    right = cells[made.right]
    wrong = [cells[name] for name in made.wrong]
    prompt = _prompt(made, cells)
    if made.form == "outputs" and right:
        if right not in ("1", "2"):
            raise TaskError(f"{where}: the label {right!r} is neither 1 nor 2, the better output")
        right, wrong = (wrong[0], wrong[1:]) if right == "1" else (wrong[1], wrong[:1])
    if made.form == "pair" and not made.prompt:
        prompt, right, wrong = _dialogue(right, wrong[0])
    if not right or not prompt or not all(wrong):
        return "text or answer is empty"
    if len({right, *wrong}) < 1 + len(wrong):
        return "choices repeat, so the answer is not one of them alone"
    texts = (right, *wrong) if made.form != "class" else ()
    name = cells[source.id] if source.id else None
    if name == "":
        raise TaskError(f"{where}: the id in column {source.id!r} is empty; each row needs one")
    group = cells[source.group] if source.group else None
    passage = cells[source.passage] if source.passage else None
    return Question(where, prompt, _shuffled(prompt, texts), right, name, group or None, passage or None)


def _used(made: Plan, source: Source) -> list[str]:
    extra = [name for name in (source.id, source.group, source.passage) if name]
    return list(dict.fromkeys((*made.prompt, made.right, *made.wrong, *extra)))


def _prompt(made: Plan, cells: dict[str, str]) -> str:
    if made.template is not None:
        if not any(cells[name] for name in made.prompt):
            return ""
        return _FIELD.sub(lambda match: cells[match[1]], made.template).strip()
    main = [name for name in made.prompt if name.lower() not in BEFORE] or list(made.prompt)
    if not all(cells[name] for name in main):
        return ""
    return "\n\n".join(cells[name] for name in made.prompt if cells[name])


def _dialogue(chosen: str, rejected: str) -> tuple[str, str, list[str]]:
    """What two dialogues share up to the last turn of the assistant, and the two replies."""
    apart = next((k for k, pair in enumerate(zip(chosen, rejected, strict=False)) if pair[0] != pair[1]), len(chosen))
    cut = chosen[:apart].rfind(TURN)
    if cut < 0:
        return "", chosen, [rejected]
    cut += len(TURN)
    return chosen[:cut].strip(), chosen[cut:].strip(), [rejected[cut:].strip()]


def _shuffled(prompt: str, texts: Sequence[str]) -> tuple[str, ...]:
    if not texts:
        return ()
    ordered = sorted(texts)  # so that which of them is right has no part in the draw
    return tuple(ordered[k] for k in stream(0, "tasks/choices", prompt, ordered).permutation(len(ordered)))


def cell(value: Any, column: str, where: str) -> str:
    """A cell as text: stripped, true and false in lower case, whole floats as integers, nothing as ''.

    Raises TaskError for a list or an object.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str):
        text = value.strip()
        # A lone surrogate from a JSON escape cannot be written anywhere as UTF-8.
        return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int | float):
        return str(value)
    raise TaskError(f"{where}: column {column!r} holds a {type(value).__name__}, not text; choose another column")
