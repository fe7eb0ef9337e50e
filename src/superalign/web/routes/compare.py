"""`/compare?run=a&run=b`: several records side by side."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute

from superalign.core.errors import UserError
from superalign.core.records import Entry
from superalign.core.spec import Record
from superalign.report.compare import require_several
from superalign.report.view import View, absolute
from superalign.report.views import compare as views
from superalign.report.views.compare import MOST, Ranks
from superalign.report.views.runs import Line
from superalign.web.page import look
from superalign.web.routes.runs import line
from superalign.web.site import Site

OFFERED = 30
"""Other records of the same study that can be chosen from."""


def routes(site: Site) -> list[BaseRoute]:
    """The routes of comparisons."""

    def chosen(request: Request) -> Sequence[Entry]:
        names = list(dict.fromkeys(request.query_params.getlist("run")))
        if len(names) > MOST:
            raise UserError(f"at most {MOST} records are compared at once; {len(names)} were chosen")
        return [site.library.versions(name)[-1] for name in names]

    def compare(request: Request) -> View:
        entries = chosen(request)
        others = _others(site, [e.id for e in entries], {e.study for e in entries})
        if len(entries) < 2:
            return views.chosen([line(site, e) for e in entries], others, absolute)
        records = [site.library.version(e) for e in entries]
        known = {r.id: site.library.drawings.of(r, e) for r, e in zip(records, entries, strict=True)}
        rankable = all(r.study == "w2s" for r in records)
        return views.compare(records, others, rankable, known, absolute)

    def ranks(request: Request) -> View:
        entries = chosen(request)
        records = [site.library.version(e) for e in entries]
        require_several(records)
        key = ("ranks", *(e.artifact for e in entries))
        return views.ranked(records, site.library.kept(key, lambda: _ranks(site, records)), absolute)

    return [*look("/compare/ranks", ranks), *look("/compare", compare)]


def _others(site: Site, chosen: Sequence[str], studies: set[str]) -> list[Line]:
    known = (e for e in site.library.entries() if e.id not in chosen and (e.study in studies or not studies))
    found = [line(site, e) for e, _ in zip(known, range(OFFERED), strict=False)]
    return [one for one in found if not one.damaged]


def _ranks(site: Site, records: Sequence[Record]) -> Ranks:
    """Ranks where methods can be paired: weak-to-strong records over the same test items."""
    from superalign.studies.w2s.compare import compare

    try:
        found = compare(records, site.store)
    except UserError as error:
        return Ranks({}, str(error))
    return Ranks({"ranks": found.ranks, "differences": found.differences})
