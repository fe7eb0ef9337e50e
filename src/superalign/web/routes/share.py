"""`.../export`: a study or a transcript as one file that needs nothing else."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from superalign.report import page, transcript
from superalign.report.files import file_name
from superalign.web.page import whole
from superalign.web.routes.games import chosen
from superalign.web.site import Site


def routes(site: Site) -> list[BaseRoute]:
    """The routes of exports."""

    def study(request: Request) -> Response:
        record = site.library.record(request.path_params["record"])
        return download(page.html(record), file_name(record.id))

    def game(request: Request) -> Response:
        record, index, place = chosen(site, request)
        played, item = index.games[place]
        return download(transcript.html(played, item, record.id), file_name(played.id))

    return [
        Route("/runs/{record}/export", study, methods=["GET"]),
        Route("/runs/{record}/games/{game}/export", lambda request: whole(game, request), methods=["GET"]),
    ]


def download(text: str, name: str) -> Response:
    """A file to keep. A browser that shows it instead runs nothing of it."""
    headers = {"content-disposition": f'attachment; filename="{name}"', "content-security-policy": "sandbox"}
    return Response(text.encode("utf-8", "replace"), media_type="text/html; charset=utf-8", headers=headers)
