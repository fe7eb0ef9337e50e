"""Detection: does this text hold what the explanation speaks of? (Paulo et al. 2024, arXiv 2410.13928, section 3.)

One text per question: texts that are judged together tell by their number how many of them are positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.ports import Model, Progress, silent
from superalign.core.transcript import Transcript
from superalign.core.types import Message, Settings
from superalign.interp.asking import desk, likelihood
from superalign.interp.evidence import Evidence
from superalign.interp.scorers.judged import Sample, Sampling, judged, sample
from superalign.interp.templates import sheet
from superalign.interp.units import Explanation, Score
from superalign.protocols.room import listed

if TYPE_CHECKING:
    from superalign.core.ports import Floats

CHOICES = ("yes", "no")


class Detection:
    """A Scorer: balanced accuracy, rate of false positives and AUC for each source of negatives, and at the prevalence
    of the text precision, F1 and AUPRC. `settings` go with each question."""

    def __init__(
        self,
        judge: Model,
        transcript: Transcript | None = None,
        *,
        sampling: Sampling | None = None,
        sources: Sequence[str] = ("uniform",),
        template: str = "",
        settings: Settings | None = None,
        progress: Progress = silent,
    ) -> None:
        self.name = f"detection:{judge.name}"
        self._desk, self._settings = desk("judge", judge, transcript, progress), settings
        self._sampling, self._sources = sampling or Sampling(), tuple(sources)
        self._sheet = sheet("detection", template, {"task": (), "question": ("explanation", "text", "choices")})

    def score(self, pairs: Sequence[tuple[Explanation, Evidence]]) -> list[list[Score]]:
        """Scores of each explanation; undefined for a unit that is active in all windows or in none."""
        return judged("detection", pairs, self._sources, self._draw, self._likely, decided=True)

    def _draw(self, evidence: Evidence, source: str) -> Sample:
        return sample(evidence, source, self._sampling)

    def _likely(self, asked: Sequence[tuple[Explanation, Sample]]) -> list[Floats]:
        texts = [(e, "".join(tokens)) for e, chosen in asked for tokens in chosen.windows.texts()]
        verdicts = self._desk.choose([(self._question(e, text), CHOICES) for e, text in texts], self._settings)
        edges = np.cumsum(np.array([len(chosen.index) for _, chosen in asked], np.int64))[:-1]
        return np.split(np.array([likelihood(v) for v in verdicts]), edges)

    def _question(self, explanation: Explanation, text: str) -> list[Message]:
        question = self._sheet.fill("question", explanation=explanation.text, text=text, choices=listed(CHOICES))
        return [Message("system", self._sheet.fill("task")), Message("user", question)]
