"""A corpus as a few categorical variables: what the search sums activations over.

A factor gives every row one level (its token; the token before; place, quotes and brackets together; how long ago a
class of tokens came). Atoms of a factor are sets of its levels: fixed ones that are known beforehand, and, where the
levels are strings, a set that is learned. Counts and sums by level, one `bincount` for each factor, are then all that
a search needs to know about a unit, however many atoms there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from superalign.interp.predicates.atoms import Inside, Look, Pair, Place, Program, Repeated, Where
from superalign.interp.predicates.reading import Reading
from superalign.interp.predicates.tokens import CLASSES, ENDINGS, Among, Ends, Is, Like, Starts, Stem, Test, pattern_of
from superalign.interp.predicates.tokens import word as word_of

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints
    from superalign.interp.corpus import Corpus

SUPPORT = 20
"""An atom must be true, and false, at so many rows."""
PLACES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
DISTANCES = (2, 3, 4, 6, 8, 16)
LEARNED = (4, 16, 0)
"""Within how many tokens the search looks for single tokens; 0 is anywhere before."""
LANDMARKS: tuple[Test, ...] = (
    Is("number"),
    Is("punctuation"),
    Is("capitalised"),
    Is("newline"),
    Among(('"', ' "')),
)
"""What may have come some tokens ago."""
COMMON = 5
"""A pair of tokens is a level of its own from so many rows on."""


@dataclass(frozen=True)
class Factor:
    """`codes` (N,) is the level of each row; `programs[j]` is true exactly at the levels of row j of `sets`.

    `learn` makes a program of a set of levels, all below `nameable`, which names `strings` strings for each; None
    where nothing is learned.
    """

    name: str
    codes: Ints
    levels: int
    programs: tuple[Program, ...] = ()
    sets: Any = None
    learn: Callable[[Ints], Program] | None = None
    nameable: int = 0
    strings: int = 1

    def sums(self, rows: Ints | None, values: Floats) -> tuple[Floats, Floats]:
        """Count and sum of `values` by level, (levels,) each, over some rows (None: all)."""
        codes = self.codes if rows is None else self.codes[rows]
        return np.bincount(codes, minlength=self.levels).astype(np.float64), _totals(codes, values, self.levels)


@dataclass(frozen=True)
class Events:
    """Every token of the corpus as an event that is remembered for `n` rows, or (0) to the end of its context.

    Event e is the latest of its level at the rows `first[e]` up to `last[e]`, so a sum over these rows, taken from one
    cumulative sum, counts each row once: sums over all rows that have seen a level, in O(N) for all levels together.
    """

    n: int
    level: Ints
    first: Ints
    last: Ints
    strings: tuple[str, ...]

    @cached_property
    def count(self) -> Floats:
        """(levels,) at how many rows each level has been seen."""
        return _totals(self.level, self.last - self.first, len(self.strings))

    def sums(self, values: Floats) -> Floats:
        """(levels,) the sum of `values` over the rows that have seen each level."""
        total = np.concatenate([[0.0], np.cumsum(values)])
        return _totals(self.level, total[self.last] - total[self.first], len(self.strings))

    def program(self, level: int) -> Program:
        """The program that is true where a level has been seen."""
        test = Among((self.strings[level],))
        return Look("within", test, self.n) if self.n else Look("before", test)


@dataclass(frozen=True)
class Ground:
    """What the search stands on: both splits as programs read them, the level of each string of the explain split, and
    the factors there."""

    explain: Reading
    validate: Reading
    level: Mapping[str, int]
    factors: tuple[Factor, ...]
    events: tuple[Events, ...]


def _totals(codes: Ints, values: Any, levels: int) -> Floats:
    return np.bincount(codes, values, levels).astype(np.float64, copy=False)


def ground(corpus: Corpus) -> Ground:
    """The factors of a corpus. About 0.1 s for 60,000 tokens to explain; it holds some 200 bytes for each."""
    explain = Reading(corpus, corpus.rows("explain"))
    level, strings = _levels(corpus)
    token = np.append(level, len(strings))[explain.token]
    previous = np.append(level, len(strings))[explain.previous]
    tests = token_tests(strings, np.bincount(token, minlength=len(strings)))
    factors = (
        _tokens("token", token, strings, tests),
        _tokens("previous", previous, strings, tests),
        _pairs(previous, token, strings),
        *joined("state", [_place(explain), *_state(explain)], limit=4096),
        *joined("since", _landmarks(explain), limit=1024),
    )
    places = {text: k for k, text in enumerate(strings)}
    return Ground(explain, Reading(corpus, corpus.rows("validate")), places, factors, _events(explain, level, strings))


def _levels(corpus: Corpus) -> tuple[Ints, tuple[str, ...]]:
    """The level of each token id, and the strings of the levels: what occurs in the explain split, equal strings once.

    So the factors are as large as the text, not as the vocabulary.
    """
    ids = np.unique(corpus.tokens[corpus.row_split == 0])
    strings = sorted({corpus.strings[k] for k in ids.tolist()})
    place = {text: k for k, text in enumerate(strings)}
    level = np.full(len(corpus.strings), len(strings), np.intp)
    level[ids] = [place[corpus.strings[k]] for k in ids.tolist()]
    return level, tuple(strings)


def token_tests(strings: Sequence[str], count: Ints) -> list[tuple[Test, Ints]]:
    """Tests that hold for some but not all of the strings, each with the strings' numbers.

    Of tests that hold for the same strings the first is kept: classes before stems before long endings before short
    ones before beginnings before patterns. `count` is how often each string occurs.
    """
    found: dict[Test, list[int]] = {}
    words = [word_of(text) for text in strings]
    for name in CLASSES:
        found[Is(name)] = [k for k, text in enumerate(strings) if Is(name).holds(text)]
    for ending in ENDINGS:
        _gather(found, Stem, [w[: len(w) - len(ending)] if w.endswith(ending) else "" for w in words], least=3)
    for length in (4, 3, 2, 1):
        _gather(found, Ends, [w[-length:] if len(w) >= length else "" for w in words])
    for length in (4, 3, 2, 1):
        _gather(found, Starts, [w[:length] if len(w) >= length else "" for w in words])
    for k, text in enumerate(strings):
        pattern = pattern_of(text[:32])
        if pattern and len(text) <= 32 and pattern.count("[") + pattern.count(" ") <= 4:
            found.setdefault(Like(pattern), []).append(k)
    kept: dict[tuple[int, ...], Test] = {}
    for test, levels in found.items():
        if len(levels) > 1 and SUPPORT <= count[levels].sum() <= count.sum() - SUPPORT:
            kept.setdefault(tuple(sorted(set(levels))), test)
    return [(test, np.array(levels)) for levels, test in kept.items()]


def _gather(
    found: dict[Test, list[int]], kind: type[Stem] | type[Ends] | type[Starts], parts: Iterable[str], least: int = 1
) -> None:
    for k, part in enumerate(parts):
        if len(part) >= least and part.isalpha():
            found.setdefault(kind(part), []).append(k)


def _tokens(where: Where, codes: Ints, strings: tuple[str, ...], tests: Sequence[tuple[Test, Ints]]) -> Factor:
    """Tokens at one place; the last level stands for none."""

    def learn(levels: Ints) -> Program:
        return Look(where, Among(tuple(strings[k] for k in levels.tolist())))

    programs = tuple(Look(where, test) for test, _ in tests)
    sets = _indicator([levels for _, levels in tests], len(strings) + 1)
    return Factor(where, codes, len(strings) + 1, programs, sets, learn, len(strings))


def _pairs(previous: Ints, token: Ints, strings: tuple[str, ...]) -> Factor:
    """Pairs of neighbours that are common; the last level is all other pairs."""
    key = previous * (len(strings) + 1) + token
    known, code, count = np.unique(key, return_inverse=True, return_counts=True)
    common = np.flatnonzero((count >= COMMON) & (known // (len(strings) + 1) < len(strings)))
    level = np.full(len(known), len(common), np.intp)
    level[common] = np.arange(len(common))

    def learn(levels: Ints) -> Program:
        first, second = np.divmod(known[common[levels]], len(strings) + 1)
        return Pair(tuple((strings[a], strings[b]) for a, b in zip(first.tolist(), second.tolist(), strict=True)))

    return Factor("pair", level[code], len(common) + 1, learn=learn, nameable=len(common), strings=2)


def _place(reading: Reading) -> Factor:
    bounds = np.array([n for n in PLACES if n <= reading.place.max()])
    codes = np.searchsorted(bounds, reading.place, side="right")
    sets = [np.arange(k + 1) for k in range(len(bounds))]
    programs = tuple(Place(int(n)) for n in bounds)
    return Factor("place", codes, len(bounds) + 1, programs, _indicator(sets, len(bounds) + 1))


def _state(reading: Reading) -> list[Factor]:
    depth = np.minimum(reading.depth, 3)
    inside = tuple(Inside("brackets", n) for n in range(1, int(depth.max()) + 1))
    sets = [np.arange(n, len(inside) + 1) for n in range(1, len(inside) + 1)]
    return [
        _binary("quotes", Inside("quotes"), reading.quoted),
        _binary("repeated", Repeated(), reading.repeated),
        Factor("brackets", depth.astype(np.intp), len(inside) + 1, inside, _indicator(sets, len(inside) + 1)),
    ]


def _binary(name: str, program: Program, mask: Any) -> Factor:
    return Factor(name, mask.astype(np.intp), 2, (program,), _indicator([np.array([1])], 2))


def _landmarks(reading: Reading) -> list[Factor]:
    """How many rows ago each landmark was seen, by `DISTANCES`; the last level is never."""
    found = []
    for test in LANDMARKS:
        since = reading.since(test)
        codes = np.where(since > 0, np.searchsorted(DISTANCES, since), len(DISTANCES) + 1)
        sets = [np.arange(k + 1) for k in range(len(DISTANCES) + 1)]
        programs = (*(Look("within", test, n) for n in DISTANCES), Look("before", test))
        if 0 < (since > 0).sum() < len(since):
            found.append(Factor("since", codes, len(DISTANCES) + 2, programs, _indicator(sets, len(DISTANCES) + 2)))
    return found


def joined(name: str, factors: Sequence[Factor], limit: int) -> list[Factor]:
    """The same atoms over fewer factors: levels of several are multiplied while there are at most `limit`.

    A factor costs a gather and two sums over the rows whatever its number of levels, so one factor of 800 levels
    instead of three of 8 is a third of the time.
    """
    groups: list[list[Factor]] = []
    for factor in (f for f in factors if f.levels > 1):
        if groups and int(np.prod([f.levels for f in groups[-1]])) * factor.levels <= limit:
            groups[-1].append(factor)
        else:
            groups.append([factor])
    return [_product(name, group) for group in groups]


def _product(name: str, factors: Sequence[Factor]) -> Factor:
    shape = tuple(f.levels for f in factors)
    codes = np.ravel_multi_index(tuple(f.codes for f in factors), shape)
    each = np.unravel_index(np.arange(int(np.prod(shape))), shape)
    sets = np.concatenate([f.sets.toarray()[:, level] for f, level in zip(factors, each, strict=True)])
    programs = tuple(p for f in factors for p in f.programs)
    return Factor(name, codes.astype(np.intp), int(np.prod(shape)), programs, csr_array(sets))


def _indicator(sets: Sequence[Ints], levels: int) -> Any:
    """(sets, levels) sparse float64: 1 where a level is in a set."""
    indptr = np.concatenate([[0], np.cumsum([len(s) for s in sets])]).astype(np.int64)
    indices = np.concatenate([*sets, np.zeros(0, np.int64)]).astype(np.int64)
    return csr_array((np.ones(len(indices)), indices, indptr), shape=(len(sets), levels))


def _events(explain: Reading, level: Ints, strings: tuple[str, ...]) -> tuple[Events, ...]:
    corpus = explain.corpus
    rows = np.flatnonzero(corpus.row_split == 0)
    code = level[corpus.tokens[rows]]
    ends = np.repeat(corpus.contexts[1:], np.diff(corpus.contexts))[rows] - 1
    key = ends * len(strings) + code
    order = np.argsort(key, kind="stable")
    again = np.append(key[order[1:]] == key[order[:-1]], False)
    until = ends.copy()
    until[order[again]] = rows[order[np.flatnonzero(again) + 1]]
    found = []
    for n in LEARNED:
        last = np.minimum(until, rows + n) if n else until
        first, after = np.searchsorted(explain.rows, rows + 1), np.searchsorted(explain.rows, last, side="right")
        found.append(Events(n, code, first, np.maximum(after, first), strings))
    return tuple(found)
