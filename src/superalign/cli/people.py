"""Waiting for people: a run in which somebody at a desk has to answer goes on as soon as the answers are in."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from superalign.compute.runs import Live
    from superalign.core.ports import Progress, Store
    from superalign.core.spec import Record
    from superalign.core.study import Prepared
    from superalign.people.desk import Desk

LOOKS = 0.25
"""Seconds between two looks at the desks."""


def to_the_end(prepared: Prepared, store: Store, run: Live, progress: Progress) -> Record:
    """The record of a study; where games wait for people at a desk, the record once they have answered.

    The study is run again after each answer. What was said is never asked for again, so the games move on from where
    they were.
    """
    while True:
        began = time.time()
        record = prepared.run(progress)
        waiting = [d for d in _desks(store) if d.counts().waiting or d.ready_after(began)] if waits(record) else []
        if not waiting:
            return record
        _tell(store, waiting, run)
        while not any(desk.ready_after(began) for desk in waiting):
            _count(waiting, progress)
            time.sleep(LOOKS)
        run.say("running")


def waits(record: Record) -> bool:
    """Whether a record is incomplete because people have not answered."""
    return any("waiting: human" in reason for reason in record.failures)


def _desks(store: Store) -> list[Desk]:
    from superalign.people.desk import Desk, desks

    return [Desk(store, name) for name in desks(store)]


def _count(waiting: list[Desk], progress: Progress) -> None:
    for desk in waiting:
        counts = desk.counts()
        progress(f"answers at the desk {desk.name}", counts.answers, counts.answers + counts.wanted)


def _tell(store: Store, waiting: list[Desk], run: Live) -> None:
    """Say once what is waited for and where to answer."""
    left = sum(desk.counts().wanted for desk in waiting)
    why = f"{left:,} {'answer' if left == 1 else 'answers'} wanted at the desk {', '.join(d.name for d in waiting)}"
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
