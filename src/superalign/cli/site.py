"""`superalign site`: the store as a static site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from superalign.cli.options import StoreUrl

EPILOG = """\b
Examples:
  superalign site public/            every study, transcript, unit and campaign of the store, as files
  superalign site public/ --store runs.sqlite
\b
One study alone: superalign report RECORD --out study.html; one game: superalign transcript GAME --html game.html
"""


def add(app: typer.Typer) -> None:
    app.command("site", epilog=EPILOG)(site)


def site(
    folder: Annotated[Path, typer.Argument(help="A new folder, or one that holds such a site.")], store: StoreUrl = None
) -> None:
    """Write everything that `superalign serve` shows as a static site: no server, no network, the JSON beside each page."""
    from superalign.cli.terminal import bars
    from superalign.store import open_store
    from superalign.web.publish import publish

    with open_store(store) as opened, bars() as progress:
        path = publish(opened, folder, progress)
    print(path)
