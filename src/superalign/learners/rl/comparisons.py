"""Comparisons: several responses to each prompt, and which of two is better according to some overseer.

Reward models and DPO learn from the same comparisons. Labels come from any overseer that compares, from rankings, or
from scores, as probabilities; `sampled` and `hardened` turn those into decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from superalign.core.digest import digest
from superalign.core.errors import Degenerate, ProtocolError, SpecError
from superalign.core.random import derive, stream
from superalign.core.resample import mean
from superalign.core.spec import Number
from superalign.core.types import Item, Overseer
from superalign.learners.rl import overseers
from superalign.learners.rl.preference import Pairs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Groups = tuple[tuple[str, ...], ...]
"""The responses to each prompt; prompts may have different numbers of them."""


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Pairs among the responses to N prompts.

    `left`, `right` (P,) index the responses of all prompts in one row; `p` (P,) is the probability that left is better.
    `dropped` pairs had no preference and are not here; `gap` is how much likelier the overseer prefers what it is shown
    first (NaN where it was not asked in both orders).
    """

    prompts: tuple[str, ...]
    responses: Groups
    left: Ints
    right: Ints
    p: Floats
    dropped: int = 0
    gap: float = float("nan")

    @property
    def owner(self) -> Ints:
        """The prompt of each response, (M,)."""
        return np.repeat(np.arange(len(self.prompts)), [len(group) for group in self.responses])

    @property
    def asked(self) -> tuple[str, ...]:
        """The prompt's text for each response, (M,)."""
        return tuple(x for x, group in zip(self.prompts, self.responses, strict=True) for _ in group)

    @property
    def answered(self) -> tuple[str, ...]:
        """The text of each response, (M,)."""
        return tuple(text for group in self.responses for text in group)

    @property
    def identity(self) -> str:
        """The hash of everything here."""
        return digest(self.prompts, self.responses, self.left, self.right, self.p)

    def pairs(self) -> Pairs:
        """As tensors."""
        whose = self.owner[self.left]
        return Pairs(*(torch.from_numpy(np.ascontiguousarray(x)) for x in (self.left, self.right, self.p, whose)))

    def of(self, prompts: Sequence[int]) -> Comparisons:
        """The comparisons of some prompts alone, in their order."""
        starts = np.cumsum([0, *(len(group) for group in self.responses)])
        groups = tuple(self.responses[k] for k in prompts)
        where = np.full(starts[-1], -1)
        old = np.concatenate([np.arange(starts[k], starts[k + 1]) for k in prompts]) if len(groups) else starts[:0]
        where[old] = np.arange(len(old))
        kept = where[self.left] >= 0
        left, right = where[self.left[kept]], where[self.right[kept]]
        return replace(
            self, prompts=tuple(self.prompts[k] for k in prompts), responses=groups, left=left, right=right, p=self.p[kept]
        )  # fmt: skip

    def divide(self, share: float, seed: int = 0) -> tuple[Comparisons, Comparisons]:
        """Training and validation comparisons. A prompt is in one of them, with all its pairs, wherever its text recurs.

        Raises SpecError for a share outside (0, 1) and where one side would be empty.
        """
        texts = sorted(set(self.prompts), key=lambda text: derive(seed, "rl/divide", text))
        held = set(texts[: round(share * len(texts))])
        if not 0 < share < 1 or not held or len(held) == len(texts):
            raise SpecError(f"a share of {share} of {len(texts)} prompts leaves one side empty; give more prompts")
        sides = [[k for k, x in enumerate(self.prompts) if (x in held) is valid] for valid in (False, True)]
        return self.of(sides[0]), self.of(sides[1])

    def sampled(self, seed: int = 0) -> Comparisons:
        """Each label drawn from its probability, independently: what people of that opinion would have clicked."""
        return replace(self, p=(stream(seed, "rl/labels").random(len(self.p)) < self.p).astype(np.float64))

    def hardened(self) -> Comparisons:
        """The likelier side of each pair; even odds stay a tie."""
        return replace(self, p=(np.sign(self.p - 0.5) + 1) / 2)


def compared(overseer: Overseer, prompts: Sequence[str], responses: Sequence[Sequence[str]]) -> Comparisons:
    """All pairs of each prompt's responses, judged by an overseer in both orders. Abstentions are dropped and counted."""
    groups = _groups(prompts, responses)
    left, right = _every_pair(groups)
    asked = [x for x, group in zip(prompts, groups, strict=True) for _ in group]
    texts = [text for group in groups for text in group]
    judged = overseers.compare(overseer, [asked[k] for k in left], [texts[k] for k in left], [texts[k] for k in right])
    return replace(_kept(prompts, groups, left, right, judged.p), gap=judged.gap)


def ranked(overseer: Overseer, prompts: Sequence[str], responses: Sequence[Sequence[str]]) -> Comparisons:
    """All pairs as implied by one ranking per prompt. Prompts whose ranking abstains lose their pairs, counted."""
    groups = _groups(prompts, responses)
    items = [Item(f"ranking-{digest(x, g)[:24]}", x, g) for x, g in zip(prompts, groups, strict=True)]
    scores = np.full(sum(len(g) for g in groups), np.nan)
    start = 0
    for item, judgment in zip(items, overseers.judged(overseer, items), strict=True):
        order, k = judgment.verdict.ranking, len(item.choices)
        if judgment.verdict.abstained is None:
            if sorted(order) != list(range(k)):
                raise ProtocolError(f"the overseer ranked {item.id} as {order}; rank each of its {k} choices once")
            scores[start + np.array(order)] = -np.arange(k)
        start += k
    left, right = _every_pair(groups)
    return _kept(prompts, groups, left, right, _preferred(scores[left] - scores[right], 0.0))


def from_scores(
    scores: ArrayLike, prompts: Sequence[str], responses: Sequence[Sequence[str]], tau: float = 0.0
) -> Comparisons:
    """All pairs from one score per response, (M,): p = sigmoid((s_left - s_right) / tau); at tau 0 the higher score
    wins and equal scores tie. NaN has no opinion."""
    groups, values = _groups(prompts, responses), np.asarray(scores, np.float64).ravel()
    left, right = _every_pair(groups)
    if len(values) != sum(len(g) for g in groups):
        raise SpecError(f"{len(values)} scores for {sum(len(g) for g in groups)} responses; give one each, in order")
    return _kept(prompts, groups, left, right, _preferred(values[left] - values[right], tau))


def accuracy(scores: ArrayLike, comparisons: Comparisons, kinds: Sequence[str] = ()) -> dict[str, Number]:
    """How often the higher score (M,) is the preferred response, ties left out: over `all` pairs, and for each of
    `kinds` (P,). Equal scores count half. Intervals resample prompts. Raises Degenerate where all pairs are ties."""
    values, side = np.asarray(scores, np.float64), np.sign(comparisons.p - 0.5)
    right = (np.sign(values[comparisons.left] - values[comparisons.right]) * side + 1) / 2
    whose, decided = comparisons.owner[comparisons.left], side != 0
    if not decided.any():
        raise Degenerate("no pair has a preferred response, so there is no accuracy")
    parts = {"all": decided} | {kind: decided & (np.array(kinds) == kind) for kind in sorted(set(kinds))}
    return {kind: mean(right[mask][None, :], whose[mask]) for kind, mask in parts.items() if mask.any()}


def _preferred(apart: Floats, tau: float) -> Floats:
    p: Floats = (np.sign(apart) + 1) / 2 if tau == 0 else 1 / (1 + np.exp(-np.clip(apart / tau, -700, 700)))
    return p


def _groups(prompts: Sequence[str], responses: Sequence[Sequence[str]]) -> Groups:
    groups = tuple(tuple(group) for group in responses)
    if len(groups) != len(prompts) or any(len(group) < 2 for group in groups):
        raise SpecError(f"{len(groups)} groups of responses for {len(prompts)} prompts; give each prompt two or more")
    return groups


def _every_pair(groups: Groups) -> tuple[Ints, Ints]:
    starts = np.cumsum([0, *(len(group) for group in groups)])
    found = [
        (s + i, s + j) for s, group in zip(starts, groups, strict=False) for i, j in combinations(range(len(group)), 2)
    ]
    both = np.array(found, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _kept(prompts: Sequence[str], groups: Groups, left: Ints, right: Ints, p: Floats) -> Comparisons:
    known = np.isfinite(p)
    return Comparisons(tuple(prompts), groups, left[known], right[known], p[known], int((~known).sum()))
