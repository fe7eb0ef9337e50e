"""Waiting for people: a run in which somebody at a desk has to answer goes on as soon as the answers are in."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from superalign.compute.runs import Live
    from superalign.core.ports import Progress, Store
    from superalign.core.spec import Record
    from superalign.core.study import Prepared
    from superalign.people.desk import Desk

    Awaited = Mapping[Desk, set[str]]

LOOKS = 0.25
"""Seconds between two looks at the desks."""


def to_the_end(prepared: Prepared, store: Store, run: Live, progress: Progress) -> Record:
    """The record of a study; where games wait for people at a desk, the record once they have answered.

    The study is run again after each answer to a question of its own. What was said is never asked for again, so the
    games move on from where they were.
    """
    from superalign.people.desk import awaiting

    while True:
        with awaiting() as awaited:
            record = prepared.run(progress)
        if not awaited:
            return record
        _tell(store, awaited, run)
        while not any(desk.due(calls) for desk, calls in awaited.items()):
            _count(awaited, progress)
            time.sleep(LOOKS)
        run.say("running")


def _count(awaited: Awaited, progress: Progress) -> None:
    for desk in awaited:
        counts = desk.counts()
        progress(f"answers at the desk {desk.name}", counts.answers, counts.answers + counts.wanted)


def _tell(store: Store, awaited: Awaited, run: Live) -> None:
    """Say once what is waited for and where to answer."""
    left = sum(desk.wanted(calls) for desk, calls in awaited.items())
    names = ", ".join(dict.fromkeys(desk.name for desk in awaited))
    why = f"{left:,} {'answer' if left == 1 else 'answers'} wanted at the desk {names}"
    run.say("waiting", why)
    if not run.told:
        run.told = True
        print(f"{why}: {_where(store)}. Ctrl-C leaves it; the same command goes on.", file=sys.stderr, flush=True)


def _where(store: Store) -> str:
    from superalign.store import beside

    try:
        url = json.loads((beside(store, "web") / "address.json").read_text(encoding="utf-8"))["url"]
        return f"answer at {url}/judge"
    except (OSError, ValueError, KeyError, TypeError):
        return "type `superalign serve` in another terminal and answer there"
