"""`.../export`: a study or a transcript as one file that needs nothing else."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from superalign.report import page, transcript
from superalign.report.files import file_name
from superalign.report.games import archives
from superalign.web.page import NotHere
from superalign.web.site import Site


def routes(site: Site) -> list[BaseRoute]:
    """The routes of exports."""

    def study(request: Request) -> Response:
        record = site.library.record(request.path_params["record"])
        return download(page.html(record), file_name(record.id))

    def game(request: Request) -> Response:
        record = site.library.record(request.path_params["record"])
        name = request.path_params["game"]
        for archive in archives(record, site.store).values():
            for played in archive.games:
                if played.id == name:
                    return download(transcript.html(played, archive.items[played.item], record.id), file_name(name))
        raise NotHere(f"no game {name!r} in {record.id}")

    return [
        Route("/runs/{record}/export", study, methods=["GET"]),
        Route("/runs/{record}/games/{game}/export", game, methods=["GET"]),
    ]


def download(text: str, name: str) -> Response:
    """A file to keep. A browser that shows it instead runs nothing of it."""
    headers = {"content-disposition": f'attachment; filename="{name}"', "content-security-policy": "sandbox"}
    return Response(text.encode("utf-8", "replace"), media_type="text/html; charset=utf-8", headers=headers)
