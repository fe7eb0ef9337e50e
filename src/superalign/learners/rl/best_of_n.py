"""Best-of-n: sample n responses and keep the one that an overseer likes best. No training, and a strong baseline.

Sources: Stiennon et al. 2020 (arXiv 2009.01325); Nakano et al. 2021 (arXiv 2112.09332).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from superalign.core.errors import Degenerate, SpecError
from superalign.core.types import Overseer
from superalign.learners.rl import overseers
from superalign.learners.rl.descent import pieces
from superalign.learners.rl.overoptimisation import best_of_n_kl, best_of_n_mean
from superalign.learners.rl.rollouts import prompt_rows, take
from superalign.models.policy import Policy, Rows, Sampling

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """`n` responses to each of P prompts, prompt by prompt: `rows` and `texts` have P n of them."""

    prompts: tuple[str, ...]
    n: int
    rows: Rows
    texts: tuple[str, ...]

    @property
    def asked(self) -> tuple[str, ...]:
        """The prompt of each response."""
        return tuple(prompt for prompt in self.prompts for _ in range(self.n))

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The texts by prompt."""
        return tuple(self.texts[k : k + self.n] for k in range(0, len(self.texts), self.n))

    def scored(self, overseer: Overseer) -> Floats:
        """The overseer's score of each, (P, n); NaN where it abstained."""
        return overseers.score(overseer, self.asked, self.texts).reshape(-1, self.n)


def candidates(
    policy: Policy, prompts: Sequence[str], n: int, sampling: Sampling, generator: torch.Generator, batch: int = 512
) -> Candidates:
    """Sample n responses to each prompt. Draws come from `generator` alone, `batch` rows at a time."""
    if n < 1 or not prompts:
        raise SpecError(f"best of {n} for {len(prompts)} prompts; both must be positive")
    asked = prompt_rows(policy, prompts)
    every = torch.arange(len(prompts)).repeat_interleave(n)
    parts = [policy.generate(take(asked, index), sampling, generator) for index in pieces(every, batch)]
    rows = Rows(torch.cat([p.tokens for p in parts]), torch.cat([p.mask for p in parts]), asked.start)
    texts = policy.decode([row[real].tolist() for row, real in zip(rows.response, rows.response_mask, strict=True)])
    return Candidates(tuple(prompts), n, rows, tuple(texts))


@dataclass(frozen=True, slots=True)
class Best:
    """The best response to each prompt that has one: `prompts`, `texts`, `rows` and `scores` of the same length.
    `dropped` prompts have none, since the overseer abstained on all of their candidates."""

    prompts: tuple[str, ...]
    texts: tuple[str, ...]
    rows: Rows
    scores: Floats
    dropped: int


def best(drawn: Candidates, overseer: Overseer) -> Best:
    """The candidates that the overseer scores highest. Raises Degenerate where it abstains on everything."""
    scores = drawn.scored(overseer)
    known = np.isfinite(scores).any(1)
    if not known.any():
        raise Degenerate(f"the overseer scored none of {scores.size} responses, so none is the best")
    column = np.where(np.isfinite(scores), scores, -np.inf).argmax(1)
    flat = (np.arange(len(scores)) * drawn.n + column)[known]
    return Best(
        prompts=tuple(drawn.prompts[k] for k in np.flatnonzero(known)),
        texts=tuple(drawn.texts[k] for k in flat),
        rows=take(drawn.rows, torch.from_numpy(flat)),
        scores=scores[known, column[known]],
        dropped=int((~known).sum()),
    )


def best_of_n(
    policy: Policy, prompts: Sequence[str], overseer: Overseer, n: int, sampling: Sampling, generator: torch.Generator
) -> Best:
    """Sample n responses to each prompt and keep the one that the overseer scores highest."""
    return best(candidates(policy, prompts, n, sampling, generator), overseer)


@dataclass(frozen=True, slots=True)
class Curve:
    """Best-of-n for each n of `sizes`: its KL, and proxy and gold per prompt, (P, sizes); NaN rows are not here."""

    sizes: tuple[int, ...]
    kl: Floats
    proxy: Floats
    gold: Floats
    dropped: int


def curve(proxy: Floats, gold: Floats, sizes: Sequence[int] = ()) -> Curve:
    """Every n from one batch of N samples per prompt, by the unbiased estimator; powers of two up to N unless given.

    `proxy` and `gold` are (P, N). Prompts with a score missing are left out and counted.
    """
    counts = tuple(sizes) or tuple(2**k for k in range(proxy.shape[1].bit_length()))
    known = np.isfinite(proxy).all(1) & np.isfinite(gold).all(1)
    by, of = proxy[known], gold[known]
    return Curve(
        counts, best_of_n_kl(counts), best_of_n_mean(by, by, counts), best_of_n_mean(by, of, counts),
        int((~known).sum()),
    )  # fmt: skip
