"""Explanations of units to be rated, those of other units among them.

Whoever rates a unit's own explanation no higher than one that was made for another unit does not read the excerpts, or
the explanations say nothing; so as many *shuffled* explanations as true ones are mixed in, and nobody is told which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core import records
from superalign.core.digest import digest
from superalign.core.errors import TaskError
from superalign.core.ports import Store
from superalign.core.spec import Audit, Condition, Number, Table
from superalign.core.types import Item
from superalign.protocols.rating import ROLES, opinions, rating
from superalign.report import charts
from superalign.report.numbers import counted
from superalign.studies.label import doubt
from superalign.studies.label.rated import Rated
from superalign.studies.label.spec import Label
from superalign.studies.label.work import Parts, Result, Row, drawn

if TYPE_CHECKING:
    from superalign.interp.dossier import Dossier, Excerpt

QUESTION = "How well does this explanation say where the unit fires?"
STRATA = ("top", "random")


def explanations(spec: Label, store: Store) -> Explanations:
    """The explanations of a record, drawn and shuffled. Raises TaskError for a record with fewer than two of them."""
    from superalign.studies.interp.model import kept_dossiers

    record = records.load(store, spec.data)
    units = {d.unit.name: d for d in kept_dossiers(record, store) if d.explanations}
    if len({d.explanations[-1].text for d in units.values()}) < 2:
        raise TaskError(
            f"{record.id} has fewer than two different explanations ({counted(len(units), 'unit')} with one); a unit is also"
            " shown with another's"
        )
    ordered = drawn(list(units), None, spec.seed)
    kept, items, unit, true = ordered[: spec.items], list[Item](), dict[str, str](), set[str]()
    for name in kept:
        own = _item(units[name], units[name].explanations[-1].text)
        other = _item(units[name], _another(name, ordered, units))
        items += [own, other]
        unit |= {own.id: name, other.id: name}
        true.add(own.id)
    left = len(units) - len(kept)
    return Explanations(
        name=record.id,
        rules=rating(what="explanation", template=spec.template),
        role=ROLES["explanation"],
        items=tuple(sorted(items, key=lambda i: digest(spec.seed, i.id))),
        groups=unit,
        notes=(f"{len(kept):,} of {len(units):,} units are rated",) if left else (),
        seed=spec.seed,
        true=frozenset(true),
    )


def _another(name: str, ordered: Sequence[str], units: Mapping[str, Dossier]) -> str:
    """The explanation of the next unit, in the order drawn, whose explanation reads otherwise."""
    place, own = ordered.index(name), units[name].explanations[-1].text
    others = (units[n].explanations[-1].text for n in (*ordered[place + 1 :], *ordered[:place]))
    return next(text for text in others if text != own)


def _item(dossier: Dossier, text: str) -> Item:
    shown = [{"tokens": list(e.tokens), "values": list(e.values)} for e in _excerpts(dossier)]
    return Item(digest(dossier.unit.name, text, shown)[:16], QUESTION, (), {"explanation": text, "excerpts": shown})


def _excerpts(dossier: Dossier) -> list[Excerpt]:
    """The strongest and random excerpts, in an order drawn by hash; those that no explainer saw, where there are any."""
    found = [e for e in dossier.excerpts if e.stratum in STRATA] or list(dossier.excerpts)
    held_out = [e for e in found if e.split == "test"]
    return sorted(held_out or found, key=lambda e: digest(dossier.unit.name, e.window))


@dataclass(frozen=True)
class Explanations(Rated):
    """Explanations to be rated; `true` are the items that show a unit with its own. Raters never meet it."""

    true: frozenset[str] = field(default=frozenset(), repr=False)

    def rows(self, result: Result) -> list[Row]:
        """Opinions with their unit, and whether the explanation was made for another; without the excerpts."""
        named = {"claims", "flaws", "excerpts", "prompt"}
        return [
            {**{k: v for k, v in row.items() if k not in named}, "unit": self.groups[i], "shuffled": i not in self.true}
            for row in super().rows(result)
            for i in [row["item"]]
        ]

    def parts(self, results: Sequence[Result]) -> Parts:
        """Ratings of true and of shuffled explanations, and what raters would rather say, by rater."""
        rows = [Condition(name=r.rater, numbers=self._numbers(r), labels={"kind": "rater"}) for r in results]
        found, tables = doubt.agreement(self.ratings(results), "ordinal")
        tables |= {"units": self._units(results), **self._better(results)}
        shown: list[dict[str, Any]] = [
            {"name": f"{c.name}, {label}", **c.numbers[name].model_dump(include={"value", "low", "high", "reason"})}
            for c in rows
            for name, label in (("rating", "own explanation"), ("shuffled", "another unit's"))
        ]
        chart = charts.bars_with_intervals(shown, "Explanations, and those of other units", x="mean rating, 1 to 7")
        audit = Audit(
            door="truth", split=self.name, purpose="which explanations were shuffled, all rated", n=len(self.items)
        )
        return Parts([*rows, *found], tables, {"ratings": chart}, [_answer(rows)], (audit,))

    def _numbers(self, result: Result) -> dict[str, Number]:
        scores = self.scores(result)
        own, other = (
            {self.groups[i]: s for i, s in scores.items() if (i in self.true) is true} for true in (True, False)
        )
        both = [u for u in own if u in other]
        gaps = [own[u] - other[u] for u in both]
        told = [o for j in result.given if j.item in self.true for o in opinions(j)]
        return {
            "rating": doubt.average(list(own.values()), list(own)),
            "shuffled": doubt.average(list(other.values()), list(other)),
            "true_minus_shuffled": doubt.average(gaps, both, "no unit was rated with both explanations"),
            "told_apart": doubt.share(
                [float(np.sign(g) + 1) / 2 for g in gaps], both, "no unit was rated with both explanations"
            ),
            "own_explanations": Number(value=float(sum(bool(o.better) for o in told)), n=len(told)),
        }

    def _units(self, results: Sequence[Result]) -> Table:
        """Both ratings of each unit, by rater."""
        texts = {i.id: str(i.info["explanation"]) for i in self.items}
        own = {self.groups[i]: i for i in texts if i in self.true}
        other = {self.groups[i]: i for i in texts if i not in self.true}
        scores = {r.rater: self.scores(r) for r in results}
        rows = [
            (unit, texts[item], rater, given.get(item), texts[other[unit]], given.get(other[unit]))
            for unit, item in sorted(own.items(), key=lambda pair: str(pair[0]))
            for rater, given in scores.items()
        ]
        columns = ("unit", "explanation", "rater", "rating", "another unit's explanation", "rating of it")
        return Table(title="Ratings by unit", columns=columns, rows=tuple(rows[:200]), note=_bounded(len(rows)))

    def _better(self, results: Sequence[Result]) -> dict[str, Table]:
        rows = [
            (self.groups[j.item], r.rater, opinion.better)
            for r in results
            for j in r.given
            for opinion in opinions(j)
            if opinion.better
        ]
        table = Table(
            title="Explanations that raters gave", columns=("unit", "rater", "explanation"), rows=tuple(rows[:200]),
            note=_bounded(len(rows)),
        )  # fmt: skip
        return {"own explanations": table} if rows else {}


def _bounded(count: int) -> str:
    return f"The first 200 of {count:,}; the artifacts hold all." if count > 200 else ""


def _answer(rows: Sequence[Condition]) -> str:
    told = []
    for row in rows:
        own, gap = row.numbers["rating"], row.numbers["true_minus_shuffled"]
        if own.value is not None and gap.value is not None and gap.low is not None and gap.high is not None:
            sure = "" if gap.low > 0 else ", not beyond noise"
            told.append(
                f"{row.name} rates explanations {own.value:.2f} of 7, {gap.value:+.2f} [{gap.low:.2f}, {gap.high:.2f}]"
                f" against those of other units{sure}"
            )
    return "; ".join(told) + "." if told else "No unit was rated with its own explanation and another's."
