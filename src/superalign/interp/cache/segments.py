"""Blocks of activations gathered into segments.

Values are float16 with one power of two per segment, so that nothing overflows; what is at most 1e-5 after rounding is
0, and a 0 is no entry. A sparse segment holds `values` and `index` (n, k) where every row has k entries, and with
`starts` (n + 1,) and flat arrays where their number varies. A dense one (neurons, both signs) holds `values`
(width, n), so that a unit is one strip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.errors import ModelError
from superalign.interp.cache.index import unit_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from superalign.core.ports import Floats, Ints

    Halves = NDArray[np.float16]

SMALLEST = 1e-5
_LARGEST = 65504.0
_ROWS = 1 << 20
_ENTRY = 32
"""Bytes of memory for an entry of a sparse segment, at the peak: 8 while it waits, the rest while it is sorted."""
_CELL = 4
"""Bytes for one of a dense segment."""


@dataclass
class Segment:
    """Rows that wait to be written. `form` is `dense`, `fixed` or `variable`; `memory` bounds what it takes."""

    form: str
    units: int
    memory: int
    rows: int = 0
    held: int = 0
    _values: list[Halves] = field(default_factory=list)
    _index: list[Ints] = field(default_factory=list)
    _counts: list[Ints] = field(default_factory=list)
    _scales: list[float] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether it is time to write."""
        return self.rows >= _ROWS or self.held >= self.memory

    def add(self, values: Floats, index: Ints | None, where: str) -> None:
        """Take (n, k) values and their units, or (n, units) dense ones.

        Raises ModelError for values and units that cannot be, `where` saying whose they are.
        """
        _checked(values, index, self.units, where)
        half, scale = halved(values)
        self._scales.append(scale)
        self.rows += len(values)
        if index is None:
            self.held += half.size * _CELL
            self._values.append(half)
            return
        narrow = index.astype(unit_type(self.units))
        present = half.view(np.uint16) != 0
        if self.form == "fixed":
            narrow[~present] = 0  # the bytes do not depend on which of many zeros came in
        else:
            self._counts.append(present.sum(1))
            half, narrow = half[present], narrow[present]
        self.held += half.size * _ENTRY
        self._values.append(half)
        self._index.append(narrow)

    def close(self) -> tuple[dict[str, NDArray[Any]], float]:
        """The arrays of the segment and its scale: an activation is value times scale. It is empty afterwards."""
        scale = max(self._scales)
        parts = [
            h * np.float16(s / scale) if s != scale else h for h, s in zip(self._values, self._scales, strict=True)
        ]
        arrays: dict[str, NDArray[Any]]
        if self.form == "dense":
            arrays = {"values": np.concatenate([part.T for part in parts], axis=1)}
        else:
            arrays = {"values": np.concatenate(parts), "index": np.concatenate(self._index)}
        if self.form == "variable":
            arrays["starts"] = np.concatenate([[0], np.cumsum(np.concatenate(self._counts))])
        self._values, self._index, self._counts, self._scales = [], [], [], []
        self.rows = self.held = 0
        return arrays, scale


def halved(values: Floats) -> tuple[Halves, float]:
    """Float16 values and the power of two, at least 1, that they are to be multiplied with."""
    peak = max(float(values.max()), -float(values.min())) if values.size else 0.0
    scale = 2.0 ** max(0, math.ceil(math.log2(peak / _LARGEST))) if peak else 1.0
    half = (values / np.float32(scale) if scale != 1 else values).astype(np.float16)
    bits = half.view(np.uint16)  # float16 without its sign is ordered as these integers are, and they compare faster
    least = np.float16(math.ceil(SMALLEST / scale * 2**24) / 2**24).view(np.uint16)
    half[(bits & np.uint16(0x7FFF)) < least] = 0
    return half, scale


def _checked(values: Floats, index: Ints | None, units: int, where: str) -> None:
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(low + high):
        raise ModelError(f"{where} has activations that are not finite; the model or its dictionary overflows")
    if index is None:
        return
    if low < 0:
        raise ModelError(f"{where} gives the activation {low:.3g}; an encoder gives none below 0")
    if int(index.min()) < 0 or int(index.max()) >= units:
        raise ModelError(f"{where} names the unit {int(index.max())} of {units}; its width is wrong")
