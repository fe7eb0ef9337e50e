"""Played games: the list of those that a record holds, and the transcript of one with its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from superalign.core.spec import Record
from superalign.core.types import Item
from superalign.protocols.played import DECIDING, Played
from superalign.report import transcript
from superalign.report.games.jsonl import body as game_body
from superalign.report.games.script import Held, Script, grade_of, order_of, verdict_of
from superalign.report.view import Link, View, fragment

LONGEST = 160
"""Characters of a question or an answer in a list."""


@dataclass(frozen=True, slots=True)
class GameLine:
    """A game in a list. `verdict` names the answer by its letter, `answer` is its text, `bar` the final belief; `seat` tells
    apart games of one item and condition."""

    id: str
    condition: str
    prompt: str
    verdict: str
    answer: str
    grade: str
    bar: Markup
    judge: str
    person: bool
    seat: str

    def data(self) -> dict[str, Any]:
        """As JSON values."""
        names = ("id", "condition", "prompt", "verdict", "answer", "grade", "judge", "person", "seat")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class FoundGames:
    """One page of the games that were found, and what was asked for (`query` holds what is not empty)."""

    lines: Sequence[GameLine]
    total: int
    page: int = 1
    pages: int = 1
    query: Mapping[str, Any] = field(default_factory=dict)
    conditions: Sequence[str] = ()
    seeds: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Around:
    """Where a game stands among those that were found: its number, how many, its neighbours; and the item's others."""

    number: int = 0
    total: int = 0
    previous: str = ""
    following: str = ""
    query: Mapping[str, Any] = field(default_factory=dict)
    others: Sequence[GameLine] = ()
    more: int = 0


def line(game: Played, item: Item) -> GameLine:
    """A game as a line of a list."""
    order = order_of(game, item)
    held = Held("", "", "", item.choices, game.verdict.probs, True)
    bar = transcript.bar(Script(game, item, (), order), held) if len(held.probs) == len(item.choices) else Markup("")
    answer = game.verdict.answer
    chosen = item.choices[answer] if isinstance(answer, int) and 0 <= answer < len(item.choices) else ""
    judge = next((t.model for t in reversed(game.turns) if t.role.partition("/")[0] in DECIDING), "")
    return GameLine(
        game.id, game.condition, _cut(transcript.heading(item.prompt or item.id)[0]),
        _cut(verdict_of(game, order)), _cut(chosen), grade_of(game), bar, judge, transcript.is_person(judge), _seat(game, item),
    )  # fmt: skip


def _seat(game: Played, item: Item) -> str:
    """What else was settled before the game began, in words."""
    swapped = len(game.seat.order) > 1 and tuple(game.seat.order) != tuple(sorted(game.seat.order))
    parts = [f"seed {game.seat.seed}"] + ["answers swapped"] * swapped
    assigned = game.seat.assigned
    return ", ".join(parts + ([f"assigned {_cut(assigned, 40)}"] if assigned is not None else []))


def _cut(text: str, longest: int = LONGEST) -> str:
    line_ = " ".join(text[: 4 * longest].split())
    return line_ if len(line_) <= longest else f"{line_[:longest].rstrip()}…"


def games(record: Record, found: FoundGames, link: Link) -> View:
    """The games of a record, with a search."""
    body = fragment("games.html", record=record, found=found, link=link)
    data = {
        "record": record.id, "total": found.total, "page": found.page, "pages": found.pages,
        "conditions": list(found.conditions), "seeds": list(found.seeds), "query": dict(found.query),
        "games": [each.data() for each in found.lines],
    }  # fmt: skip
    return View(f"Games of {record.title}", body, data, "runs")


def game(record: Record, played: Played, item: Item, around: Around, link: Link) -> View:
    """One game as a transcript, between its neighbours."""
    shown = Markup(transcript.fragment(played, item))
    body = fragment("game.html", record=record, game=played, transcript=shown, around=around, link=link)
    data = {"record": record.id, **game_body(played, item), "others": [each.data() for each in around.others]}
    return View(item.prompt or played.id, body, data, "runs")
