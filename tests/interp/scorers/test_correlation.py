"""Scores of simulations on held-out windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from superalign.core.errors import PluginError
from superalign.interp.controls import Constant
from superalign.interp.corpus import Corpus, Windows, build
from superalign.interp.evidence import Evidence
from superalign.interp.scorers.correlation import NAMES, SimulationScores, best_cut, fires, firing_level
from superalign.interp.units import Explanation, Score, Simulation, Unit
from superalign.interp.worlds.compiled import Oracle

Values = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    documents = np.random.default_rng(0).integers(0, 25, (300, 32))
    return build(documents.tolist(), [chr(97 + k) for k in range(25)], width=16, context=32)


def evidence(corpus: Corpus, a: Values, index: int = 0) -> Evidence:
    rows = np.flatnonzero(a > 0)
    return Evidence(Unit("mlp.0", index), corpus, rows, a[rows].astype(np.float32))


def letters(corpus: Corpus, seed: int = 0) -> Values:
    """A unit that fires at two letters of twenty-five, with some spread."""
    return (corpus.tokens < 2) * np.random.default_rng(seed).lognormal(0, 0.3, len(corpus))


def scored(corpus: Corpus, a: Values, s: Values, **settings: Any) -> dict[str, Score]:
    (found,) = SimulationScores(Oracle({"x": s}), **settings).score([(Explanation("x"), evidence(corpus, a))])
    assert [score.name for score in found] == list(NAMES)
    return {score.name: score for score in found}


def value(score: Score) -> float:
    assert score.number.value is not None, score
    return score.number.value


def test_a_perfect_simulation_is_perfect_and_a_good_label_nearly(corpus: Corpus) -> None:
    a = letters(corpus)
    perfect = scored(corpus, a, a)
    assert [value(score) for score in perfect.values()] == pytest.approx([1] * 6, abs=0.01)
    label = scored(corpus, a, (corpus.tokens < 2).astype(float))
    test = corpus.pick("test")
    expected = np.corrcoef(a[test.rows], corpus.tokens[test.rows] < 2)[0, 1]
    assert value(label["correlation:random-only"]) == pytest.approx(expected)
    assert 0.9 < expected < 1
    assert value(label["explained-variance"]) == pytest.approx(expected**2, abs=0.02)
    assert [value(label[name]) for name in ("auprc", "f1", "iou")] == pytest.approx([1, 1, 1])
    score = label["correlation:random-only"]
    assert (score.n, score.failed, score.split, score.status) == (len(test.rows), 0, "test", "ok")
    assert score.number.low is not None
    assert score.number.high is not None
    assert expected - 0.03 < score.number.low < expected < score.number.high < expected + 0.03


def test_top_and_random_hardly_sees_an_explanation_that_is_too_broad(corpus: Corpus) -> None:
    """The reason why it is not the primary number: a label of five times as many positions as there are."""
    rng = np.random.default_rng(0)
    a = (rng.random(len(corpus)) < 0.005).astype(float)
    broad = scored(corpus, a, np.maximum(a, rng.random(len(corpus)) < 0.02))
    fall = {name: 1 - value(broad[name]) for name in NAMES}
    assert min(fall[name] for name in NAMES if name != "correlation:top-and-random") > 0.45
    assert fall["correlation:top-and-random"] < 0.35
    assert broad["correlation:top-and-random"].n <= 10 * 16


def test_scores_read_raw_activations(corpus: Corpus) -> None:
    """Defect 19: rounding the truth to eleven levels would make a rounded simulation perfect."""
    a = letters(corpus)
    rounded = np.floor(10 * a / a.max())
    found = scored(corpus, a, rounded)
    assert value(found["correlation:random-only"]) < 0.999


def test_scale_and_shift_of_a_simulation_do_not_matter(corpus: Corpus) -> None:
    a = letters(corpus)
    s = a + 0.3 * np.random.default_rng(1).normal(size=len(a))
    plain, moved = scored(corpus, a, s), scored(corpus, a, 7 * s - 100)
    for name in NAMES:
        assert value(moved[name]) == pytest.approx(value(plain[name]), abs=1e-6)


def test_a_sample_of_windows_agrees_with_all(corpus: Corpus) -> None:
    a = letters(corpus)
    s = a + 0.5 * np.random.default_rng(1).normal(size=len(a))
    all_, some = scored(corpus, a, s), scored(corpus, a, s, windows=60)
    assert some["f1"].n == 60 * 16
    for name in ("correlation:random-only", "explained-variance", "auprc"):
        assert value(some[name]) == pytest.approx(value(all_[name]), abs=0.12)
    again = scored(corpus, a, s, windows=60, seed=0)
    assert again == some


def test_a_dense_unit_fires_at_its_strongest_tenth_and_a_sparse_one_wherever_it_is_active(corpus: Corpus) -> None:
    rng = np.random.default_rng(0)
    dense = np.maximum(rng.normal(size=5000), 0)
    assert fires(dense, firing_level(dense)).mean() == pytest.approx(0.1, abs=0.001)
    sparse = np.where(rng.random(5000) < 0.08, rng.lognormal(size=5000), 0)
    assert np.array_equal(fires(sparse, firing_level(sparse)), sparse > 0)
    level = (rng.random(5000) < 0.3).astype(float)
    assert np.array_equal(fires(level, firing_level(level)), level > 0)
    assert scored(corpus, np.maximum(rng.normal(size=len(corpus)), 0), letters(corpus))["f1"].base_rate == (
        pytest.approx(0.1, abs=0.02)
    )


def test_a_cut_leaves_a_program_as_it_is_and_finds_that_of_any_other_scale() -> None:
    s = np.array([0.0, 0, 1, 1, 1, 1, 1])
    rare = np.array([1, 1, 1, 0, 0, 0, 0], bool)  # to say "fires" everywhere would label it better
    assert best_cut(s, rare) == 0.5
    assert best_cut(10 * s + 3, rare) == 8
    assert best_cut(s, np.zeros(7, bool)) == 0.5
    graded = np.array([0.0, 0, 1, 2, 5, 6, 10])
    assert best_cut(graded, graded > 4) == 3.5
    assert best_cut(graded, graded > 0) == 0.5
    assert best_cut(np.ones(3), np.array([True, False, False])) == 1
    assert best_cut(np.zeros(0), np.zeros(0, bool)) == 0


def test_weak_activations_count_in_a_perfect_label(corpus: Corpus) -> None:
    rng = np.random.default_rng(0)
    a = np.where(rng.random(len(corpus)) < 0.05, rng.exponential(size=len(corpus)), 0)
    assert value(scored(corpus, a, a)["f1"]) > 0.98


def test_constant_answers_score_as_their_control_says(corpus: Corpus) -> None:
    """Defect 12."""
    a = letters(corpus)
    pairs = [(Explanation("all"), evidence(corpus, a))]
    everything = {score.name: score for score in SimulationScores(Constant(1.0)).score(pairs)[0]}
    assert everything["correlation:random-only"].status == "undefined"
    assert "the simulation is the same at all" in (everything["correlation:random-only"].number.reason or "")
    assert value(everything["explained-variance"]) == pytest.approx(0, abs=0.01)
    rate = everything["auprc"].base_rate
    assert rate == pytest.approx(0.08, abs=0.02)
    assert value(everything["auprc"]) == pytest.approx(rate)
    assert everything["auprc"].controls["all"].value == pytest.approx(rate)
    label = scored(corpus, a, (corpus.tokens < 2) + 0.0)
    assert rate is not None
    assert label["f1"].controls["all"].value == pytest.approx(2 * rate / (1 + rate))
    assert label["iou"].controls["all"].value == pytest.approx(rate)


@dataclass
class Unreliable:
    """Fails at some positions of every window, or at some explanations as a whole."""

    values: Values
    failing: dict[str, Simulation] = field(default_factory=dict)
    cut: int = 0
    name: str = "unreliable"

    def simulate(self, asked: Sequence[tuple[Explanation, Windows]]) -> list[Simulation]:
        found = []
        for explanation, windows in asked:
            values = self.values[windows.rows].astype(float)
            failed = windows.corpus.place[windows.rows] % 16 >= 12
            values[failed] = 1e6
            found.append(self.failing.get(explanation.text) or Simulation(values[self.cut :], failed[self.cut :]))
        return found


def test_failed_positions_are_left_out_and_counted_never_zero(corpus: Corpus) -> None:
    """Defect 21."""
    a = letters(corpus)
    found = SimulationScores(Unreliable(a)).score([(Explanation("x"), evidence(corpus, a))])[0]
    size = len(corpus.pick("test").rows)
    for score in found:
        assert value(score) == pytest.approx(1, abs=0.01)
        assert score.failed == pytest.approx(score.n / 3)
    assert found[0].n + found[0].failed == size


def test_a_simulation_that_failed_has_no_score_and_its_status(corpus: Corpus) -> None:
    a = letters(corpus)
    failed = Simulation(np.zeros(0), np.zeros(0, bool), "mismatch", "12 tokens for 16")
    all_lost = Simulation(np.zeros(0), np.zeros(0, bool), "ok")
    simulator = Unreliable(a, {"bad": failed})
    bad, good = SimulationScores(simulator).score([(Explanation(k), evidence(corpus, a)) for k in ("bad", "good")])
    assert {score.status for score in bad} == {"mismatch"}
    assert {score.number.reason for score in bad} == {"mismatch: 12 tokens for 16"}
    assert bad[0].failed == len(corpus.pick("test").rows)
    assert {score.status for score in good} == {"ok"}
    with pytest.raises(PluginError, match=r"a simulation has \(0,\) values"):
        SimulationScores(Unreliable(a, {"bad": all_lost})).score([(Explanation("bad"), evidence(corpus, a))])


def test_a_unit_that_never_fires_is_undefined_and_the_rest_goes_on(corpus: Corpus) -> None:
    a = letters(corpus)
    pairs = [(Explanation("x"), evidence(corpus, 0 * a)), (Explanation("x"), evidence(corpus, a))]
    silent, lively = SimulationScores(Oracle({"x": a})).score(pairs)
    assert {score.status for score in silent} == {"undefined"}
    assert all((score.number.reason or "").startswith("undefined: it fires at none of") for score in silent)
    assert value(lively[0]) == pytest.approx(1)


def test_scores_do_not_depend_on_the_other_pairs(corpus: Corpus) -> None:
    columns = {f"x{k}": letters(corpus, k) + k for k in range(40)}
    held = [(Explanation(f"x{k}"), evidence(corpus, letters(corpus, k + 1), k)) for k in range(40)]
    scorer = SimulationScores(Oracle(columns), bootstrap=50)
    assert scorer.score(held)[37] == scorer.score(held[37:38])[0]
