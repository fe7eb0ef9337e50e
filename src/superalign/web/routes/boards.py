"""`/boards`: leaderboards."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute

from superalign.core.records import Entry
from superalign.report.files import file_name
from superalign.report.view import View, absolute
from superalign.report.views import boards as views
from superalign.report.views.boards import Ratings
from superalign.web.library import Damaged
from superalign.web.page import NotHere, look, number
from superalign.web.site import Site

PAGE = 8


def routes(site: Site) -> list[BaseRoute]:
    """The routes of leaderboards."""

    def listed(request: Request) -> View:
        query = request.query_params.get("q", "").strip()
        entries = [e for e in site.library.entries() if _rated(site, e, query.casefold().split())]
        pages = max(1, -(-len(entries) // PAGE))
        at = number(request, "page", 1, 1, pages)
        found = [r for e in entries[(at - 1) * PAGE : at * PAGE] if (r := _ratings(site, e))]
        return views.listed(found, query, at, pages, absolute)

    def board(request: Request) -> View:
        of = site.library.record(request.path_params["record"])
        found = views.ratings(of)
        if not found.boards and not found.tables:
            raise NotHere(f"{of.id} holds no ratings; `superalign rate {of.id}` rates its conditions if it has games")
        wanted = request.path_params.get("category", views.WHOLE)
        category = next((b.name for b in found.boards if wanted in (b.name, file_name(b.name, ""))), None)
        if category is None and found.boards:
            raise NotHere(f"no board {wanted!r} in {of.id}")
        return views.board(found, category or "", request.query_params.get("q", "").strip(), absolute)

    return [*look("/boards", listed), *look("/boards/{record}", board), *look("/boards/{record}/{category}", board)]


def _rated(site: Site, entry: Entry, words: Sequence[str]) -> bool:
    """Whether there are ratings in a record, and somebody whose name has all these words. One that nobody has read yet
    is judged by its study."""
    known = site.library.known(entry)
    if known is None:
        return entry.study == "rate"
    return any(all(w in name.casefold() for w in words) for name in known.rated)


def _ratings(site: Site, entry: Entry) -> Ratings | None:
    try:
        return site.library.kept(("ratings", entry.artifact), lambda: views.ratings(site.library.version(entry)))
    except Damaged:
        return None
