"""`/runs/<record>/units`: the units that a record explains, searched and sorted on the server, and the page of each.

A dossier is about 14 kB of JSON, so 10,000 of them are kept packed (3.3 kB each) beside an index of what a list is
searched and sorted by; the 50 on a page are unpacked when it is shown.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute

from superalign.core.errors import SpecError, StoreError
from superalign.core.ports import Store
from superalign.core.spec import Record
from superalign.interp.dossier import Dossier, from_json
from superalign.report.units import scores
from superalign.report.units.folder import file_names
from superalign.report.view import View, absolute
from superalign.report.views import units as views
from superalign.report.views.units import COLUMNS, Beside, FoundUnits, UnitLine
from superalign.web.page import NotHere, look, number
from superalign.web.routes.games import size
from superalign.web.site import Site

PAGE = 50
LARGE = 4_000_000
"""Bytes of dossiers that are read in a moment; more are read in the background."""
QUERIES = 16
"""Searches whose results an index remembers."""
LINES = 2_000
"""Lines of lists that it remembers: unpacking the 50 of a page takes 30 ms."""

Query = tuple[str, str, str, str]
"""Words, site, score, and what is sorted by."""


def routes(site: Site) -> list[BaseRoute]:
    """The routes of units."""

    def listed(request: Request) -> View:
        record, index = _opened(site, request)
        query = index.query(request)
        found = index.select(*query)
        pages = max(1, -(-len(found) // PAGE))
        at = number(request, "page", 1, 1, pages)
        lines = [index.line(k, query[2]) for k in found[(at - 1) * PAGE : at * PAGE]]
        shown = FoundUnits(
            lines, len(found), at, pages, query[3], query[2], index.said(query), index.sites, list(index.values)
        )
        return views.units(record, shown, absolute)

    def unit(request: Request) -> View:
        record, index = _opened(site, request)
        name = request.path_params["unit"]
        if name not in index.places:
            raise NotHere(f"no unit {name!r} in {record.id}")
        place = index.places[name]
        return views.unit(record, index.dossier(place), index.beside(place, index.query(request)), absolute)

    return [*look("/runs/{record}/units", listed), *look("/runs/{record}/units/{unit}", unit)]


class Index:
    """The dossiers of a record in order, packed, with what they are searched and sorted by. Threads may share it.

    `values` and `gaps` hold a number for each unit by the name of a score, None where there is none; the score that
    pages lead with comes first.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._packed: list[bytes] = []
        self.names: list[str] = []
        self._sites: list[str] = []
        self._texts: list[str] = []
        self._said: list[str] = []
        self._numbers: dict[str, list[float | None]] = {"density": [], "peak": []}
        self.values: dict[str, list[float | None]] = {}
        self.gaps: dict[str, list[float | None]] = {}
        bare = [self._take(line) for line in lines]
        self.files = file_names(bare)
        self.places = {file: k for k, file in enumerate(self.files)}
        self.sites = sorted(set(self._sites))
        self.values = dict(sorted(self.values.items(), key=lambda pair: pair[0] != scores.MAIN))
        self.select = lru_cache(QUERIES)(self._select)
        self.line = lru_cache(LINES)(self._line)

    def _take(self, line: str) -> Dossier:
        """Take a unit in; what is left of it names its file."""
        found = from_json(line)
        self._packed.append(zlib.compress(line.encode(), 1))
        self.names.append(found.unit.name)
        self._sites.append(found.unit.site)
        said = found.explanations[-1].text.casefold() if found.explanations else ""
        self._said.append(said)
        self._texts.append("\n".join((found.unit.name.casefold(), said, _words(found))))
        self._numbers["density"].append(found.density)
        self._numbers["peak"].append(found.peak)
        for score in found.scores:
            for table, value in ((self.values, score.number.value), (self.gaps, scores.gap(score))):
                column = table.setdefault(score.name, [])
                column += [None] * (len(self.names) - 1 - len(column))
                column.append(value if scores.is_defined(score) else None)
        return Dossier(found.unit, 0, 0.0, 0.0, 0.0)

    def dossier(self, place: int) -> Dossier:
        """A dossier, unpacked."""
        return from_json(zlib.decompress(self._packed[place]).decode())

    def _line(self, place: int, score: str) -> UnitLine:
        return views.line(self.dossier(place), self.files[place], score)

    def query(self, request: Request) -> Query:
        """What a request asks for, where it can be asked."""
        asked = request.query_params
        words = " ".join(asked.get("q", "").casefold().split())[:200]
        sort = asked.get("sort", "") if asked.get("sort", "").removeprefix("-") in COLUMNS else ""
        usual = next(iter(self.values), "")
        score = asked.get("score", "") if asked.get("score", "") in self.values else usual
        return words, asked.get("site", "") if asked.get("site", "") in self.sites else "", score, sort

    def said(self, query: Query) -> dict[str, Any]:
        """A query as it stands in addresses."""
        words, site, score, sort = query
        given = {"q": words, "site": site, "score": score if score != next(iter(self.values), "") else "", "sort": sort}
        return {name: value for name, value in given.items() if value}

    def _select(self, words: str, site: str, score: str, sort: str) -> list[int]:
        found = [k for k, s in enumerate(self._sites) if s == site] if site else list(range(len(self.names)))
        for word in words.split():
            found = [k for k in found if word in self._texts[k]]
        column, falling = sort.removeprefix("-"), sort.startswith("-")
        if column == "unit":
            return found[::-1] if falling else found
        if column == "explanation":
            kept = sorted((k for k in found if self._said[k]), key=self._said.__getitem__, reverse=falling)
            return kept + [k for k in found if not self._said[k]]
        if column:
            by = self._column(column, score)
            numbered = [(value, k) for k in found if (value := by[k]) is not None]
            numbered.sort(key=lambda pair: (-pair[0] if falling else pair[0], pair[1]))
            return [k for _, k in numbered] + [k for k in found if by[k] is None]
        return found

    def _column(self, column: str, score: str) -> list[float | None]:
        by = {"score": self.values, "gap": self.gaps}.get(column, self._numbers)
        found = by.get(score if column in ("score", "gap") else column, [])
        return found + [None] * (len(self.names) - len(found))

    def beside(self, place: int, query: Query) -> Beside:
        """What is before and after a unit among those that were found."""
        found = self.select(*query)
        at = found.index(place) if place in found else -1
        before, after = (found[at - 1] if at > 0 else None), (found[at + 1] if 0 <= at < len(found) - 1 else None)
        names = [None if k is None else (self.names[k], self.files[k]) for k in (before, after)]
        return Beside(at + 1, len(found), names[0], names[1], self.said(query))


def _words(dossier: Dossier) -> str:
    """The tokens on which a unit fires, those that it promotes, and what others say of it."""
    fired = {t for e in dossier.excerpts for t, v in zip(e.tokens, e.values, strict=False) if v > 0}
    parts = (*fired, *(t for t, _ in dossier.promoted), *dossier.labels, dossier.truth or "")
    return "\n".join(part.casefold() for part in parts)


def _opened(site: Site, request: Request) -> tuple[Record, Index]:
    record = site.library.record(request.path_params["record"])
    keys = tuple(key for name, key in record.artifacts.items() if name.startswith("units/"))
    if not keys:
        raise SpecError(f"{record.id} holds no units; `superalign interp` makes records that do")
    what, large = f"The units of {record.id} are read once", size(site, keys) > LARGE
    index = site.library.opened(("units", keys), what, large, lambda: Index(_lines(site.store, keys, record.id)))
    return record, index


def _lines(store: Store, keys: tuple[str, ...], name: str) -> Iterator[str]:
    for key in keys:
        artifact = store.get(key)
        if artifact is None:
            raise StoreError(f"the units of {name} are damaged in the store; run its spec again to mend it")
        yield from artifact.data.decode().splitlines()
