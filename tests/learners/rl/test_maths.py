"""Every formula against an independent reference: loops in numpy, closed forms, exact expectations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from superalign.learners.rl import maths

B, R = 5, 7
LENGTHS = (7, 3, 1, 5, 4)


def rows(seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(B, R, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def mask_of(lengths: tuple[int, ...] = LENGTHS, width: int = R) -> Tensor:
    return torch.arange(width) < torch.tensor(lengths)[:, None]


MASK = mask_of()


def real(x: Tensor) -> np.ndarray[Any, Any]:
    """The values on real tokens, flat."""
    return np.concatenate([r[:n] for r, n in zip(x.numpy(), LENGTHS, strict=True)])


def poisoned(x: Tensor) -> Tensor:
    """NaN wherever there is padding."""
    return torch.where(MASK, x, torch.nan)


def test_means_and_variances_see_real_tokens_alone() -> None:
    x = rows()
    assert maths.masked_mean(poisoned(x), MASK).item() == pytest.approx(real(x).mean())
    assert maths.masked_variance(poisoned(x), MASK).item() == pytest.approx(real(x).var())


@pytest.mark.parametrize("shift", [True, False])
def test_whitening(shift: bool) -> None:
    x = 3 + 2 * rows()
    white = maths.whiten(poisoned(x), MASK, shift)
    assert real(white).std() == pytest.approx(1, abs=1e-6)
    assert real(white).mean() == pytest.approx(0 if shift else real(x).mean(), abs=1e-9)
    assert (white[~MASK] == 0).all()


@pytest.mark.parametrize("after", [False, True])
def test_rewards_sum_to_the_score_less_what_the_kl_costs(after: bool) -> None:
    kl, scores = rows(1), torch.tensor([1.0, -2, 3, 0.5, 7], dtype=torch.float64)
    rewards = maths.per_token_rewards(scores, poisoned(kl), MASK, 0.3, after)
    for i, n in enumerate(LENGTHS):
        place = min(n, R - 1) if after else n - 1
        expected = np.zeros(R)
        expected[:n] = -0.3 * kl[i, :n].numpy()
        expected[place] += scores[i].item()
        np.testing.assert_allclose(rewards[i].numpy(), expected)
    costs = scores - 0.3 * torch.where(MASK, kl, 0.0).sum(1)
    torch.testing.assert_close(rewards.sum(1), costs)


def test_reach_adds_one_place_where_there_is_room() -> None:
    assert maths.reach(MASK).sum(1).tolist() == [min(n + 1, R) for n in LENGTHS]


def gae_by_loops(rewards: Any, values: Any, discount: float, lam: float) -> list[float]:
    n = len(rewards)
    deltas = [rewards[t] + discount * (values[t + 1] if t + 1 < n else 0.0) - values[t] for t in range(n)]
    return [sum((discount * lam) ** (j - t) * deltas[j] for j in range(t, n)) for t in range(n)]


@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_gae(lam: float, discount: float) -> None:
    rewards, values = rows(1), rows(2)
    advantages, returns = maths.gae(poisoned(rewards), poisoned(values), MASK, discount, lam)
    for i, n in enumerate(LENGTHS):
        r, v = rewards[i, :n].numpy(), values[i, :n].numpy()
        np.testing.assert_allclose(advantages[i, :n].numpy(), gae_by_loops(r, v, discount, lam))
        if lam == 1:
            monte_carlo = [sum(discount ** (j - t) * r[j] for j in range(t, n)) for t in range(n)]
            np.testing.assert_allclose(returns[i, :n].numpy(), monte_carlo)
    assert (advantages[~MASK] == 0).all()
    torch.testing.assert_close(returns - torch.where(MASK, values, 0.0), advantages)  # returns come before whitening


def test_clipped_surrogate() -> None:
    logp, old, advantages = rows(1, 0.3), rows(2, 0.3), rows(3)
    losses = maths.policy_loss(poisoned(logp), old, advantages, MASK, 0.1, 0.4)
    for i in range(B):
        for t in range(R):
            rho, a = math.exp(logp[i, t] - old[i, t]), float(advantages[i, t])
            expected = -min(a * rho, a * min(max(rho, 0.9), 1.4)) if t < LENGTHS[i] else 0.0
            assert losses[i, t].item() == pytest.approx(expected)


def test_pads_get_no_gradient_and_change_no_loss() -> None:
    """Twice the padding, filled with rubbish: the same losses, and gradients of exactly zero there."""
    wide = mask_of(width=2 * R)
    padded = {k: torch.cat([rows(k), torch.full((B, R), torch.inf, dtype=torch.float64)], 1) for k in range(4)}
    logp = padded[0].clone().requires_grad_()
    values = padded[1].clone().requires_grad_()
    policy = maths.policy_loss(logp, padded[2], padded[3], wide)
    value = maths.value_loss(values, padded[2], padded[3], wide)
    assert (policy[~wide] == 0).all()
    assert maths.masked_mean(policy, wide).item() == pytest.approx(
        maths.masked_mean(maths.policy_loss(rows(0), rows(2), rows(3), MASK), MASK).item()
    )
    assert value.item() == pytest.approx(maths.value_loss(rows(1), rows(2), rows(3), MASK).item())
    (policy.sum() + value).backward()
    for gradient in (logp.grad, values.grad):
        assert gradient is not None
        assert (gradient[~wide] == 0).all()
        assert gradient[wide].isfinite().all()


def test_value_loss_is_clipped_from_above() -> None:
    values, old, returns = rows(1), rows(2), rows(3)
    held = old + (values - old).clamp(-0.2, 0.2)
    expected = 0.5 * real(torch.maximum((values - returns) ** 2, (held - returns) ** 2)).mean()
    plain = 0.5 * real((values - returns) ** 2).mean()
    assert maths.value_loss(values, old, returns, MASK, 0.2).item() == pytest.approx(expected)
    assert maths.value_loss(values, old, returns, MASK, None).item() == pytest.approx(plain)
    assert expected > plain
    near = old + 0.1 * torch.tanh(values)  # inside the clip range
    assert maths.value_loss(near, old, returns, MASK, 0.2).item() == pytest.approx(
        maths.value_loss(near, old, returns, MASK, None).item()
    )


def test_kl_estimators_have_the_exact_kl_as_their_mean() -> None:
    p, q = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25]), torch.tensor([0.3, 0.1, 0.25, 0.15, 0.2])
    logp, reference = p.log(), q.log()
    exact = float((p * (logp - reference)).sum())
    for kind in ("k1", "k3"):
        assert float((p * maths.kl_estimate(logp, reference, kind)).sum()) == pytest.approx(exact, abs=1e-6)
    d = logp - reference
    torch.testing.assert_close(maths.kl_estimate(logp, reference, "k2"), d**2 / 2)
    torch.testing.assert_close(maths.kl_estimate(logp, reference, "k3"), torch.exp(-d) - 1 + d)


@given(st.floats(-20, 20))
def test_k3_is_never_negative(d: float) -> None:
    assert float(maths.kl_estimate(torch.tensor(d), torch.tensor(0.0), "k3")) >= 0


def test_k1_in_a_loss_is_refused_because_its_gradient_has_mean_zero() -> None:
    logits = torch.tensor([0.3, -1.0, 0.5], requires_grad=True)
    reference = torch.log_softmax(torch.tensor([1.0, 0.0, 0.0]), 0)
    p = torch.softmax(logits, 0).detach()

    def gradient(kind: maths.KL) -> Tensor:
        estimates = maths.kl_estimate(torch.log_softmax(logits, 0), reference, kind)
        (found,) = torch.autograd.grad((p * estimates).sum(), logits)
        return found

    assert gradient("k1").abs().max() < 1e-6
    assert gradient("k2").abs().max() > 0.05
    with pytest.raises(ValueError, match="k1 in the loss has a gradient of mean zero"):
        maths.kl_loss(logits, reference, "k1")
    assert maths.kl_loss(logits, reference, "k3").shape == logits.shape
    with pytest.raises(ValueError, match="no KL estimator 'k4'"):
        maths.kl_estimate(logits, reference, "k4")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kl, factor",
    [(6.0, 0.0), (6.6, 0.1), (5.4, -0.1), (60.0, 0.2), (0.0, -0.2)],
    ids=["at", "over", "under", "far", "none"],
)
def test_adaptive_beta(kl: float, factor: float) -> None:
    assert maths.adaptive_beta(0.1, kl, 6.0, 64, 10_000) == pytest.approx(0.1 * (1 + factor * 64 / 10_000))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_and_entropy(temperature: float) -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tokens = torch.tensor([[0, 4, 2], [1, 1, 3]])
    p = np.exp(logits.numpy() / temperature)
    p /= p.sum(-1, keepdims=True)
    chosen = np.take_along_axis(p, tokens.numpy()[..., None], -1)[..., 0]
    np.testing.assert_allclose(maths.token_logprobs(logits, tokens, temperature).numpy(), np.log(chosen))
    np.testing.assert_allclose(maths.entropy(logits, temperature).numpy(), -(p * np.log(p)).sum(-1))


GROUPS = torch.tensor([1.0, 2, 4, 5, 5, 5, 0, 3, 3], dtype=torch.float64)


@pytest.mark.parametrize("scale", [True, False])
def test_group_advantages(scale: bool) -> None:
    found = maths.group_advantages(GROUPS, 3, scale).reshape(3, 3).numpy()
    for mine, group in zip(found, GROUPS.reshape(3, 3).numpy(), strict=True):
        np.testing.assert_allclose(mine, (group - group.mean()) / (group.std(ddof=1) + 1e-4 if scale else 1.0))
    np.testing.assert_allclose(found.sum(1), 0, atol=1e-9)
    assert (found[1] == 0).all()  # no spread: nothing to learn, no NaN
    assert scale or torch.allclose(
        maths.group_advantages(5 * GROUPS, 3, False), 5 * torch.from_numpy(found).reshape(-1)
    )


def test_leave_one_out() -> None:
    found = maths.leave_one_out(GROUPS, 3).reshape(3, 3).numpy()
    groups = GROUPS.reshape(3, 3).numpy()
    loops = [[r - (g.sum() - r) / 2 for r in g] for g in groups]
    np.testing.assert_allclose(found, loops)
    np.testing.assert_allclose(found, 3 / 2 * (groups - groups.mean(1, keepdims=True)))


def test_leave_one_out_is_unbiased_on_a_bandit() -> None:
    """Three arms, groups of two: the expectation over all pairs of samples is the exact policy gradient."""
    logits, rewards = torch.tensor([0.2, -0.4, 0.7], dtype=torch.float64), torch.tensor([1.0, 3.0, -2.0]).double()
    p = torch.softmax(logits, 0)
    exact = p * (rewards - (p * rewards).sum())
    mean = torch.zeros(3, dtype=torch.float64)
    for a in range(3):
        for b in range(3):
            advantages = maths.leave_one_out(rewards[[a, b]], 2)
            for arm, advantage in zip((a, b), advantages, strict=True):
                mean += p[a] * p[b] * advantage / 2 * (torch.eye(3, dtype=torch.float64)[arm] - p)
    torch.testing.assert_close(mean, exact)


@pytest.mark.parametrize("function", [maths.group_advantages, maths.leave_one_out])
def test_responses_without_a_score_count_for_nothing(function: Any) -> None:
    with_gap = torch.tensor([1.0, torch.nan, 4, 2, torch.nan, torch.nan])
    found = function(with_gap, 3)
    torch.testing.assert_close(found[[0, 2]], function(torch.tensor([1.0, 4]), 2))
    assert found[[1, 3, 4, 5]].tolist() == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="6 scores do not make groups of 4"):
        function(with_gap, 4)


def test_normalisers() -> None:
    losses = rows(4)
    parts = [r[:n] for r, n in zip(losses.numpy(), LENGTHS, strict=True)]
    expected = {
        "sequence": np.mean([p.mean() for p in parts]),
        "constant": np.mean([p.sum() for p in parts]) / 10,
        "tokens": np.concatenate(parts).mean(),
    }
    for how, value in expected.items():
        assert maths.normalise(poisoned(losses), MASK, how, 10).item() == pytest.approx(value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no normaliser 'mean'"):
        maths.normalise(losses, MASK, "mean")  # type: ignore[arg-type]


def test_explained_variance() -> None:
    returns = rows(1)
    assert maths.explained_variance(returns + 3, returns, MASK) == pytest.approx(1)
    assert maths.explained_variance(torch.zeros(B, R), returns, MASK) == pytest.approx(0)
    assert maths.explained_variance(-2 * returns, returns, MASK) < -5
    assert math.isnan(maths.explained_variance(returns, torch.ones(B, R), MASK))


def test_ratio_report() -> None:
    logp, old = rows(1, 0.3), rows(2, 0.3)
    found = maths.plain(maths.ratio_report(poisoned(logp), old, MASK, 0.1, 0.3))
    moved = real(logp - old)
    ratio = np.exp(moved)
    assert found == pytest.approx(
        {
            "approx_kl": 0.5 * (moved**2).mean(),
            "clip_fraction": ((ratio < 0.9) | (ratio > 1.3)).mean(),
            "ratio_mean": ratio.mean(),
            "ratio_variance": ratio.var(),
        }
    )
