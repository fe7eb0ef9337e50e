"""`superalign debates`: re-measure a corpus of recorded human debates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from superalign.cli.execute import execute
from superalign.cli.options import AsJson, DryRun, ReportPath, StoreUrl, Threads

EPILOG = """\b
Examples:
  superalign debates ./nyu_debates
  superalign debates ./nyu_debates --settings human-debate,human-consultancy --report debates.html
  superalign transcript last --wrong       (the games in which the judge was wrong)
"""


def add(app: typer.Typer) -> None:
    app.command("debates", epilog=EPILOG)(debates)


def debates(
    folder: Annotated[Path, typer.Argument(help="The folder of the corpus.")],
    format: Annotated[str, typer.Option(help="The form of the corpus: nyu.")] = "nyu",
    settings: Annotated[
        str | None,
        typer.Option(help="human-debate, human-consultancy, gpt4-debate, gpt4-consultancy. [default: all]"),
    ] = None,
    offline: Annotated[bool, typer.Option(help="Measure those who judged finished debates too.")] = True,
    store: StoreUrl = None,
    report: ReportPath = None,
    threads: Threads = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Recorded debates: accuracy, calibration and log score of their judges, by round, and what was quoted.

    No model is asked. Every game is kept, so that it can be read (`superalign transcript`) and exported.
    """
    from superalign.compute.threads import limit

    limit(threads)
    from superalign.core.spec import validate
    from superalign.studies.debates import Debates

    values = {"folder": str(folder), "format": format, "offline": offline}
    if settings is not None:
        values["settings"] = tuple(part.strip() for part in settings.split(",") if part.strip())
    execute(validate(Debates, values), store=store, as_json=as_json, dry_run=dry_run, report=report)
