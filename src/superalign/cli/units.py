"""`superalign units`: a page per unit of an interpretability study, an index that searches, and JSON for other viewers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from superalign.cli.options import StoreUrl

EPILOG = """\b
Examples:
  superalign units last units/
  superalign units interp-1a2b3c4d unit-pages/
  superalign units last units.html                 one file, for a few hundred units
  superalign units last units.jsonl                JSON lines that neuronpedia-like viewers read
"""


def add(app: typer.Typer) -> None:
    app.command("units", epilog=EPILOG)(units)


def units(
    record: Annotated[str, typer.Argument(help="A record of `superalign interp`: its id, its beginning, or `last`.")],
    path: Annotated[Path, typer.Argument(help="A folder for pages, one .html file, or .jsonl for other viewers.")],
    store: StoreUrl = None,
) -> None:
    """Write the units of a study: top and random excerpts, explanation, simulation beside the truth, scores, controls."""
    print(write_pages(store, record, path))


def write_pages(store: str | None, record: str, path: Path) -> Path:
    """The pages of a record's units; returns where the first of them is."""
    from superalign.cli.terminal import bars
    from superalign.core import records
    from superalign.interp.formats import neuronpedia
    from superalign.report import units as pages
    from superalign.report.files import write
    from superalign.store import open_store
    from superalign.studies.interp.model import kept_dossiers

    with open_store(store) as opened:
        found = records.load(opened, record)
        dossiers = kept_dossiers(found, opened)
    if path.suffix == ".html":
        return write(pages.single(found, dossiers), path)
    if path.suffix == ".jsonl":
        return neuronpedia.write(dossiers, path, str(found.spec.get("model") or found.spec.get("world")))
    with bars() as progress:
        return pages.write(found, dossiers, path, progress)
