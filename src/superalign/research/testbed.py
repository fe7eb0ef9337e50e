"""What a testbed is: problems whose key stays with the scorer, a typed space of methods, and baselines with care.

A method sees the public arrays of a problem and returns predictions; it never sees the key, nor does the code that
proposes it. Problems come in three tiers that are never mixed: `dev` ones are free and their scores are never
reported; `public` ones are few and answered in steps; `confirm` ones are fresh, drawn by the scorer once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args
from typing import Protocol as Interface

import numpy as np

from superalign.core.errors import Degenerate, SpecError, nearest

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints
    from superalign.research.space import Method, Space

CLASSES = 127
"""The largest number of a class: answers are kept in a byte each."""

Tier = Literal["dev", "public", "confirm"]
TIERS: tuple[Tier, ...] = get_args(Tier)


@dataclass(frozen=True)
class Key:
    """What only the scorer holds: the right answers (m,) of the test items, the accuracy of the weak supervisor and
    of the ceiling on the same items, and answers (m,) that need no method (`majority`, `length`, ...)."""

    truth: Ints
    weak: float
    ceiling: float
    shortcuts: Mapping[str, Ints] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """One problem: arrays that a method may see, by name (the testbed's card says what they are), and its key."""

    family: str
    seed: int
    tier: Tier
    public: Mapping[str, Any]
    key: Key


@dataclass(frozen=True, slots=True)
class Baseline:
    """A known method: its published settings, and the axes on which equal care tunes it."""

    name: str
    settings: Mapping[str, Any]
    tuned: tuple[str, ...]
    source: str = ""


class Testbed(Interface):
    """A family of problems with one question. A new one is one file and one entry point.

    `families` may be searched on, `unseen` only confirmed on; `card` tells a proposer what the arrays are, what
    is asked, and what is known. `problem` is a pure function of its arguments. `solve` runs a typed method: it
    gets no key and returns predictions (m,) of the test items, as classes or as P(y = 1).
    """

    name: str
    card: str
    space: Space
    families: tuple[str, ...]
    unseen: tuple[str, ...]
    baselines: tuple[Baseline, ...]

    def problem(self, family: str, seed: int, tier: Tier) -> Problem: ...

    def solve(self, method: Method, public: Mapping[str, Any], seed: int) -> Floats | Ints: ...


def check_problem(testbed: Testbed, family: str, tier: str) -> None:
    """Raises SpecError, with near names, for a family that the testbed does not have and for what is no tier."""
    known = (*testbed.families, *testbed.unseen)
    if family not in known:
        raise SpecError(f"{testbed.name} has no family {family!r}; {nearest(family, known)}")
    if tier not in TIERS:
        raise SpecError(f"no tier is called {tier!r}; {nearest(tier, TIERS)}")


def answers(predictions: Any, items: int) -> Ints:
    """Predictions as classes. Raises SpecError for a wrong shape, for NaN and for what is no class and no probability."""
    found = np.asarray(predictions)
    if found.shape != (items,):
        raise SpecError(f"predictions have shape {found.shape}; the problem has {items} test items")
    if not np.issubdtype(found.dtype, np.number) and found.dtype != np.bool_:
        raise SpecError(f"predictions are {found.dtype}, not numbers")
    if not np.isfinite(found.astype(np.float64)).all():
        raise SpecError(f"{int((~np.isfinite(found.astype(np.float64))).sum())} predictions are not finite")
    if np.issubdtype(found.dtype, np.floating) and not (found == np.floor(found)).all():
        if found.min() < 0 or found.max() > 1:
            raise SpecError(
                f"predictions run from {found.min():.3g} to {found.max():.3g}; P(y = 1) lies between 0 and 1"
            )
        return (found > 0.5).astype(np.int64)
    if found.min() < 0 or found.max() > CLASSES:
        raise SpecError(f"predictions run from {found.min():.4g} to {found.max():.4g}; classes are numbered from 0")
    return found.astype(np.int64)


def recovered(problem: Problem, predictions: Any) -> float:
    """Performance gap recovered on one problem (Burns et al. 2023): 0 is the weak supervisor, 1 the ceiling.

    Raises Degenerate where the ceiling is no better than the weak supervisor.
    """
    key = problem.key
    if key.ceiling <= key.weak:
        raise Degenerate(
            f"{problem.family}/{problem.seed}: the ceiling {key.ceiling:.3f} is not above weak {key.weak:.3f}"
        )
    right = float((answers(predictions, len(key.truth)) == key.truth).mean())
    return (right - key.weak) / (key.ceiling - key.weak)
