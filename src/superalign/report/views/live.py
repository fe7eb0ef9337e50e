"""A run in progress: its steps, what it learns, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping

from superalign.compute.runs import Run
from superalign.report.files import file_name
from superalign.report.toml import toml
from superalign.report.view import Link, View, fragment
from superalign.report.views import curves
from superalign.report.views.curves import Events
from superalign.report.views.runs import elapsed, lasting, moment, run_data

DONE = 8
"""Finished steps that are shown; the others are folded away."""


def live(run: Run, told: Mapping[str, Events], at: float, link: Link) -> View:
    """One run at a moment (seconds since 1970), refreshed while it goes on. `told` holds the events of its training runs;
    of many, the newest that can be told apart are drawn."""
    shown = dict(list(told.items())[-curves.LINES :])
    steps = list(run.steps.values())
    done = [s for s in steps if s.done >= s.total]
    folded = done[: max(0, len(done) - DONE)]
    body = fragment(
        "live.html",
        run=run,
        steps=[s for s in steps if s not in folded],
        folded=folded,
        plots=curves.plots(shown),
        names=list(shown),
        more=len(told) - len(shown),
        samples={name: found for name, events in shown.items() if (found := curves.samples(events))[1]},
        alarms=_alarms(shown),
        remaining=max((s for s in (step.left(at) for step in steps) if s is not None), default=None),
        at=at,
        toml=toml(dict(run.spec)),
        spec_file=file_name(run.study, ".toml"),
        link=link,
        elapsed=elapsed,
        lasting=lasting,
        moment=moment,
    )
    return View(run.title or run.id, body, {**run_data(run), "told": {k: _course(e) for k, e in told.items()}}, "runs")


def _alarms(told: Mapping[str, Events]) -> list[tuple[str, str, int]]:
    """What went wrong: which run, what about, in how many iterations."""
    found: dict[tuple[str, str], set[int]] = {}
    for name, events in told.items():
        for event in events:
            if event["kind"] in ("alarm", "stopped"):
                about = str(event.get("about") or event.get("reason"))
                found.setdefault((name, about), set()).add(event["iteration"])
    return [(name, about, len(at)) for (name, about), at in found.items()]


def _course(events: Events) -> dict[str, list[tuple[int, float]]]:
    return {key: pairs for key, _, _ in curves.CURVES if (pairs := curves.course(events, key))}
