"""What the terminal shows: progress bars on standard error, tables on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from superalign.core.ports import Progress, silent

if TYPE_CHECKING:
    from superalign.core.spec import Condition, Record
    from superalign.core.study import Plan

SHOWN = {
    "w2s": ("accuracy", "pgr", "effect", "imitation", "ece"),
    "oversee": ("accuracy", "pgr", "asd", "ece", "judge_tokens", "safety", "usefulness", "audited", "auroc"),
    "debates": ("accuracy", "log2", "ece", "quotes_verified"),
    "label": (
        "agreement",
        "first_shown",
        "helpfulness",
        "right",
        "rating",
        "true_minus_shuffled",
        "alpha",
        "labels",
        "faults",
    ),
    "rate": ("rating", "rank", "tested_rank", "win_rate", "votes"),
}
"""The numbers that the terminal shows of each study, where a record has them; else its first five."""


@contextmanager
def bars() -> Iterator[Progress]:
    """Progress bars where standard error is a terminal; silence elsewhere."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as shown:
        known: dict[str, TaskID] = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in known:
                known[name] = shown.add_task(name, total=total)
            shown.update(known[name], completed=done, total=total, visible=done < total)

        yield progress


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """A plain table that survives a pipe."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text, not markup: names come from files
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(table)


def print_plan(plan: Plan) -> None:
    """The steps of a dry run, and what it would cost."""
    rows = [
        [step.name, "in the store" if step.known else "to run", step.key.split("/")[-1][:12]] for step in plan.steps
    ]
    print_table(("step", "state", "key"), rows)
    for remark in plan.remarks:
        print(remark)


def print_record(record: Record) -> None:
    """The conditions, then what was undefined and why, then the answer."""
    from superalign.report import numbers
    from superalign.report.text import one_line

    names = [n for n in SHOWN.get(record.study, ()) if any(n in c.numbers for c in record.conditions)]
    names = names or numbers.columns(record)[:5]
    decimals = {n: numbers.column_digits(numbers.column(record, n)) for n in names}
    rows = [[c.name, *(_cell(c, n, decimals[n]) for n in names)] for c in record.conditions]
    print_table(("condition", *map(numbers.label, names)), rows, record.title)
    for reason in dict.fromkeys(reasons(record, names)):
        print(f"  {one_line(reason)}")
    for note in dict.fromkeys([numbers.answer(record), *numbers.remarks(record)]):
        if note:
            print(one_line(note))
    print(numbers.audit_sentence(record))
    support = numbers.format_support(next(iter(record.conditions[0].numbers.values()))) if record.conditions else ""
    print(", ".join(filter(None, (f"record {record.id}", f"spec {record.spec_hash[:8]}", support))))


def reasons(record: Record, names: Sequence[str]) -> Iterator[str]:
    """Why shown numbers are undefined: once per reason, with the conditions it holds for."""
    from superalign.report import numbers

    found: dict[tuple[str, str], list[str]] = {}
    for condition in record.conditions:
        for name in names:
            if name in condition.numbers and not numbers.is_defined(condition.numbers[name]):
                found.setdefault((name, numbers.reason(condition.numbers[name])), []).append(condition.name)
    for (name, reason), conditions in found.items():
        yield f"{numbers.label(name)} of {', '.join(conditions)}: {reason}"


def _cell(condition: Condition, name: str, decimals: int | None) -> str:
    from superalign.report import numbers

    if name not in condition.numbers:
        return ""
    number = condition.numbers[name]
    if name.endswith("_tokens"):  # a cost to be compared at a glance; its interval is in the record
        return numbers.format_value(number, 0)
    return " ".join(filter(None, (numbers.format_value(number, decimals), numbers.format_interval(number, decimals))))
