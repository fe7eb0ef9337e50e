"""Intruder: which of these texts does not belong? It measures the unit and not an explanation: whether texts that it
finds equally strong have something in common that a judge can see (idea: EleutherAI/delphi). Chance is 1/q."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.core import resample
from superalign.core.errors import SpecError
from superalign.core.ports import Model, Progress, silent
from superalign.core.random import stream
from superalign.core.spec import Number
from superalign.core.transcript import Transcript
from superalign.core.types import Message, Settings, Verdict
from superalign.interp.asking import desk
from superalign.interp.corpus import Windows
from superalign.interp.evidence import Evidence
from superalign.interp.layout import escaped
from superalign.interp.scorers.judged import SPLIT
from superalign.interp.templates import sheet
from superalign.interp.units import Explanation, Score, undefined
from superalign.protocols.room import listed

NAME = "intruder:accuracy"
BINS = 10


@dataclass(frozen=True, slots=True)
class Trial:
    """One question: the windows as they are shown, the place of the one in which the unit is silent, its document."""

    windows: Windows
    place: int
    document: int


class Intruder:
    """A Scorer that reads no explanation: the share of `trials` in which the judge finds the silent one of `among`
    texts, whose others are from one tenth of the active windows."""

    def __init__(
        self,
        judge: Model,
        transcript: Transcript | None = None,
        *,
        among: int = 5,
        trials: int = 20,
        template: str = "",
        settings: Settings | None = None,
        progress: Progress = silent,
    ) -> None:
        if not 3 <= among <= 26:
            raise SpecError(f"an intruder among {among} texts cannot be told; take 3 to 26")
        self.name = f"intruder:{judge.name}"
        self._desk, self._settings = desk("judge", judge, transcript, progress), settings
        self._among, self._trials = among, trials
        self._sheet = sheet("intruder", template, {"task": (), "question": ("choices",)})

    def score(self, pairs: Sequence[tuple[Explanation, Evidence]]) -> list[list[Score]]:
        """One score per pair; undefined for a unit with too few active windows or without a silent one."""
        planned = [trials(evidence, self._among, self._trials) for _, evidence in pairs]
        asked = [self._question(trial) for row in planned for trial in row]
        verdicts = iter(self._desk.choose(asked, self._settings))
        return [[self._score(row, [next(verdicts) for _ in row])] for row in planned]

    def _score(self, row: Sequence[Trial], verdicts: Sequence[Verdict]) -> Score:
        answered = [(t, v) for t, v in zip(row, verdicts, strict=True) if v.abstained is None]
        failed = len(row) - len(answered)
        if not answered:
            why = (
                f"all {failed} answers failed"
                if row
                else f"no {self._among - 1} active windows of a tenth beside a silent one"
            )
            return undefined(NAME, f"undefined: {why}", failed=failed)
        hits = np.array([[float(v.answer == t.place) for t, v in answered]])
        number = resample.mean(hits, [t.document for t, _ in answered])
        chance = 1 / self._among
        return Score(
            NAME, number, "ok", len(answered), failed, base_rate=chance, controls={"chance": Number(value=chance)}
        )

    def _question(self, trial: Trial) -> tuple[list[Message], tuple[str, ...]]:
        texts = tuple(escaped("".join(tokens)) for tokens in trial.windows.texts())
        question = self._sheet.fill("question", choices=listed(texts))
        return [Message("system", self._sheet.fill("task")), Message("user", question)], texts


def trials(evidence: Evidence, among: int, count: int) -> list[Trial]:
    """At most `count` trials on the test split, from tenths of the active windows in turn; no intruder comes twice."""
    tenths = [part for part in np.array_split(evidence.active(SPLIT), BINS) if len(part) >= among - 1]
    intruders = evidence.quiet(SPLIT, count, "intruders").index if tenths else np.zeros(0, np.int64)
    rng = stream(evidence.seed, "windows", evidence.unit.name, SPLIT, "trials", among)
    made = []
    for k, intruder in enumerate(intruders.tolist()):
        others = rng.choice(tenths[k % len(tenths)], among - 1, replace=False)
        place = int(rng.integers(among))
        windows = Windows(evidence.corpus, np.insert(others, place, intruder).astype(np.int64))
        made.append(Trial(windows, place, int(evidence.corpus.document_of[evidence.corpus.windows[intruder]])))
    return made
