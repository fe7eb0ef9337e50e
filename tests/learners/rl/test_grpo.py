"""GRPO and RLOO: that they learn, and how their losses relate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from superalign.core.errors import SpecError
from superalign.core.types import Judgment, Verdict
from superalign.learners.rl import grpo as g
from superalign.learners.rl import maths
from superalign.learners.rl import rloo as r
from superalign.learners.rl.grpo import GRPO, grpo
from superalign.learners.rl.learning import Learning
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.rloo import RLOO, rloo
from superalign.learners.rl.rollouts import Rollouts, collect
from superalign.models.policy import Policy
from tests.learners.rl.small import PROMPTS, TINY, generator, gpt, likes_c, same

COMMON = {**TINY, "lr": 1e-2, "group": 4}


def learn(options: Any, overseer: Any = likes_c) -> tuple[Policy, Watching]:
    policy, watching = gpt(), Watching()
    method = grpo if isinstance(options, GRPO) else rloo
    return method(policy, policy, PROMPTS, overseer, options, watching), watching


@pytest.mark.parametrize(
    "options",
    [
        GRPO(**COMMON, iterations=20, beta=0.02),
        GRPO(**COMMON, **g.PRESETS["dr-grpo"], iterations=20, beta=0.02),
        GRPO(**COMMON, **g.PRESETS["dapo"], iterations=20),
        RLOO(**COMMON, iterations=20, beta=0.02),
    ],
    ids=["grpo", "dr-grpo", "dapo", "rloo"],
)
def test_the_reward_rises(options: Any) -> None:
    _, watching = learn(options)
    scores = [e["score"] for e in watching.history()]
    assert np.mean(scores[:2]) < 1.3
    assert np.mean(scores[-3:]) > 2.5
    assert watching.history()[0]["ratio_mean"] == 1.0


@pytest.mark.parametrize(
    "options",
    [
        GRPO(**COMMON, iterations=2, epochs=2, minibatches=2, kl_in="reward", kl="k1"),
        GRPO(**COMMON, iterations=2, normaliser="tokens", scale=False, kl="k2", high=0.3),
        RLOO(**COMMON, iterations=2, epochs=2, minibatches=2, loss="ratio"),
        RLOO(**COMMON, iterations=2, temperature=0.7, least=3, average=0.9),
    ],
)
def test_every_option_runs(options: Any) -> None:
    _, watching = learn(options)
    assert len(watching.history()) == 2
    assert watching.stopped is None
    prompts = [s[0] for s in watching.history()[0]["samples"]]
    assert len(set(prompts)) == 1  # a group has one prompt


def batch_of(options: Any) -> Rollouts:
    prompts = [p for p in PROMPTS[:4] for _ in range(4)]
    return collect(gpt(), gpt(1), prompts, likes_c, options.sampling, generator())


def gradients(policy: Policy) -> torch.Tensor:
    found = torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])
    for p in policy.parameters():
        p.grad = None
    return found


def test_reinforce_and_ratio_have_one_gradient_at_first() -> None:
    options = RLOO(**COMMON)
    batch, policy = batch_of(options), gpt()
    advantages = maths.leave_one_out(batch.scores, 4)
    r.backward(policy, batch, advantages, options)
    plain = gradients(policy)
    r.backward(policy, batch, advantages, replace(options, loss="ratio"))
    torch.testing.assert_close(gradients(policy), plain, atol=1e-5, rtol=1e-3)
    assert plain.abs().max() > 1e-3


def test_rloo_is_grpo_without_scale_but_for_the_factor() -> None:
    """A constant length of 1, no std and G / (G - 1) make GRPO's first gradient that of RLOO."""
    options = GRPO(**{**COMMON, "tokens": 1}, scale=False, normaliser="constant", beta=0.0)
    batch, policy = batch_of(replace(options, tokens=8)), gpt()
    g.backward(policy, batch, maths.group_advantages(batch.scores, 4, False) * 4 / 3, options)
    mine = gradients(policy)
    r.backward(policy, batch, maths.leave_one_out(batch.scores, 4), RLOO(**COMMON))
    torch.testing.assert_close(mine, gradients(policy), atol=1e-5, rtol=1e-3)


def test_the_kl_is_paid_in_the_reward_or_in_the_loss() -> None:
    paid = GRPO(**COMMON, beta=0.5, kl="k1", kl_in="reward")
    batch, learning = batch_of(paid), Learning(gpt(), paid)
    torch.testing.assert_close(g.rewards(batch, learning, paid), batch.scores - 0.5 * batch.kl)
    inside = GRPO(**COMMON, beta=0.5)
    assert g.rewards(batch, learning, inside) is batch.scores
    nothing = torch.zeros(len(batch.scores))
    g.backward(learning.policy, batch, nothing, inside)
    assert gradients(learning.policy).abs().max() > 1e-4  # the penalty pulls where no advantage does
    g.backward(learning.policy, batch, nothing, paid)
    assert gradients(learning.policy).abs().max() == 0


def test_a_group_with_a_response_nobody_scored() -> None:
    def gaps(items: Any) -> list[Judgment]:
        found = likes_c(items)
        return [j if k % 4 else Judgment(j.item, j.seat, Verdict(None, abstained="?")) for k, j in enumerate(found)]

    for options in (GRPO(**COMMON, iterations=2), RLOO(**COMMON, iterations=2)):
        _, watching = learn(options, gaps)
        assert [e["abstained"] for e in watching.history()] == [4, 4]
        assert watching.stopped is None


def test_groups_that_agree_teach_nothing() -> None:
    def flat(items: Any) -> list[Judgment]:
        return [replace(j, verdict=Verdict(None, score=1.0)) for j in likes_c(items)]

    trained, watching = learn(GRPO(**COMMON, iterations=2, beta=0.0), flat)
    assert same(trained, gpt())
    assert watching.stopped is None


def test_options_that_make_no_sense() -> None:
    with pytest.raises(SpecError, match=r"k1 in the loss has a gradient of mean zero.*kl_in='reward'"):
        GRPO(kl="k1")
    assert GRPO(kl="k1", beta=0.0).kl == "k1"
    for kind in (GRPO, RLOO):
        with pytest.raises(SpecError, match="batch=64 does not divide into groups of 7"):
            kind(group=7)
        with pytest.raises(SpecError, match="groups of 1; 2 or more"):
            kind(group=1)
