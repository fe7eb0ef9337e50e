"""Paired differences: exact for few clusters, right in size for many."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.studies.oversee.contrast import contrasts, sign_flip


def test_few_clusters_are_counted_exactly() -> None:
    assert sign_flip(np.ones((1, 4)), np.arange(4)) == pytest.approx(2 / 16)
    assert sign_flip(np.array([[1.0, 1.0, -1.0]]), np.arange(3)) == pytest.approx(1.0)
    assert sign_flip(np.zeros((1, 5)), np.arange(5)) == 1.0


def test_items_of_one_cluster_count_once() -> None:
    together = np.repeat(np.arange(4), 25)
    assert sign_flip(np.ones((1, 100)), together) == pytest.approx(2 / 16)
    assert sign_flip(np.ones((1, 100)), np.zeros(100, int)) is None


def test_p_is_uniform_where_nothing_differs_and_small_where_it_does() -> None:
    rng = np.random.default_rng(0)
    p = [sign_flip(rng.normal(0, 1, (1, 40)), np.arange(40)) for _ in range(200)]
    assert 0.01 <= np.mean(np.asarray(p, float) <= 0.05) <= 0.10
    strong = sign_flip(rng.normal(0.8, 1, (1, 40)), np.arange(40))
    assert strong is not None
    assert strong <= 0.01


def test_comparisons_are_paired_and_corrected_together() -> None:
    rng = np.random.default_rng(1)
    base = rng.random((2, 60))
    scores = {
        "floor": base,
        "better": base + 0.1 + 0.01 * rng.random((2, 60)),
        "same": base + 1e-3 * rng.normal(size=(2, 60)),
    }
    better, same = contrasts([("better", "floor"), ("same", "floor")], scores, np.arange(60))
    assert better.difference.value == pytest.approx(0.105, abs=0.005)
    assert better.clear
    assert better.p is not None
    assert better.adjusted == pytest.approx(2 * better.p)
    assert not same.clear
    width = [c.difference.high - c.difference.low for c in (better, same)]  # type: ignore[operator]
    assert max(width) < 0.01  # pairing takes the items' own spread (.29) out
