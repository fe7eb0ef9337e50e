"""Krippendorff's alpha against its author's data, and where it is undefined."""

from __future__ import annotations

import pytest

from superalign.core.errors import SpecError
from superalign.studies.rate.agreement import alpha, raw_agreement

RATERS = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
CLASSIC = [(u, float(r[u])) for r in RATERS for u in range(len(r)) if r[u] != "."]
"""Krippendorff (2011): four raters, twelve units, dots missing."""


@pytest.mark.parametrize(
    "metric, value", [("nominal", 0.743421), ("ordinal", 0.815388), ("interval", 0.849107), ("ratio", 0.797403)]
)
def test_classic_data(metric, value):
    got = alpha(CLASSIC, metric, rounds=200)
    assert got.value == pytest.approx(value, abs=1e-6)
    assert got.n == 11
    assert got.low < got.value <= got.high


def test_three_units_that_disagree():
    pairs = [(0, 1.0), (0, 2.0), (1, 2.0), (1, 3.0), (2, 3.0), (2, 4.0)]
    assert alpha(pairs, "nominal", rounds=10).value == pytest.approx(-0.153846, abs=1e-6)
    assert alpha(pairs, "interval", rounds=10).value == pytest.approx(0.545455, abs=1e-6)


def test_undefined_says_why():
    assert alpha([(0, 1.0), (1, 2.0)]).reason == "undefined: no unit has two ratings"
    assert alpha([(0, 1.0), (0, 1.0), (1, 1.0), (1, 1.0)]).reason == "undefined: all ratings are equal"
    with pytest.raises(SpecError, match="no metric of agreement is named 'cosine'"):
        alpha(CLASSIC, "cosine")


def test_raw_agreement_with_and_without_ties():
    units = {"x": [1.0, 1.0, 0.5], "y": [0.0, 1.0]}
    assert raw_agreement(units) == pytest.approx(1 / 4)
    assert raw_agreement(units, ties=False) == pytest.approx(1 / 2)
    assert raw_agreement({"x": [1.0]}) is None
