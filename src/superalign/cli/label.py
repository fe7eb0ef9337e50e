"""`superalign label`: people and models label preferences, critiques and explanations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from superalign.cli.execute import execute
from superalign.cli.options import AsJson, DryRun, ReportPath, StoreUrl, Threads
from superalign.core.errors import UserError

EPILOG = """\b
Examples:
  superalign label pairs.jsonl --rater human:people=2
  superalign label test.jsonl.gz --format hh --items 100 --rater human --rater api:NAME --out labels.jsonl
  superalign label samples.jsonl --format best-of-n --responses 4 --rater human:team-a
  superalign label last --what critiques --rater human
  superalign label last --what explanations --items 30 --rater human --rater hf:./speaker
\b
People answer on the page that `superalign serve` opens; the command waits for them, and goes on where it was when
it is typed again. Forms of preference data are those of `superalign preferences`. Critiques are those in the games
of a record, or of a file with prompt, answer and critique; explanations are those of a record of `interp`.
"""

Text = str | None


def add(app: typer.Typer) -> None:
    app.command("label", epilog=EPILOG)(label)


def label(
    data: Annotated[str, typer.Argument(help="A file of preferences or critiques, or a record (its id, or last).")],
    rater: Annotated[
        list[str], typer.Option(help="Who labels: human, human:team-a:people=2, a model; repeat for more.")
    ],
    what: Annotated[str, typer.Option(help="preferences, critiques or explanations.")] = "preferences",
    format: Annotated[str, typer.Option(help="How a file of preferences is written.")] = "pairs",
    items: Annotated[int | None, typer.Option(min=1, help="How many, drawn by hash. [default: all]")] = None,
    responses: Annotated[
        int | None, typer.Option(min=2, help="How many of the responses to a prompt. [default: all]")
    ] = None,
    swap: Annotated[bool, typer.Option("--swap", help="Show models the responses in both orders.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn and of the orders.")] = 0,
    template: Annotated[Text, typer.Option(help="A file of prompts in place of the built-in ones.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the labels here too, as JSON lines.")] = None,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Stop when calls have cost this much.")] = None,
    prices: Annotated[Text, typer.Option(help="A TOML file with the prices of endpoints.")] = None,
    store: StoreUrl = None,
    report: ReportPath = None,
    threads: Threads = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Label what is there: rank responses, rate critiques, rate explanations of units.

    Prints a line for each rater: agreement with the file's own labels and with the others, and what besides the content
    decides. `--out` writes preferences as prompt, chosen, rejected, and ratings with who gave them.
    """
    from superalign.compute.threads import limit as limit_threads

    limit_threads(threads)
    from superalign.core.spec import validate
    from superalign.studies.label import Label

    if out is not None and out.exists():
        raise UserError(f"{str(out)!r} is there already; name a new file (--out)")
    values: dict[str, Any] = {
        "data": data, "what": what, "form": format, "raters": tuple(rater), "items": items, "responses": responses,
        "swap": swap, "seed": seed, "template": template or "", "max_usd": max_usd, "prices": prices,
    }  # fmt: skip
    spec = validate(Label, {k: v for k, v in values.items() if v is not None})
    summary = execute(spec, store=store, as_json=as_json, dry_run=dry_run, report=report)
    if out is not None and not dry_run:
        print(_written(store, summary["record"], out), file=sys.stderr if as_json else sys.stdout)


def _written(store: str | None, record: str, out: Path) -> str:
    """Write the labels of a record, and say so."""
    from superalign.core import records
    from superalign.report.numbers import counted
    from superalign.store import open_store
    from superalign.studies.label.writing import write_labels

    with open_store(store) as opened:
        written = write_labels(records.load(opened, record), opened, out)
    ties = f", {counted(written.ties, 'tie')} left out" if written.ties else ""
    return f"{counted(written.lines, 'line')} in {out}{ties}"
