"""What the turns of a game are about, where a turn does not say it: the parts of an amplification, the steps of a
bisection. It is worked out from the turns themselves, as the protocols ask them; nothing where that does not come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from superalign.core.types import Item
from superalign.protocols.amplification import WAYS, sub_questions
from superalign.protocols.bisection import state_in
from superalign.protocols.played import Turn


def abouts(turns: Sequence[Turn], item: Item) -> list[str]:
    """A line for each turn, empty where there is nothing to say."""
    roles = {t.role for t in turns}
    if roles == {"overseer"}:
        return _parts(turns, item)
    if {"prover/a", "prover/b"} <= roles and isinstance(item.info.get("steps"), int):
        return _steps(turns, int(item.info["steps"]))
    return [""] * len(turns)


@dataclass(slots=True)
class _Part:
    """A question of an amplification. `state` is what its next turn is: `open`, `answer`, `split`, or `done`."""

    question: str
    state: str = "open"
    parts: list[_Part] = field(default_factory=list)

    def asked(self) -> Iterator[_Part]:
        """Those whose turn is next: all parts go forward together."""
        below = [part for part in self.parts if part.state != "done"]
        if below:
            for part in below:
                yield from part.asked()
        elif self.state != "done":
            yield self

    def take(self, turn: Turn, answered: set[str]) -> None:
        """Go on by a turn."""
        if self.state == "open" and turn.choices:
            self.state = "split" if _chosen(turn) == WAYS[1] else "answer"
        elif self.state == "split":
            found = sub_questions(turn.text)
            self.parts = [_Part(q, "done" if q in answered else "open") for q in found]
            self.state = "answer"
        else:
            self.state = "done"
            answered.add(self.question)


def _parts(turns: Sequence[Turn], item: Item) -> list[str]:
    found, answered = [""] * len(turns), set[str]()
    root = _Part(item.prompt)
    left = [k for k, t in enumerate(turns) if not t.choices or set(t.choices) == set(WAYS)]
    while left and root.state != "done":
        for part in list(root.asked()):
            if not left:
                return [""] * len(turns)
            place = left.pop(0)
            found[place] = "The question itself" if part is root else part.question
            part.take(turns[place], answered)
    return [""] * len(turns) if left or root.state != "done" else found


def _chosen(turn: Turn) -> str:
    if turn.probs:
        return turn.choices[max(range(len(turn.probs)), key=turn.probs.__getitem__)]
    return next((c for c in turn.choices if c == turn.text.strip()), "")


def _steps(turns: Sequence[Turn], steps: int) -> list[str]:
    found: list[str] = []
    low, high, named = 0, steps, dict[str, str]()
    for turn in turns:
        if turn.role in ("prover/a", "prover/b") and high - low > 1:
            middle = (low + high) // 2
            found.append(f"the state after step {middle}")
            named[turn.role] = state_in(turn.text)
            if len(named) == 2 and all(named.values()):
                same = len(set(named.values())) == 1
                low, high, named = (middle, high, {}) if same else (low, middle, {})
        else:
            found.append(f"the state after step {high}, from the one both agree on" if turn.role == "judge" else "")
    return found
