"""Responses to be ranked: those of a file of preferences, each rater's order compared with the file's own.

Ranking of K responses with ratings and flags follows Ouyang et al. (2022, arXiv 2203.02155, appendix B); the order in
which responses are shown is drawn by hash for each rater, so that raters who favour the first do not agree by it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from superalign.core.digest import digest
from superalign.core.errors import TaskError
from superalign.core.ports import Store
from superalign.core.random import stream
from superalign.core.spec import Audit, Condition, Number, Table
from superalign.core.types import Item, Judgment, Seat
from superalign.protocols.rank import MOST, ROLE, Ranks, faults, preferred, rank, ranks
from superalign.protocols.rules import Rules
from superalign.report import charts
from superalign.studies.label import doubt
from superalign.studies.label.spec import Label
from superalign.studies.label.work import Parts, Result, Row, drawn
from superalign.tasks.pool import content_id
from superalign.tasks.preferences import Comparison
from superalign.tasks.preferences.reading import load


def preferences(spec: Label, store: Store) -> Ranking:
    """The comparisons of a file as items to be ranked; their responses stand in an order drawn from their texts, so
    that nothing of the file's own labels is in them. Raises TaskError where none can be ranked."""
    data = load(spec.data, spec.form)
    items: dict[str, Item] = {}
    groups: dict[str, Hashable] = {}
    known: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    left: Counter[str] = Counter()
    for comparison in data:
        responses = _responses(comparison, spec)
        if not all(comparison.responses[k].strip() for k in responses):
            left["comparisons left out because a response is empty"] += 1
            continue
        texts = tuple(comparison.responses[k] for k in responses)
        if len(set(texts)) < len(texts):
            left["comparisons left out because two responses are the same"] += 1
            continue
        item = Item(content_id(comparison.prompt, texts), comparison.prompt, texts)
        left["copies of an earlier comparison, labelled with it"] += item.id in items
        items[item.id], groups[item.id] = item, comparison.group
        scores = comparison.scores or (comparison.p or 0.0, 1 - (comparison.p or 0.0))
        known[item.id].append(tuple(scores[k] for k in responses))
    notes = [f"{why}: {n:,}" for why, n in left.items() if n]
    if not items:
        raise TaskError(f"{data.name}: nothing can be ranked; {'; '.join(notes)}")
    kept = drawn(list(items), spec.items, spec.seed)
    if len(kept) < len(items):
        notes.append(f"{len(kept):,} of {len(items):,} comparisons are labelled")
    return Ranking(
        name=Path(spec.data).name, rules=rank(template=spec.template), items=tuple(items[i] for i in kept),
        groups=groups, known={i: np.mean(known[i], axis=0) for i in kept}, notes=(*notes, *data.notes),
        seed=spec.seed, swap=spec.swap,
    )  # fmt: skip


def _responses(comparison: Comparison, spec: Label) -> list[int]:
    """The places of the responses that are shown. Their order is drawn from their texts alone: by the alphabet, agreement
    beyond chance would depend on how responses begin."""
    texts = comparison.responses
    places = sorted(range(len(texts)), key=lambda k: digest(spec.seed, comparison.prompt, texts[k]))[: spec.responses]
    if len(places) > MOST:
        raise TaskError(
            f"{len(places)} responses to {comparison.prompt[:40]!r}, more than the {MOST} that can be told apart by"
            " letter; draw some of them: --responses 4"
        )
    return sorted(places, key=lambda k: digest(comparison.prompt, texts[k]))


@dataclass(frozen=True, slots=True)
class Ranked:
    """One presentation as it was ranked, in the item's own order of responses. `opinions` holds the ranks that each
    person behind the rater gave, from 1, the best, equal ones tie; `ratings` (their means) and `flags` (of any of them)
    where there are some."""

    item: Item
    order: tuple[int, ...]
    opinions: tuple[Ranks, ...]
    ratings: tuple[float, ...] = ()
    flags: tuple[tuple[str, ...], ...] = ()

    @property
    def ranks(self) -> Ranks:
        """The mean ranks."""
        return _means(self.opinions)

    def pairs(self) -> Iterator[tuple[int, int, float]]:
        """Every two responses, the one shown first before the other, and how the first did in each opinion: 1 won, 0.5
        tied, 0 lost."""
        for a, b in combinations(self.order, 2):
            for opinion in self.opinions:
                yield a, b, preferred([opinion], a, b)


def _means(opinions: Sequence[Ranks]) -> Ranks:
    return tuple(sum(column) / len(opinions) for column in zip(*opinions, strict=True))


def _read(judgment: Judgment, item: Item) -> Ranked:
    """A judgment with what the reply says besides the ranks: ratings and flags stand in the order shown."""
    order, back = judgment.seat.order, np.argsort(judgment.seat.order).tolist()
    try:
        body = json.loads(judgment.calls[-1][1].text)
    except (ValueError, RecursionError):
        body = {}
    ratings: Any
    flags: Any
    ratings, flags = (body.get(name) if isinstance(body, dict) else None for name in ("ratings", "flags"))
    return Ranked(
        item,
        order,
        ranks(judgment),
        tuple(float(ratings[k]) for k in back) if _each(ratings, (int, float), len(order)) else (),
        tuple(tuple(map(str, flags[k])) for k in back) if _each(flags, list, len(order)) else (),
    )


def _each(values: Any, kind: Any, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(isinstance(v, kind) for v in values)


@dataclass(frozen=True)
class Ranking:
    """Responses to be ranked. `known` holds the file's own scores of the responses; raters never meet it."""

    name: str
    rules: Rules
    items: tuple[Item, ...]
    groups: Mapping[str, Hashable] = field(repr=False)
    known: Mapping[str, Sequence[float]] = field(repr=False)
    notes: tuple[str, ...] = ()
    seed: int = 0
    swap: bool = False
    role: str = ROLE

    def seats(self, item: Item, rater: str, person: bool) -> Sequence[Seat]:
        """One order, drawn by hash; with `swap` its reverse too, but for people: whoever sees both remembers."""
        draw = stream(self.seed, "label/order", rater, item.id)
        order = tuple(draw.permutation(len(item.choices)).tolist())
        return [Seat(self.seed, o) for o in ((order, order[::-1]) if self.swap and not person else (order,))]

    def faults(self, judgment: Judgment) -> Counter[str]:
        """Replies that could not be read, by kind."""
        return faults(judgment)

    def rows(self, result: Result) -> list[Row]:
        """A line for each presentation."""
        return [
            {
                "rater": result.rater,
                "item": r.item.id,
                "prompt": r.item.prompt,
                "group": self.groups[r.item.id],
                "responses": list(r.item.choices),
                "order": list(r.order),
                "ranks": list(r.ranks),
                "each": [list(o) for o in r.opinions],
                "ratings": list(r.ratings),
                "flags": [list(f) for f in r.flags],
                "label": _told(r),
            }
            for r in self._ranked(result)
        ]

    def parts(self, results: Sequence[Result]) -> Parts:
        """How far each rater agrees with the file and with the others, and what decides besides the content."""
        ranked = {r.rater: self._ranked(r) for r in results}
        rows = [
            Condition(name=name, numbers=self._numbers(given), labels={"kind": "rater"})
            for name, given in ranked.items()
        ]
        found, tables = doubt.agreement({name: _outcomes(given) for name, given in ranked.items()}, "nominal")
        tables |= _rated(ranked) | _flagged(ranked)
        audit = Audit(
            door="truth", split=self.name, purpose="agreement of raters with the file's labels, all given",
            n=len(self.items),
        )  # fmt: skip
        return Parts([*rows, *found], tables, _charts(rows), _notes(rows), (audit,))

    def _ranked(self, result: Result) -> list[Ranked]:
        by_id = {item.id: item for item in self.items}
        return [_read(judgment, by_id[judgment.item]) for judgment in result.given]

    def _numbers(self, given: Sequence[Ranked]) -> dict[str, Number]:
        """Shares of pairs (K responses make K (K - 1) / 2), with intervals over prompts."""
        found: dict[str, list[tuple[Hashable, float]]] = defaultdict(list)
        for r in given:
            group, known, sizes = self.groups[r.item.id], self.known[r.item.id], [len(c) for c in r.item.choices]
            for a, b, won in r.pairs():
                found["ties"].append((group, float(won == 0.5)))
                if known[a] != known[b]:
                    found["agreement"].append((group, won if known[a] > known[b] else 1 - won))
                if won != 0.5:
                    found["first_shown"].append((group, won))
                    if sizes[a] != sizes[b]:
                        found["longer"].append((group, won if sizes[a] > sizes[b] else 1 - won))
        same = [(self.groups[i], s) for i, s in _steady(given)]
        none = "nothing was labelled"
        undecided = "no pair was decided" if given else none
        return {
            "agreement": _share(found["agreement"], "the file prefers no response" if given else none),
            "ties": _share(found["ties"], none),
            "first_shown": _share(found["first_shown"], undecided),
            "longer": _share(found["longer"], undecided),
            **({"steady": _share(same, "nothing was shown in both orders")} if self.swap else {}),
        }


def _share(values: Sequence[tuple[Hashable, float]], nothing: str) -> Number:
    return doubt.share([v for _, v in values], [g for g, _ in values], nothing)


def _outcomes(given: Sequence[Ranked]) -> list[tuple[Hashable, float]]:
    """Each pair of responses with how the first did, for agreement between raters: once for each person, and once for a
    model that saw both orders, by its mean ranks."""
    seen: dict[str, list[Ranked]] = defaultdict(list)
    for r in given:
        seen[r.item.id].append(r)
    return [
        ((item, a, b), preferred([opinion], a, b))
        for item, shown in seen.items()
        for opinion in (shown[0].opinions if len(shown) == 1 else [_means([r.ranks for r in shown])])
        for a, b in combinations(range(len(opinion)), 2)
    ]


def _steady(given: Sequence[Ranked]) -> list[tuple[str, float]]:
    """For each pair that was shown in both orders, whether its outcome is the same."""
    found: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    for r in given:
        for a, b, won in r.pairs():
            found[r.item.id, min(a, b), max(a, b)].append(won if a < b else 1 - won)
    return [(item, float(won[0] == won[1])) for (item, _, _), won in found.items() if len(won) == 2]


def _rated(ranked: Mapping[str, Sequence[Ranked]]) -> dict[str, Table]:
    """Mean rating by rank, of raters who rate."""
    rows = []
    for rater, given in ranked.items():
        by_rank: dict[int, list[tuple[str, float]]] = defaultdict(list)
        for r in given:
            levels = sorted(set(r.ranks))
            for place, rating in zip(r.ranks, r.ratings, strict=False):
                by_rank[levels.index(place) + 1].append((r.item.id, rating))
        for place, values in sorted(by_rank.items()):
            mean = doubt.average([v for _, v in values], [i for i, _ in values])
            rows.append((rater, place, mean.value, mean.low, mean.high, mean.n))
    columns = ("rater", "rank", "mean rating", "low", "high", "responses")
    table = Table(
        title="Rating by rank", columns=columns, rows=tuple(rows), note="Ratings from 1 to 7; rank 1 is best."
    )
    return {"ratings": table} if rows else {}


def _flagged(ranked: Mapping[str, Sequence[Ranked]]) -> dict[str, Table]:
    """Flags by kind, of raters who flag."""
    rows = []
    for rater, given in ranked.items():
        count = Counter(flag for r in given for flags in r.flags for flag in flags)
        total = sum(len(r.ranks) for r in given)
        rows += [(rater, flag, n, n / total) for flag, n in count.most_common()]
    columns = ("rater", "flag", "responses", "share")
    return {"flags": Table(title="Flags", columns=columns, rows=tuple(rows))} if rows else {}


def _charts(rows: Sequence[Condition]) -> dict[str, dict[str, object]]:
    titles = {
        "agreement": "Agreement with the labels of the file",
        "first_shown": "Whether the response shown first wins",
    }
    return {
        name: charts.bars_with_intervals(
            [{"name": c.name, **c.numbers[name].model_dump(include={"value", "low", "high", "reason"})} for c in rows],
            title, x="share of pairs", references=[("even", 0.5)],
        )
        for name, title in titles.items()
    }  # fmt: skip


def _notes(rows: Sequence[Condition]) -> list[str]:
    told = [(c.name, c.numbers["agreement"]) for c in rows]
    said = [f"{name} agrees with the file on {_span(n)} of {n.n:,} pairs" for name, n in told if n.value is not None]
    notes = ["; ".join(said) + "." if said else "The file has no labels to compare with."]
    for c in rows:
        first = c.numbers["first_shown"]
        if first.low is not None and first.high is not None and not first.low <= 0.5 <= first.high:
            notes.append(f"{c.name}: the response shown first wins {_span(first)} of decided pairs; the place decides.")
    return notes


def _span(number: Number) -> str:
    bounds = f" [{number.low:.0%}, {number.high:.0%}]" if number.low is not None and number.high is not None else ""
    return f"{number.value:.0%}{bounds}"


def _told(r: Ranked) -> str:
    """The order in letters, and how the best begins."""
    levels: dict[float, list[int]] = defaultdict(list)
    for k, place in enumerate(r.ranks):
        levels[place].append(k)
    ordered = [levels[place] for place in sorted(levels)]
    order = " > ".join(" = ".join(chr(65 + k) for k in tied) for tied in ordered)
    return f"{order}: {' '.join(r.item.choices[ordered[0][0]].split())[:80]}"
