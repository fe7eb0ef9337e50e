"""Home: what waits for people, what is running, and what was found last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from superalign.people.desk import Counts
from superalign.report.view import Link, View, fragment
from superalign.report.views.runs import Line, Now, elapsed, lasting, moment, run_data

STEPS = (
    ("See one study from end to end", "superalign demo"),
    ("How much of a strong model's ability do weak labels elicit?", "superalign w2s --task digits --seeds 3"),
    ("Which protocol makes a weak judge right?", "superalign oversee --task evidence --protocols debate,consultancy"),
    ("Judge debates yourself", "superalign oversee --task evidence --protocols debate --judge human"),
    ("See a reward being over-optimised", "superalign rlhf --algo ppo,best-of-n"),
)
"""What to type first, and what for."""


def home(now: Now, lines: Sequence[Line], total: int, desks: Mapping[str, Counts], link: Link) -> View:
    """The first page. `lines` are the newest of `total` records, `desks` how far each is."""
    words = {"elapsed": elapsed, "lasting": lasting, "moment": moment}
    waiting = {name: counts for name, counts in desks.items() if counts.waiting}
    body = fragment("home.html", now=now, lines=lines, total=total, waiting=waiting, steps=STEPS, link=link, **words)
    data = {
        "running": [run_data(r) for r in now.going],
        "records": [asdict(line) for line in lines],
        "total": total,
        "desks": {name: asdict(counts) for name, counts in desks.items()},
    }
    return View("Home", body, data)
