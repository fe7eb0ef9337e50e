"""From predicted to real scale: what a simulation's values mean, fitted on the split `calibrate` and on nothing else.

A simulator speaks on a scale of its own (0 or 1, 0 to 10). Correlation does not mind; explained variance and ablation
do. `linear` is a ~ w s + b by least squares, `percentile` gives each prediction the activation of the same rank (Bills
et al. 2023, "Simulating neuron behavior"), `identity` leaves it alone. The linear map of a simulation that knows
nothing is the mean, so a wrong explanation scores 0 under ablation; uncalibrated it scored down to -15 on the compiled
world, because a wrong activation does more harm than a mean one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superalign.core.errors import PluginError, SpecError, nearest
from superalign.interp.corpus import SPLITS, Windows
from superalign.interp.evidence import Evidence
from superalign.interp.units import Simulation

Values = NDArray[Any]
Calibration = Callable[[Values], Values]
"""From predictions (m,) to activations (m,)."""


@dataclass(frozen=True, slots=True)
class Linear:
    """w s + b."""

    weight: float
    bias: float

    def __call__(self, s: Values) -> Values:
        return self.weight * np.asarray(s, np.float64) + self.bias


@dataclass(frozen=True, slots=True)
class Percentile:
    """The activation of the same rank: `levels` are the predictions seen, ascending, `means` the activation of each."""

    levels: Values
    means: Values

    def __call__(self, s: Values) -> Values:
        return np.interp(np.asarray(s, np.float64), self.levels, self.means)


def identity(s: Values) -> Values:
    """The predictions as they are."""
    return np.asarray(s, np.float64)


def linear(s: Values, a: Values) -> Linear:
    """Least squares; a simulation that never varies is worth the mean."""
    s, a = np.asarray(s, np.float64), np.asarray(a, np.float64)
    centred = s - s.mean()
    variance = float(centred @ centred)
    weight = float(centred @ (a - a.mean())) / variance if variance else 0.0
    return Linear(weight, float(a.mean() - weight * s.mean()))


def percentile(s: Values, a: Values) -> Percentile:
    """Ranks of s matched with ranks of a. Equal predictions get the mean of the activations that fall to them."""
    levels, counts = np.unique(np.asarray(s, np.float64), return_counts=True)
    starts = np.cumsum(counts) - counts
    return Percentile(levels, np.add.reduceat(np.sort(np.asarray(a, np.float64)), starts) / counts)


_KINDS: dict[str, Callable[[Values, Values], Calibration]] = {
    "linear": linear, "percentile": percentile, "identity": lambda s, a: identity,
}  # fmt: skip


def fit(kind: str, simulation: Simulation, evidence: Evidence, windows: Windows) -> Calibration | None:
    """The calibration `linear`, `percentile` or `identity` of a simulation of `windows`, which must all be of the split
    `calibrate`; failed positions are left out. None where nothing is left to fit it on.

    Raises SpecError for windows of another split and for an unknown kind.
    """
    if kind not in _KINDS:
        raise SpecError(f"no calibration is called {kind!r}; {nearest(kind, _KINDS)}")
    splits = {SPLITS[code] for code in windows.corpus.window_split[windows.index].tolist()}
    if splits - {"calibrate"}:
        raise SpecError(
            f"a calibration is fitted on the split 'calibrate' alone, these windows are of {sorted(splits)}; "
            'pass corpus.pick("calibrate")'
        )
    kept = usable(simulation, windows)
    if not kept.any():
        return None
    return _KINDS[kind](simulation.values[kept], evidence.on(windows)[kept])


def usable(simulation: Simulation, windows: Windows) -> NDArray[np.bool_]:
    """(m,) the positions that were answered. Raises PluginError for a simulation of other windows."""
    size = len(windows.rows)
    if simulation.status != "ok":
        return np.zeros(size, bool)
    values, failed = np.asarray(simulation.values), np.asarray(simulation.failed, bool)
    if values.shape != (size,) or failed.shape != (size,):
        raise PluginError(
            f"a simulation has {values.shape} values and {failed.shape} failures for windows of {size} positions; "
            "a simulator gives one of each per position"
        )
    return ~failed
