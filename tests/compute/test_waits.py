"""Waits with some that are not over."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf

from superalign.compute.waits import quantile, still_waiting

HALF = Fraction(1, 2)


def test_by_hand() -> None:
    """Five requests: after 2, 3 and 5 days an answer, at 4 and 6 days none yet."""
    waits = [(2.0, True), (3.0, True), (4.0, False), (5.0, True), (6.0, False)]
    # 5 wait at 2: 4/5. 4 wait at 3: times 3/4. 2 wait at 5: times 1/2.
    assert still_waiting(waits) == [(2.0, Fraction(4, 5)), (3.0, Fraction(3, 5)), (5.0, Fraction(3, 10))]
    assert quantile(waits, HALF) == 5.0
    assert quantile(waits, Fraction(19, 20)) is None


def test_a_pool_that_never_answers_does_not_look_quick() -> None:
    answered = [(1.0, True)] * 4
    assert quantile(answered, HALF) == 1.0
    assert quantile(answered + [(30.0, False)] * 5, HALF) is None
    assert quantile([], HALF) is None


def test_a_quantile_on_a_step_is_not_missed() -> None:
    waits = [(float(day), True) for day in range(1, 21)]
    assert quantile(waits, Fraction(19, 20)) == 19.0, "in floats 0.05000000000000002 are left there"


@given(st.lists(st.tuples(st.integers(1, 9).map(float), st.booleans()), min_size=1, max_size=30))
def test_it_is_the_estimator_of_scipy(waits: list[tuple[float, bool]]) -> None:
    times = [t for t, answered in waits if answered]
    if not times:
        assert still_waiting(waits) == []
        return
    censored = CensoredData(uncensored=times, right=[t for t, answered in waits if not answered])
    expected = ecdf(censored).sf
    found = still_waiting(waits)
    assert [float(s) for _, s in found] == pytest.approx([float(expected.evaluate(t)) for t, _ in found], abs=1e-12)
