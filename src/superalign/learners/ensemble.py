"""Ensembles of models that learned from the same overseer: bagging and boosting.

Meant for weak teachers (`weak-bag:n=5`, `weak-boost:n=5`), and usable for students. Sources: ensembles
of weak teachers: arXiv 2410.04571; bagging: Breiman 1996; SAMME: Hastie et al. 2009 (Statistics and Its
Interface 2), by resampling as in Freund and Schapire 1996, since learners take no weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.errors import ModelError
from superalign.core.ports import Learner, Run, Trainable
from superalign.core.random import derive, stream
from superalign.core.types import Data, Item, Overseer
from superalign.learners.labels import gather, judgments_of, probabilities, remembered
from superalign.models.head import answers

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Objective, Watch
    from superalign.core.types import Ask, Reply

VOTES = ("mean", "majority")
_WEIGHTS = "ensemble.weights"
_FLOOR = 1e-12  # a class that no member votes for keeps a finite logit


class Ensemble:
    """A Trainable that is finished: the weighted mean of its members' probabilities, or of their votes.

    `weights` (members,) are normalised to sum 1. Logits are log-probabilities. Raises ModelError for no
    members, and from `fit`.
    """

    serial = True

    def __init__(
        self, members: Sequence[Trainable], weights: Sequence[float] | None = None, vote: str = "mean"
    ) -> None:
        if not members:
            raise ModelError("an ensemble needs a member")
        self.members = tuple(members)
        raw = np.ones(len(members)) if weights is None else np.asarray(weights, np.float64)
        self.weights = raw / raw.sum()
        self.vote = vote
        self.name = f"ensemble({', '.join(member.name for member in members)})"
        self.identity: Mapping[str, Any] = {
            "ensemble": [dict(member.identity) for member in members],
            "weights": self.weights.tolist(),
            "vote": vote,
        }

    def variants(self) -> list[Ensemble]:
        return [self]

    def features(self, items: Sequence[Item]) -> Floats:
        """The first member's features."""
        return self.members[0].features(items)

    def logits(self, items: Sequence[Item]) -> Floats:
        """Log-probabilities (n, K)."""
        mixed = np.asarray(sum(w * self._voice(m, items) for w, m in zip(self.weights, self.members, strict=True)))
        return np.asarray(np.log(np.maximum(mixed, _FLOOR)))

    def _voice(self, member: Trainable, items: Sequence[Item]) -> Floats:
        p = probabilities(member, items)
        return np.asarray(np.eye(p.shape[1])[p.argmax(axis=1)]) if self.vote == "majority" else p

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """Probabilities over each ask's choices."""
        return answers(self.name, (), self.logits, asks)

    def fit(self, items: Sequence[Item], objective: Objective, seed: int, watch: Watch | None = None) -> Trainable:
        raise ModelError(f"{self.name} is finished and cannot be fitted; fit a model, and bag or boost its learner")

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """The members' arrays as `<member>.<array>`, the weights, and the vote."""
        arrays = {f"{i}.{name}": array for i, m in enumerate(self.members) for name, array in m.state().items()}
        return {**arrays, _WEIGHTS: self.weights, "ensemble.vote": np.asarray(VOTES.index(self.vote))}

    def load(self, state: Mapping[str, np.ndarray[Any, Any]]) -> Ensemble:
        """An ensemble from the `state` of one. Raises ModelError where it is not one."""
        return _from_state(self.members[0], state)


def restore(model: Trainable, state: Mapping[str, np.ndarray[Any, Any]]) -> Trainable:
    """The model that a learner made out of `model`, from its `state()`: an ensemble, or `model.load(state)`."""
    return _from_state(model, state) if _WEIGHTS in state else model.load(state)


def _from_state(model: Trainable, state: Mapping[str, np.ndarray[Any, Any]]) -> Ensemble:
    if _WEIGHTS not in state:
        raise ModelError(f"these weights are not an ensemble's; there is: {', '.join(sorted(state))}")
    members = []
    for i in range(len(state[_WEIGHTS])):
        own = {name.partition(".")[2]: array for name, array in state.items() if name.startswith(f"{i}.")}
        members.append(model.load(own))
    return Ensemble(members, state[_WEIGHTS].tolist(), VOTES[int(state["ensemble.vote"])])


def _check(n: int, vote: str) -> None:
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"n counts the members, 1 or more, got {n}")
    if vote not in VOTES:
        raise ValueError(f"vote is mean or majority, got {vote!r}")


def _resampled(data: Data, rows: np.ndarray[Any, Any]) -> Data:
    return replace(data, train=tuple(data.train[i] for i in rows))


def bag(learner: Learner, n: int = 5, vote: str = "mean") -> Learner:
    """Train `n` members on resamples (with replacement) of the training items, and average them.

    The overseer is asked once. Each member has a seed of its own; one member is the learner itself.
    """
    _check(n, vote)

    def bagged(model: Trainable, data: Data, overseer: Overseer, run: Run) -> Trainable:
        if n == 1:
            return learner(model, data, overseer, run)
        known = remembered(overseer)
        members: list[Trainable] = []
        for i in range(n):
            rows = stream(run.seed, "bag", i).integers(len(data.train), size=len(data.train))
            alone = replace(run, seed=derive(run.seed, "bag member", i), watch=None)
            members.append(learner(model, _resampled(data, rows), known, alone))
            run.progress("bag", i + 1, n)
            if run.watch is not None:
                run.watch(i + 1, n, Ensemble(members, vote=vote))
        return Ensemble(members, vote=vote)

    return bagged


def boost(learner: Learner, n: int = 5, vote: str = "mean") -> Learner:
    """SAMME: each member is trained where the members before it were wrong about the overseer's labels.

    A member with weighted error `e` votes with `log((1 - e) / e) + log(K - 1)`. Stops early at a member
    no better than chance (`e >= 1 - 1/K`, left out) and at one without errors. The first member sees the
    items unchanged, so one member is the learner itself.
    """
    _check(n, vote)

    def boosted(model: Trainable, data: Data, overseer: Overseer, run: Run) -> Trainable:
        if n == 1:
            return learner(model, data, overseer, run)
        labels = gather(overseer, data.train)
        known = remembered(overseer, judgments_of(labels.items, labels.soft))
        seen = replace(data, train=labels.items)
        weights = np.full(len(labels.items), 1 / len(labels.items))
        members: list[Trainable] = []
        votes: list[float] = []
        for i in range(n):
            rows = drawn(weights, stream(run.seed, "boost", i)) if i else np.arange(len(weights))
            alone = replace(run, seed=derive(run.seed, "boost member", i) if i else run.seed, watch=None)
            member = learner(model, _resampled(seen, rows), known, alone)
            wrong = probabilities(member, labels.items).argmax(axis=1) != labels.hard
            vote_of, weights, stop = samme(wrong, weights, labels.soft.shape[1])
            if vote_of > 0 or not members:
                members.append(member)
                votes.append(max(vote_of, _FLOOR))
            run.progress("boost", i + 1, n)
            if run.watch is not None:
                run.watch(i + 1, n, Ensemble(members, votes, vote))
            if stop:
                break
        return Ensemble(members, votes, vote)

    return boosted


def samme(wrong: np.ndarray[Any, Any], weights: Floats, classes: int) -> tuple[float, Floats, bool]:
    """One round of SAMME: the member's vote, the next weights (n,) of sum 1, and whether to stop.

    The vote is 0 for a member no better than chance. After a round the weighted error of that same member
    is exactly chance, `1 - 1/K`.
    """
    error = float((weights * wrong).sum() / weights.sum())
    if error >= 1 - 1 / classes:
        return 0.0, weights, True
    certain = max(error, 1e-6)
    vote = float(np.log((1 - certain) / certain) + np.log(classes - 1))
    moved = weights * np.exp(vote * wrong)
    return vote, moved / moved.sum(), error == 0.0


def drawn(weights: Floats, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """n positions, each drawn about `n * weight` times (systematic resampling: rounded up or down, no more)."""
    edges = np.cumsum(weights) / np.sum(weights)
    points = (np.arange(len(weights)) + rng.random()) / len(weights)
    return np.minimum(np.searchsorted(edges, points, side="right"), len(weights) - 1)
