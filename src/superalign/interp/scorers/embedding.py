"""Embedding: are windows with the unit's activity nearer to the explanation than others? No model speaks: both are
vectors of a sentence encoder, and the score is the area under their cosines (idea: EleutherAI/delphi)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.digest import digest
from superalign.core.ports import Trainable
from superalign.core.types import Item
from superalign.interp.evidence import Evidence
from superalign.interp.scorers.judged import Sample, Sampling, judged, sample
from superalign.interp.templates import sheet
from superalign.interp.units import Explanation, Score

if TYPE_CHECKING:
    from superalign.core.ports import Floats

    Embed = Callable[[Sequence[str]], Floats]


class Embedding:
    """A Scorer: AUC for each source of negatives, and AUPRC at the prevalence of the text.

    `embed(texts) -> (n, d)` is asked once, for each text once; `embedded(model)` makes one of a local encoder.
    """

    def __init__(
        self,
        embed: Embed,
        *,
        name: str = "encoder",
        sampling: Sampling | None = None,
        sources: Sequence[str] = ("uniform",),
        template: str = "",
    ) -> None:
        self.name = f"embedding:{name}"
        self._embed, self._sampling, self._sources = embed, sampling or Sampling(), tuple(sources)
        self._sheet = sheet("embedding", template, {"query": ("explanation",)})

    def score(self, pairs: Sequence[tuple[Explanation, Evidence]]) -> list[list[Score]]:
        """Scores of each explanation; undefined for a unit that is active in all windows or in none."""
        return judged("embedding", pairs, self._sources, self._draw, self._likely, decided=False)

    def _draw(self, evidence: Evidence, source: str) -> Sample:
        return sample(evidence, source, self._sampling)

    def _likely(self, asked: Sequence[tuple[Explanation, Sample]]) -> list[Floats]:
        queries = [self._sheet.fill("query", explanation=explanation.text) for explanation, _ in asked]
        texts = [["".join(tokens) for tokens in chosen.windows.texts()] for _, chosen in asked]
        place = {text: k for k, text in enumerate(dict.fromkeys([*queries, *(t for row in texts for t in row)]))}
        if not place:
            return []
        vectors = np.asarray(self._embed(list(place)), np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return [
            vectors[[place[text] for text in row]] @ vectors[place[query]]
            for query, row in zip(queries, texts, strict=True)
        ]


def embedded(model: Trainable) -> Embed:
    """The frozen features of a model (`minilm`, `hf:`) as a function of texts.

    A model keeps features by the id of the item, so an item is named after its text: under numbers, the second list of
    texts would get the vectors of the first.
    """

    def embed(texts: Sequence[str]) -> Floats:
        return model.features([Item(digest(text), text) for text in texts])

    return embed
