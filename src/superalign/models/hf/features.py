"""Frozen features: one vector per text, computed once and kept by content."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.digest import digest
from superalign.models.hf.batches import Reader, read_items

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints
    from superalign.core.steps import Steps
    from superalign.core.types import Item

Pooled = Callable[[Sequence["Ints"]], Iterator[tuple["Ints", "Floats"]]]
"""Tokenised texts to `(positions, (b, d))` pieces."""

_BLOCK = 256
"""Rows kept at a time, so that a killed run loses seconds of work and the store is not called per batch."""


class Features:
    """`features(items)` -> (n, d), or (n, K, d) float32 where choices are the items' own texts.

    Rows are kept under the text's own hash: two tasks that share texts, or two choices of one item, share
    rows. `identity` holds all that a row depends on: hashes of weights and tokenizer, pool, layer, tokens, dtype.
    """

    def __init__(
        self, identity: Mapping[str, Any], reader: Reader, pooled: Pooled, steps: Steps, per_choice: bool
    ) -> None:
        self.identity, self._reader, self._pooled, self._steps = dict(identity), reader, pooled, steps
        self._per_choice = per_choice

    def __call__(self, items: Sequence[Item]) -> Floats:
        texts, per_item = read_items(items, self._per_choice)
        rows = self.of(texts)
        return rows.reshape(len(items), per_item, -1) if self._per_choice else rows

    def of(self, texts: Sequence[str]) -> Floats:
        """Vectors (n, d) of these texts."""

        def compute(missing: Sequence[int]) -> Iterator[tuple[Sequence[int], Floats]]:
            tokens = self._reader.tokens([texts[i] for i in missing])
            waiting: list[tuple[Ints, Floats]] = []
            for positions, block in self._pooled(tokens):
                waiting.append((positions, block))
                if sum(len(p) for p, _ in waiting) >= _BLOCK:
                    yield _joined(missing, waiting)
                    waiting = []
            if waiting:
                yield _joined(missing, waiting)

        return self._steps.rows("encode", 1, self.identity, [digest(text)[:32] for text in texts], compute)


def _joined(missing: Sequence[int], pieces: Sequence[tuple[Ints, Floats]]) -> tuple[list[int], Floats]:
    return [missing[int(i)] for p, _ in pieces for i in p], np.concatenate([block for _, block in pieces])
