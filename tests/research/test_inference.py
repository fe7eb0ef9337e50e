"""Paired inference over problems: reference values, coverage, what flat rows would claim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import SpecError
from superalign.research import inference
from superalign.research.inference import best_of, bootstrap, paired, problems_needed, proportion, sign_flips


def test_reference_values() -> None:
    assert sign_flips([1.0, 2.0, 3.0]) == 2 / 8
    assert sign_flips([1.0] * 10) == 2 / 1024
    found = proportion(0, 40)
    assert found.value == 0
    assert found.low == 0
    assert found.high == pytest.approx(0.0881, abs=1e-4)
    assert proportion(3, 10).low == pytest.approx(0.0667, abs=1e-4)
    assert proportion(3, 10).high == pytest.approx(0.6525, abs=1e-4)
    assert [round(best_of(n), 3) for n in (2, 3, 5, 10, 20)] == [0.564, 0.846, 1.163, 1.539, 1.867]
    assert problems_needed(0.05, 0.10, arms=2) == 63
    assert problems_needed(0.02, 0.058) == 67  # 66.01 rounded up
    assert problems_needed(0.02, 0.126, arms=2) == 624
    assert inference.smallest_effect(0.10, 5, arms=2) == pytest.approx(0.177, abs=1e-3)
    assert inference.power_of(0.18, 0.10 * 2**0.5, 5) == pytest.approx(0.81, abs=0.01)
    assert inference.spent(0.05, 1) == pytest.approx(0.0304, abs=1e-4)
    assert sum(inference.spent(0.05, k) for k in range(1, 2000)) < 0.05
    assert inference.signed_rank([1, 2, 3, 4, 5, 6.5]) == pytest.approx(0.03125)
    assert inference.signed_rank([0, 0, 0]) == 1.0


def simulated(rng: np.random.Generator, problems: int) -> np.ndarray:
    """Problems and seeds of equal spread, mean 0."""
    return np.asarray(rng.normal(size=(problems, 1)) + rng.normal(size=(problems, 5)))


def test_problems_are_resampled_not_rows() -> None:
    """Coverage of 0 over 400 simulations of 10 problems x 5 seeds: .92, and .71 where rows are pooled."""
    rng = np.random.default_rng(5)
    nested = pooled = t = 0
    for _ in range(400):
        d = simulated(rng, 10)
        low, high = bootstrap(d, draws=400)
        nested += low <= 0 <= high
        low, high = inference.t_interval(d.mean(1))
        t += low <= 0 <= high
        flat = d.ravel()[rng.integers(0, d.size, (400, d.size))].mean(1)
        low, high = np.quantile(flat, [0.025, 0.975])
        pooled += low <= 0 <= high
    assert 0.87 <= nested / 400 <= 0.965
    assert 0.92 <= t / 400 <= 0.98
    assert pooled / 400 <= 0.80


def test_the_interval_that_decides() -> None:
    d = np.random.default_rng(0).normal(0.1, 0.05, (12, 3))
    few = paired(d)
    assert (few.low, few.high) == inference.t_interval(d.mean(1))
    many = paired(np.tile(d, (2, 1)))
    assert (many.low, many.high) == bootstrap(np.tile(d, (2, 1)))
    assert few.n == 12
    assert few.seeds == 3
    assert few.p < 0.01
    assert few.wilcoxon < 0.01
    assert few.number.value == few.estimate


@settings(max_examples=20)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=30), st.integers(0, 5))
def test_any_differences(values: list[float], seed: int) -> None:
    found = paired(np.array(values)[:, None], seed)
    assert 0 < found.p <= 1
    assert 0 < found.wilcoxon <= 1
    assert found.low <= found.estimate + 1e-9
    assert found.high >= found.estimate - 1e-9
    mirrored = paired(-np.array(values)[:, None], seed)
    assert mirrored.p == pytest.approx(found.p, abs=0.02)
    assert mirrored.estimate == -found.estimate


def test_what_cannot_be_compared() -> None:
    with pytest.raises(SpecError, match="at least 2 problems"):
        paired([[0.1, 0.2]])
    with pytest.raises(SpecError, match="1 of 4 differences are not finite"):
        paired([[0.1, 0.2], [float("nan"), 0.1]])
    with pytest.raises(SpecError, match="an effect of 0 cannot be looked for"):
        problems_needed(0, 0.1)
    assert proportion(0, 0).reason == "undefined: nothing was tried"
