"""Best-of-n by brute force, and laws that are recovered where they were planted."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import Degenerate, SpecError
from superalign.learners.rl.overoptimisation import Fit, Form, best_of_n_kl, best_of_n_mean, fit

FORMS: tuple[Form, ...] = ("best-of-n", "rl")


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_best_of_n_over_all_subsets(seed: int) -> None:
    draws = np.random.default_rng(seed)
    proxy, gold = draws.normal(size=(3, 6)), draws.normal(size=(3, 6))
    sizes = list(range(1, 7))
    wanted = [
        [np.mean([g[max(part, key=lambda k, p=p: p[k])] for part in combinations(range(6), n)]) for n in sizes]
        for p, g in zip(proxy, gold, strict=True)
    ]
    np.testing.assert_allclose(best_of_n_mean(proxy, gold, sizes), wanted)


def test_best_of_n_at_its_ends_and_of_many() -> None:
    proxy = np.random.default_rng(0).normal(size=(5, 1000))
    made = best_of_n_mean(proxy, proxy, [1, 10, 1000])
    np.testing.assert_allclose(made[:, 0], proxy.mean(1))
    np.testing.assert_allclose(made[:, 2], proxy.max(1))
    assert made[:, 1].mean() == pytest.approx(1.539, abs=0.1)  # the expected largest of ten normals


def test_kl_of_best_of_n() -> None:
    np.testing.assert_allclose(best_of_n_kl([1, 2, 64]), [0, np.log(2) - 0.5, np.log(64) - 63 / 64])
    n, u = 5, (np.arange(10**6) + 0.5) / 10**6  # the density of the best of n by a continuous score is n u^(n - 1)
    density = n * u ** (n - 1)
    assert best_of_n_kl(n) == pytest.approx((density * np.log(density)).mean(), abs=1e-4)


@pytest.mark.parametrize(
    ("proxy", "gold", "sizes", "message"),
    [
        ([[1.0, 2.0]], [[1.0, 2.0]], [3], r"best of n for n = \[3\], from 2 samples; give sizes from 1 to 2"),
        ([[1.0, 2.0]], [[1.0, 2.0]], [0], "give sizes from 1 to 2"),
        ([[1.0, np.nan]], [[1.0, 2.0]], [1], "must be finite"),
        ([[1.0, 2.0]], [[1.0]], [1], r"proxy \(1, 2\) and gold \(1, 1\) must be finite and of one shape"),
    ],
)
def test_what_best_of_n_refuses(
    proxy: list[list[float]], gold: list[list[float]], sizes: list[int], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        best_of_n_mean(proxy, gold, sizes)


def law(form: Form, a: float, b: float, kl: np.ndarray) -> np.ndarray:
    d = np.sqrt(kl)
    return d * (a - b * d) if form == "best-of-n" else d * (a - b * np.log(d))


KL = np.linspace(0.1, 60, 80)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("a", "b"), [(1.2, 0.1), (0.9, 0.3), (1.5, -0.05)])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_planted_laws_are_recovered_and_told_apart(form: Form, a: float, b: float, noise: float) -> None:
    gold = law(form, a, b, KL) + noise * np.random.default_rng(3).normal(size=len(KL))
    fits = {other: fit(KL, gold, other) for other in FORMS}
    made = fits[form]
    assert (made.a, made.b) == pytest.approx((a, b), abs=1e-6 if noise == 0 else 0.02)
    assert made.r2 > max(fit.r2 for name, fit in fits.items() if name != form)
    assert made.r2 > 0.99
    assert made.span == pytest.approx((0.1**0.5, 60**0.5))
    np.testing.assert_allclose(made([0.0, 2.0]), [0.0, law(form, made.a, made.b, np.array(4.0))])


@pytest.mark.parametrize(("form", "a", "b"), [("best-of-n", 1.0, 0.1), ("rl", 1.0, 0.5), ("rl", -0.2, 0.5)])
def test_the_peak_is_the_highest_point(form: Form, a: float, b: float) -> None:
    made = Fit(form, a, b, 1.0, (0.0, 1.0))
    d = np.linspace(0, 20, 200_001)
    assert made.peak == pytest.approx(d[made(d).argmax()], abs=1e-3)
    assert made.top == pytest.approx(made(d).max())
    assert made.top == pytest.approx(a**2 / (4 * b) if form == "best-of-n" else b * (made.peak or 0))


@pytest.mark.parametrize(("form", "a", "b"), [("best-of-n", 1.0, 0.0), ("best-of-n", -1.0, 0.1), ("rl", 1.0, -0.1)])
def test_a_curve_without_a_peak(form: Form, a: float, b: float) -> None:
    made = Fit(form, a, b, 1.0, (0.0, 1.0))
    assert made.peak is None
    assert made.top is None


def test_points_that_say_nothing_and_too_few() -> None:
    gold = law("rl", 1.0, 0.2, KL)
    padded = fit([0.0, np.nan, *KL, 5.0], [7.0, 1.0, *gold, np.nan], "rl")
    assert padded == fit(KL, gold, "rl")
    with pytest.raises(Degenerate, match="2 points of positive KL cannot fit two coefficients; give three or more"):
        fit([0.0, 1.0, 2.0, 2.0], [0.0, 1.0, 1.5, 1.6], "rl")
    with pytest.raises(SpecError, match="no form 'linear'"):
        fit(KL, gold, "linear")  # type: ignore[arg-type]
