"""Token by token: any model predicts the activation at the last token of a text, from the explanation and the text up to
there. One question per token makes it the slowest simulator and the reference for the others (Bills et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from superalign.core.ports import Model, Progress, silent
from superalign.core.transcript import Transcript
from superalign.core.types import Message, Settings, Verdict
from superalign.interp.asking import desk, reasons
from superalign.interp.corpus import Windows
from superalign.interp.layout import TOP, highlighted, marks_for
from superalign.interp.templates import sheet
from superalign.interp.units import Explanation, Simulation, Status
from superalign.protocols.room import listed

CHOICES = tuple(str(n) for n in range(TOP + 1))


class TokenByToken:
    """A Simulator: at each position the mean of the levels 0 to 10 under the model's probabilities, or the level that
    it names. Positions without an answer are NaN and counted. `settings` go with each question."""

    def __init__(
        self,
        model: Model,
        transcript: Transcript | None = None,
        *,
        template: str = "",
        settings: Settings | None = None,
        progress: Progress = silent,
    ) -> None:
        self.name = f"token-by-token:{model.name}"
        self._desk, self._settings = desk("simulator", model, transcript, progress), settings
        fields = ("explanation", "text", "before", "after", "choices")
        self._sheet = sheet("token_by_token", template, {"task": (), "question": fields})

    def simulate(self, asked: Sequence[tuple[Explanation, Windows]]) -> list[Simulation]:
        """Values in 0 to 10 at every position of the windows."""
        questions = [
            (self._question(explanation, tokens[: k + 1]), CHOICES)
            for explanation, windows in asked
            for tokens in windows.texts()
            for k in range(len(tokens))
        ]
        verdicts = self._desk.choose(questions, self._settings)
        edges = np.cumsum([0, *(len(windows.rows) for _, windows in asked)]).tolist()
        return [_simulation(verdicts[a:b]) for a, b in pairwise(edges)]

    def _question(self, explanation: Explanation, tokens: Sequence[str]) -> list[Message]:
        marks = marks_for("".join(tokens) + explanation.text)
        last = np.arange(len(tokens)) == len(tokens) - 1
        question = self._sheet.fill(
            "question", explanation=explanation.text, text=highlighted(tokens, last, marks), before=marks.before,
            after=marks.after, choices=listed(CHOICES),
        )  # fmt: skip
        return [Message("system", self._sheet.fill("task")), Message("user", question)]


def _simulation(verdicts: Sequence[Verdict]) -> Simulation:
    values = np.array([_value(v) for v in verdicts])
    failed = np.isnan(values)
    reason = f"{failed.sum()} of {len(values)} positions have no value: {reasons(verdicts)}" if failed.any() else ""
    return Simulation(values, failed, _status(verdicts) if len(values) and failed.all() else "ok", reason)


def _value(verdict: Verdict) -> float:
    if verdict.abstained is not None or not isinstance(verdict.answer, int):
        return float("nan")
    if not verdict.probs:
        return float(verdict.answer)
    return float(np.dot(np.arange(len(verdict.probs)), verdict.probs))


def _status(verdicts: Sequence[Verdict]) -> Status:
    """Why there is nothing at all: refused, where every reply was a refusal."""
    kinds = {str(v.abstained).partition(":")[0] for v in verdicts}
    return "refused" if kinds == {"refusal"} else "undefined" if kinds <= {"failed", "waiting"} else "parse_failed"
