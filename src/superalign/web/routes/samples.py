"""`/runs/<record>/samples`: policies side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute

from superalign.core.spec import Record
from superalign.report.view import View, absolute
from superalign.report.views import samples as views
from superalign.web.page import NotHere, look
from superalign.web.site import Site


def routes(site: Site) -> list[BaseRoute]:
    """The routes of samples."""

    def samples(request: Request) -> View:
        of = site.library.record(request.path_params["record"])
        if "samples" not in of.tables:
            raise NotHere(f"{of.id} shows no samples; records of `superalign rlhf` with trained policies do")
        told = site.library.kept(("samples", of.id, of.created), lambda: _told(site, of))
        query = request.query_params.get("q", "").strip()
        return views.samples(of, told, query, request.path_params.get("iteration"), absolute)

    return [*look("/runs/{record}/samples", samples), *look("/runs/{record}/samples/{iteration:int}", samples)]


def _told(site: Site, of: Record) -> dict[str, list[Mapping[str, Any]]]:
    """The events of each policy's training run, which is kept under the key of what it left."""
    found = {name.replace("/", ", "): [e.body for e in site.store.read(key)] for name, key in of.artifacts.items()}
    return {name: events for name, events in found.items() if events}
