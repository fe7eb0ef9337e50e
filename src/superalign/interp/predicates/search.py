"""The explainer that searches for a program: true where the unit is active, and short.

What is maximised is the Pearson correlation of a program (0 or 1) with the activations, less `penalty` for each atom of
the program and a fifth of it for each string that it names. The correlation needs two numbers of a program, at how many
rows it is true and the sum of the activations there; both are sums over levels of factors.

1. Every fixed atom is scored, and the best set of tokens, of previous tokens and of pairs is found in closed form:
   ordered by mean activation, the best set is a prefix of the order.
2. The best atoms are extended, `depth - 1` times: with one more atom, or with the best set within their support (and),
   outside of it (or), or without an atom (and not). An extension stays if it is worth what it adds in size.
3. The three best extensions have their sets learned again, each given the other.
4. Of the best of each depth, the one that is best on the split `validate` is taken, less the same penalty: what is
   longer has to be better by that much on text that it was not fitted to.

That a prefix is best: Fisher 1958, and Breiman et al. 1984 for categories in regression trees. On one core 860 neurons
of a tiny language model (61,000 tokens to explain, 32,000 to simulate, 512 strings) take 15 s, simulation included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from superalign.core.errors import SpecError, nearest
from superalign.interp.predicates.atoms import STRINGS_PER_ATOM, And, Look, Not, Or, Program, both, either, negation
from superalign.interp.predicates.english import describe
from superalign.interp.predicates.factors import SUPPORT, Factor, Ground, ground
from superalign.interp.predicates.language import render
from superalign.interp.units import Explanation, Failed

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints
    from superalign.interp.corpus import Corpus
    from superalign.interp.evidence import Evidence

LEAST = 30
"""A unit is explained from so many rows of the explain split where it is active."""
BEAM = 8
"""So many programs of each depth are extended, and are compared on the validate split."""
SHRINK = 2.0
"""Levels are ordered by their mean with two more rows of the overall mean: a token seen once has not shown much."""
SETTLED, ROUNDS = 3, 3
"""So many extensions have their sets learned again, so many times."""
FAMILIES = ("token", "previous", "pair", "state", "since", "seen")


@dataclass(frozen=True, slots=True)
class Whole:
    """All rows of a split: how many, the mean activation, and the sum of squares about it."""

    rows: int
    mean: float
    squares: float

    def rho(self, count: Floats, total: Floats) -> Floats:
        """The correlation of the activations with a program, from where it is true: the number of rows and the sum of
        the activations. -inf where either is constant."""
        width = count * (self.rows - count) * (self.squares / self.rows)
        excess = total - count * self.mean
        return np.where(width > 1e-12, excess / np.sqrt(np.maximum(width, 1e-12)), -np.inf)


def whole(values: Floats) -> Whole:
    """The whole of some activations (N,)."""
    mean = float(values.mean()) if len(values) else 0.0
    return Whole(len(values), mean, float(((values - mean) ** 2).sum()))


def best_set(
    count: Floats,
    total: Floats,
    of: Whole,
    *,
    given: tuple[float, float] = (0.0, 0.0),
    price: float = 0.0,
    shrink: float = 0.0,
) -> tuple[Ints, float]:
    """The set of levels whose rows correlate best with the activations, and that correlation less `price` a level.

    `count` and `total` (levels,) are the rows and the sum of the activations of each; `given` are those of rows that
    are in the set anyhow. With neither price nor shrinkage the set is the best of all 2^levels, if any set correlates
    positively at all: for a given number of rows a prefix of the order has the largest sum.
    """
    seen = np.flatnonzero(count > 0)
    if not len(seen):
        return seen, -np.inf
    mean = (total[seen] + shrink * of.mean) / (count[seen] + shrink)
    order = seen[np.argsort(-mean, kind="stable")]
    rho = of.rho(given[0] + np.cumsum(count[order]), given[1] + np.cumsum(total[order]))
    gain = rho - price * np.arange(1, len(order) + 1)
    last = int(gain.argmax())
    return order[: last + 1], float(gain[last])


class Found(NamedTuple):
    """A candidate: its correlation on the explain split less the penalty of its size; its size; how often it is true
    there and the sum of the activations where it is (equal for equal programs); and how to write it."""

    gain: float
    size: float
    rows: float
    total: float
    write: Callable[[], Program]


class Predicates:
    """Explains units by programs. Reads all new windows of the splits `explain` and `validate`, and no other.

    `depth` is the most atoms of a program, `penalty` the correlation that each has to bring, `families` which kinds of
    atoms are tried (`token` with depth 1 gives the best token set alone). Raises SpecError for other families.
    """

    name = "predicates"

    def __init__(self, depth: int = 2, penalty: float = 0.01, families: Sequence[str] = FAMILIES) -> None:
        for family in families:
            if family not in FAMILIES:
                raise SpecError(f"no family of atoms is called {family!r}; {nearest(family, FAMILIES)}")
        if depth < 1 or penalty < 0 or not families:
            raise SpecError(f"depth {depth} and penalty {penalty} with {len(families)} families; a depth is at least 1, a "
                            "penalty at least 0, and one family is needed")  # fmt: skip
        self.depth, self.penalty, self.families = depth, penalty, tuple(families)
        self._ground: tuple[Corpus, Ground] | None = None

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation | Failed]:
        """One explanation of each unit; Failed where it is active at fewer than 30 rows of the explain split, or its
        activation there never changes."""
        return [self._explain(each) for each in evidence]

    def _explain(self, evidence: Evidence) -> Explanation | Failed:
        name = evidence.unit.name
        if not len(evidence.rows):
            return Failed("undefined", f"{name} never fires")
        stage = self._on(evidence.corpus)
        dense = np.zeros(len(evidence.corpus))
        dense[evidence.rows] = evidence.values  # 0.3 ms where a search for each of 61,000 rows takes 2
        values = dense[stage.explain.rows]
        active = int(np.count_nonzero(values))
        if active < LEAST:
            return Failed("undefined", f"{name} fires at only {active} rows of the explain split; {LEAST} are needed")
        if np.ptp(values) <= 1e-6 * values.max():
            return Failed("undefined", f"{name} has the same activation at every row of the explain split")
        search = _Search(stage, values, self.penalty, self.families)
        pool = found = search.atoms()
        for _ in range(self.depth - 1):
            found = search.extended(found)
            pool = [*pool, *found]
        if not pool:
            return Failed("undefined", f"no atom of {', '.join(self.families)} tells rows of the explain split apart")
        best = self._best(pool, stage, dense[stage.validate.rows])
        return Explanation(describe(best, search.weight), render(best), self.name)

    def _best(self, pool: Sequence[Found], stage: Ground, values: Floats) -> Program:
        """The best on the validate split, where the activations are `values`, less the penalty of its size. Where the
        unit is silent there, the explain split has to choose."""
        of = whole(values)
        if of.squares == 0:
            return max(pool, key=lambda each: each.gain).write()
        programs = [each.write() for each in pool]
        masks = [program.at(stage.validate) for program in programs]
        rows = np.array([np.count_nonzero(mask) for mask in masks])
        rho = np.maximum(of.rho(rows, np.array([values[mask].sum() for mask in masks])), -1)
        return programs[int((rho - self.penalty * np.array([program.size() for program in programs])).argmax())]

    def _on(self, corpus: Corpus) -> Ground:
        """What is worked out once for all units of a corpus."""
        if self._ground is None or self._ground[0] is not corpus:
            self._ground = corpus, ground(corpus)
        return self._ground[1]


Join = Callable[[Program], Program]


class _Search:
    """The search for one unit: `values` (N,) are its activations at the rows of the explain split."""

    def __init__(self, stage: Ground, values: Floats, penalty: float, families: Sequence[str]) -> None:
        self.stage, self.values, self.of, self.penalty = stage, values, whole(values), penalty
        self.factors = [f for f in stage.factors if f.name in families]
        self.sums = [f.sums(None, values) for f in self.factors]
        self.events = stage.events if "seen" in families else ()

    def weight(self, where: str, string: str) -> float:
        """How much of the unit's activation falls on a token here, or on the one after it."""
        for factor, (_, total) in zip(self.factors, self.sums, strict=True):
            if factor.name == where:
                return float(total[self.stage.level[string]])
        return 0.0

    def atoms(self) -> list[Found]:
        """The best single atoms, at most half of them from one factor."""
        found: list[Found] = []
        for factor, (count, total) in zip(self.factors, self.sums, strict=True):
            own = []
            if factor.programs:
                rows, sums = factor.sets @ count, factor.sets @ total
                rho = self._rho(rows, sums)
                for k in np.argsort(-rho, kind="stable")[:BEAM].tolist():
                    program = factor.programs[k]
                    own.append(self._found(rho[k], program.size(), rows[k], sums[k], partial(both, program)))
            own += self._set(factor, count, total, (0.0, 0.0), 0.0, both)
            found += _best(own, BEAM // 2)
        for events in self.events:
            sums = events.sums(self.values)
            rho = self._rho(events.count, sums)
            k = int(rho.argmax())
            write = partial(events.program, k)
            found.append(self._found(rho[k], write().size(), events.count[k], sums[k], write))
        return _best(found, BEAM)

    def extended(self, bases: Sequence[Found]) -> list[Found]:
        """The best extensions of the bases, of those that are worth what they add in size."""
        found: list[Found] = []
        for base in bases:
            program = base.write()
            rows = np.flatnonzero(program.at(self.stage.explain))
            inside = self.values[rows]
            for factor, sums in zip(self.factors, self.sums, strict=True):
                if factor.name != "pair":
                    more = self._extensions(program, factor, factor.sums(rows, inside), sums)
                    found += [each for each in more if each.gain > base.gain]
        best = _best(found, BEAM)
        return _best([*(self._settled(each) for each in best[:SETTLED]), *best[SETTLED:]], BEAM)

    def _settled(self, found: Found) -> Found:
        """A candidate whose sets are learned again, each given the other parts, while that helps.

        A set that was learned alone is dominated by frequent pairs: of 8 planted bigrams 5 were cut short without this.
        """
        for _ in range(ROUNDS):
            program = found.write()
            tries = [] if not isinstance(program, And | Or) else [self._again(program, part) for part in program.parts]
            best = _best([found, *(each for several in tries for each in several)], 1)[0]
            if best.gain <= found.gain:
                break
            found = best
        return found

    def _again(self, program: And | Or, part: Program) -> list[Found]:
        """The program with one of its parts, a set, learned anew."""
        look = part.part if isinstance(part, Not) else part
        factor = next((f for f in self.factors if isinstance(look, Look) and f.name == look.where), None)
        if factor is None:
            return []
        join = both if isinstance(program, And) else either
        rest = join(*(each for each in program.parts if each != part))
        rows = np.flatnonzero(rest.at(self.stage.explain))
        within = factor.sums(rows, self.values[rows])
        if isinstance(program, And):
            return self._set(factor, *within, (0.0, 0.0), rest.size(), partial(join, rest))
        count, total = self.sums[self.factors.index(factor)]
        given = float(within[0].sum()), float(within[1].sum())
        return self._set(factor, count - within[0], total - within[1], given, rest.size(), partial(join, rest))

    def _extensions(
        self, program: Program, factor: Factor, within: tuple[Floats, Floats], everywhere: tuple[Floats, Floats]
    ) -> list[Found]:
        """The best of each kind of extension by one factor, from its sums within the program and over all rows."""
        outside = everywhere[0] - within[0], everywhere[1] - within[1]
        given, size = (float(within[0].sum()), float(within[1].sum())), program.size()
        found = []
        if factor.programs:
            inner = factor.sets @ np.stack(within, axis=1)
            outer = factor.sets @ np.stack(outside, axis=1)
            sums = np.stack([inner, given - inner, given + outer])  # and, and not, or: one call instead of three
            rho = self._rho(sums[..., 0], sums[..., 1])
            for kind, k in enumerate(rho.argmax(1).tolist()):
                atom = factor.programs[k]
                write = partial(_JOINS[kind], program, atom)
                rows, total = sums[kind, k].tolist()
                found.append(self._found(rho[kind, k], size + atom.size(), rows, total, write))
        found += self._set(factor, *within, (0.0, 0.0), size, partial(both, program))
        found += self._set(factor, *outside, given, size, partial(either, program))
        return found

    def _set(
        self, factor: Factor, count: Floats, total: Floats, given: tuple[float, float], size: float, join: Join
    ) -> list[Found]:
        """The best set of levels that can be named, if the factor learns any: one candidate, or none. `given` are the
        rows and the sum that it is added to, `size` that of the program that it is joined with."""
        if factor.learn is None:
            return []
        count, total = count[: factor.nameable], total[: factor.nameable]
        price = self.penalty * factor.strings / STRINGS_PER_ATOM
        levels, _ = best_set(count, total, self.of, given=given, price=price, shrink=SHRINK)
        rows, sums = given[0] + count[levels].sum(), given[1] + total[levels].sum()
        size += 1 + len(levels) * factor.strings / STRINGS_PER_ATOM
        write = partial(_written, factor.learn, levels, np.flatnonzero(count), join)
        return [self._found(float(self._rho(rows, sums)), size, rows, sums, write)]

    def _found(self, rho: float, size: float, rows: float, total: float, write: Callable[[], Program]) -> Found:
        return Found(rho - self.penalty * size, size, rows, total, write)

    def _rho(self, rows: Floats, total: Floats) -> Floats:
        enough = (rows >= SUPPORT) & (rows <= self.of.rows - SUPPORT)
        return np.where(enough, self.of.rho(rows, total), -np.inf)


_JOINS = (both, lambda program, part: both(program, negation(part)), either)


def _written(learn: Callable[[Ints], Program], levels: Ints, seen: Ints, join: Join) -> Program:
    """A learned set; or, where it holds most of what was seen, the denial of the rest, which is shorter."""
    rest = np.setdiff1d(seen, levels) if 2 * len(levels) > len(seen) else levels
    return join(negation(learn(rest)) if 0 < 3 * len(rest) < len(levels) else learn(levels))


def _best(found: Sequence[Found], count: int) -> list[Found]:
    """The best candidates; of those that are true at the same rows, as far as their number and sum tell, the shortest."""
    kept: dict[tuple[float, float], Found] = {}
    for each in sorted(found, key=lambda each: (-each.gain, each.size)):
        if each.gain > -np.inf:
            kept.setdefault((each.rows, round(each.total, 6)), each)
    return list(kept.values())[:count]
