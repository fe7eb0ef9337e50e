"""`superalign preferences`: what is wrong with preference data, and the same data in another form."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from superalign.cli.execute import execute
from superalign.cli.options import AsJson, DryRun, ReportPath, StoreUrl
from superalign.core.errors import UserError, nearest

EPILOG = """\b
Examples:
  superalign preferences test.jsonl.gz --format hh
  superalign preferences annotations.json --format alpaca-eval --report checks.html
  superalign preferences votes.jsonl --format votes --to pairs.jsonl --as pairs
\b
Forms that are read:
  pairs        prompt, chosen, rejected (TRL's forms, as text or messages)
  votes        prompt, response_a, response_b, winner, perhaps rater
  rankings     prompt, responses, ranks or scores
  hh           hh-rlhf: two transcripts, chosen and rejected
  llmbar       input, output_1, output_2, label
  alpaca-eval  a judge's annotations: instruction, output_1, output_2, preference
  best-of-n    one sample a row: prompt, output, gold_preference or reward
Forms that are written: pairs, implicit, chat (for TRL), votes, rankings.
"""


def add(app: typer.Typer) -> None:
    app.command("preferences", epilog=EPILOG)(preferences)


def preferences(
    file: Annotated[
        str, typer.Argument(help="A file of preferences: jsonl, json, csv, parquet; .gz, archive.zip!member.")
    ],
    format: Annotated[str, typer.Option(help="How it is written, one of the forms below.")] = "pairs",
    to: Annotated[Path | None, typer.Option(help="Write the preferences here too, as JSON lines.")] = None,
    as_: Annotated[str, typer.Option("--as", help="In which form: pairs, implicit, chat, votes, rankings.")] = "pairs",
    store: StoreUrl = None,
    report: ReportPath = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Examine preference data: copies, contradictions, favoured places and lengths, agreement; and convert it.

    Prints a line for every check: how many pairs, their share with its interval, and whether the odds are even.
    """
    from superalign.core.spec import validate
    from superalign.studies.preferences import Preferences
    from superalign.tasks.preferences.writing import FORMS

    if as_ not in FORMS:
        raise UserError(f"no form of preference data to write is named {as_!r} (--as); {nearest(as_, FORMS)}")
    if to is not None and to.exists():
        raise UserError(f"{str(to)!r} is there already; name a new file (--to)")
    spec = validate(Preferences, {"data": file, "form": format})
    execute(spec, store=store, as_json=as_json, dry_run=dry_run, report=report)
    if to is not None and not dry_run:
        print(f"{_converted(file, format, to, as_):,} lines in {to}", file=sys.stderr if as_json else sys.stdout)


def _converted(file: str, form: str, to: Path, as_: str) -> int:
    """Write the preferences in another form; the number of lines. A vote is between two, so rankings become pairs."""
    from superalign.tasks.preferences.reading import load
    from superalign.tasks.preferences.writing import write

    whole = load(file, form)
    votes = (pair for comparison in whole for pair in comparison.pairs(ties=True))
    return write(votes if as_ == "votes" else whole, to, as_)
