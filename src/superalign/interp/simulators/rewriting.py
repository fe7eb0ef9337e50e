"""Rewriting: a model writes the tokens again with a level beside each. It needs no probabilities, so any model will do.

What it wrote counts only where it is line for line the text that was asked about; anything else is a mismatch, which is
counted and never taken for silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.ports import Model, Progress, silent
from superalign.core.transcript import Transcript
from superalign.core.types import Message, Settings
from superalign.interp.asking import Answer, Question, Unreadable, desk
from superalign.interp.corpus import Windows
from superalign.interp.layout import TOP, escaped
from superalign.interp.templates import sheet
from superalign.interp.units import Explanation, Simulation, Status

if TYPE_CHECKING:
    from superalign.core.ports import Floats


class Rewriting:
    """A Simulator: one question per window. A window that was not rewritten faithfully is NaN throughout."""

    def __init__(
        self,
        model: Model,
        transcript: Transcript | None = None,
        *,
        template: str = "",
        temperature: float = 0.0,
        progress: Progress = silent,
    ) -> None:
        self.name = f"rewriting:{model.name}"
        self._desk, self._temperature = desk("simulator", model, transcript, progress), temperature
        self._sheet = sheet("rewriting", template, {"task": (), "question": ("explanation", "tokens"), "again": ()})

    def simulate(self, asked: Sequence[tuple[Explanation, Windows]]) -> list[Simulation]:
        """Values in 0 to 10 at every position of the windows."""
        texts = [windows.texts() for _, windows in asked]
        questions = [self._question(x, tokens) for (x, _), own in zip(asked, texts, strict=True) for tokens in own]
        answers = iter(self._desk.write(questions))
        return [_simulation([(len(tokens), next(answers)) for tokens in own]) for own in texts]

    def _question(self, explanation: Explanation, tokens: Sequence[str]) -> Question:
        shown = "\n".join(f"{escaped(t)}\t?" for t in tokens)
        messages = (
            Message("system", self._sheet.fill("task")),
            Message("user", self._sheet.fill("question", explanation=explanation.text, tokens=shown)),
        )
        settings = Settings(self._temperature, 32 + 12 * len(tokens))
        return Question(messages, partial(read_levels, tokens=tuple(tokens)), self._sheet.fill("again"), settings)


def read_levels(text: str, tokens: tuple[str, ...]) -> Floats:
    """The levels beside the tokens, (n,). Blanks around tokens are forgiven, nothing else is. Raises Unreadable:
    `mismatch` where lines have levels but are not these tokens, `parse_failed` where no line has one."""
    parts = [
        (token, level.strip()) for token, _, level in (line.rstrip().rpartition("\t") for line in text.splitlines())
    ]
    found = [(token, int(level)) for token, level in parts if level.isdecimal() and len(level) <= 2]
    if not found:
        raise Unreadable(f"no line is a token, a tab and a level: {text.strip()[:60]!r}")
    if len(found) != len(tokens):
        raise Unreadable(f"{len(found)} lines for {len(tokens)} tokens", "mismatch")
    for place, ((said, _), token) in enumerate(zip(found, tokens, strict=True)):
        if said.strip() != escaped(token).strip():
            raise Unreadable(f"line {place + 1} is {said[:40]!r}, not {escaped(token)[:40]!r}", "mismatch")
    values = np.array([float(level) for _, level in found])
    if (values > TOP).any():
        raise Unreadable(f"a level of {values.max():g} is above {TOP}")
    return values


def _simulation(rows: Sequence[tuple[int, Answer]]) -> Simulation:
    """The windows of one explanation joined; `status` is that of most windows where all failed."""
    values = np.concatenate([np.full(n, np.nan) if a.failed else a.value for n, a in rows] or [np.zeros(0)])
    kinds: Counter[Status] = Counter(a.failed.status for _, a in rows if a.failed)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    reason = f"{kinds.total()} of {len(rows)} windows have no values: {told}" if kinds else ""
    status = kinds.most_common(1)[0][0] if rows and kinds.total() == len(rows) else "ok"
    return Simulation(values, np.isnan(values), status, reason)
