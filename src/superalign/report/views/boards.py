"""Leaderboards: ratings with their intervals, ranks that state their rule, a board for each category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superalign.core.spec import Condition, Number, Record, Table
from superalign.report import numbers
from superalign.report.numbers import finite, interval
from superalign.report.view import Link, View, fragment
from superalign.report.views.runs import moment

WHOLE = "all votes"
"""What the board over all votes is called."""
FIRST = 8
"""Competitors of a board that the list of boards shows."""


@dataclass(frozen=True, slots=True)
class Row:
    """A competitor on a board. `at`, `low` and `high` place the rating and its interval on the board's axis, in percent;
    `rank` is the span of ranks that the intervals allow."""

    name: str
    rank: str
    numbers: Mapping[str, Number]
    at: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Board:
    """Competitors in the order of their ratings; `ticks` of the axis as (percent, label)."""

    name: str
    rows: Sequence[Row]
    ticks: Sequence[tuple[float, str]]

    def only(self, words: Sequence[str]) -> Board:
        """The rows whose competitor has all these words in its name."""
        return Board(self.name, [r for r in self.rows if all(w in r.name.casefold() for w in words)], self.ticks)


@dataclass(frozen=True, slots=True)
class Ratings:
    """The boards of one record, and its tables of ratings of another kind."""

    record: Record
    boards: Sequence[Board]
    tables: Sequence[Table] = ()


def ratings(of: Record) -> Ratings:
    """The boards of a record: that over all votes, then one for each category."""
    categories = [name for name in of.charts if name != WHOLE]
    found: dict[str, list[Condition]] = {WHOLE: []}
    known: set[str] = set()
    for condition in of.conditions:
        if "rating" not in condition.numbers:
            continue
        group = next(
            (c for c in categories if condition.name.startswith(f"{c}/") and condition.name[len(c) + 1 :] in known),
            WHOLE,
        )
        found.setdefault(group, []).append(condition)
        if group == WHOLE:
            known.add(condition.name)
    boards = [_board(name, conditions) for name, conditions in found.items() if conditions]
    return Ratings(of, boards, [t for name, t in of.tables.items() if name.startswith("elo ")])


def listed(found: Sequence[Ratings], query: str, page: int, pages: int, link: Link) -> View:
    """Every record with ratings, newest first, each with the head of its board; of a `query`, who is called so."""
    words = query.casefold().split()
    shown = []
    for one in found:
        board = one.boards[0].only(words) if one.boards else None
        rows = list(board.rows if words else board.rows[:FIRST]) if board is not None else []
        shown.append((one, board, rows, _columns(rows)))
    body = fragment("boards.html", shown=shown, query=query, page=page, pages=pages, link=link, moment=moment)
    data = {"page": page, "pages": pages, "boards": [_data(one) for one in found]}
    return View("Leaderboards", body, data, "boards")


def board(of: Ratings, name: str, query: str, link: Link) -> View:
    """One record's board, over all votes or of a category."""
    chosen = next((b for b in of.boards if b.name == name), of.boards[0] if of.boards else None)
    rows = list(chosen.only(query.casefold().split()).rows) if chosen else []
    checks = of.record.tables.get("checks")
    body = fragment(
        "board.html",
        ratings=of,
        record=of.record,
        board=chosen,
        rows=rows,
        columns=_columns(rows),
        query=query,
        checks=checks,
        link=link,
        moment=moment,
    )
    return View(of.record.title, body, _data(of), "boards")


def _board(name: str, conditions: Sequence[Condition]) -> Board:
    ends = [v for c in conditions for v in _ends(c.numbers["rating"])]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = 0.03 * (high - low) or 1.0
    low, span = low - room, high - low + 2 * room
    prefix = "" if name == WHOLE else f"{name}/"

    def percent(value: float | None) -> float | None:
        return None if value is None else round(100 * (value - low) / span, 2)

    rows = []
    for c in conditions:
        rating = c.numbers["rating"]
        bounds = interval(rating)
        drawn = (percent(finite(rating)), *(percent(b) for b in bounds or (None, None)))
        rows.append(Row(c.name.removeprefix(prefix), _rank(c.numbers.get("rank")), c.numbers, *drawn))
    return Board(name, rows, [(100 * (v - low) / span, f"{v:,.0f}") for v in _ticks(low, low + span)])


def _ends(rating: Number) -> list[float]:
    return [v for v in (finite(rating), *(interval(rating) or ())) if v is not None]


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round values inside a span."""
    step = next(s * 10.0**e for e in range(-2, 7) for s in (1, 2, 5) if (high - low) / (s * 10.0**e) <= 5.5)
    first = -int(-low // step)
    return [k * step for k in range(first, int(high // step) + 1)]


def _rank(number: Number | None) -> str:
    bounds = interval(number) if number is not None else None
    if bounds is None:
        return numbers.format_value(number, 0) if number is not None else ""
    return f"{bounds[0]:.0f}" if bounds[0] == bounds[1] else f"{bounds[0]:.0f}–{bounds[1]:.0f}"


def _columns(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The numbers beside a rating that these rows have."""
    told = (
        ("rating", "rating"),
        ("win_rate", "wins expected"),
        ("tested_rank", "rank by tests"),
        ("votes", "votes"),
    )
    return [
        {"name": n, "title": title, "decimals": numbers.column_digits([r.numbers[n] for r in rows if n in r.numbers])}
        for n, title in told
        if any(n in r.numbers for r in rows)
    ]


def _data(of: Ratings) -> dict[str, Any]:
    boards = {
        b.name: [{"name": r.name, **{k: v.model_dump(mode="json") for k, v in r.numbers.items()}} for r in b.rows]
        for b in of.boards
    }
    return {
        "record": of.record.id, "title": of.record.title, "boards": boards,
        "tables": [t.model_dump(mode="json") for t in of.tables],
    }  # fmt: skip
