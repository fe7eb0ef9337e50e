"""Who judged what: recorded debates as played games, one per judge, and their grades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superalign.core.resample import Floats
from superalign.core.task import Task
from superalign.core.types import Judgment, Seat, Verdict
from superalign.protocols.played import Played, Turn
from superalign.tasks.debates import Belief, Corpus, Debate, Speech

UNDECIDED = "undecided"
"""The answer of a judge who ended on equal beliefs. It counts as wrong; equal beliefs on the way count half."""


@dataclass(frozen=True, slots=True)
class Sitting:
    """One judge before one debate: the beliefs in order, and how many rounds of speeches came before each."""

    id: str
    condition: str
    debate: Debate
    judge: str
    beliefs: tuple[Belief, ...]
    heard: tuple[int, ...]
    live: bool

    @property
    def finished(self) -> bool:
        """Whether the judge ended the debate, so that the last belief is a verdict."""
        return bool(self.beliefs) and self.beliefs[-1].ends

    @property
    def side(self) -> int | None:
        """The answer argued for in a consultancy; None in a debate."""
        return self.debate.sides[0] if len(self.debate.sides) == 1 else None


def sittings(corpus: Corpus, settings: Sequence[str], offline: bool) -> list[Sitting]:
    """Every judge of every debate of these settings: the live one, and those who read it later.

    An offline judge's condition is the setting and the mode: `human-debate-stepped`.
    """
    found = []
    for debate in (d for d in corpus.debates if d.setting in settings):
        live = [(k, r.belief) for k, r in enumerate(debate.rounds) if r.belief is not None]
        heard = tuple(sum(bool(r.speeches) for r in debate.rounds[:k]) for k, _ in live)
        beliefs = tuple(b for _, b in live)
        judge = beliefs[0].judge if beliefs else ""
        found.append(Sitting(debate.id, debate.setting, debate, judge, beliefs, heard, True))
        for k, later in enumerate(debate.offline if offline else (), start=1):
            rounds = sum(bool(r.speeches) for r in debate.rounds)
            after = (rounds,) if later.mode == "timed" else tuple(min(n, rounds) for n in range(len(later.beliefs)))
            name, condition = f"{debate.id}.{later.mode}-{k}", f"{debate.setting}-{later.mode}"
            found.append(Sitting(name, condition, debate, later.judge, later.beliefs, after, False))
    return found


def verdict(belief: Belief) -> Verdict:
    """What a belief says: its most probable answer; between equals `undecided` at the end, and nothing before."""
    top = max(belief.probs)
    chosen = [k for k, p in enumerate(belief.probs) if p == top]
    tie = UNDECIDED if belief.ends else None
    return Verdict(chosen[0] if len(chosen) == 1 else tie, belief.probs)


@dataclass(frozen=True)
class Graded:
    """Beliefs with their grades, each array (n,): whether right, the probability of the truth, squared error over
    both answers, the probability of the top answer; and whose they are, to be resampled together."""

    right: Floats
    truth: Floats
    brier: Floats
    top: Floats
    story: NDArray[Any]
    judge: NDArray[Any]

    def __len__(self) -> int:
        return len(self.right)

    def where(self, mask: NDArray[np.bool_]) -> Graded:
        """Some of the beliefs."""
        return Graded(*(v[mask] for v in (self.right, self.truth, self.brier, self.top, self.story, self.judge)))


def grade(task: Task, seen: Sequence[tuple[Sitting, Belief]]) -> Graded:
    """Grade beliefs against the sealed answers."""
    judgments = [Judgment(s.debate.id, Seat(), verdict(b)) for s, b in seen]
    right, log, brier = (task.score(judgments, m).astype(np.float64) for m in ("accuracy", "log", "brier"))
    top = np.array([max(b.probs) for _, b in seen], np.float64)
    story = np.array([s.debate.story.title for s, _ in seen], dtype=str)
    judge = np.array([b.judge for _, b in seen], dtype=str)
    return Graded(right, np.exp(log), brier, top, story, judge)


def honest_sides(task: Task, debates: Sequence[Debate]) -> dict[str, int | None]:
    """The speaker's side that is true, by debate; None where nobody argued for the truth."""
    each = [(d, side) for d in debates for side in d.sides]
    right = task.score([Judgment(d.id, Seat(), Verdict(side)) for d, side in each], "accuracy")
    found: dict[str, int | None] = {d.id: None for d in debates}
    found.update({d.id: side for (d, side), true in zip(each, right, strict=True) if true})
    return found


def games(found: Sequence[Sitting], right: dict[str, float], honest: dict[str, int | None]) -> tuple[Played, ...]:
    """Sittings as played games. `right` has the grade of those that ended, by id."""
    return tuple(_game(s, right.get(s.id), honest[s.debate.id]) for s in found)


def _game(sitting: Sitting, right: float | None, honest: int | None) -> Played:
    debate = sitting.debate
    asked = list(zip(sitting.heard, sitting.beliefs, strict=True))
    turns: list[Turn] = []
    for heard, speeches in enumerate([(), *(r.speeches for r in debate.rounds if r.speeches)]):
        turns += [_speech(debate, s) for s in speeches]
        turns += [Turn("judge", b.judge, b.comment, debate.answers, b.probs) for n, b in asked if n == heard]
    ended = verdict(sitting.beliefs[-1]) if sitting.finished else Verdict(None, abstained="no judge ended it")
    seat = Seat(assigned=None if sitting.side is None else debate.answers[sitting.side])
    return Played(sitting.id, sitting.condition, debate.id, seat, tuple(turns), ended, right, honest)


def _speech(debate: Debate, speech: Speech) -> Turn:
    role = "consultant" if len(debate.sides) == 1 else f"debater/{'ab'[speech.side]}"
    return Turn(role, speech.speaker, speech.text)
