"""`superalign runs | show | compare | report | list`: look at what the store holds, and at what there is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superalign.cli.options import AsJson, StoreUrl
from superalign.core.errors import SpecError, UserError

if TYPE_CHECKING:
    from superalign.core.spec import Record

Name = Annotated[str, typer.Argument(help="A record's id, the beginning of one, or `last`.")]


GIVEN = {"models": ("inputs", "steps", "choices"), "wrappers": ("build", "learner"), "wrapped": ("protocol",)}
"""What a plug-in of each kind is given by whoever builds it, and so is no option."""


def add(app: typer.Typer) -> None:
    app.command("runs", epilog="Example: superalign runs --json")(runs)
    app.command("show", epilog="Example: superalign show last")(show)
    app.command("compare", epilog="Example: superalign compare w2s-1f0 w2s-77c")(compare)
    app.command("report", epilog="Example: superalign report last --out study.html")(report)
    app.command("list", epilog="Example: superalign list losses")(plugins)


def runs(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write an index page too (.html).")] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the records of the store, newest last."""
    from dataclasses import asdict

    from superalign.cli.terminal import print_table
    from superalign.core import records
    from superalign.store import open_store

    with open_store(store) as opened:
        entries = records.entries(opened)
        if out is not None:
            write_page(out, list(records.load_all(opened)), index=True)
    if as_json:
        print(json.dumps([asdict(e) for e in entries], indent=2))
    elif entries:
        print_table(("record", "created", "title"), [[e.id, e.created, e.title] for e in entries])
    else:
        print("this store holds no record yet; type `superalign demo`")


def show(record: Name = "last", store: StoreUrl = None, as_json: AsJson = False) -> None:
    """Print a record's conditions and numbers."""
    from superalign.cli.terminal import print_record
    from superalign.core import records
    from superalign.store import open_store

    with open_store(store) as opened:
        found = records.load(opened, record)
    print(json.dumps(found.summary(), indent=2)) if as_json else print_record(found)


def compare(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="RECORD...", help="One or more records. [default: last]")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write records side by side (.html or .md).")] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Rank the methods of one or more records, with paired intervals corrected for how many were tried."""
    from superalign.cli.terminal import print_table
    from superalign.core import records
    from superalign.store import open_store
    from superalign.studies.w2s.compare import compare as rank

    with open_store(store) as opened:
        found = [records.load(opened, name) for name in names or ["last"]]
        if out is not None:
            write_page(out, found)
        try:
            ranking = rank(found, opened)
        except SpecError as reason:
            if out is None:
                raise
            print(f"{out}; methods are not ranked: {reason}")
            return
    if as_json:
        print(json.dumps(ranking.summary(), indent=2))
        return
    for table in (ranking.ranks, ranking.differences):
        print_table(table.columns, [[str(c) for c in row] for row in table.rows], table.title)
        if table.note:
            print(table.note)


def report(
    record: Name = "last",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write: .html or .md. [default: RECORD.html]")
    ] = None,
    spec: Annotated[bool, typer.Option("--spec", help="Print the spec as TOML instead.")] = False,
    store: StoreUrl = None,
) -> None:
    """Write a record as one self-contained page, or as Markdown."""
    from superalign.cli.execute import write_report
    from superalign.core import records
    from superalign.report.toml import toml
    from superalign.store import open_store

    with open_store(store) as opened:
        found = records.load(opened, record)
    if spec:
        sys.stdout.write(toml(found.spec))
        return
    path = out or Path(f"{found.id}.html")
    write_report(found, path)
    print(path)


def plugins(
    kind: Annotated[
        str | None,
        typer.Argument(help="tasks, games, models, protocols, wrapped, losses, labels, wrappers or studies."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the plug-ins of each kind, with their options."""
    import inspect

    from superalign.cli.terminal import print_table
    from superalign.core.errors import PluginError, nearest
    from superalign.core.registry import KINDS, find, names, options_of

    if kind is not None and kind not in KINDS:
        raise UserError(f"no kind of plug-in is called {kind!r}; {nearest(kind, KINDS)}")
    rows: list[list[str]] = []
    for each in KINDS if kind is None else (kind,):
        for name in names(each):
            try:
                plugin = find(each, name)
            except PluginError as error:
                rows.append([each, name, "", str(error)])
                continue
            summary = (inspect.getdoc(plugin) or "").partition("\n\n")[0].replace("\n", " ") if callable(plugin) else ""
            rows.append(
                [
                    each,
                    name,
                    ", ".join(options_of(plugin, GIVEN.get(each, ())) or []) if callable(plugin) else "",
                    summary,
                ]
            )
    if as_json:
        print(
            json.dumps([dict(zip(("kind", "name", "options", "summary"), row, strict=True)) for row in rows], indent=2)
        )
    else:
        print_table(("kind", "name", "options", "what it is"), rows)


def write_page(path: Path, found: list[Record], index: bool = False) -> None:
    """Several records on one page: an index, or side by side."""
    from superalign.cli.execute import check_report
    from superalign.report import markdown, page
    from superalign.report.files import write

    check_report(path)
    if index:
        write(page.index(found), path)
    else:
        write(page.compare(found) if path.suffix == ".html" else markdown.compare(found), path)
