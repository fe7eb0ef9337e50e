"""The synthetic testbed: what it hides, what it gives, and that its operators do what they say."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.core.random import stream
from superalign.research.testbed import answers, recovered
from superalign.research.testbeds.w2s_micro import CARD, FAMILIES, SPACE, w2s_micro

BED = w2s_micro()


@pytest.fixture(scope="module")
def problems():
    return [BED.problem(family, seed, "dev") for seed in (0, 1) for family in FAMILIES]


def mean(problems, **values):
    method = SPACE.method(**values)
    return np.mean([recovered(p, BED.solve(method, p.public, 0)) for p in problems])


def test_the_space_has_11_axes_and_207360_methods():
    assert len(SPACE.axes) == 11
    assert SPACE.size == 207_360
    assert SPACE.neutral == SPACE.method(**BED.baselines[0].settings)  # vanilla is every operator off


def test_every_baseline_and_every_tuned_axis_is_in_the_space():
    names = {a.name for a in SPACE.axes}
    for baseline in BED.baselines:
        assert SPACE.method(**baseline.settings) in list(SPACE.grid(baseline.settings, baseline.tuned))
        assert set(baseline.tuned) <= names
        assert baseline.source
    assert [b.name for b in BED.baselines] == ["vanilla", "aux-conf", "filter"]


def test_a_problem_is_a_function_of_family_seed_and_tier(problems):
    again = BED.problem("0", 0, "dev")
    for name, values in problems[0].public.items():
        np.testing.assert_array_equal(values, again.public[name])
    np.testing.assert_array_equal(problems[0].key.truth, again.key.truth)
    rows = set(map(bytes, np.vstack([again.public["train_x"], again.public["test_x"]])))
    for other in (
        BED.problem("0", 0, "confirm"),
        BED.problem("0", 0, "public"),
        BED.problem("0", 1, "dev"),
        problems[1],
    ):
        assert rows.isdisjoint(map(bytes, np.vstack([other.public["train_x"], other.public["test_x"]])))
        assert 0.45 < (again.key.truth == other.key.truth).mean() < 0.55


def test_a_method_sees_three_arrays_that_it_cannot_change(problems):
    for problem in problems:
        assert {k: (v.shape, v.dtype) for k, v in problem.public.items()} == {
            "train_x": ((2500, 105), np.float32),
            "train_p": ((2500,), np.float64),
            "test_x": ((3000, 105), np.float32),
        }
        for name, values in problem.public.items():
            assert name in CARD
            with pytest.raises(ValueError, match="read-only"):
                values[0] = 1
        np.testing.assert_allclose(problem.public["train_x"].mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(problem.public["train_x"].std(0), 1, atol=1e-3)


def test_the_key_holds_what_scores_and_shortcuts_need(problems):
    weak, ceiling = (np.mean([getattr(p.key, name) for p in problems]) for name in ("weak", "ceiling"))
    assert 0.70 < weak < 0.78
    assert 0.935 < ceiling < 0.955
    for problem in problems:
        key = problem.key
        assert key.truth.shape == (3000,)
        assert 0.4 < key.truth.mean() < 0.6
        assert set(key.shortcuts) == {"majority", "weak"}
        assert len(np.unique(key.shortcuts["majority"])) == 1
        assert (key.shortcuts["weak"] == key.truth).mean() == pytest.approx(key.weak)
        assert recovered(problem, key.shortcuts["weak"]) == pytest.approx(0)


def test_published_defaults_recover_little_and_care_recovers_more(problems):
    """Measured on 30 other problems: .053, .072, .086; tuned vanilla .186, tuned aux-conf .230."""
    vanilla, auxconf, filtered = (mean(problems, **b.settings) for b in BED.baselines)
    assert 0.0 < vanilla < auxconf < 0.15
    assert vanilla < filtered < 0.15
    tuned = mean(problems, l2=1000.0)
    best = mean(problems, label="soft", l2=300.0, aux=0.75, rounds=2)
    assert vanilla + 0.07 < tuned < best < 0.35


def test_labels_of_other_items_teach_nothing(problems):
    """The placebo: accuracy falls to chance, so that PGR is far below 0, not at 0."""
    for problem in problems[:3]:
        shuffled = stream(0, "tests/placebo").permutation(problem.public["train_p"])
        found = BED.solve(SPACE.neutral, {**problem.public, "train_p": shuffled}, 0)
        assert 0.4 < (answers(found, 3000) == problem.key.truth).mean() < 0.6
        assert recovered(problem, found) < -0.4


@pytest.mark.parametrize(
    ("values", "same_as"),
    [
        ({"label": "hard", "temperature": 2.0}, {}),  # the temperature of a hard label
        ({"aux": 0.75}, {}),  # confidence in an answer that is never asked for
        ({"rounds": 4}, {}),  # refits on the same labels
        ({"select": "loss"}, {}),  # a filter that keeps all
        ({"label": "soft", "keep": 0.6, "select": "loss", "rounds": 1}, {"label": "soft", "keep": 0.6, "select": "loss"}),
    ],
)  # fmt: skip
def test_operators_that_cannot_act_do_not(problems, values, same_as):
    public = problems[0].public
    one, other = (BED.solve(SPACE.method(**v), public, 0) for v in (values, same_as))
    np.testing.assert_allclose(one, other, atol=2e-4)


@pytest.mark.parametrize(
    "values",
    [
        {"label": "soft"},
        {"label": "soft", "temperature": 0.5},
        {"l2": 10.0},
        {"aux": 0.25, "rounds": 1},
        {"keep": 0.8},
        {"keep": 0.8, "select": "agreement"},
        {"keep": 0.8, "select": "loss"},
        {"weight": 0.4},
        {"ensemble": 3},
        {"components": 24},
        {"smoothing": 0.5},
    ],
    ids=str,
)
def test_every_operator_acts_and_returns_probabilities(problems, values):
    public = problems[0].public
    found = BED.solve(SPACE.method(**values), public, 0)
    assert found.shape == (3000,)
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.abs(found - BED.solve(SPACE.neutral, public, 0)).max() > 0.01


def test_a_temperature_and_smoothing_decide_how_sure_a_student_becomes(problems):
    def sure(**values):
        return np.abs(BED.solve(SPACE.method(**values), problems[0].public, 0) - 0.5).mean()

    soft = [sure(label="soft", temperature=t) for t in (0.5, 1.0, 2.0)]
    assert soft[0] > soft[1] + 0.02 > soft[2] + 0.04
    assert sure(smoothing=0.5) < sure() - 0.05


def test_only_an_ensemble_depends_on_the_seed(problems):
    public = problems[0].public
    for values, depends in (({"ensemble": 3}, True), ({"aux": 0.5, "rounds": 1}, False)):
        method = SPACE.method(**values)
        once, again, other = (BED.solve(method, public, seed) for seed in (0, 0, 1))
        np.testing.assert_array_equal(once, again)
        assert (np.abs(once - other).max() > 0.01) == depends


def test_any_method_of_the_space_can_be_scored(problems):
    rng = stream(0, "tests/w2s-micro")
    for k in range(24):
        problem = problems[k % len(problems)]
        score = recovered(problem, BED.solve(SPACE.draw(rng), problem.public, k))
        assert -0.6 < score < 0.7


def test_certain_supervisors_are_no_trouble(problems):
    public = dict(problems[0].public)
    public["train_p"] = (public["train_p"] > 0.5).astype(np.float64)
    assert np.isfinite(BED.solve(SPACE.method(label="soft", temperature=0.5, weight=0.8), public, 0)).all()
    public["train_p"] = np.ones(2500)
    assert (BED.solve(SPACE.method(aux=0.5, rounds=1), public, 0) > 0.5).all()


def test_what_does_not_exist_is_refused(problems):
    with pytest.raises(SpecError, match=r"no family '7'; there is: 0, 1, 2, 3, 4"):
        BED.problem("7", 0, "dev")
    with pytest.raises(SpecError, match="no tier is called 'train'; there is: confirm, dev, public"):
        BED.problem("0", 0, "train")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"l2=2\.0 is not in the space"):
        BED.solve({**SPACE.neutral, "l2": 2.0}, problems[0].public, 0)
