"""What a score is worth: derangements, random directions, constant answers, means over units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import SpecError
from superalign.core.spec import Number
from superalign.interp.controls import Constant, along, controlled, derangement, gap, mean, random_directions
from superalign.interp.corpus import Corpus, build
from superalign.interp.evidence import Evidence
from superalign.interp.units import Explanation, Score, Unit


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    documents = np.random.default_rng(0).integers(0, 9, (60, 16))
    return build(documents.tolist(), list("abcdefghi"), width=8, context=16)


class Names:
    """A scorer that scores 1 where the explanation names the unit."""

    name = "names"

    def score(self, pairs: Sequence[tuple[Explanation, Evidence]]) -> list[list[Score]]:
        return [[Score("names", Number(value=float(e.text == v.unit.name)))] for e, v in pairs]


def units(counts: Sequence[int]) -> list[Unit]:
    return [Unit(f"mlp.{layer}", k) for layer, count in enumerate(counts) for k in range(count)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 45), min_size=1, max_size=4), st.integers(0, 5), st.data())
def test_no_unit_ever_gets_its_own_explanation(counts: list[int], seed: int, data: st.DataObject) -> None:
    """Defect 7. Two and three units at a site are deranged as well; one alone has no control."""
    held = units(counts)
    density = data.draw(st.lists(st.floats(0, 1), min_size=len(held), max_size=len(held)))
    found = derangement(held, density, seed)
    for k, other in enumerate(found):
        if counts[int(held[k].site[4:])] == 1:
            assert other is None
            continue
        assert other is not None
        assert other != k
        assert held[other].site == held[k].site
    borrowed = [other for other in found if other is not None]
    assert len(set(borrowed)) == len(borrowed)


def test_a_control_fires_about_as_often() -> None:
    held = units([200])
    density = np.random.default_rng(0).permutation(np.linspace(0, 1, 200)).tolist()
    apart = [abs(density[k] - density[other or 0]) for k, other in enumerate(derangement(held, density))]
    assert max(apart) < 0.11


def test_a_derangement_depends_on_neither_order_nor_other_sites() -> None:
    held, density = units([30, 7]), np.random.default_rng(1).random(37).tolist()
    found = derangement(held, density)
    named = {held[k]: held[other or 0] for k, other in enumerate(found)}
    order = np.random.default_rng(2).permutation(30).tolist()
    again = derangement([held[k] for k in order], [density[k] for k in order])
    assert {held[order[k]]: held[order[other or 0]] for k, other in enumerate(again)} == {
        unit: other for unit, other in named.items() if unit.site == "mlp.0"
    }
    assert derangement(held, density, seed=1) != found


def test_scores_carry_the_score_of_another_unit_s_explanation(corpus: Corpus) -> None:
    held = [
        Evidence(unit, corpus, np.arange(k + 1), np.ones(k + 1, np.float32)) for k, unit in enumerate(units([3, 1]))
    ]
    found = controlled(Names(), [(Explanation(e.unit.name), e) for e in held])
    assert [scores[0].number.value for scores in found] == [1, 1, 1, 1]
    assert [scores[0].controls["shuffled"].value for scores in found] == [0, 0, 0, None]
    assert found[3][0].controls["shuffled"].reason == "undefined: no other unit of this site was explained"


def test_random_directions_are_uniform_and_have_unit_length() -> None:
    found = random_directions(6, 4000, seed=1)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(4000))
    assert found.mean(0) == pytest.approx(np.zeros(6), abs=0.05)
    assert found.T @ found / 4000 == pytest.approx(np.eye(6) / 6, abs=0.02)
    assert not np.array_equal(found, random_directions(6, 4000, seed=2))


def test_evidence_along_a_direction_is_its_positive_side(corpus: Corpus) -> None:
    x = np.random.default_rng(0).normal(size=(len(corpus), 4)).astype(np.float32)
    first, second = along(x, np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]), corpus, "resid.0+random")
    assert (first.unit.name, second.unit.name) == ("resid.0+random/0", "resid.0+random/1")
    rows = np.arange(len(corpus))
    assert first.at(rows) - second.at(rows) == pytest.approx(x[:, 0])
    assert first.values.min() > 0
    with pytest.raises(SpecError, match=r"activations \(960, 4\) and directions \(1, 3\) do not fit"):
        along(x, np.ones((1, 3)), corpus, "resid.0")


def test_a_constant_simulator_says_the_same_everywhere(corpus: Corpus) -> None:
    windows = corpus.pick("test")
    (found,) = Constant(1.0).simulate([(Explanation("all"), windows)])
    assert found.values.tolist() == [1.0] * len(windows.rows)
    assert not found.failed.any()


def test_means_over_units_leave_out_and_count_what_is_undefined() -> None:
    rng = np.random.default_rng(0)
    numbers = [Number(value=float(v)) for v in rng.normal(0.5, 0.1, 100)] + [Number(value=None, reason="undefined: x")]
    found = mean(numbers)
    assert found.n == 100
    assert found.value == pytest.approx(0.5, abs=0.03)
    assert found.low is not None
    assert found.high is not None
    assert 0.02 < found.high - found.low < 0.08
    assert mean([Number(value=None, reason="undefined: it is silent")] * 2).reason == "undefined: it is silent"
    assert mean([]).value is None


def test_a_gap_is_paired_by_unit() -> None:
    """Units differ by far more than their controls do: unpaired, the interval would hold 0."""
    rng = np.random.default_rng(0)
    level = rng.uniform(0, 1, 50)
    own = {f"u{k}": Number(value=v + 0.1) for k, v in enumerate(level)}
    control = {f"u{k}": Number(value=v + 0.01 * rng.normal()) for k, v in enumerate(level)}
    control["u0"] = Number(value=None, reason="undefined: silent")
    found = gap(own, control)
    assert found.n == 49
    assert found.low is not None
    assert found.high is not None
    assert 0.09 < found.low < found.high < 0.11
