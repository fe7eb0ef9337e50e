"""Labels from a file, as a Model: people's answers, or those of a system that ran elsewhere.

The file is CSV (with a header) or JSON lines. Each row names its item by `id`, or by `prompt` (the exact
text), and answers in one of two ways: a label, or probabilities. In CSV the probabilities are columns
named as the choices; in JSON lines they are `"probs": {"yes": 0.8, "no": 0.2}`.

    id,label              id,yes,no            {"id": "a1", "label": "yes"}
    a1,yes                a1,0.8,0.2           {"prompt": "Is 7 prime?", "probs": {"yes": 0.8, "no": 0.2}}
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superalign.core.errors import ModelError, nearest
from superalign.core.ports import Inputs
from superalign.core.types import Ask, Reply

if TYPE_CHECKING:
    from superalign.core.steps import Steps

Label = str | Mapping[str, float]


class Labels:
    """A Model that answers from a table of labels, by item id or by exact prompt.

    A label is a choice's text, or probabilities by choice text. An item without a label gets
    `Reply(failure="no label")`. Raises ModelError for a label that is not among the choices asked for:
    positions are refused, because a seat may show choices in another order.
    """

    serial = True

    def __init__(self, name: str, table: Mapping[str, Label], *, by: str = "id", source: str = "") -> None:
        self.name = name
        self._table, self._by = dict(table), by
        self.identity: Mapping[str, Any] = {"model": "labels", "source": source, "by": by}

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """Each ask in turn."""
        for i, ask in enumerate(asks):
            key = self._key(ask)
            label = self._table.get(key)
            yield i, Reply(failure="no label") if label is None else self._reply(label, ask, key)

    def _key(self, ask: Ask) -> str:
        if ask.item is not None:
            return ask.item.id if self._by == "id" else ask.item.prompt
        if self._by == "prompt" and ask.messages:
            return ask.messages[-1].content
        raise ModelError(f"{self.name} knows items by {self._by}, and the ask for {ask.role!r} carries no item")

    def _reply(self, label: Label, ask: Ask, key: str) -> Reply:
        shown = ask.choices or (ask.item.choices if ask.item is not None else ())
        named = [label] if isinstance(label, str) else list(label)
        for text in named:
            if shown and text not in shown:
                raise ModelError(f"{self.name}: {key!r} is labelled {text!r}; {nearest(text, shown)}")
        if isinstance(label, str):
            return Reply(text=label, probs=tuple(float(choice == label) for choice in shown))
        probs = tuple(label.get(choice, 0.0) for choice in shown)
        return Reply(text=max(label, key=lambda text: label[text]), probs=probs)


def labels(
    argument: str = "",
    *,
    inputs: Inputs | None,
    steps: Steps,
    choices: tuple[str, ...],
    column: str = "label",
) -> Labels:
    """Read a file of labels; `column` names the one that holds the label (`labels:people.csv:column=rater_3`).

    Raises ModelError for a missing or empty file, unknown labels (where the task has classes), ids that come
    twice, and probabilities that are negative or do not sum to 1. Empty labels count as no label.
    """
    path = Path(argument)
    if not argument or not path.is_file():
        raise ModelError(f"no file of labels {argument!r}; write labels:path/to/file.csv (or .jsonl)")
    rows = list(_rows(path))
    if not rows:
        raise ModelError(f"{path} holds no labels; it needs a header with id (or prompt) and {column}")
    by = "id" if "id" in rows[0][1] else "prompt"
    table: dict[str, Label] = {}
    first: dict[str, int] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        if None in row:
            raise ModelError(f"{where}: more cells than the header has columns; quote texts that hold commas")
        if row.get(by) in (None, ""):
            raise ModelError(f"{where}: no id and no prompt; the row has {', '.join(row)}")
        key = str(row[by])
        if key in first:
            raise ModelError(f"{where}: {by} {key!r} is labelled again (first on line {first[key]}); keep one of them")
        first[key] = line
        label = _label(row, column, choices, where)
        if label is not None:
            table[key] = label
    source = hashlib.sha256(path.read_bytes()).hexdigest()
    return Labels(f"labels:{path.name}#{source[:8]}:{column}", table, by=by, source=f"{source}:{column}")


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows with the line they end on."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix.lower() != ".jsonl":
            reader = csv.DictReader(file)
            yield from ((reader.line_num, row) for row in reader)
            return
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except json.JSONDecodeError as error:
                raise ModelError(f"{path}, line {line}: not JSON ({error.msg}); each line is one object") from error
            if not isinstance(row, dict):
                raise ModelError(f"{path}, line {line}: {text.strip()[:40]!r} is not a JSON object")
            yield line, row


def _label(row: Mapping[str, Any], column: str, choices: tuple[str, ...], where: str) -> Label | None:
    if column in row:
        label = row[column]
        if label is None or str(label).strip() == "":
            return None
        if choices and str(label) not in choices:
            raise ModelError(f"{where}: the label {str(label)!r} is not a choice; {nearest(str(label), choices)}")
        return str(label)
    given = row.get("probs")
    if given is None:
        given = {choice: row[choice] for choice in choices if choice in row}
    if not isinstance(given, dict) or not given:
        known = f", or the columns {', '.join(choices)}" if choices else ""
        raise ModelError(f"{where}: no {column!r} and no probabilities; the row has {', '.join(map(str, row))}."
                         f" It needs {column!r}{known}")  # fmt: skip
    return _probabilities(given, choices, where)


def _probabilities(given: Mapping[str, Any], choices: tuple[str, ...], where: str) -> Mapping[str, float] | None:
    for text in given:
        if choices and text not in choices:
            raise ModelError(f"{where}: {text!r} is not a choice; {nearest(text, choices)}")
    if all(value in (None, "") for value in given.values()):
        return None
    try:
        probs = {text: float(value) for text, value in given.items()}
    except (TypeError, ValueError) as error:
        raise ModelError(f"{where}: the probabilities {dict(given)} are not all numbers") from error
    total = sum(probs.values())
    if min(probs.values()) < 0 or not abs(total - 1) <= 1e-3:
        raise ModelError(f"{where}: probabilities must be 0 or more and sum to 1; {probs} sum to {total:g}")
    return {text: value / total for text, value in probs.items()}
