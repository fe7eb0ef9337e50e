"""Newton's method against scikit-learn, and the equivalences that its speed leans on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from superalign.core.random import stream
from superalign.research.testbeds.ridge import design, fit, probability


def data(seed: int, rows: int = 300, columns: int = 6):
    rng = stream(seed, "tests/ridge")
    x = rng.standard_normal((rows, columns))
    y = (x @ rng.standard_normal(columns) + rng.standard_normal(rows) + 0.5 > 0).astype(np.float64)
    return x, y, rng


@pytest.mark.parametrize("l2", [0.5, 3.0, 1000.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_ridge_logistic_regression_of_scikit_learn(l2, weighted):
    x, y, rng = data(0)
    weights = rng.random(len(x)) if weighted else None
    reference = LogisticRegression(C=1 / l2, tol=1e-9, max_iter=2000).fit(x, y, weights)
    beta = fit(design(x), y, l2, weights)
    np.testing.assert_allclose(beta[:-1], reference.coef_[0], atol=2e-4)
    assert beta[-1] == pytest.approx(reference.intercept_[0], abs=2e-4)
    np.testing.assert_allclose(probability(design(x), beta), reference.predict_proba(x)[:, 1], atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(1, 300))
def test_where_it_starts_changes_nothing(seed, l2):
    x, y, rng = data(seed, 120, 4)
    X = design(x)
    near = fit(X, np.clip(y + 0.2 * rng.standard_normal(len(y)), 0, 1), l2)
    np.testing.assert_allclose(probability(X, fit(X, y, l2, start=near)), probability(X, fit(X, y, l2)), atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_a_weight_is_a_count_and_a_soft_label_a_mixture(seed):
    x, y, rng = data(seed, 120, 4)
    X, counts = design(x), rng.integers(0, 3, 120)
    np.testing.assert_allclose(
        fit(X, y, 3, counts), fit(np.repeat(X, counts, axis=0), np.repeat(y, counts), 3), atol=2e-3
    )
    soft = rng.random(120)
    both = fit(np.vstack([X, X]), np.repeat([1.0, 0.0], 120), 3, np.concatenate([soft, 1 - soft]))
    np.testing.assert_allclose(fit(X, soft, 3), both, atol=2e-3)


def test_perfectly_separable_labels_settle():
    x, _, _ = data(3)
    X = design(x)
    y = (x[:, 0] > 0).astype(np.float64)
    beta = fit(X, y, 3)
    slope = X.T @ (y - probability(X, beta)) - 3 * np.append(beta[:-1], 0)
    assert np.abs(slope).max() < 0.05  # of 300 rows
    assert ((probability(X, beta) > 0.5) == y).mean() > 0.98
    assert np.isfinite(fit(X, np.ones(len(x)), 3)).all()  # one class alone
