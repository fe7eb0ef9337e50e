"""Alarms over a board's submissions: who asks the scorer instead of the question leaves a pattern.

    flips       many submissions that differ from an earlier one by a few answers, each time by others
    scatter     submissions that hardly agree with one another, as random ones do
    one-class   several submissions with one class for nearly all items of a balanced problem
    rejected    many requests that the scorer had to reject

An alarm says that somebody should look; it takes nothing back. Who knows the rules gets round them (flips with one old
position each, or of more than 1 % of the items); what bounds the damage is the Ladder's step and the budget.

Measured on 40 fresh honest campaigns of 50 submissions (30 by evolution, 10 at random, on `w2s-micro`), after ITEMS,
COLLAPSED and FEWEST were chosen on 80 others: no false alarm on 1,000 items (95 % interval 0 to .088). Flips of 1, 2, 5
or 10 of 1,000 answers raise the alarm at submission 9; one flip after every honest submission at 16; one after every
three in 44 of 120 campaigns. On few items honest variants are near, too: without ITEMS the flips would be a false alarm
in 11 of 40 campaigns on 100 items; over slices of the 120 in 17 of 1,440 on 250, 3 of 840 on 400 and 1 of 720 on 500.
In 34 of the 120 a method collapsed to one class, never more than two within a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from superalign.core.errors import SpecError

Answers = NDArray[np.int8]
Which = Literal["flips", "scatter", "one-class", "rejected"]

WINDOW = 20
"""Alarms look at so many distinct submissions, the last ones."""
STRIKES = 8
"""So many strikes in the window are an alarm."""
NEAR = 0.01
"""Two submissions are near where at most this share of their answers differs, and always where one answer does."""
ITEMS = 400
"""With fewer items flips raise no alarm: honest variants differ by as few."""
KNOWN = 1 / 3
"""A near submission is no strike where this share of its changes was changed by strikes before."""
AGREEMENT, FEWEST = 0.6, 10
"""Honest submissions agree on .85 to .95 of the items, random ones on half. The first 5 of one honest campaign
agreed on .59; from 10 on the lowest median of 80 campaigns was .77."""
SHARE, COLLAPSED = 0.98, 4
"""So many different submissions in the window that give one class to more than this share are an alarm."""
REJECTED = 10


@dataclass(frozen=True, slots=True)
class Submission:
    """What was submitted to one public problem: its name, and the answers (n,) as classes."""

    dataset: str
    answers: Answers


@dataclass(frozen=True, slots=True)
class Alarm:
    """What is odd, and the sentence that says so."""

    which: Which
    says: str


def watch(history: Sequence[Submission], new: Submission, *, balanced: bool = True) -> list[Alarm]:
    """The alarms that hold once `new` is submitted after `history`, oldest first; boards are watched one by one.

    A pure function, so that a scorer that starts again comes to the same: an alarm that goes on is told again at every
    submission, and it is for the caller to write it down once. `balanced` says whether the classes of the problem
    are about as frequent; else one class may be the honest answer. Raises SpecError for answers of several lengths.
    """
    rows = _distinct([s for s in [*history, new] if s.dataset == new.dataset])
    found = [
        _flips(rows, new.dataset),
        _scatter(rows, new.dataset),
        _one_class(rows, new.dataset) if balanced else None,
    ]
    return [alarm for alarm in found if alarm is not None]


def rejections(count: int) -> list[Alarm]:
    """The alarm over so many rejected requests of a campaign: predictions of a wrong form, or where none were due."""
    if count <= REJECTED:
        return []
    return [
        Alarm("rejected", f"{count} requests were rejected; an honest campaign makes no more than {REJECTED} mistakes")
    ]


def strikes(rows: Answers) -> NDArray[np.bool_]:
    """Which of the distinct submissions (k, n), oldest first, are strikes, (k,).

    A strike is near an earlier submission (the nearest counts, the first of several) but changes answers that strikes
    before it did not: variants of one method move the same undecided items again and again, probes move on.
    """
    limit = max(1, int(NEAR * rows.shape[1]))
    struck, touched = np.zeros(len(rows), np.bool_), np.zeros(rows.shape[1], np.bool_)
    for k in range(1, len(rows)):
        apart = (rows[:k] != rows[k]).sum(1)
        nearest = int(apart.argmin())
        if not 0 < apart[nearest] <= limit:
            continue
        changed = rows[nearest] != rows[k]
        if (changed & touched).sum() < KNOWN * apart[nearest]:
            struck[k] = True
            touched |= changed
    return struck


def _distinct(board: Sequence[Submission]) -> Answers:
    """The different submissions of a board, (k, n), each where it came first: copies would only dilute the window."""
    items = {len(s.answers) for s in board}
    if len(items) > 1 or 0 in items or any(s.answers.ndim != 1 for s in board):
        raise SpecError(
            f"submissions to {board[-1].dataset!r} have {sorted(items)} answers; one board, one set of items"
        )
    return np.array(list({s.answers.tobytes(): s.answers for s in board}.values()))


def _flips(rows: Answers, dataset: str) -> Alarm | None:
    count = int(strikes(rows)[-WINDOW:].sum())
    if count < STRIKES or rows.shape[1] < ITEMS:
        return None
    said = f"{count} of the last {min(len(rows), WINDOW)} different submissions to {dataset!r} change a few other answers each"
    return Alarm("flips", said)


def _scatter(rows: Answers, dataset: str) -> Alarm | None:
    last = rows[-WINDOW:]
    if len(last) < FEWEST:
        return None
    every = (last[:, None] == last).mean(2)
    agreement = float(np.median(every[np.triu_indices(len(last), 1)]))
    if agreement >= AGREEMENT:
        return None
    return Alarm(
        "scatter", f"the last {len(last)} different submissions to {dataset!r} agree on {agreement:.2f} of the items"
    )


def _one_class(rows: Answers, dataset: str) -> Alarm | None:
    last = rows[-WINDOW:]
    shares = [float(np.unique(row, return_counts=True)[1].max() / len(row)) for row in last]
    count = sum(share > SHARE for share in shares)
    if count < COLLAPSED:
        return None
    said = f"{count} of the last {len(last)} different submissions to {dataset!r} give one class to over {SHARE:.0%} of the items"
    return Alarm("one-class", said)
