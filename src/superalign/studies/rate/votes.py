"""Votes from a file: who met whom, who won by whose vote, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.core.errors import TaskError, nearest
from superalign.studies.rate.bradley_terry import Floats, Ints, Rows, rows
from superalign.tasks.fetch import fetch
from superalign.tasks.read import Table, read

SIDES = (("left", "right"), ("model_a", "model_b"), ("a", "b"), ("answer_a", "answer_b"))
WINNERS = ("winner", "outcome", "vote", "verdict", "result")
RATERS = ("rater", "judge", "annotator", "user", "worker")
PROMPTS = ("prompt", "question", "prompt_id", "question_id", "item")

WON = {
    "left": 1.0, "a": 1.0, "l": 1.0, "model_a": 1.0, "1": 1.0, "win": 1.0,
    "right": 0.0, "b": 0.0, "r": 0.0, "model_b": 0.0, "0": 0.0, "loss": 0.0,
    "tie": 0.5, "t": 0.5, "draw": 0.5, "0.5": 0.5, "equal": 0.5, "both bad": 0.5, "tie (bothbad)": 0.5, "both_bad": 0.5,
}  # fmt: skip
SKIPPED = ("", "skip", "none", "null")


@dataclass(frozen=True, slots=True)
class Votes:
    """Votes in the order of the file. `left`, `right`, `rater`, `prompt`, `category` (n,) index their names; `won`
    (n,) is the left side's share; `style` (n, k) the differences of the named features; -1 where a column is missing."""

    names: tuple[str, ...]
    left: Ints
    right: Ints
    won: Floats
    raters: tuple[str, ...] = ()
    rater: Ints | None = None
    prompt: Ints | None = None
    categories: tuple[str, ...] = ()
    category: Ints | None = None
    features: tuple[str, ...] = ()
    style: Floats | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.left)

    def where(self, mask: np.ndarray) -> Votes:
        """The votes of a mask; competitors keep their numbers."""

        def cut(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[mask]

        return Votes(
            self.names, self.left[mask], self.right[mask], self.won[mask], self.raters, cut(self.rater),
            cut(self.prompt), self.categories, cut(self.category), self.features, cut(self.style), self.notes,
        )  # fmt: skip

    def rows(self, *, position: bool = False, style: bool = False) -> Rows:
        """For a fit: with the advantage of the left side and the style differences as covariates where wanted."""
        z: list[Floats] = [np.ones((len(self), 1))] if position else []
        z += [self.style] if style and self.style is not None else []
        return rows(
            self.left, self.right, self.won, len(self.names),
            z=np.hstack(z) if z else None, rater=self.rater,
        )  # fmt: skip


def load(place: str, *, columns: dict[str, str] | None = None, style: Sequence[str] = ()) -> Votes:
    """Votes of a CSV, TSV, JSON, JSON-lines or parquet file.

    Columns are found by their usual names, or given: left, right, winner, rater, prompt, category. The winner is
    left/right/tie (or a/b, model_a/model_b, 1/0/0.5, or a competitor's own name); "both bad" is a tie. For each
    feature in `style` the file has `<feature>_a` and `<feature>_b`. Skipped votes, repeated votes of a rater on the same
    prompt and pair, and votes between a competitor and itself are left out and counted.
    Raises TaskError for missing columns and for a winner that is none.
    """
    table = read(fetch(place))
    found = _columns(table, columns or {})
    names: dict[str, int] = {}
    out: Counter[str] = Counter()
    seen: set[tuple[str, ...]] = set()
    kept: list[tuple[int, int, float, int]] = []
    for number, row in enumerate(table.rows):
        a, b = (str(row.cells[found[side]]).strip() for side in ("left", "right"))
        said = str(row.cells[found["winner"]]).strip()
        won = _won(said, a, b)
        if won is None and said.casefold() not in SKIPPED:
            raise TaskError(f"{table.name}, {row.where}: the winner is {said!r}; write left, right or tie (or a name)")
        if won is None or a == b:
            out["skipped" if won is None else "the same competitor on both sides"] += 1
            continue
        if "rater" in found and "prompt" in found:
            pair = (str(row.cells[found["rater"]]), str(row.cells[found["prompt"]]), *sorted((a, b)))
            if pair in seen:
                out["repeated by the same rater on the same prompt and pair"] += 1
                continue
            seen.add(pair)
        kept.append((names.setdefault(a, len(names)), names.setdefault(b, len(names)), won, number))
    if not kept:
        raise TaskError(f"{table.name} holds no vote that counts ({_told(out) or 'it has no rows'})")
    return _votes(table, found, tuple(names), kept, style, out)


def _won(said: str, a: str, b: str) -> float | None:
    if said in (a, b):
        return float(said == a)
    return WON.get(said.casefold())


def _columns(table: Table, given: dict[str, str]) -> dict[str, str]:
    found = dict(given)
    for role, column in given.items():
        if column not in table.columns:
            raise TaskError(f"{table.name} has no column {column!r} for --{role}; {nearest(column, table.columns)}")
    if "left" not in found:
        sides = next((s for s in SIDES if set(s) <= set(table.columns)), None)
        if sides is None:
            raise TaskError(
                f"{table.name} needs two columns of competitors, such as left and right or model_a and model_b;"
                f" it has {', '.join(table.columns)} (--left NAME --right NAME)"
            )
        found["left"], found["right"] = sides
    for role, usual in (("winner", WINNERS), ("rater", RATERS), ("prompt", PROMPTS)):
        hit = next((c for c in usual if c in table.columns and c not in found.values()), None)
        if role not in found and hit:
            found[role] = hit
    if "winner" not in found:
        raise TaskError(f"{table.name} needs a column of winners; it has {', '.join(table.columns)} (--winner NAME)")
    return found


def _votes(
    table: Table,
    found: dict[str, str],
    names: tuple[str, ...],
    kept: list[tuple[int, int, float, int]],
    style: Sequence[str],
    out: Counter[str],
) -> Votes:
    left, right, won, rows_kept = (np.asarray(c) for c in zip(*kept, strict=True))

    def coded(role: str) -> tuple[tuple[str, ...], Ints | None]:
        if role not in found:
            return (), None
        values = [str(table.rows[k].cells[found[role]]) for k in rows_kept]
        levels, codes = np.unique(values, return_inverse=True)
        return tuple(levels.tolist()), codes

    raters, rater = coded("rater")
    categories, category = coded("category")
    notes = (f"{len(left):,} votes of {len(table.rows):,} rows", *([f"left out: {_told(out)}"] if out else []))
    return Votes(
        names, left, right, won, raters, rater, coded("prompt")[1], categories, category, tuple(style),
        _style(table, style, rows_kept) if style else None, (*table.notes, *notes),
    )  # fmt: skip


def _style(table: Table, features: Sequence[str], kept: np.ndarray) -> Floats:
    """(f_a - f_b) / (f_a + f_b + 1), divided by its root mean square and never centred: it must change sign with the sides."""
    columns = []
    for feature in features:
        for side in ("a", "b"):
            if f"{feature}_{side}" not in table.columns:
                raise TaskError(f"{table.name} has no column {feature}_{side} for --style {feature}")
        try:
            a, b = (np.asarray([float(table.rows[k].cells[f"{feature}_{s}"]) for k in kept]) for s in "ab")
        except ValueError as error:
            raise TaskError(f"{table.name}: {feature} must be numbers: {error}") from error
        z = (a - b) / (a + b + 1)
        columns.append(z / max(float(np.sqrt((z**2).mean())), 1e-12))
    return np.stack(columns, 1)


def _told(out: Counter[str]) -> str:
    return ", ".join(f"{n:,} {why}" for why, n in out.items())
