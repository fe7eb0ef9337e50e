"""`superalign rate`: ratings that one can trust, from votes."""

from __future__ import annotations

from typing import Annotated

import typer

from superalign.cli.execute import execute
from superalign.cli.options import AsJson, DryRun, ReportPath, StoreUrl, Threads
from superalign.cli.w2s import listed

EPILOG = """\b
Examples:
  superalign rate votes.csv
  superalign rate votes.jsonl --style length,headers --position --bootstrap 100
  superalign rate votes.csv --left answer_1 --right answer_2 --winner preferred --category language
  superalign rate last                 conditions of the newest record, each item a vote
\b
votes.csv needs two columns of competitors (left, right) and a winner (left, right or tie); rater and prompt
give intervals clustered by rater and the agreement between raters.
"""

Text = str | None


def add(app: typer.Typer) -> None:
    app.command("rate", epilog=EPILOG, rich_help_panel=None)(rate)


def rate(
    votes: Annotated[str, typer.Argument(help="A file of votes, or a record (its id, or last).")],
    left: Annotated[Text, typer.Option(help="Column of one competitor. [default: left, model_a, a]")] = None,
    right: Annotated[Text, typer.Option(help="Column of the other. [default: right, model_b, b]")] = None,
    winner: Annotated[Text, typer.Option(help="Column of the winner. [default: winner, outcome, vote]")] = None,
    rater: Annotated[Text, typer.Option(help="Column of who voted. [default: rater, judge, annotator]")] = None,
    prompt: Annotated[Text, typer.Option(help="Column of the prompt. [default: prompt, question]")] = None,
    category: Annotated[Text, typer.Option(help="Column of categories: a board for each.")] = None,
    style: Annotated[Text, typer.Option(help="Features to take out: columns <feature>_a and <feature>_b.")] = None,
    position: Annotated[bool, typer.Option("--position", help="Take out the left side's advantage.")] = False,
    reweight: Annotated[bool, typer.Option("--reweight", help="Pairs that met often count no more.")] = False,
    ridge: Annotated[float, typer.Option(min=0, help="For votes that do not connect everybody.")] = 0.0,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples for the intervals. [default: sandwich]")] = 0,
    anchor: Annotated[Text, typer.Option(help="A competitor whose rating is fixed.")] = None,
    at: Annotated[float, typer.Option(help="The rating of the anchor, or of the mean.")] = 1000.0,
    minimum: Annotated[int, typer.Option(min=1, help="Leave out competitors with fewer votes.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    store: StoreUrl = None,
    report: ReportPath = None,
    threads: Threads = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bradley-Terry ratings with intervals, ranks that state their rule, style control and agreement."""
    from superalign.compute.threads import limit as limit_threads

    limit_threads(threads)
    from superalign.core.spec import validate
    from superalign.studies.rate import Rate

    columns = {
        "left": left, "right": right, "winner": winner, "rater": rater, "prompt": prompt, "category": category,
    }  # fmt: skip
    values = {
        "votes": votes, "columns": {k: v for k, v in columns.items() if v}, "style": listed(style),
        "position": position, "reweight": reweight, "ridge": ridge, "bootstrap": bootstrap, "anchor": anchor,
        "at": at, "minimum": minimum, "seed": seed,
    }  # fmt: skip
    execute(validate(Rate, values), store=store, as_json=as_json, dry_run=dry_run, report=report)
