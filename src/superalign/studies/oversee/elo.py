"""Ratings by maximum likelihood on soft outcomes, honest and dishonest skill apart.

P(i beats j) = 1 / (1 + 10^((R_j - R_i) / 400)) (Bradley & Terry 1952, on Elo's scale). A normal prior on each rating
keeps players that never lost finite. The fit does not depend on the order of the matches, as shuffled online updates
do, and weighs a match by its information, as least squares on win rates does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from superalign.core.errors import Degenerate, SpecError, nearest
from superalign.core.resample import Floats, Ints, interval
from superalign.core.spec import Number

POINTS = 400 / math.log(10)
"""Elo points of one unit of log-odds."""
ANCHOR = 1500.0
PRIOR = 800.0


@dataclass(frozen=True, slots=True)
class Match:
    """`outcome` in [0, 1] is the share that `first` won against `second`, over `games` games."""

    first: str
    second: str
    outcome: float
    games: float = 1.0


@dataclass(frozen=True, slots=True)
class Ratings:
    """A rating per player, 1500 on average over each component.

    `components` are the groups of players that are linked by matches; ratings compare within one alone.
    """

    ratings: Mapping[str, Number]
    components: tuple[tuple[str, ...], ...]

    def of(self, player: str) -> Number:
        """A player's rating. SpecError with near names for one that did not play."""
        if player not in self.ratings:
            raise SpecError(f"no player is named {player!r}; {nearest(player, self.ratings)}")
        return self.ratings[player]

    def expected(self, first: str, second: str) -> float:
        """P(first beats second). SpecError for players that no chain of matches links."""
        a, b = self.of(first).value, self.of(second).value
        together = any({first, second} <= set(component) for component in self.components)
        if a is None or b is None or not together:
            raise SpecError(f"no chain of matches links {first!r} and {second!r}, so their ratings do not compare")
        return 1 / (1 + 10 ** ((b - a) / 400))


def fit(matches: Sequence[Match], *, prior: float | None = PRIOR, resampled: Sequence[Floats] = ()) -> Ratings:
    """Ratings of all who played.

    `prior` is the standard deviation of ratings in points; None fits without a prior. `resampled` holds outcomes and
    games of the same matches in bootstrap replicates, two arrays (replicates, matches); without it the
    intervals are normal, from the Fisher information. SpecError for outcomes outside [0, 1]; Degenerate for a player
    who never lost, or never won, where there is no prior.
    """
    if not matches:
        raise SpecError("there are no matches to rate players by")
    for match in matches:
        if not 0 <= match.outcome <= 1 or match.games < 0:
            raise SpecError(f"an outcome is a share in [0, 1] of one or more games; got {match}")
    order = sorted(range(len(matches)), key=lambda k: (matches[k].first, matches[k].second, matches[k].outcome))
    matches = [matches[k] for k in order]
    names = sorted({m.first for m in matches} | {m.second for m in matches})
    at = {name: i for i, name in enumerate(names)}
    pairs = np.array([[at[m.first], at[m.second]] for m in matches])
    components = linked(names, [(m.first, m.second) for m in matches])
    groups = np.array([next(g for g, c in enumerate(components) if name in c) for name in names])
    won, games = (np.array([[getattr(m, field) for m in matches]]) for field in ("outcome", "games"))
    skills, variances = _solve(pairs, won, games, groups, prior)
    spread = 1.96 * POINTS * np.sqrt(variances[0])
    ends = list(zip(skills[0] * POINTS - spread, skills[0] * POINTS + spread, strict=True))
    if resampled:
        stars, _ = _solve(pairs, resampled[0][:, order], resampled[1][:, order], groups, prior)
        ends = [interval(column * POINTS) for column in stars.T]
    played = [float(games[0][(pairs == i).any(1)].sum()) for i in range(len(names))]
    ratings = {
        name: Number(value=ANCHOR + skills[0, i] * POINTS, low=ANCHOR + low, high=ANCHOR + high, n=round(played[i]))
        for i, (name, (low, high)) in enumerate(zip(names, ends, strict=True))
    }
    return Ratings(ratings, components)


def advantage(ratings: Ratings, pairs: Iterable[tuple[str, str]]) -> float:
    """The truth's advantage: mean rating of each player when honest less that when dishonest, in points."""
    gaps = [(ratings.of(honest).value or 0.0) - (ratings.of(other).value or 0.0) for honest, other in pairs]
    return float(np.mean(gaps))


def linked(names: Sequence[str], pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """The names in groups that chains of pairs connect."""
    groups = [{name} for name in names]
    for a, b in pairs:
        one, other = (next(g for g in groups if name in g) for name in (a, b))
        if one is not other:
            one |= other
            groups.remove(other)
    return tuple(tuple(sorted(g)) for g in groups)


def _solve(pairs: Ints, won: Floats, games: Floats, groups: Ints, prior: float | None) -> tuple[Floats, Floats]:
    """Skills in log-odds (replicates, players) and their variances, by Newton's method on all replicates at once."""
    players = len(groups)
    signs = np.zeros((len(pairs), players))
    signs[np.arange(len(pairs)), pairs[:, 0]] += 1
    signs[np.arange(len(pairs)), pairs[:, 1]] -= 1
    ridge = 0.0 if prior is None else (POINTS / prior) ** 2
    same = (groups[:, None] == groups[None, :]).astype(np.float64)  # pins each component's mean, changes no difference
    centre = np.eye(players) - same / same.sum(1)  # a rating is told apart from its component's mean alone
    skills = np.zeros((len(won), players))
    for _ in range(200):
        chance = 1 / (1 + np.exp(-skills @ signs.T))
        slope = (games * (won - chance)) @ signs - ridge * skills
        weights = games * chance * (1 - chance)
        curvature = np.einsum("bm,mi,mj->bij", weights, signs, signs) + ridge * np.eye(players)
        if curvature.max() < 1e-12 or np.abs(skills).max() > 40:
            break
        step = np.linalg.solve(curvature + same, slope[..., None])[..., 0]
        skills = skills + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-10:
            return skills, np.diagonal(centre @ np.linalg.inv(curvature + same) @ centre, axis1=1, axis2=2)
    raise Degenerate("a player who never lost or never won has no finite rating without a prior; give one")
