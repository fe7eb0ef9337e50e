"""Ratings from votes: Bradley-Terry boards that state their rule, with agreement and position beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from superalign.core import records
from superalign.core.errors import Degenerate, SpecError, StoreError, TaskError, nearest
from superalign.core.ports import Progress, Store, silent
from superalign.core.random import stream
from superalign.core.spec import Condition, Number, Record, Table
from superalign.core.study import Plan, Study, circumstances
from superalign.report import charts
from superalign.studies.rate import games
from superalign.studies.rate.agreement import alpha, raw_agreement
from superalign.studies.rate.bradley_terry import SCALE, Fit, aggregate, bootstrap, check, fit, reweighted
from superalign.studies.rate.ranks import Board, board, online_elo, ranks_by_tests, win_rate
from superalign.studies.rate.spec import Rate
from superalign.studies.rate.votes import Votes, load

FEW_RATERS = 20
"""With fewer raters than this, errors clustered by rater are themselves uncertain, and the record says so."""


def rate(spec: Rate, store: Store) -> Record:
    """The record of a leaderboard: a condition per competitor, in the order of the ratings."""
    return prepare(spec, store).run()


def prepare(spec: Rate, store: Store) -> Prepared:
    """The votes, read and filtered. Raises TaskError or SpecError for what cannot be rated."""
    votes = _votes(spec, store)
    counts = np.bincount(votes.left, minlength=len(votes.names)) + np.bincount(votes.right, minlength=len(votes.names))
    kept = counts >= spec.minimum
    mask = kept[votes.left] & kept[votes.right]
    dropped = [n for n, k in zip(votes.names, kept, strict=True) if not k]
    if dropped:
        few = f"{len(dropped)} competitors with fewer than {spec.minimum} votes are left out: {', '.join(dropped[:5])}"
        votes = replace(_compact(votes.where(mask)), notes=(*votes.notes, few))
    if len(votes.names) < 2:
        raise TaskError(f"{spec.votes!r} leaves {len(votes.names)} competitors; a board needs two")
    if spec.anchor is not None and spec.anchor not in votes.names:
        raise SpecError(f"no competitor is named {spec.anchor!r} (--anchor); {nearest(spec.anchor, votes.names)}")
    return Prepared(spec, votes)


def _votes(spec: Rate, store: Store) -> Votes:
    if Path(spec.votes.partition("!")[0]).exists() or Path(spec.votes).suffix:
        return load(spec.votes, columns=spec.columns, style=spec.style)
    try:
        record = records.load(store, spec.votes)
    except StoreError as error:
        raise TaskError(f"{spec.votes!r} is neither a file of votes nor a record: {error}") from error
    return games.votes_of(record, store)


def _compact(votes: Votes) -> Votes:
    """Competitors that no vote names any more go."""
    there, flat = np.unique(np.concatenate([votes.left, votes.right]), return_inverse=True)
    names = tuple(votes.names[k] for k in there)
    return replace(votes, names=names, left=flat[: len(votes)], right=flat[len(votes) :])


@dataclass(frozen=True, slots=True)
class Rated:
    """One board: its votes, the fit and the intervals."""

    votes: Votes
    fit: Fit
    board: Board


@dataclass(frozen=True, slots=True)
class Prepared:
    """Votes ready to be rated."""

    spec: Rate
    votes: Votes

    def plan(self) -> Plan:
        said = f"{len(self.votes):,} votes between {len(self.votes.names)} competitors"
        raters = f", {len(self.votes.raters)} raters" if self.votes.raters else ""
        return Plan((), (said + raters,))

    def run(self, progress: Progress = silent) -> Record:
        main = self.rated(self.votes)
        groups: dict[str, Rated] = {}
        notes = [*self.votes.notes, *self._notes()]
        for k, name in enumerate(self.votes.categories):
            chosen = _compact(self.votes.where(np.asarray(self.votes.category) == k))
            try:
                groups[name] = self.rated(chosen)
            except Degenerate as error:
                notes.append(f"category {name}: {error}")
        conditions = [*self.conditions(main), *(c for n, g in groups.items() for c in self.conditions(g, f"{n}/"))]
        position = self.position()
        return Record(
            id=f"rate-{self.spec.digest[:8]}",
            title=f"Ratings of {len(self.votes.names)} competitors from {len(self.votes):,} votes",
            **circumstances(self.spec),
            conditions=tuple(conditions),
            charts={name: self.chart(rated, name) for name, rated in {"all votes": main, **groups}.items()},
            tables={"checks": self.checks(main, position), "head to head": head_to_head(main)},
            notes=(self.answer(main), *notes),
        )

    def rated(self, votes: Votes) -> Rated:
        """The board of these votes. Raises Degenerate where they do not connect the competitors."""
        single = votes.rows(position=self.spec.position, style=True)
        if single.z.shape[1] == 0 and single.rater is None:
            single = aggregate(single)
        if self.spec.reweight:
            single = reweighted(single)
        if not self.spec.ridge:
            check(single, votes.names)
        found = fit(single, ridge=self.spec.ridge, ridge_z=self.spec.ridge)
        replicates = None
        if self.spec.bootstrap:
            rng = stream(self.spec.seed, "rate/bootstrap", votes.names)
            replicates = bootstrap(single, found, self.spec.bootstrap, rng, self.spec.ridge)
        anchor = self.spec.anchor
        at = votes.names.index(anchor) if anchor in votes.names else None
        return Rated(votes, found, board(found, anchor=at, at=self.spec.at, replicates=replicates))

    def conditions(self, rated: Rated, prefix: str = "") -> list[Condition]:
        votes, b = rated.votes, rated.board
        counts = np.bincount(votes.left, minlength=len(votes.names)) + np.bincount(
            votes.right, minlength=len(votes.names)
        )
        tested, elo = ranks_by_tests(rated.fit), online_elo(votes.left, votes.right, votes.won, len(votes.names))
        share, low, high = win_rate(rated.fit)
        rows = []
        for k in np.argsort(-b.rating, kind="stable"):
            n = int(counts[k])
            numbers = {
                "rating": Number(value=b.rating[k], low=b.low[k], high=b.high[k], n=n),
                "rank": Number(value=b.rank[k], low=b.rank[k], high=b.worst[k], n=n),
                "tested_rank": Number(value=tested[k], n=n),
                "win_rate": Number(value=share[k], low=low[k], high=high[k], n=n),
                "votes": Number(value=n),
                "online_elo": Number(value=elo[k], n=n),
            }
            rows.append(Condition(name=prefix + votes.names[k], numbers=numbers, labels={"kind": "competitor"}))
        return rows

    def position(self) -> Number:
        """The advantage of the left side in rating points, fitted beside the ratings."""
        single = self.votes.rows(position=True, style=True)
        try:
            found = fit(single, ridge=self.spec.ridge, ridge_z=self.spec.ridge)
        except Degenerate as error:
            return Number(value=None, reason=str(error))
        gamma, se = (
            float(found.gamma[0]) * SCALE,
            float(np.sqrt(found.covariance[len(found.theta), len(found.theta)])) * SCALE,
        )
        return Number(value=gamma, low=gamma - 1.96 * se, high=gamma + 1.96 * se, n=len(self.votes))

    def checks(self, rated: Rated, position: Number) -> Table:
        """Position, style, balance, ties, agreement."""
        votes = self.votes
        decided = votes.won != 0.5
        left = float(votes.won[decided].mean()) if decided.any() else None
        rows: list[tuple[object, ...]] = [
            ("advantage of the left side, points", *_cells(position)),
            ("left side wins, of decided votes", left, None, None, ""),
            ("ties", float((~decided).mean()), None, None, ""),
        ]
        first = len(votes.names) + int(self.spec.position)
        for k, feature in enumerate(votes.features):
            value, se = (
                rated.fit.gamma[first - len(votes.names) + k],
                np.sqrt(rated.fit.covariance[first + k, first + k]),
            )
            number = Number(value=value, low=value - 1.96 * se, high=value + 1.96 * se)
            rows.append((f"style: {feature}, logits per unit of its root mean square", *_cells(number)))
        if votes.raters and votes.prompt is not None:
            units = _units(votes)
            pairs = [(u, r) for u, ratings in units.items() for r in ratings]
            rows.append(("Krippendorff's alpha (nominal)", *_cells(alpha(pairs))))
            rows.append(
                ("raw agreement", raw_agreement(units), None, None, "pairs of raters on the same prompt and pair")
            )
            rows.append(("raw agreement without ties", raw_agreement(units, ties=False), None, None, ""))
        return Table(title="Checks of the votes", columns=("check", "value", "low", "high", "note"), rows=tuple(rows))

    def chart(self, rated: Rated, name: str) -> dict[str, object]:
        b = rated.board
        order = np.argsort(-b.rating, kind="stable")
        rows = [
            {
                "name": rated.votes.names[k],
                "value": float(b.rating[k]),
                "low": float(b.low[k]),
                "high": float(b.high[k]),
            }
            for k in order
        ]
        return charts.bars_with_intervals(rows, f"Ratings, {name}", x="rating")

    def answer(self, rated: Rated) -> str:
        b, names = rated.board, rated.votes.names
        first = [names[k] for k in np.argsort(-b.rating, kind="stable") if b.rank[k] == 1]
        tested = ranks_by_tests(rated.fit)
        ahead = [names[k] for k in np.flatnonzero(tested == 1)]
        said = f"{first[0]} leads with {b.rating.max():.0f}"
        shared = f"; {len(first)} share rank 1 by the interval rule" if len(first) > 1 else " and holds rank 1 alone"
        return f"{said}{shared} ({len(ahead)} are not beaten beyond noise in corrected tests of differences)."

    def _notes(self) -> list[str]:
        spec, votes = self.spec, self.votes
        by = "the rater (sandwich, clustered)" if votes.raters else "the vote (sandwich)"
        if spec.bootstrap:
            by = f"a bootstrap of {spec.bootstrap} rounds over {'raters' if votes.raters else 'votes'}"
        notes = [
            f"Bradley-Terry by maximum likelihood, ties as half wins; 95 % intervals by {by}; rank = 1 + the number of"
            " competitors whose interval lies wholly above, shown with the worst rank that the intervals allow."
        ]
        if 0 < len(votes.raters) < FEW_RATERS:
            notes.append(f"only {len(votes.raters)} raters: intervals clustered by rater are rough below {FEW_RATERS}.")
        if spec.ridge:
            notes.append(
                f"a ridge of {spec.ridge} pulls ratings towards each other; they are not pure maximum likelihood."
            )
        if spec.reweight:
            notes.append("votes are weighed by 1 / max(votes on their pair, 50).")
        if spec.style:
            notes.append(f"ratings are at equal style: {', '.join(spec.style)} taken out in a joint fit.")
        return notes


def head_to_head(rated: Rated) -> Table:
    """Votes, ties and the share won for every pair that met, at most the first 200 by votes."""
    votes = rated.votes
    cells: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    n = len(votes.names)
    low, high = np.minimum(votes.left, votes.right), np.maximum(votes.left, votes.right)
    won = np.where(votes.left < votes.right, votes.won, 1 - votes.won)
    code = low * n + high
    for pair in np.unique(code):
        mask = code == pair
        cells[int(pair // n), int(pair % n)] = [
            float(mask.sum()),
            float((won[mask] == 0.5).sum()),
            float(won[mask].mean()),
        ]
    rows = [
        (votes.names[i], votes.names[j], int(c), int(t), round(w, 4), _predicted(rated.fit, i, j))
        for (i, j), (c, t, w) in sorted(cells.items(), key=lambda kv: -kv[1][0])[:200]
    ]
    columns = ("one", "other", "votes", "ties", "share of one", "expected by the fit")
    return Table(title="Head to head", columns=columns, rows=tuple(rows), note="the 200 pairs with most votes")


def _predicted(found: Fit, i: int, j: int) -> float:
    return round(float(1 / (1 + np.exp(found.theta[j] - found.theta[i]))), 4)


def _units(votes: Votes) -> Mapping[object, list[float]]:
    """Ratings by (prompt, pair), oriented alike."""
    units: dict[object, list[float]] = defaultdict(list)
    assert votes.prompt is not None
    for a, b, y, p in zip(
        votes.left.tolist(), votes.right.tolist(), votes.won.tolist(), votes.prompt.tolist(), strict=True
    ):
        units[p, min(a, b), max(a, b)].append(y if a < b else 1 - y)
    return units


def _cells(number: Number) -> tuple[object, object, object, str]:
    return number.value, number.low, number.high, number.reason or ""


study = Study("rate", Rate, prepare)
