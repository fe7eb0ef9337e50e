"""Records side by side."""

from __future__ import annotations

import math

import numpy as np
import pytest

from superalign.core.errors import UserError
from superalign.core.spec import Condition, Number
from superalign.report.compare import compare_rows, difference, spec_differences
from superalign.report.markdown import compare
from tests.report.examples import study


def test_every_number_of_every_condition_is_compared() -> None:
    first = study()
    second = first.model_copy(
        update={
            "id": "w2s-2",
            "conditions": (
                Condition(name="xent", numbers={"PGR": Number(value=0.5, low=0.4, high=0.6)}),
                Condition(name="new", numbers={"accuracy": Number(value=0.9)}),
            ),
        }
    )
    rows = {(r.condition, r.number): r for r in compare_rows([first, second])}
    assert len(rows) == sum(len(c.numbers) for c in first.conditions) + 1
    both = rows["xent", "PGR"]
    gap = both.differences[1]
    assert gap is not None
    assert gap.value == pytest.approx(0.5 - 0.41)
    assert rows["weak", "accuracy"].values[1] is None
    assert rows["weak", "accuracy"].differences == (None, None)
    assert rows["new", "accuracy"].values == (None, Number(value=0.9))
    text = compare([first, second])
    assert "| xent | PGR | 0.41 [0.27, 0.55] | 0.50 [0.40, 0.60] | 0.09 [-0.09, 0.27] |" in text


def test_the_difference_of_undefined_numbers_is_undefined() -> None:
    known, lost = Number(value=0.5, low=0.4, high=0.6), Number(value=None, reason="no gap")
    assert difference(lost, known).reason == "this record's number is undefined: no gap"
    assert difference(known, lost).reason == "the first record's number is undefined: no gap"
    assert difference(known, Number(value=0.25)) == Number(value=0.25)


def test_the_interval_of_a_difference_covers() -> None:
    """Two independent means with normal intervals: the difference's 95 % interval holds the truth about that often."""
    generator = np.random.default_rng(0)
    truth, sd_a, sd_b, hits = 0.1, 0.05, 0.02, 0
    for a, b in zip(generator.normal(0.6, sd_a, 2000), generator.normal(0.5, sd_b, 2000), strict=True):
        left = Number(value=a, low=a - 1.96 * sd_a, high=a + 1.96 * sd_a)
        right = Number(value=b, low=b - 1.96 * sd_b, high=b + 1.96 * sd_b)
        gap = difference(left, right)
        assert gap.low is not None
        assert gap.high is not None
        assert gap.high - gap.low == pytest.approx(2 * 1.96 * math.hypot(sd_a, sd_b))
        hits += gap.low <= truth <= gap.high
    assert 0.935 < hits / 2000 < 0.965


def test_specs_are_compared_field_by_field() -> None:
    first = study()
    second = first.model_copy(update={"spec": {**first.spec, "seeds": 8, "losses": {"alpha": 0.75}}})
    assert spec_differences([first, second]) == [("seeds", ("5", "8")), ("losses.names", ('["xent", "logconf"]', "-"))]
    assert spec_differences([first, first]) == []
    assert "Nothing: the specs are the same." in compare([first, first])


def test_fewer_than_two_records_are_refused() -> None:
    for few in ([], [study()]):
        with pytest.raises(UserError, match="a comparison takes two records or more"):
            compare_rows(few)
