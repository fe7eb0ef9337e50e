"""`/runs/<record>/games`: the games that a record holds, searched and filtered, and the transcript of each.

An archive of 50,000 games takes seconds to read, so it is read once and kept with an index over it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute

from superalign.core.spec import Record
from superalign.core.types import Item
from superalign.protocols.played import Archive, Played
from superalign.report.files import file_name
from superalign.report.games import archives
from superalign.report.view import View, absolute
from superalign.report.views import games as views
from superalign.report.views.games import Around, FoundGames
from superalign.web.page import NotHere, look, number
from superalign.web.site import Site

PAGE = 50
LARGE = 400_000
"""Bytes of games, compressed, that are read in a moment; more are read in the background."""
OTHERS = 40
"""Games of the same item that are listed below a transcript."""
QUERIES = 16
"""Searches whose results an index remembers, so that going from game to game searches once."""


def routes(site: Site) -> list[BaseRoute]:
    """The routes of games."""

    def listed(request: Request) -> View:
        record, index = opened(site, request)
        query = _query(request)
        found = index.select(*query)
        pages = max(1, -(-len(found) // PAGE))
        at = number(request, "page", 1, 1, pages)
        lines = [views.line(*index.games[k]) for k in found[(at - 1) * PAGE : at * PAGE]]
        shown = FoundGames(lines, len(found), at, pages, _said(query), index.conditions, index.seeds)
        return views.games(record, shown, absolute)

    def game(request: Request) -> View:
        record, index, place = chosen(site, request)
        played, item = index.games[place]
        query = _query(request)
        return views.game(record, played, item, index.around(place, query), absolute)

    return [*look("/runs/{record}/games", listed), *look("/runs/{record}/games/{game}", game)]


Query = tuple[str, bool, int | None, str]
"""Condition, whether only wrong ones, seed, and words; empty for all."""


class Index:
    """The games of a record in the order of their archives, ready to be searched. Threads may share it."""

    def __init__(self, held: Mapping[str, Archive]) -> None:
        self.games: list[tuple[Played, Item]] = [(g, a.items[g.item]) for a in held.values() for g in a.games]
        self.conditions = list(dict.fromkeys(g.condition for g, _ in self.games))
        self.seeds = sorted({g.seat.seed for g, _ in self.games})
        self._places: dict[str, int] = {}
        self._items: dict[str, list[int]] = {}
        for k, (game, item) in enumerate(self.games):
            self._places.setdefault(game.id, k)
            self._items.setdefault(item.id, []).append(k)
        self._texts = [_searched(game, item) for game, item in self.games]
        self.select = lru_cache(QUERIES)(self._select)

    def find(self, name: str) -> int | None:
        """The place of the game with this id, or whose file has this name."""
        if name in self._places:
            return self._places[name]
        return next(
            (k for game, k in self._places.items() if {"/", "\\"} & set(game) and file_name(game, "") == name), None
        )

    def _select(self, condition: str, wrong: bool, seed: int | None, words: str) -> list[int]:
        found = [
            k
            for k, (game, _) in enumerate(self.games)
            if condition in ("", game.condition)
            and (seed is None or game.seat.seed == seed)
            and not (wrong and (game.right is None or game.right >= 1))
        ]
        for word in words.split():
            found = [k for k in found if word in self._texts[k]]
        return found

    def around(self, place: int, query: Query) -> Around:
        """What is before and after a game among those that were found, and the other games of its item."""
        found = self.select(*query)
        at = _position(found, place)
        others = [k for k in self._items[self.games[place][1].id] if k != place]
        names = [self.games[k][0].id for k in found[max(at - 1, 0) : at + 2]] if at >= 0 else []
        return Around(
            at + 1,
            len(found),
            names[0] if at > 0 else "",
            names[-1] if 0 <= at < len(found) - 1 else "",
            _said(query),
            [views.line(*self.games[k]) for k in others[:OTHERS]],
            max(len(others) - OTHERS, 0),
        )


def _searched(game: Played, item: Item) -> str:
    """What a search looks at."""
    return "\n".join((item.prompt, *item.choices, *(t.text for t in game.turns), game.id)).casefold()


def _position(found: list[int], place: int) -> int:
    """Where a place is in an ascending list; -1 where it is not."""
    at = bisect_left(found, place)
    return at if at < len(found) and found[at] == place else -1


def opened(site: Site, request: Request) -> tuple[Record, Index]:
    """A record and its games. Raises Reading while they are read."""
    record = site.library.record(request.path_params["record"])
    keys = tuple(sorted(key for name, key in record.artifacts.items() if name.startswith("games/")))
    what, large = f"The games of {record.id} are read once", size(site, keys) > LARGE
    return record, site.library.opened(("games", keys), what, large, lambda: Index(archives(record, site.store)))


def chosen(site: Site, request: Request) -> tuple[Record, Index, int]:
    """A record, its games, and the place of the one that the address names. Raises NotHere, and Reading."""
    record, index = opened(site, request)
    place = index.find(request.path_params["game"])
    if place is None:
        raise NotHere(f"no game {request.path_params['game']!r} in {record.id}")
    return record, index, place


def size(site: Site, keys: Sequence[str]) -> int:
    """Bytes of artifacts together."""
    return site.library.kept(("size", keys), lambda: sum(len(a.data) for k in keys if (a := site.store.get(k))))


def _query(request: Request) -> Query:
    asked = request.query_params
    seed = asked.get("seed", "")
    words = " ".join(asked.get("q", "").casefold().split())[:200]
    is_number = seed.isascii() and seed.isdecimal() and len(seed) < 20
    return asked.get("condition", ""), asked.get("wrong") == "1", int(seed) if is_number else None, words


def _said(query: Query) -> dict[str, Any]:
    condition, wrong, seed, words = query
    given = {
        "q": words,
        "condition": condition,
        "seed": "" if seed is None else str(seed),
        "wrong": "1" if wrong else "",
    }
    return {name: value for name, value in given.items() if value}
