"""Best-of-n: the best by the overseer, and curves from one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from superalign.core.errors import Degenerate, SpecError
from superalign.core.types import Item, Judgment
from superalign.learners.rl import overseers
from superalign.learners.rl.best_of_n import best, best_of_n, candidates, curve
from superalign.models.policy import Sampling
from tests.learners.rl.small import PROMPTS, generator, gpt, likes_c

SAMPLING = Sampling(8)


def test_the_best_of_each_prompt() -> None:
    drawn = candidates(gpt(), PROMPTS[:6], 5, SAMPLING, generator())
    scores = drawn.scored(likes_c)
    assert scores.tolist() == [[t.count("c") for t in group] for group in drawn.groups]
    made = best(drawn, likes_c)
    assert made.scores.tolist() == scores.max(1).tolist()
    assert [t.count("c") for t in made.texts] == made.scores.tolist()
    assert made.prompts == PROMPTS[:6]
    assert gpt().decode([r[m].tolist() for r, m in zip(made.rows.response, made.rows.response_mask, strict=True)]) == [
        *made.texts
    ]
    assert gpt().decode(made.rows.tokens[:, : made.rows.start].tolist()) == [*made.prompts]


def test_draws_come_from_the_generator_alone() -> None:
    one, same, other = (candidates(gpt(), PROMPTS[:4], 3, SAMPLING, generator(s)).texts for s in (1, 1, 2))
    assert one == same != other
    assert len(candidates(gpt(), PROMPTS[:4], 3, SAMPLING, generator(), batch=5).texts) == 12


def test_more_samples_please_more() -> None:
    means = [best_of_n(gpt(), PROMPTS, likes_c, n, SAMPLING, generator()).scores.mean() for n in (1, 4, 16)]
    assert means[0] + 0.3 < means[1]
    assert means[1] + 0.3 < means[2]


def silent(items: Sequence[Item]) -> list[Judgment]:
    """Has no opinion on prompts that begin with a, nor on texts with d."""
    return overseers.program(
        lambda prompts, texts: [
            None if p[0] == "a" or "d" in t else float(t.count("c")) for p, t in zip(prompts, texts, strict=True)
        ]
    )(items)


def test_abstentions_are_never_the_best_and_are_counted() -> None:
    drawn = candidates(gpt(), ["a b", "b c", "c d"], 12, SAMPLING, generator())
    made = best(drawn, silent)
    assert made.prompts == ("b c", "c d")
    assert made.dropped == 1
    assert not any("d" in text for text in made.texts)
    with pytest.raises(Degenerate, match="scored none of 4 responses"):
        best_of_n(gpt(), ["a b"], silent, 4, SAMPLING, generator())
    with pytest.raises(SpecError, match="best of 0 for 1 prompts; both must be positive"):
        best_of_n(gpt(), ["a b"], silent, 0, SAMPLING, generator())


def test_the_curve_of_a_proxy() -> None:
    draws = np.random.default_rng(0)
    gold = draws.normal(size=(300, 32))
    proxy = gold + 2 * draws.normal(size=gold.shape)
    proxy[0, 3] = np.nan
    made = curve(proxy, gold)
    assert made.sizes == (1, 2, 4, 8, 16, 32)
    assert made.dropped == 1
    assert made.gold.shape == (299, 6)
    mean_gold, mean_proxy = made.gold.mean(0), made.proxy.mean(0)
    assert (np.diff(mean_gold) > 0).all()
    assert mean_proxy[-1] / mean_gold[-1] == pytest.approx(5, rel=0.15)  # var(proxy) / cov(proxy, gold)
    assert made.kl[-1] == pytest.approx(np.log(32) - 31 / 32)
    assert curve(proxy, gold, [3]).sizes == (3,)
