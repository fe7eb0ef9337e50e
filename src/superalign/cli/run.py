"""`superalign run SPEC.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from superalign.cli.execute import execute
from superalign.cli.options import AsJson, DryRun, ReportPath, StoreUrl, Threads

EPILOG = """\b
Examples:
  superalign run study.toml
  superalign run study.toml --dry-run
  superalign report RECORD --spec > study.toml     (the spec of a finished study)
"""


def add(app: typer.Typer) -> None:
    app.command("run", epilog=EPILOG)(run)


def run(
    spec: Annotated[Path, typer.Argument(help="A spec in TOML.")],
    store: StoreUrl = None,
    report: ReportPath = None,
    threads: Threads = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Run a study from its spec. What the store already holds is not computed again."""
    from superalign.compute.threads import limit

    limit(threads)
    from superalign.core.study import read_spec

    execute(read_spec(spec), store=store, as_json=as_json, dry_run=dry_run, report=report)
