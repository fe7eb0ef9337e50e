"""The simulator of programs: 1 where the program is true, 0 where it is not. Exact, and without a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import SpecError
from superalign.interp.predicates.language import parse
from superalign.interp.predicates.reading import Reading
from superalign.interp.units import Explanation, Simulation, Status

if TYPE_CHECKING:
    from superalign.interp.corpus import Windows


class Programs:
    """Simulates explanations that carry a program; others have status `undefined`, faulty ones `parse_failed`.

    A program sees the text before a window as far as its context goes, as the unit did.
    """

    name = "programs"

    def simulate(self, asked: Sequence[tuple[Explanation, Windows]]) -> list[Simulation]:
        """One simulation of each pair, (m,) float32. Windows that are the same object are read once."""
        readings = {id(windows): Reading(windows.corpus, windows.rows) for _, windows in asked}
        return [_simulated(explanation, readings[id(windows)]) for explanation, windows in asked]


def _simulated(explanation: Explanation, reading: Reading) -> Simulation:
    if explanation.program is None:
        return _failed(reading, "undefined", f"the explanation {explanation.text[:60]!r} has no program")
    try:
        found = parse(explanation.program).at(reading)
    except SpecError as error:
        return _failed(reading, "parse_failed", str(error))
    return Simulation(found.astype(np.float32), np.zeros(len(reading), np.bool_))


def _failed(reading: Reading, status: Status, reason: str) -> Simulation:
    return Simulation(np.zeros(len(reading), np.float32), np.ones(len(reading), np.bool_), status, reason)
