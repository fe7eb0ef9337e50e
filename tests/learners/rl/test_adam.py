"""AdamW against its formula, with epsilon in both places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from superalign.core.errors import StoreError
from superalign.learners.rl.adam import Adam, Step

GRADIENTS = ([0.5, -2.0], [0.1, 0.0], [-3.0, 1e-4])


def trained(adam: Adam, weight: nn.Parameter) -> torch.Tensor:
    for gradient in GRADIENTS:
        weight.grad = torch.tensor(gradient)
        adam.step(0.1)
    return weight.detach()


@pytest.mark.parametrize("eps_first", [False, True])
def test_three_steps_in_closed_form(eps_first: bool) -> None:
    b1, b2, eps, rate = 0.8, 0.95, 1e-2, 0.1
    w, m, v = np.array([1.0, -1.0]), np.zeros(2), np.zeros(2)
    for t, gradient in enumerate(np.array(GRADIENTS), 1):
        m, v = b1 * m + (1 - b1) * gradient, b2 * v + (1 - b2) * gradient**2
        w = w * (1 - rate * 0.01)
        if eps_first:  # TensorFlow 1
            w = w - rate * np.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(v) + eps)
        else:  # torch
            w = w - rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    weight = nn.Parameter(torch.tensor([1.0, -1.0]))
    adam = Adam([weight], Step((b1, b2), eps, 0.01, eps_first))
    np.testing.assert_allclose(trained(adam, weight).numpy(), w, rtol=1e-5)


def test_parameters_without_a_gradient_stay() -> None:
    moved, idle, frozen = (nn.Parameter(torch.ones(2)) for _ in range(3))
    adam = Adam([moved, idle, frozen.requires_grad_(False)], Step(decay=0.5))
    moved.grad = torch.ones(2)
    adam.step(0.1)
    assert (moved < 1).all()
    assert (idle == 1).all()
    assert len(adam.parameters) == 2
    adam.zero()
    assert moved.grad is None
    adam.step(0.1)
    assert adam.steps == 1


def test_moments_are_kept_and_belong_to_their_parameters() -> None:
    one, two = (nn.Parameter(torch.tensor([1.0, -1.0])) for _ in range(2))
    first, second = Adam([one], Step()), Adam([two], Step())
    trained(first, one)
    with torch.no_grad():
        two.copy_(one)
    second.load(first.state())
    assert torch.equal(trained(first, one), trained(second, two))
    with pytest.raises(StoreError, match="parameter of shape \\(3,\\): it belongs to another model"):
        Adam([nn.Parameter(torch.ones(3))], Step()).load(first.state())
