"""A typed space of methods: named axes, each with its domain and a neutral value that turns it off.

Because a method is a point of this space, mutation, crossover, distance, ablation, equal-care grids and a count of
its complexity need no code of their own. After `methods` that search by program: an idea is one step away from another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import log, prod
from typing import TYPE_CHECKING, Any

from superalign.core.errors import SpecError, nearest

if TYPE_CHECKING:
    import numpy as np

Value = str | int | float
Method = Mapping[str, Value]
"""A value for every axis of a space."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One choice: its values in order, and the one that means that the operator is off.

    `ordered` axes are numbers, compared by the difference of their logarithms (of their ranks where one is 0);
    others are compared by equality.
    """

    name: str
    values: tuple[Value, ...]
    neutral: Value
    family: str = "method"
    ordered: bool = False

    def __post_init__(self) -> None:
        if self.neutral not in self.values:
            raise SpecError(f"axis {self.name!r}: the neutral value {self.neutral!r} is not among {list(self.values)}")

    def apart(self, a: Value, b: Value) -> float:
        """How different two values are, from 0 to 1."""
        if not self.ordered or len(self.values) < 2:
            return float(a != b)
        numbers = [float(v) for v in self.values]
        if min(numbers) > 0:
            return abs(log(float(a) / float(b))) / log(max(numbers) / min(numbers))
        return abs(self.values.index(a) - self.values.index(b)) / (len(self.values) - 1)


@dataclass(frozen=True, slots=True)
class Space:
    """The axes of a testbed's methods."""

    axes: tuple[Axis, ...]

    @property
    def size(self) -> int:
        """The number of methods."""
        return prod(len(a.values) for a in self.axes)

    @property
    def neutral(self) -> dict[str, Value]:
        """Every operator off."""
        return {a.name: a.neutral for a in self.axes}

    def method(self, **values: Any) -> dict[str, Value]:
        """The method with these values and neutral ones elsewhere. Raises SpecError for what is not in the space."""
        return self.check({**self.neutral, **values})

    def check(self, method: Mapping[str, Any]) -> dict[str, Value]:
        """The method, in the order of the axes. Raises SpecError for unknown or missing axes and foreign values."""
        names = [a.name for a in self.axes]
        for name in method:
            if name not in names:
                raise SpecError(f"no axis is called {name!r}; {nearest(name, names)}")
        checked: dict[str, Value] = {}
        for axis in self.axes:
            if axis.name not in method:
                raise SpecError(f"the method has no value for {axis.name!r}; choose one of {list(axis.values)}")
            if method[axis.name] not in axis.values:
                raise SpecError(
                    f"{axis.name}={method[axis.name]!r} is not in the space; choose one of {list(axis.values)}"
                )
            checked[axis.name] = axis.values[axis.values.index(method[axis.name])]
        return checked

    def draw(self, rng: np.random.Generator) -> dict[str, Value]:
        """A method drawn uniformly."""
        return {a.name: a.values[int(rng.integers(len(a.values)))] for a in self.axes}

    def distance(self, a: Method, b: Method) -> float:
        """Gower's distance (1971): the mean difference over axes, 0 for equal methods, at most 1."""
        return sum(axis.apart(a[axis.name], b[axis.name]) for axis in self.axes) / max(len(self.axes), 1)

    def complexity(self, method: Method) -> int:
        """The number of operators that are on: among equal scores the simpler method is preferred."""
        return sum(method[a.name] != a.neutral for a in self.axes)

    def grid(self, fixed: Mapping[str, Any], over: tuple[str, ...]) -> Iterator[dict[str, Value]]:
        """Every method that has the `fixed` values and any values on the axes `over`; neutral elsewhere."""
        chosen = [a for a in self.axes if a.name in over]
        for values in product(*(a.values for a in chosen)):
            yield self.method(**{**fixed, **{a.name: v for a, v in zip(chosen, values, strict=True)}})
