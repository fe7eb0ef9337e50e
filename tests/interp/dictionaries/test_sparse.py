"""Sums over entries, the choice of entries, and AuxK: against dense autograd and definitions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch import Tensor

from superalign.interp.dictionaries.activity import Weights
from superalign.interp.dictionaries.auxk import auxk
from superalign.interp.dictionaries.batchtopk import BatchTopK
from superalign.interp.dictionaries.jumprelu import JumpReLU, jump, step
from superalign.interp.dictionaries.sparse import decode
from superalign.interp.dictionaries.topk import TopK, largest
from tests.interp.dictionaries.planted import numbers


def weights(latents: int = 20, d: int = 5) -> Weights:
    parts = numbers(latents, d, seed=1), numbers(latents, seed=2) - 1.0, numbers(latents, d, seed=3), numbers(d, seed=4)
    return Weights(*(p.requires_grad_() for p in parts))


def gradients(loss: Tensor, of: Weights) -> list[Tensor]:
    found = torch.autograd.grad(loss, of.tensors, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(of.tensors, found, strict=True)]


def sparse_loss(x: Tensor, w: Weights, pull: Tensor, k: int) -> Tensor:
    a = TopK(k).activate(x, w)
    return ((decode(a.values, a.rows, a.latents, w.W_dec, len(x)) + w.b_dec) * pull).sum()


def dense_loss(x: Tensor, w: Weights, pull: Tensor, k: int) -> Tensor:
    pre = x @ w.W_enc.T + w.b_enc
    values, index = pre.topk(k)
    z = torch.zeros_like(pre).scatter(1, index, values.relu())
    return ((z @ w.W_dec + w.b_dec) * pull).sum()


def test_sparse_gradients_equal_those_of_the_dense_product() -> None:
    x, pull, w = numbers(30, 5), numbers(30, 5, seed=9), weights()
    for ours, theirs in zip(
        gradients(sparse_loss(x, w, pull, 7), w), gradients(dense_loss(x, w, pull, 7), w), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_chosen_latent_that_is_not_positive_passes_no_gradient() -> None:
    """A latent chosen among the k largest with a negative pre-activation is silent (a fused encoder let 2.0 through)."""
    x, w = numbers(8, 5), weights()
    with torch.no_grad():
        w.b_enc.sub_(100)
    for gradient in gradients(sparse_loss(x, w, numbers(8, 5, seed=9), 3), w)[:3]:
        assert not gradient.any()


def test_rows_without_entries_decode_to_nothing() -> None:
    made = decode(torch.tensor([2.0]), torch.tensor([1]), torch.tensor([0]), torch.ones(3, 4), 3)
    assert made.tolist() == [[0] * 4, [2] * 4, [0] * 4]
    none = torch.zeros(0, dtype=torch.int64)
    assert decode(torch.zeros(0), none, none, torch.ones(3, 4), 2).tolist() == [[0] * 4] * 2


@settings(max_examples=60, deadline=None)
@given(some.integers(1, 9), some.sampled_from([5, 16, 64, 96]), some.integers(1, 5), some.integers(0, 10**6))
def test_the_largest_are_the_largest(rows: int, latents: int, k: int, seed: int) -> None:
    """In groups or not; ties (numbers are rounded) may go either way."""
    pre = (numbers(rows, latents, seed=seed) * 3).round()
    values, index = largest(pre, torch.eye(latents), torch.zeros(latents), k)
    assert torch.equal(values.sort(1).values, pre.topk(k).values.sort(1).values)
    assert torch.equal(pre.gather(1, index), values)
    assert all(len(set(row)) == k for row in index.tolist())


def test_batchtopk_spends_k_per_row_on_the_whole_batch_and_averages_its_threshold() -> None:
    x, w, rule = numbers(50, 5), weights(), BatchTopK(3, 20, 5000)
    pre = (x @ w.W_enc.T + w.b_enc).detach()
    smallest = float(pre.flatten().sort(descending=True).values[149])
    active = rule.activate(x, w)
    assert len(active.values) == 150
    assert torch.equal(active.rows, active.rows.sort().values)
    assert torch.equal(active.values.detach(), pre[active.rows, active.latents])
    assert float(active.values.detach().min()) == smallest
    assert rule.threshold().tolist() == pytest.approx([smallest] * 20)
    with torch.no_grad():
        w.b_enc.add_(1)
    rule.activate(x, w)
    second = float((pre + 1).flatten().sort(descending=True).values[149])
    assert float(rule.threshold()[0]) == pytest.approx((0.99 * smallest + second) / 1.99, rel=1e-4)


def test_batchtopk_lets_nothing_fire_that_is_not_positive() -> None:
    x, w, rule = numbers(10, 5), weights(), BatchTopK(20, 20, 5000)
    active = rule.activate(x, w)
    assert 0 < len(active.values) < 200
    assert bool((active.values > 0).all())
    with torch.no_grad():
        w.b_enc.sub_(100)
    kept = rule.threshold()
    assert len(rule.activate(x, w).values) == 0
    assert torch.equal(rule.threshold(), kept)


def test_the_jump_and_the_step_are_those_of_the_paper() -> None:
    pre = torch.tensor([-1.0, 0.9, 0.97, 1.03, 1.2], requires_grad=True)
    theta = torch.ones(5, requires_grad=True)
    fired = jump(pre, theta, 0.1)
    assert fired.tolist() == pytest.approx([0, 0, 0, 1.03, 1.2])
    to_pre, to_theta = torch.autograd.grad(fired.sum(), [pre, theta])
    assert to_pre.tolist() == [0, 0, 0, 1, 1]  # no estimate for the pre-activation
    assert to_theta.tolist() == pytest.approx([0, 0, -10, -10, 0])  # -(theta / bandwidth) near the threshold
    counted = step(pre, theta, 0.1)
    assert counted.tolist() == [0, 0, 0, 1, 1]
    to_pre, to_theta = torch.autograd.grad(counted.sum(), [pre, theta], materialize_grads=True, allow_unused=True)
    assert to_pre.tolist() == [0] * 5
    assert to_theta.tolist() == pytest.approx([0, 0, -10, -10, 0])


def test_the_estimates_are_derivatives_of_expectations() -> None:
    """Of E[jump] and of E[step] with respect to the threshold, against finite differences over 200,000 draws."""
    pre = numbers(200_000, wide=True)
    theta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    for function, spread in ((jump, 0.06), (step, 0.06)):
        (estimate,) = torch.autograd.grad(function(pre, theta.expand_as(pre), 0.2).mean(), [theta])
        high, low = (float(function(pre, (theta + s).detach().expand_as(pre), 0.2).mean()) for s in (0.1, -0.1))
        assert float(estimate) == pytest.approx((high - low) / 0.2, rel=spread)


def test_jumprelu_starts_at_k_and_its_penalty_leads_there() -> None:
    x, w = numbers(400, 5), weights()
    pre = (x @ w.W_enc.T + w.b_enc).detach()
    rule = JumpReLU(2, 0.05, pre)
    assert float((pre > rule.threshold()).sum(1).float().mean()) == pytest.approx(2, abs=0.02)
    assert float(torch.as_tensor(rule.activate(x, w).penalty).detach()) == pytest.approx(0, abs=1e-3)
    for change, sign in ((-0.5, -1), (0.5, 1)):  # a low threshold is to rise, a high one to fall
        with torch.no_grad():
            rule.tensors[0].add_(change)
        active = rule.activate(x, w)
        assert isinstance(active.penalty, Tensor)
        (slope,) = torch.autograd.grad(active.penalty, rule.tensors)
        assert float(slope.sum()) * sign > 0
        with torch.no_grad():
            rule.tensors[0].sub_(change)


def test_auxk_reaches_the_dead_rows_of_the_encoder_and_nothing_else() -> None:
    """A fused encoder gave them the gradient 0.0 (autograd: 15.99)."""
    x, error, w, dead = numbers(40, 5), numbers(40, 5, seed=7).requires_grad_(), weights(), torch.tensor([2, 3, 11])
    loss = auxk(x, error, w, dead)
    W_enc, b_enc, W_dec, b_dec = gradients(loss, w)
    alive = [k for k in range(20) if k not in (2, 3, 11)]
    for gradient in (W_enc, b_enc, W_dec):
        assert bool(
            gradient[dead].abs().flatten(1).sum(1).gt(1e-3).all() if gradient.dim() > 1 else gradient[dead].any()
        )
        assert not gradient[alive].any()
    assert not b_dec.any()
    assert torch.autograd.grad(auxk(x, error, w, dead), [error], allow_unused=True)[0] is None  # the error is a target


def test_auxk_equals_its_definition() -> None:
    x, error, w = numbers(40, 5), numbers(40, 5, seed=7), weights()
    for dead, used in ((torch.tensor([2, 3, 11]), 2), (torch.tensor([4]), 1)):
        pre = (x @ w.W_enc.T + w.b_enc)[:, dead]
        values, place = pre.topk(used)
        z = torch.zeros_like(pre).scatter(1, place, values.relu())
        wanted = (error - z @ w.W_dec[dead]).square().sum() / (error - error.mean(0)).square().sum() * used / 2
        torch.testing.assert_close(auxk(x, error, w, dead), wanted)
        for ours, theirs in zip(gradients(auxk(x, error, w, dead), w), gradients(wanted, w), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_auxk_is_nothing_where_nothing_is_dead_or_left_to_explain() -> None:
    x, error, w = numbers(9, 5), numbers(9, 5, seed=7), weights()
    assert float(auxk(x, error, w, torch.zeros(0, dtype=torch.int64))) == 0
    assert float(auxk(x, torch.ones(9, 5), w, torch.tensor([1]))) == 0
