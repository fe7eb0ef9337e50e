"""Losses on preferences against loops, closed forms and their known points."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import logsigmoid

from superalign.learners.rl.preference import Pairs, best_of_k_loss, dpo_loss, pair_loss

ONE = torch.float64


def pairs(*rows: tuple[int, int, float, int]) -> Pairs:
    left, right, p, prompt = zip(*rows, strict=True)
    return Pairs(torch.tensor(left), torch.tensor(right), torch.tensor(p, dtype=ONE), torch.tensor(prompt))


RAGGED = pairs(
    (0, 1, 1.0, 0), (0, 2, 0.0, 0), (1, 2, 0.3, 0), (3, 4, 1.0, 1), (5, 6, 0.5, 2), (5, 7, 1.0, 2),
)  # fmt: skip
"""Prompts with 3, 1 and 2 pairs over 8 responses."""


def rewards(seed: int = 0, n: int = 8) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=ONE, requires_grad=True)


def loop(r: Tensor, of: Pairs, margin: float, centring: float) -> Tensor:
    """Prompt by prompt, pair by pair."""
    prompts = []
    for prompt in sorted(set(of.prompt.tolist())):
        losses = []
        for a, b, p, whose in zip(of.left.tolist(), of.right.tolist(), of.p.tolist(), of.prompt.tolist(), strict=True):
            if whose == prompt:
                one = -p * logsigmoid(r[a] - r[b] - margin) - (1 - p) * logsigmoid(r[b] - r[a] - margin)
                losses.append(one + centring * (r[a] + r[b]) ** 2)
        prompts.append(torch.stack(losses).mean())
    return torch.stack(prompts).mean()


@pytest.mark.parametrize(("margin", "centring"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.01), (0.2, 0.1)])
def test_all_pairs_of_a_prompt_in_one_element_equal_the_pairwise_loop(margin: float, centring: float) -> None:
    ours, theirs = rewards(), rewards()
    made, wanted = pair_loss(ours, RAGGED, margin, centring), loop(theirs, RAGGED, margin, centring)
    torch.testing.assert_close(made, wanted)
    torch.testing.assert_close(torch.autograd.grad(made, ours), torch.autograd.grad(wanted, theirs))


@given(seed=st.integers(0, 1000), shift=st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_a_pair_loss_knows_differences_alone(seed: int, shift: float) -> None:
    r = rewards(seed)
    assert pair_loss(r + shift, RAGGED).item() == pytest.approx(pair_loss(r, RAGGED).item())
    swapped = Pairs(RAGGED.right, RAGGED.left, 1 - RAGGED.p, RAGGED.prompt)
    assert pair_loss(r, swapped, 0.3, 0.1).item() == pytest.approx(pair_loss(r, RAGGED, 0.3, 0.1).item())


def test_centring_pulls_the_level_to_zero() -> None:
    r = (rewards().detach() + 3).requires_grad_()
    (slope,) = torch.autograd.grad(pair_loss(r, RAGGED, centring=1.0), r)
    assert (slope > 0).all()


def test_ties_left_out_have_no_gradient_and_ties_as_halves_pull_together() -> None:
    tie, r = pairs((0, 1, 0.5, 0)), torch.tensor([1.0, -1.0], dtype=ONE, requires_grad=True)
    left_out = pair_loss(r, tie.decided())
    assert left_out.item() == 0
    assert torch.autograd.grad(left_out, r)[0].tolist() == [0, 0]
    (slope,) = torch.autograd.grad(pair_loss(r, tie), r)
    assert slope[0] > 0 > slope[1]
    assert len(RAGGED.decided()) == len(RAGGED) - 1


def test_prompts_without_pairs_do_not_count() -> None:
    r = rewards()
    alone = pairs((0, 1, 1.0, 0))
    assert pair_loss(r, pairs((0, 1, 1.0, 3))).item() == pytest.approx(pair_loss(r, alone).item())


def test_best_of_k() -> None:
    table = torch.tensor([[0.0, 1.0, 2.0], [3.0, 3.0, -torch.inf]], requires_grad=True)
    loss = best_of_k_loss(table, torch.tensor([2, 0]))
    first = -math.log(math.exp(2) / (1 + math.e + math.exp(2)))
    assert loss.item() == pytest.approx((first + math.log(2)) / 2)
    (slope,) = torch.autograd.grad(loss, table)
    assert slope[0, 2] < 0 < slope[0, 0]
    assert slope[1, 2] == 0
    with torch.no_grad():  # with two responses it is the pair loss
        two = best_of_k_loss(table[1:, :2] + torch.tensor([1.0, 0.0]), torch.tensor([0]))
    assert two.item() == pytest.approx(-float(logsigmoid(torch.tensor(1.0))))


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_dpo_at_the_reference(beta: float) -> None:
    h = torch.zeros(4, dtype=ONE, requires_grad=True)
    loss = dpo_loss(h, torch.ones(4), beta)
    assert loss.item() == pytest.approx(math.log(2))
    np.testing.assert_allclose(torch.autograd.grad(loss, h)[0] * 4, -beta / 2)


@pytest.mark.parametrize(
    ("p", "smoothing", "weight"), [(1.0, 0.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.1, 0.9), (0.7, 0.0, 0.7), (0.7, 0.1, 0.66)]
)
def test_conservative_and_soft_dpo(p: float, smoothing: float, weight: float) -> None:
    h, beta = torch.tensor([3.0], dtype=ONE), 0.2
    wanted = -weight * logsigmoid(beta * h) - (1 - weight) * logsigmoid(-beta * h)
    made = dpo_loss(h, torch.tensor([p], dtype=ONE), beta, smoothing=smoothing)
    assert made.item() == pytest.approx(wanted.item())


@pytest.mark.parametrize(("p", "at"), [(1.0, 1.0), (0.0, -1.0), (0.5, 0.0), (0.75, 0.5)])
def test_ipo_has_its_minimum_where_it_should(p: float, at: float) -> None:
    beta = 0.1
    h = torch.tensor([at / (2 * beta)], dtype=ONE, requires_grad=True)
    loss = dpo_loss(h, torch.tensor([p], dtype=ONE), beta, "ipo")
    assert torch.autograd.grad(loss, h)[0].item() == pytest.approx(0, abs=1e-9)
    for other in (h + 0.1, h - 0.1):
        assert dpo_loss(other, torch.tensor([p], dtype=ONE), beta, "ipo") > loss


def test_an_unknown_dpo_loss() -> None:
    with pytest.raises(ValueError, match="no DPO loss 'hinge'; there is: sigmoid, ipo"):
        dpo_loss(torch.zeros(1), torch.ones(1), kind="hinge")  # type: ignore[arg-type]
