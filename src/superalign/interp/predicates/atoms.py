"""Programs: what is claimed of every row of a text, true or false.

An atom looks at one thing: the token here, the one before, the last n, all before; a pair of neighbours; the place in
the context; open quotes or brackets; a token that came before. Programs join atoms with and, or, not. They are built
by `both`, `either` and `negation`, which keep them in one canonical form, so equal claims in equal shape are equal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Literal

import numpy as np

from superalign.core.errors import SpecError
from superalign.interp.predicates.reading import Reading
from superalign.interp.predicates.tokens import Among, Test

if TYPE_CHECKING:
    from superalign.core.ports import Ints
    from superalign.interp.corpus import Corpus
    from superalign.interp.predicates.tokens import Mask

Where = Literal["token", "previous", "within", "before"]
STRINGS_PER_ATOM = 5
"""So many strings named weigh as much as one more atom: a set of dozens explains nothing to a reader."""


class Program(ABC):
    """True or false at every row of a text."""

    __slots__ = ()

    @abstractmethod
    def at(self, reading: Reading) -> Mask:
        """(m,) bool at the rows of the reading."""

    @abstractmethod
    def size(self) -> float:
        """Its complexity: the number of atoms, and a fifth for each string that they name."""

    def on(self, corpus: Corpus, rows: Ints) -> Mask:
        """(m,) bool at some rows of a corpus, in any order."""
        return self.at(Reading(corpus, rows))


@dataclass(frozen=True, slots=True)
class Look(Program):
    """A test of a token: here, the previous one, any of the last `n`, or any before; within the context."""

    where: Where
    test: Test
    n: int = 0

    def __post_init__(self) -> None:
        if (self.where == "within") != (self.n > 0):
            raise SpecError(f"{self.where!r} with {self.n} tokens; write within 3 in {{...}}, or before in {{...}}")

    def at(self, reading: Reading) -> Mask:
        """(m,) bool at the rows of the reading."""
        if self.where == "token":
            return reading.here(self.test)
        if self.where == "previous":
            return reading.before(self.test)
        since = reading.since(self.test)
        found: Mask = (since > 0) & (since <= self.n) if self.n else since > 0
        return found

    def size(self) -> float:
        """Its complexity."""
        return 1 + (len(self.test.strings) if isinstance(self.test, Among) else 1) / STRINGS_PER_ATOM


@dataclass(frozen=True, slots=True)
class Pair(Program):
    """The previous token and this one are one of these pairs of strings."""

    pairs: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        if not self.pairs:
            raise SpecError('pair in {} is never true; name pairs, such as pair in {"the" "cat"}')
        object.__setattr__(self, "pairs", tuple(sorted(set(self.pairs))))

    def at(self, reading: Reading) -> Mask:
        """(m,) bool at the rows of the reading."""
        known, size = reading.vocabulary, len(reading.vocabulary.strings) + 1
        wanted = np.array(sorted(known.kind_of(a) * size + known.kind_of(b) for a, b in self.pairs))
        found = reading.here(Among(tuple(second for _, second in self.pairs)))  # leaves few rows to look up
        rows = np.flatnonzero(found)
        key = known.kind[reading.previous[rows]] * size + known.kind[reading.token[rows]]
        found[rows] = wanted[np.minimum(np.searchsorted(wanted, key), len(wanted) - 1)] == key
        return found

    def size(self) -> float:
        """Its complexity."""
        return 1 + 2 * len(self.pairs) / STRINGS_PER_ATOM


@dataclass(frozen=True, slots=True)
class Place(Program):
    """The row is one of the first `below` of its context."""

    below: int

    def __post_init__(self) -> None:
        if self.below < 1:
            raise SpecError(f"place < {self.below} is never true; write place < 1 or more")

    def at(self, reading: Reading) -> Mask:
        """(m,) bool at the rows of the reading."""
        found: Mask = reading.place < self.below
        return found

    def size(self) -> float:
        """Its complexity."""
        return 1.0


@dataclass(frozen=True, slots=True)
class Inside(Program):
    """A quotation is open, or at least `depth` brackets are."""

    what: Literal["quotes", "brackets"]
    depth: int = 1

    def __post_init__(self) -> None:
        if self.depth < 1 or (self.what == "quotes" and self.depth > 1):
            raise SpecError(f"inside {self.what} {self.depth}; write inside quotes, or inside brackets 1 or more")

    def at(self, reading: Reading) -> Mask:
        """(m,) bool at the rows of the reading."""
        found: Mask = reading.quoted if self.what == "quotes" else reading.depth >= self.depth
        return found

    def size(self) -> float:
        """Its complexity."""
        return 1.0


@dataclass(frozen=True, slots=True)
class Repeated(Program):
    """The same token stands earlier in the context."""

    def at(self, reading: Reading) -> Mask:
        """(m,) bool at the rows of the reading."""
        return reading.repeated

    def size(self) -> float:
        """Its complexity."""
        return 1.0


@dataclass(frozen=True, slots=True)
class Not(Program):
    """The part is false. Build it with `negation`."""

    part: Program

    def at(self, reading: Reading) -> Mask:
        """(m,) bool at the rows of the reading."""
        return ~self.part.at(reading)

    def size(self) -> float:
        """Its complexity; a denial costs nothing of its own."""
        return self.part.size()


@dataclass(frozen=True, slots=True)
class And(Program):
    """Every part is true. Build it with `both`."""

    parts: tuple[Program, ...]

    def at(self, reading: Reading) -> Mask:
        """(m,) bool at the rows of the reading."""
        return reduce(np.logical_and, (part.at(reading) for part in self.parts))

    def size(self) -> float:
        """Its complexity."""
        return sum(part.size() for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or(Program):
    """At least one part is true. Build it with `either`."""

    parts: tuple[Program, ...]

    def at(self, reading: Reading) -> Mask:
        """(m,) bool at the rows of the reading."""
        return reduce(np.logical_or, (part.at(reading) for part in self.parts))

    def size(self) -> float:
        """Its complexity."""
        return sum(part.size() for part in self.parts)


def both(*parts: Program) -> Program:
    """All of the parts: nested ones laid flat, each once, in canonical order; one part is itself."""
    flat = [q for p in parts for q in (p.parts if isinstance(p, And) else (p,))]
    return _joined(And, flat)


def either(*parts: Program) -> Program:
    """Any of the parts: nested ones laid flat, each once, in canonical order; one part is itself."""
    flat = [q for p in parts for q in (p.parts if isinstance(p, Or) else (p,))]
    return _joined(Or, flat)


def negation(part: Program) -> Program:
    """The denial of a part; denied twice it is itself."""
    return part.part if isinstance(part, Not) else Not(part)


_WHERE = ("token", "previous", "within", "before")
_ORDER = (Look, Pair, Repeated, Inside, Place, Not, Or, And)


def _joined(kind: type[And] | type[Or], parts: Sequence[Program]) -> Program:
    if not parts:
        raise SpecError("nothing to join; give at least one part")
    ordered = tuple(sorted(set(parts), key=_rank))
    return ordered[0] if len(ordered) == 1 else kind(ordered)


def _rank(part: Program) -> tuple[int, int, str]:
    """Looks at tokens come first, as a reader would say it; then by content."""
    inner = part.part if isinstance(part, Not) else part
    where = _WHERE.index(inner.where) if isinstance(inner, Look) else 0
    return _ORDER.index(type(inner)), where, repr(part)
