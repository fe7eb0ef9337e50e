"""Home: what waits for people, what is running, and what was found last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from superalign.compute.runs import Run
from superalign.people.desk import Counts
from superalign.report.view import Link, View, fragment
from superalign.report.views.runs import Line, run_data


def home(running: Sequence[Run], lines: Sequence[Line], desks: Mapping[str, Counts], link: Link) -> View:
    """The first page. `lines` are the newest records, `desks` how far each is."""
    body = fragment("home.html", running=running, lines=lines, desks=desks, link=link)
    data = {
        "running": [run_data(r) for r in running],
        "records": [asdict(line) for line in lines],
        "desks": {name: asdict(counts) for name, counts in desks.items()},
    }
    return View("Home", body, data)
