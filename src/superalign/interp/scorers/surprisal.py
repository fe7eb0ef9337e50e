"""Surprisal: does knowing the explanation make windows with the unit's activity less surprising?

The score of a window is what its cross-entropy per token falls by when the explanation stands before it in the place
of a description that says nothing (idea: EleutherAI/delphi). Only a local model gives such numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from superalign.interp.evidence import Evidence
from superalign.interp.scorers.judged import Sample, Sampling, judged, sample
from superalign.interp.templates import sheet
from superalign.interp.units import Explanation, Score

if TYPE_CHECKING:
    from superalign.core.ports import Floats

    Likelihoods = Callable[[Sequence[tuple[str, str]]], Floats]


class Surprisal:
    """A Scorer: AUC for each source of negatives, and AUPRC at the prevalence of the text.

    `likelihoods(pairs) -> (n,)` gives log p(text | what stands before it) in nats for each (before, text), each pair
    once; `continuation_log_probs` of `models.hf.zero_shot` with its first three arguments bound is one.
    """

    def __init__(
        self,
        likelihoods: Likelihoods,
        *,
        name: str = "model",
        sampling: Sampling | None = None,
        sources: Sequence[str] = ("uniform",),
        template: str = "",
    ) -> None:
        self.name = f"surprisal:{name}"
        self._likelihoods, self._sampling, self._sources = likelihoods, sampling or Sampling(), tuple(sources)
        self._sheet = sheet("surprisal", template, {"described": ("explanation",), "neutral": ()})

    def score(self, pairs: Sequence[tuple[Explanation, Evidence]]) -> list[list[Score]]:
        """Scores of each explanation; undefined for a unit that is active in all windows or in none."""
        return judged("surprisal", pairs, self._sources, self._draw, self._likely, decided=False)

    def _draw(self, evidence: Evidence, source: str) -> Sample:
        return sample(evidence, source, self._sampling)

    def _likely(self, asked: Sequence[tuple[Explanation, Sample]]) -> list[Floats]:
        neutral = self._sheet.fill("neutral")
        before = [self._sheet.fill("described", explanation=explanation.text) for explanation, _ in asked]
        texts = [["".join(tokens) for tokens in chosen.windows.texts()] for _, chosen in asked]
        pairs = [
            (start, text) for own, row in zip(before, texts, strict=True) for start in (own, neutral) for text in row
        ]
        place = {pair: k for k, pair in enumerate(dict.fromkeys(pairs))}
        logs = np.asarray(self._likelihoods(list(place)), np.float64) if place else np.zeros(0)
        return [
            np.array([logs[place[own, text]] - logs[place[neutral, text]] for text in row])
            / np.diff(chosen.windows.bounds)
            for own, row, (_, chosen) in zip(before, texts, asked, strict=True)
        ]
