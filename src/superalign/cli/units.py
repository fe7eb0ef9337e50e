"""`superalign units`: a page per unit of an interpretability study, an index that searches, and JSON for other viewers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superalign.cli.options import StoreUrl

if TYPE_CHECKING:
    from superalign.core.ports import Store
    from superalign.core.spec import Number, Record
    from superalign.interp.dossier import Dossier

EPILOG = """\b
Examples:
  superalign units last units/
  superalign units interp-1a2b3c4d unit-pages/
  superalign units last units.html                 one file, for a few hundred units
  superalign units last units.jsonl                JSON lines that neuronpedia-like viewers read
  superalign units last units/ --labels people.jsonl --embedder minilm
  superalign units ./sae-dashboard/ units/         files of SAEDashboard, Neuronpedia or Delphi
\b
A line of --labels is {"Name": "mlp.0/17", "Annotation": "plural nouns"}; names such as resid_5/3036 are read too.
"""


def add(app: typer.Typer) -> None:
    app.command("units", epilog=EPILOG)(units)


def units(
    source: Annotated[
        str,
        typer.Argument(help="A record of `superalign interp` (its id, its beginning, or `last`); or a file or folder."),
    ],
    path: Annotated[Path, typer.Argument(help="A folder for pages, one .html file, or .jsonl for other viewers.")],
    labels: Annotated[
        Path | None, typer.Option(help="Labels by people (.jsonl): shown, and compared with the explanations.")
    ] = None,
    embedder: Annotated[
        str | None, typer.Option(help="A model that compares labels, such as minilm. [default: shared words]")
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Write units as pages: top and random excerpts, explanation, simulation beside the truth, scores, controls."""
    print(write_pages(store, source, path, labels=labels, embedder=embedder))


def write_pages(
    store: str | None, source: str, path: Path, *, labels: Path | None = None, embedder: str | None = None
) -> Path:
    """The pages of a record's or a file's units; returns where the first of them is."""
    from superalign.cli.terminal import bars
    from superalign.core.errors import SpecError
    from superalign.interp.formats import neuronpedia
    from superalign.report import units as pages
    from superalign.report.files import write
    from superalign.store import open_store
    from superalign.studies.interp.people import compared, labelled

    if embedder is not None and labels is None:
        raise SpecError("--embedder compares labels with explanations; give --labels FILE.jsonl too")
    with open_store(store) as opened:
        of, model, dossiers = _found(source, opened)
        if labels is not None:
            dossiers = labelled(dossiers, labels)
            _say(dossiers, compared(dossiers, embedder, opened))
    if path.suffix == ".html":
        return write(pages.single(of, dossiers), path)
    if path.suffix == ".jsonl":
        return neuronpedia.write(dossiers, path, model)
    with bars() as progress:
        return pages.write(of, dossiers, path, progress)


def _found(source: str, store: Store) -> tuple[Record | str, str, Sequence[Dossier]]:
    """What pages are headed with, the name of the model, and its units."""
    from superalign.core import records
    from superalign.interp.formats import files
    from superalign.studies.interp.model import kept_dossiers

    place = Path(source)
    if source != "last" and (
        place.suffix in (".json", ".jsonl", ".ndjson", ".gz") or place.name != source or place.is_dir()
    ):
        read = files.read(place)
        return f"{read.model}: units of {read.form}", read.model, read.dossiers
    record = records.load(store, source)
    return record, str(record.spec.get("model") or record.spec.get("world")), kept_dossiers(record, store)


def _say(dossiers: Sequence[Dossier], numbers: dict[str, Number]) -> None:
    """People's labels beside the explanations, on the terminal."""
    from superalign.cli.terminal import print_table
    from superalign.report.numbers import format_number

    counted = sum(bool(d.labels) for d in dossiers)
    rows = [[WORDS[name], format_number(number)] for name, number in numbers.items()]
    print_table(
        ("explanations beside labels", ""), rows, f"{counted:,} of {len(dossiers):,} units have labels by people"
    )


WORDS = {
    "agreement": "similarity, own label",
    "shuffled": "similarity, other units' labels",
    "gap": "difference",
    "rank": "rank of the own label (chance .5)",
    "score": "rank correlation of score and similarity",
}
