"""`load(source)`: a Pool from a file, from the hub, or from a built-in world."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from superalign.core import registry
from superalign.core.errors import TaskError, nearest
from superalign.core.random import stream
from superalign.core.types import Item
from superalign.tasks.columns import Plan, Question, need, plan, question
from superalign.tasks.fetch import fetch
from superalign.tasks.hub import read_hub
from superalign.tasks.pool import Pool, content_id
from superalign.tasks.read import Table, read
from superalign.tasks.source import Source

CLASSES = 100
"""More classes than this, and the label column is taken for text."""


def load(source: Source) -> Pool:
    """All rows of a task with their answers.

    Rows with an empty text or answer are dropped. Of exact copies one stays; of copies with different answers none
    stays; a row that is also in a given test or validation part stays there alone. The notes count all of these.
    Raises TaskError (or PluginError for a world's options) for whatever cannot become a task.
    """
    if not source.task.startswith("hf:") and _is_world(source.task):
        return _world(source)
    tables = {"main": _table(source, source.task)}
    for part in ("validation", "test"):
        place = getattr(source, part)
        if place is not None:
            tables[part] = _table(source, place)
    made = plan(tables["main"], source)
    notes = [note for table in tables.values() for note in table.notes]
    notes.append(str(made))
    parts: dict[str, list[Question]] = {}
    for part, table in tables.items():
        parts[part], more = _questions(made, table, source)
        notes.extend(more)
    choices = _classes(made, parts.values(), source) if made.form == "class" else ()
    items, key, fixed, more = _items(parts, choices, source)
    return Pool(tables["main"].name, tuple(items), key, choices, fixed, notes=(*notes, *more))


def _is_world(task: str) -> bool:
    name = registry.parse(task).name
    return name in registry.names("tasks") or ".py:" in name


def _world(source: Source) -> Pool:
    given = [name for name in sorted(source.model_fields_set - {"task"}) if getattr(source, name) not in (None, ())]
    if given:
        raise TaskError(
            f"{given[0]} is for files, not for the world {source.task!r}; write options as {source.task}:key=value"
        )
    made = registry.build("tasks", source.task)
    if not isinstance(made, Pool):
        raise TaskError(
            f"the task plug-in {source.task!r} returned a {type(made).__name__}, not a superalign.tasks.pool.Pool"
        )
    return made


def _table(source: Source, place: str) -> Table:
    if place.startswith("hf:"):
        return read_hub(place)
    if source.task.startswith("hf:") and not Path(place).exists():
        return read_hub(source.task, place)
    name = registry.parse(place).name
    if not Path(place.partition("!")[0]).exists() and not Path(name).suffix and "/" not in name:
        near = nearest(name, registry.names("tasks"))
        raise TaskError(f"no task is named {place!r} and there is no such file; {near} (or a file, or hf:owner/name)")
    return read(fetch(place), source.format, source.encoding)


def _questions(made: Plan, table: Table, source: Source) -> tuple[list[Question], list[str]]:
    """The questions of one file, and notes on the rows that were dropped."""
    for column in (*made.prompt, made.right, *made.wrong, *(c for c in (source.id, source.group, source.passage) if c)):
        need(table, column)
    kept: list[Question] = []
    dropped: Counter[str] = Counter()
    for row in table.rows:
        read_row = question(made, table, row, source)
        if isinstance(read_row, Question):
            kept.append(read_row)
        else:
            dropped[read_row] += 1
    notes = [f"{table.name}: {n} rows dropped because their {why}" for why, n in dropped.items()]
    if not kept:
        raise TaskError(f"no row can be used; {'; '.join(notes)} ({made}); set the columns yourself")
    return kept, notes


def _classes(made: Plan, parts: Iterable[Sequence[Question]], source: Source) -> tuple[str, ...]:
    """The classes in order: as given, else in numeric or alphabetical order."""
    labels = Counter(q.answer for questions in parts for q in questions)
    if source.choices:
        if len(set(source.choices)) < max(2, len(source.choices)):
            raise TaskError(f"choices must be two or more different classes, got {', '.join(source.choices)}")
        return source.choices
    if len(labels) < 2:
        raise TaskError(
            f"every row has the label {next(iter(labels))!r} (column {made.right!r}); a task needs two classes"
        )
    if len(labels) > CLASSES:
        some = ", ".join(repr(label[:30]) for label in list(labels)[:3])
        raise TaskError(
            f"column {made.right!r} holds {len(labels)} different values ({some}, ...), not classes; set label"
        )
    numeric = all(re.fullmatch(r"[-+]?\d+(\.\d+)?", label) for label in labels)
    return tuple(sorted(labels, key=lambda label: (float(label) if numeric else 0.0, label)))


def _items(
    parts: Mapping[str, Sequence[Question]], choices: tuple[str, ...], source: Source
) -> tuple[list[Item], dict[str, int], dict[str, list[str]], list[str]]:
    """Items, key, given parts and notes; copies and contradictions dropped."""
    _check_ids(q for questions in parts.values() for q in questions)
    items: list[Item] = []
    key: dict[str, int] = {}
    fixed: dict[str, list[str]] = {}
    notes: list[str] = []
    seen: set[str] = set()
    for part in ("test", "validation", "main"):  # what is in a given part stays there
        if part not in parts:
            continue
        kept, more = _unique(part, parts[part], choices, seen)
        notes.extend(more)
        if part == "main" and source.limit is not None and source.limit < len(kept):
            order = stream(0, "tasks/limit").permutation(len(kept))
            content = sorted(kept)
            kept = {content[k]: kept[content[k]] for k in sorted(order[: source.limit])}
        elif part != "main":
            fixed[part] = []
        for name, (asked, answer) in kept.items():
            items.append(_item(name, asked, choices))
            key[items[-1].id] = answer
            if part in fixed:
                fixed[part].append(items[-1].id)
    return items, key, fixed, notes


def _item(content: str, asked: Question, choices: tuple[str, ...]) -> Item:
    info = {k: v for k, v in (("group", asked.group), ("source", asked.passage)) if v is not None}
    return Item(asked.id or content, asked.prompt, asked.choices or choices, info)


def _check_ids(questions: Iterable[Question]) -> None:
    first: dict[str, str] = {}
    for asked in questions:
        if asked.id is not None and asked.id in first:
            raise TaskError(f"the id {asked.id!r} is at {first[asked.id]} and again at {asked.where}; ids must differ")
        if asked.id is not None:
            first[asked.id] = asked.where


def _unique(
    part: str, questions: Sequence[Question], choices: tuple[str, ...], seen: set[str]
) -> tuple[dict[str, tuple[Question, int]], list[str]]:
    """Questions with their answers by content, without copies and contradictions; `seen` grows."""
    kept: dict[str, tuple[Question, int]] = {}
    contradicted: Counter[str] = Counter()
    copies = elsewhere = 0
    for asked in questions:
        answer = _index(asked, choices)
        content = content_id(asked.prompt, asked.choices or choices)
        if content in seen:
            elsewhere += 1
        elif content not in kept:
            kept[content] = (asked, answer)
        elif contradicted[content] or kept[content][1] != answer:
            contradicted[content] += 1
        else:
            copies += 1
    against = sum(contradicted.values()) + len(contradicted)
    for content in contradicted:
        del kept[content]
    seen.update(kept, contradicted)
    where = "" if part == "main" else f"{part}: "
    notes = [f"{where}{copies} exact copies dropped"] if copies else []
    if against:
        notes.append(f"{where}{against} rows dropped because their copies have different answers")
    if elsewhere:
        notes.append(f"{where}{elsewhere} rows dropped because they are in a given test or validation part")
    return kept, notes


def _index(asked: Question, choices: tuple[str, ...]) -> int:
    if asked.choices:
        return asked.choices.index(asked.answer)
    if asked.answer in choices:
        return choices.index(asked.answer)
    numeric = any(choice.lstrip("-").isdigit() for choice in choices)
    if not numeric and asked.answer in (numbers := [str(k) for k in range(len(choices))]):
        return numbers.index(asked.answer)  # labels 0..K-1 with names for the classes
    raise TaskError(f"{asked.where}: the label {asked.answer!r} is not among the choices {', '.join(choices)}")
