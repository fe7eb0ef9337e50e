"""Critiques to be rated: those in the games of a record, or of a file.

A rater says how much a critique helps, whether it is right, and marks flaws in the answer (Saunders et al. 2022,
arXiv 2206.05802).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from superalign.core import records
from superalign.core.digest import digest
from superalign.core.errors import StoreError, TaskError
from superalign.core.ports import Store
from superalign.core.spec import Condition, Number, Table
from superalign.core.types import Item
from superalign.protocols.played import Archive, Played, Turn, unpack
from superalign.protocols.rating import ROLES, SEVERITIES, Flaw, Opinion, opinions, rating
from superalign.protocols.room import listed, source_of
from superalign.protocols.speech import hear
from superalign.report import charts
from superalign.studies.label import doubt
from superalign.studies.label.rated import Rated
from superalign.studies.label.spec import Label
from superalign.studies.label.work import Parts, Result, drawn
from superalign.tasks.fetch import fetch
from superalign.tasks.read import read

COLUMNS = ("prompt", "answer", "critique")


@dataclass(frozen=True, slots=True)
class Critique:
    """A critique of an answer, and the condition of the record that it is from (empty: a file)."""

    prompt: str
    answer: str
    critique: str
    origin: str = ""

    @property
    def item(self) -> Item:
        """It as an item to be rated."""
        name = digest(self.prompt, self.answer, self.critique)[:16]
        return Item(name, self.prompt, (), {"answer": self.answer, "critique": self.critique})


def critiques(spec: Label, store: Store) -> Critiques:
    """The critiques that a spec names. Raises TaskError where there are none."""
    if is_file(spec.data):
        name, found = Path(spec.data).name, _file(spec.data)
    else:
        record = records.load(store, spec.data)
        name, found = record.id, {}
        for condition, key in record.artifacts.items():
            if condition.startswith("games/"):
                for one in _archive(condition.removeprefix("games/"), _games(key, record.id, store)):
                    found.setdefault(one.item.id, one)
        if not found:
            raise TaskError(
                f"{record.id} holds no critiques; `superalign oversee --protocols critique` makes a record that does"
            )
    kept = drawn(list(found), spec.items, spec.seed)
    return Critiques(
        name=name,
        rules=rating(what="critique", template=spec.template),
        role=ROLES["critique"],
        items=tuple(found[i].item for i in kept),
        groups={i: found[i].prompt for i in kept},
        notes=(f"{len(kept):,} of {len(found):,} critiques are rated",) if len(kept) < len(found) else (),
        seed=spec.seed,
        origin={i: found[i].origin for i in kept},
    )


def is_file(place: str) -> bool:
    """Whether a place is a file's, not a record's."""
    path = Path(place.partition("!")[0])
    return path.exists() or bool(path.suffix)


def _file(place: str) -> dict[str, Critique]:
    table = read(fetch(place))
    for column in COLUMNS:
        if column not in table.columns:
            raise TaskError(
                f"{table.name!r} has no column {column!r}; critiques have prompt, answer and critique, and the columns"
                f" are: {', '.join(table.columns)}"
            )
    found = {}
    for row in table.rows:
        texts = [row.cells.get(column) for column in COLUMNS]
        if not all(isinstance(t, str) and t.strip() for t in texts):
            raise TaskError(f"{table.name}, {row.where}: prompt, answer and critique must be texts that say something")
        one = Critique(*map(str, texts))
        found[one.item.id] = one
    return found


def _games(key: str, record: str, store: Store) -> Archive:
    artifact = store.get(key)
    if artifact is None:
        raise StoreError(f"the games of {record} are damaged in the store; run its spec again to mend it")
    return unpack(artifact.data)


def _archive(condition: str, archive: Archive) -> Iterator[Critique]:
    """Every critique in the games, with the answer that the critic read: the author's, else the choices themselves."""
    for game in archive.games:
        item = archive.items[game.item]
        author = next((t for t in game.turns if _is(t, "author")), None)
        for turn in game.turns:
            if _is(turn, "critic"):
                answer = hear(author.text, source_of(item)).text if author is not None else listed(item.choices)
                said = hear(turn.text, source_of(item)).text + _executed(game)
                yield Critique(item.prompt, answer, said, condition)


def _is(turn: Turn, role: str) -> bool:
    return turn.role.partition("/")[0] == role and turn.failure is None and bool(turn.text.strip())


def _executed(game: Played) -> str:
    """What came of the critic's witness, where it was executed: the judge read it too."""
    result = next((t for t in game.turns if t.role == "program" and t.failure is None), None)
    return f"\n\nIts witness was executed. Result: {result.text.strip() or '(no output)'}" if result is not None else ""


@dataclass(frozen=True)
class Critiques(Rated):
    """Critiques to be rated; `origin` says which condition of the record each is from."""

    origin: Mapping[str, str] = field(default_factory=dict, repr=False)

    def parts(self, results: Sequence[Result]) -> Parts:
        """Helpfulness, rightness, flaws and their overlap, by rater."""
        said = {r.rater: {j.item: opinions(j) for j in r.given} for r in results}
        overlaps = _overlaps(said)
        rows = [
            Condition(name=r.rater, numbers=self._numbers(said[r.rater], overlaps[r.rater]), labels={"kind": "rater"})
            for r in results
        ]
        found, tables = doubt.agreement(self.ratings(results), "ordinal")
        tables |= self._by_origin(said)
        shown = [{"name": c.name, **_bounds(c.numbers["helpfulness"])} for c in rows]
        chart = charts.bars_with_intervals(shown, "How much the critiques help", x="mean rating, 1 to 7")
        return Parts([*rows, *found], tables, {"helpfulness": chart}, [self._answer(rows)])

    def _numbers(
        self, said: Mapping[str, Sequence[Opinion]], overlaps: Sequence[tuple[str, float]]
    ) -> dict[str, Number]:
        flat = [(self.groups[i], o) for i, given in said.items() for o in given]
        claims = [(g, o.claims) for g, o in flat if o.claims]
        groups, asked = [g for g, _ in flat], [g for g, _ in claims]
        none = "the rater never says whether a critique is right"
        flaws = {
            f"{severity}_flaws": doubt.average([sum(f.severity == severity for f in o.flaws) for _, o in flat], groups)
            for severity in SEVERITIES
        }
        return {
            "helpfulness": doubt.average([o.rating for _, o in flat], groups),
            "right": doubt.share([float(c == "yes") for _, c in claims], asked, none),
            "wrong": doubt.share([float(c == "no") for _, c in claims], asked, none),
            "span_f1": doubt.average(
                [f1 for _, f1 in overlaps],
                [self.groups[i] for i, _ in overlaps],
                "no two raters marked the same answer",
            ),
            **flaws,
        }

    def _by_origin(self, said: Mapping[str, Mapping[str, Sequence[Opinion]]]) -> dict[str, Table]:
        """Helpfulness by condition of the record, where there are several."""
        if len(set(self.origin.values())) < 2:
            return {}
        rows = []
        for rater, by_item in said.items():
            ratings: dict[str, list[tuple[Hashable, float]]] = defaultdict(list)
            for item, given in by_item.items():
                ratings[self.origin[item]] += [(self.groups[item], o.rating) for o in given]
            for origin, rated in ratings.items():
                mean = doubt.average([r for _, r in rated], [g for g, _ in rated])
                rows.append((rater, origin, mean.value, mean.low, mean.high, mean.n))
        columns = ("rater", "critiques of", "helpfulness", "low", "high", "n")
        return {"by condition": Table(title="Helpfulness by condition", columns=columns, rows=tuple(rows))}

    def _answer(self, rows: Sequence[Condition]) -> str:
        told = []
        for row in rows:
            helps, right = row.numbers["helpfulness"], row.numbers["right"]
            if helps.value is not None:
                claim = f", {right.value:.0%} of them right" if right.value is not None else ""
                told.append(f"{row.name} rates {helps.n:,} critiques {helps.value:.2f} of 7 on average{claim}")
        return "; ".join(told) + "." if told else "No critique was rated."


def _overlaps(said: Mapping[str, Mapping[str, Sequence[Opinion]]]) -> dict[str, list[tuple[str, float]]]:
    """By rater, (item, F1) for each two opinions on one answer of which one at least is the rater's. Raters who never
    mark a flaw, say those who only give a number, have no part in it."""
    found: dict[str, list[tuple[str, float]]] = {rater: [] for rater in said}
    said = {r: by_item for r, by_item in said.items() if any(o.flaws for given in by_item.values() for o in given)}
    for item in dict.fromkeys(i for by_item in said.values() for i in by_item):
        flat = [(rater, o) for rater, by_item in said.items() for o in by_item.get(item, ())]
        for k, (a, one) in enumerate(flat):
            for b, other in flat[k + 1 :]:
                f1 = span_f1(one.flaws, other.flaws)
                if f1 is not None:
                    for rater in {a, b}:
                        found[rater].append((item, f1))
    return found


def span_f1(one: Sequence[Flaw], other: Sequence[Flaw]) -> float | None:
    """F1 of the characters that two raters marked: 2 |both| / (|one| + |other|); None where neither marked any."""
    marked = [{k for flaw in flaws for k in range(flaw.start, flaw.end)} for flaws in (one, other)]
    total = len(marked[0]) + len(marked[1])
    return 2 * len(marked[0] & marked[1]) / total if total else None


def _bounds(number: Number) -> dict[str, float | str | None]:
    return {"value": number.value, "low": number.low, "high": number.high, "reason": number.reason}
