"""Degenerate gaps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superalign.core.errors import SpecError
from superalign.research.audits.gap import degenerate_gap
from superalign.research.testbed import Problem


def test_a_wide_gap_passes(micro: list[Problem]) -> None:
    found = degenerate_gap(micro)
    assert found.status == "pass"
    assert 0.1 < (found.low or 0) < (found.statistic or 0) < 0.3


@pytest.mark.parametrize("gap", [-0.02, 0.0, 0.01])
def test_a_family_without_a_gap_or_with_one_within_noise_fails(micro: list[Problem], gap: float) -> None:
    """.01 of 3,000 items is one standard error."""
    *others, last = micro
    closed = replace(last, key=replace(last.key, ceiling=last.key.weak + gap))
    found = degenerate_gap([*others, closed])
    assert found.status == "fail"
    assert found.evidence == (f"{last.family}/{last.seed}",)
    assert f"PGR is undefined on families {last.family}" in found.says
    with pytest.raises(SpecError, match="the gap of no problems"):
        degenerate_gap([])
