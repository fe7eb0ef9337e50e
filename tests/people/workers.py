"""Other processes at a desk: `python workers.py NAME URL`. They say what they have done, and are killed at it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from superalign.people.desk import Desk
from superalign.store import open_store
from tests.people.asking import belief, says


def posts(url: str) -> None:
    """Questions, ten at a time."""
    desk = Desk(open_store(url))
    for k in range(100_000):
        some = [belief(f"{k}/{n}") for n in range(10)]
        desk.post(some)
        print("\n".join(q.call for q in some), flush=True)


def answers(url: str) -> None:
    """One answer after the other."""
    desk = Desk(open_store(url))
    desk.post([belief(f"i{k}") for k in range(5000)])
    while (question := desk.next("ann")) is not None:
        desk.answer("ann", question.call, says(question, 0))
        print(question.call, flush=True)


if __name__ == "__main__":
    {"posts": posts, "answers": answers}[sys.argv[1]](*sys.argv[2:])
