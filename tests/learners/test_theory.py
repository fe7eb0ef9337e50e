"""Statements that are exact: misfit (arXiv 2405.15116), its Bregman form (arXiv 2505.24313), ridge iteration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from superalign.core.ports import Run
from superalign.core.steps import Steps
from superalign.core.types import Data, Item, Judgment, Seat, Verdict
from superalign.learners.finetune import finetune
from superalign.learners.iterate import iterate
from superalign.learners.losses import ReverseKL, Squared, Xent, log_softmax
from superalign.testing.learner import LinearModel

N, D = 60, 8
RUN = Run(0, Steps())


class Ridge(LinearModel):
    """Least squares on the objective's own gradients, solved exactly: linear, so one Newton step is enough."""

    def fit(self, items, objective, seed, watch=None):
        x, rows = self._design(items)[:, :-1], np.arange(len(items))
        zero = np.zeros((len(items), self.classes))
        targets = -objective(zero, rows, 0, 1)[1] / 2  # the gradient of (z - y)^2 at z = 0
        u, s, v = np.linalg.svd(x, full_matrices=False)
        w = v.T @ ((s / (s**2 + self.decays[0]))[:, None] * (u.T @ targets))
        return Ridge(self.vectors, self.classes, decays=self.decays, weights=np.vstack([w, np.zeros(self.classes)]))


@pytest.fixture
def setting():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D))
    items = tuple(Item(f"t{i}", "", ("a", "b")) for i in range(N))
    return rng, x, items, {item.id: row for item, row in zip(items, x, strict=True)}


def says(items, soft):
    rows = {item.id: row for item, row in zip(items, soft, strict=True)}
    return lambda asked: [Judgment(i.id, Seat(), Verdict(None, tuple(rows[i.id]))) for i in asked]


def projected(x, raw):
    return x @ np.linalg.lstsq(x, raw, rcond=None)[0]


def test_the_gain_of_least_squares_is_its_misfit(setting):
    """err(weak) - err(student) = mean (student - weak)^2 for a target in the span."""
    rng, x, items, vectors = setting
    target = x @ rng.normal(size=(D, 1)) * 0.05
    target = np.hstack([-target, target])
    weak = rng.dirichlet([5, 5], size=N)
    student = finetune(Squared())(Ridge(vectors, decays=(0.0,)), Data(items), says(items, weak), RUN).logits(items)
    gain = ((weak - target) ** 2).sum(axis=1).mean() - ((student - target) ** 2).sum(axis=1).mean()
    misfit = ((student - weak) ** 2).sum(axis=1).mean()
    assert gain == pytest.approx(misfit, abs=1e-12)
    assert misfit > 0.01


def test_least_squares_students_do_not_change_when_iterated(setting):
    """A projection of a projection; the labels are read raw here, so they are kept inside the simplex."""
    _, x, items, vectors = setting
    fit = Ridge(vectors, decays=(0.0,)).fit
    y = np.random.default_rng(1).dirichlet([5, 5], size=N)
    once = fit(items, lambda z, rows, s, t: Squared()(z, y[rows], s, t), 0).logits(items)
    twice = fit(items, lambda z, rows, s, t: Squared()(z, once[rows], s, t), 0).logits(items)
    np.testing.assert_allclose(once, twice, atol=1e-12)
    np.testing.assert_allclose(once, projected(x, y), atol=1e-12)


def test_ridge_iterations_shrink_each_direction(setting):
    """Along singular value s the prediction shrinks by s^2 / (s^2 + lambda) per iteration."""
    _, x, items, vectors = setting
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    y = np.random.default_rng(1).dirichlet([5, 5], size=N)
    labels, penalty = y, 20.0
    for done in range(1, 4):
        model = Ridge(vectors, decays=(penalty,)).fit(
            items, lambda z, rows, s, t, labels=labels: Squared()(z, labels[rows], s, t), 0
        )
        labels = model.logits(items)
        shrunk = (s**2 / (s**2 + penalty))[:, None] ** done * (u.T @ y)
        np.testing.assert_allclose(u.T @ labels, shrunk, atol=1e-12)


def test_iterated_students_move_less_and_less_confidently(setting):
    """The same on the wrapper, with cross-entropy and a decay: each student is less sure than the one before."""
    _, x, items, vectors = setting
    soft = np.exp(log_softmax(np.column_stack([0 * x[:, 0], 3 * x[:, 0]])))
    model = LinearModel(vectors, decays=(0.1,), steps=300)
    sure = []
    for times in range(3):
        student = iterate(finetune(Xent()), times=times)(model, Data(items), says(items, soft), RUN)
        sure.append(np.abs(np.diff(student.logits(items))).mean())
    assert sure[0] > sure[1] * 1.1 > sure[2] * 1.21


def kl(p, q):
    return float((p * np.log(p / q)).sum(axis=1).mean())


def bregman_case(divergence, seed=0):
    """Minimise a divergence to the weak labels over mixtures of six fixed predictors, a convex set that
    contains the target."""
    rng = np.random.default_rng(seed)
    corners = rng.dirichlet(np.ones(3), size=(6, 40)) * 0.98 + 0.02 / 3
    target = np.einsum("m,mnk->nk", rng.dirichlet(np.ones(6)), corners)
    weak = np.exp(log_softmax(np.log(target) + rng.normal(scale=0.4, size=target.shape)))

    def mixed(w):
        return np.einsum("m,mnk->nk", w, corners)

    solved = minimize(
        lambda w: divergence(mixed(w), weak),
        np.full(6, 1 / 6),
        bounds=[(0, 1)] * 6,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return target, weak, mixed(solved.x), solved.x


def reverse(p, weak):
    return float(ReverseKL(eps=0)(np.log(p), weak, 0, 1)[0].mean())


@pytest.mark.parametrize("seed", range(6))
def test_the_bregman_inequality_of_reverse_kl(seed):
    """KL(target, weak) >= KL(target, student) + KL(student, weak); equality where the minimiser is interior."""
    target, weak, student, mixture = bregman_case(reverse, seed)
    misfit = kl(student, weak)
    assert reverse(student, weak) == pytest.approx(misfit, abs=1e-9)
    slack = kl(target, weak) - kl(target, student) - misfit
    assert misfit > 0.03
    assert (mixture.min() > 0.02) == (seed in (2, 3, 4))
    if seed in (2, 3, 4):
        assert slack == pytest.approx(0, abs=1e-7)
    else:
        assert slack > 1e-4
