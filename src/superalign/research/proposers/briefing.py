"""What a language model is shown: the testbed's card, the space, and what was tried.

Development scores are told in steps, so that a model cannot climb on differences that are noise. Labels, confirmations
and results on public problems are no part of it: all that goes in is the testbed's card and what the proposer was told.
Texts from runs and from other proposers are JSON strings in ASCII without angle brackets: they cannot end the block
that says that they are data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from superalign.core.types import Message
from superalign.protocols.template import template
from superalign.research.proposers.propose import Code, Told
from superalign.research.space import Space

DIRECTIONS = (
    "Prefer small changes to what scored best: one axis, or two.",
    "Prefer combinations that nobody would try first.",
    "Prefer simple methods: turn off whatever does not help.",
    "Prefer to doubt the weak labels: which of them should not be learned?",
    "Prefer to ask what the student knows already, and how to let it show.",
    "Prefer to look at what failed and why.",
)
"""Vague on purpose, one for each seed: proposers with the same words soon propose the same."""
WORDS = 200
"""Characters of a rationale or a failure that are shown."""
CODE_TOP, CODE_RECENT = 4000, 400
"""Characters of a program that are shown."""


class Briefing:
    """Makes the messages. `top` of the best and `last` of the most recent methods are shown, scores in steps of
    `resolution`; `code` says whether programs may be proposed."""

    def __init__(
        self, space: Space, card: str, seed: int, *, top: int, last: int, resolution: float, code: bool, path: str = ""
    ) -> None:
        self._space, self._card, self._seed = space, card, seed
        self._top, self._last, self._resolution, self._code = top, last, resolution, code
        self._template = template("language", path or str(Path(__file__).parent / "templates" / "language.txt"), {
            "task": ("direction",), "question": ("card", "space", "resolution", "history", "count", "code"),
            "code": (), "again": ("faults",),
        })  # fmt: skip

    def messages(self, history: Sequence[Told], count: int) -> tuple[Message, ...]:
        """The question for `count` methods, given what was tried."""
        direction = DIRECTIONS[self._seed % len(DIRECTIONS)]
        question = self._template.fill(
            "question",
            card=self._card.strip() or "(no card)",
            space="\n".join(_line(axis) for axis in self._axes()),
            resolution=f"{self._resolution:g}",
            history="\n".join(self._rows(history)) or "(nothing yet)",
            count=str(count),
            code=self._template.fill("code") if self._code else "",
        )
        return Message("system", self._template.fill("task", direction=direction)), Message("user", question)

    def again(self, faults: Sequence[str]) -> Message:
        """What is said after a reply that cannot be used."""
        return Message("user", self._template.fill("again", faults="\n".join(f"- {f[:500]}" for f in faults[:8])))

    def _axes(self) -> list[dict[str, Any]]:
        return [
            {"axis": a.name, "values": list(a.values), "neutral": a.neutral, "family": a.family, "ordered": a.ordered}
            for a in self._space.axes
        ]

    def _rows(self, history: Sequence[Told]) -> list[str]:
        scored = [t for t in history if t.failure is None]
        best = sorted(scored, key=lambda t: (-self._rounded(t), self._complexity(t)))[: self._top]
        shown = {t.proposal.id for t in best}
        recent = [t for t in history[-self._last :] if t.proposal.id not in shown] if self._last else []
        return [self._row(t, CODE_TOP) for t in best] + [self._row(t, CODE_RECENT) for t in recent]

    def _row(self, told: Told, room: int) -> str:
        proposal = told.proposal
        fate = {"score": self._rounded(told)} if told.failure is None else {"failed": told.failure[:WORDS]}
        return _line({
            "id": proposal.id, **self._method(told, room), **fate, "problems": proposal.fidelity,
            "rationale": proposal.rationale[:WORDS],
        })  # fmt: skip

    def _method(self, told: Told, room: int) -> dict[str, Any]:
        method = told.proposal.method
        if isinstance(method, Code):
            return {"kind": "code", "function": method.function, "code": method.text[:room]}
        return {
            "kind": "typed",
            "values": {a.name: method[a.name] for a in self._space.axes if method[a.name] != a.neutral},
        }

    def _rounded(self, told: Told) -> float:
        steps = round(float(np.mean(told.scores)) / self._resolution)
        return round(steps * self._resolution, 6) + 0.0  # no minus before 0

    def _complexity(self, told: Told) -> int:
        method = told.proposal.method
        return len(self._space.axes) if isinstance(method, Code) else self._space.complexity(method)


def _line(value: Any) -> str:
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e")
