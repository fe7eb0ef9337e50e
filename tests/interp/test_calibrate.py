"""From predicted to real scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import PluginError, SpecError
from superalign.interp.calibrate import fit, identity, linear, percentile
from superalign.interp.corpus import Corpus, build
from superalign.interp.evidence import Evidence
from superalign.interp.units import Simulation, Unit


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    documents = np.random.default_rng(0).integers(0, 9, (60, 16))
    return build(documents.tolist(), list("abcdefghi"), width=8, context=16)


def evidence(corpus: Corpus) -> Evidence:
    rows = np.flatnonzero(corpus.tokens < 3)
    return Evidence(Unit("mlp.0", 1), corpus, rows, (corpus.tokens[rows] + 1).astype(np.float32))


def simulation(values: object, failed: object = None) -> Simulation:
    held = np.asarray(values, float)
    return Simulation(held, np.zeros(len(held), bool) if failed is None else np.asarray(failed))


def test_a_linear_calibration_is_least_squares() -> None:
    rng = np.random.default_rng(0)
    s = rng.normal(size=200)
    a = 3 * s - 1 + rng.normal(size=200)
    fitted = linear(s, a)
    slope, intercept = np.polyfit(s, a, 1)
    assert (fitted.weight, fitted.bias) == pytest.approx((slope, intercept))
    assert fitted(np.array([2.0])) == pytest.approx(2 * slope + intercept)


def test_what_knows_nothing_is_worth_the_mean() -> None:
    a = np.array([0.0, 0, 1, 3])
    assert linear(np.ones(4), a)(np.array([0.0, 7])) == pytest.approx([1, 1])
    assert percentile(np.ones(4), a)(np.array([0.0, 1, 7])) == pytest.approx([1, 1, 1])


def test_percentiles_are_matched_and_equal_predictions_get_one_value() -> None:
    fitted = percentile(np.array([0.0, 1, 0, 2]), np.array([5.0, 0, 1, 9]))
    assert fitted(np.array([0.0, 1, 2])) == pytest.approx([0.5, 5, 9])
    assert fitted(np.array([1.5, 99])) == pytest.approx([7, 9])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0, 9)), min_size=2, max_size=30))
def test_calibrations_keep_the_mean_and_percentiles_keep_the_order(pairs: list[tuple[float, float]]) -> None:
    s, a = np.array(pairs).T
    assert linear(s, a)(s).mean() == pytest.approx(a.mean(), abs=1e-6)
    matched = percentile(s, a)(s)
    assert matched.mean() == pytest.approx(a.mean(), abs=1e-6)
    assert (np.diff(matched[np.argsort(s)]) >= -1e-9).all()


def test_a_calibration_is_fitted_on_positions_that_were_answered(corpus: Corpus) -> None:
    unit, windows = evidence(corpus), corpus.pick("calibrate")
    a = unit.on(windows)
    wrong = np.arange(len(a)) % 5 == 0
    found = fit("linear", simulation(np.where(wrong, 1e9, 2 * a + 1), wrong), unit, windows)
    assert found is not None
    assert found(np.array([1.0, 3.0])) == pytest.approx([0, 1], abs=1e-5)
    assert fit("identity", simulation(a), unit, windows) is identity
    assert fit("percentile", simulation(a, np.ones(len(a), bool)), unit, windows) is None
    assert fit("linear", Simulation(np.zeros(0), np.zeros(0, bool), "refused"), unit, windows) is None


def test_a_calibration_is_fitted_on_its_own_split(corpus: Corpus) -> None:
    windows = corpus.pick("test")
    with pytest.raises(SpecError, match=r"split 'calibrate' alone, these windows are of \['test'\]"):
        fit("linear", simulation(np.ones(len(windows.rows))), evidence(corpus), windows)
    with pytest.raises(SpecError, match="no calibration is called 'liner'; did you mean 'linear'"):
        fit("liner", simulation([]), evidence(corpus), corpus.pick("calibrate"))


def test_a_simulation_of_other_windows_is_refused(corpus: Corpus) -> None:
    windows = corpus.pick("calibrate")
    with pytest.raises(PluginError, match=r"a simulation has \(3,\) values and \(3,\) failures for windows of \d+"):
        fit("linear", simulation([0, 1, 2]), evidence(corpus), windows)
