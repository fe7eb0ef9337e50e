"""Did speakers argue for the side they were given? A referee model reads each speech.

Who concedes makes a protocol look honest for the wrong reason: a debater who was told to argue for a wrong answer and
argues for the right one. Results are over all games, conceded or not (by intention to treat).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from superalign.core.driver import play
from superalign.core.ports import Model, Progress, silent
from superalign.core.resample import Floats
from superalign.core.transcript import Transcript
from superalign.core.types import Item, Judgment, Seat
from superalign.protocols.referee import referee, speeches


def conceded(
    judgments: Sequence[Judgment],
    truths: Mapping[str, str],
    model: Model,
    transcript: Transcript | None = None,
    progress: Progress = silent,
) -> tuple[Floats, Floats]:
    """Speeches per game and those that did not argue for their side, each (G, 2): for a wrong answer, for the right.

    `truths` is the right answer of each item. Games with the choices in another than the items' own order hold the
    same speeches again and are not read. A speech that the referee could not be asked about is not counted.
    """
    rows: list[tuple[int, Item]] = []
    for g, judgment in enumerate(judgments):
        if judgment.seat.order == tuple(sorted(judgment.seat.order)):
            rows += [(g, speech) for speech in speeches(judgment)]
    found = play(referee(), {"referee": model}, [(speech, Seat()) for _, speech in rows], transcript, progress)
    spoken, lost = np.zeros((len(judgments), 2)), np.zeros((len(judgments), 2))
    for (g, speech), ruling in zip(rows, found, strict=True):
        if ruling.verdict.answer is None:
            continue
        right = str(speech.info["assigned"]).partition(" ")[2] == truths[judgments[g].item]
        spoken[g, int(right)] += 1
        lost[g, int(right)] += ruling.verdict.answer != 0
    return spoken, lost
