"""A run in progress: its steps, and how it ended."""

from __future__ import annotations

from superalign.compute.runs import Run
from superalign.report.toml import toml
from superalign.report.view import Link, View, fragment
from superalign.report.views.runs import run_data


def live(run: Run, link: Link) -> View:
    """One run, refreshed while it goes on."""
    body = fragment("live.html", run=run, steps=list(run.steps.values()), toml=toml(dict(run.spec)), link=link)
    return View(run.title or run.id, body, run_data(run), "runs")
