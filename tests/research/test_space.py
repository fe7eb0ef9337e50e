"""A typed space of methods: its checks, its distance and its counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import SpecError
from superalign.research.space import Axis, Space

SPACE = Space(
    (
        Axis("label", ("hard", "soft"), "hard"),
        Axis("l2", (1.0, 10.0, 1000.0), 1.0, ordered=True),
        Axis("rounds", (0, 1, 4), 0, ordered=True),
    )
)

methods = st.fixed_dictionaries({a.name: st.sampled_from(a.values) for a in SPACE.axes})


def test_it_counts_its_methods_and_its_operators():
    assert SPACE.size == 18
    assert SPACE.neutral == {"label": "hard", "l2": 1.0, "rounds": 0}
    assert SPACE.complexity(SPACE.neutral) == 0
    assert SPACE.complexity(SPACE.method(label="soft", rounds=4)) == 2


def test_a_method_comes_back_in_the_order_of_the_axes_with_the_values_of_the_space():
    checked = SPACE.check({"rounds": 1.0, "label": "soft", "l2": 10})
    assert list(checked) == ["label", "l2", "rounds"]
    assert [type(v) for v in checked.values()] == [str, float, int]


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"label": "soft", "l2": 1.0}, r"no value for 'rounds'; choose one of \[0, 1, 4\]"),
        ({"label": "soft", "l2": 3.0, "rounds": 0}, r"l2=3.0 is not in the space; choose one of \[1.0, 10.0, 1000.0\]"),
        ({"label": "soft", "l2": 1.0, "round": 0}, r"no axis is called 'round'; did you mean 'rounds'"),
    ],
)
def test_what_is_not_in_the_space_is_refused(method, said):
    with pytest.raises(SpecError, match=said):
        SPACE.check(method)


def test_a_neutral_value_must_be_a_value():
    with pytest.raises(SpecError, match=r"axis 'l2': the neutral value 3 is not among \[1, 10\]"):
        Axis("l2", (1, 10), 3)


def test_draws_cover_the_space_and_stay_in_it():
    rng = np.random.default_rng(0)
    drawn = [SPACE.draw(rng) for _ in range(400)]
    assert all(SPACE.check(m) == m for m in drawn)
    assert len({tuple(m.values()) for m in drawn}) == SPACE.size


@settings(max_examples=100, deadline=None)
@given(methods, methods, methods)
def test_gowers_distance_is_a_metric(a, b, c):
    assert SPACE.distance(a, a) == 0
    assert SPACE.distance(a, b) == pytest.approx(SPACE.distance(b, a))
    assert (SPACE.distance(a, b) == 0) == (a == b)
    assert SPACE.distance(a, c) <= SPACE.distance(a, b) + SPACE.distance(b, c) + 1e-12
    assert SPACE.distance(a, b) <= 1


def test_ordered_axes_are_compared_by_logarithm_or_by_rank():
    l2, rounds = SPACE.axes[1], SPACE.axes[2]
    assert l2.apart(1.0, 10.0) == pytest.approx(1 / 3)
    assert rounds.apart(0, 1) == rounds.apart(1, 4) == 0.5  # a logarithm of 0 there is not
    assert SPACE.axes[0].apart("hard", "soft") == 1


def test_a_grid_fixes_some_axes_runs_over_others_and_leaves_the_rest_neutral():
    grid = list(SPACE.grid({"label": "soft", "rounds": 4}, over=("l2", "rounds")))
    assert len(grid) == 9
    assert {m["label"] for m in grid} == {"soft"}
    assert len({tuple(m.values()) for m in grid}) == 9
