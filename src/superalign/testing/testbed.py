"""A contract suite for testbeds of automated research: subclass it in your tests and give it your testbed.

    from superalign.testing.testbed import TestbedContract

    MINE = mine()

    class TestMine(TestbedContract):
        def make_testbed(self):
            return MINE  # the same object each time, so that its problems are made once

Run it with pytest. It looks at the first family and at the last one, unseen if there are such.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.core.random import stream
from superalign.research.testbed import Problem, Testbed, Tier, answers, recovered

DRAWN = 4
"""Methods drawn from the space that are run."""


@lru_cache(maxsize=32)
def _made(make: Callable[[str, int, Tier], Problem], family: str, seed: int, tier: Tier) -> Problem:
    return make(family, seed, tier)


def _problem(testbed: Testbed, family: str, seed: int = 0, tier: Tier = "dev") -> Problem:
    return _made(testbed.problem, family, seed, tier)


class TestbedContract:
    """What a campaign and its scorer rely on. Override `make_testbed`, and `items` where rows of `test_x` are no items."""

    __test__ = False  # its name begins as pytest's tests do, and whoever imports it would have it collected

    def __init_subclass__(cls) -> None:
        cls.__test__ = True

    def make_testbed(self) -> Testbed:
        """The testbed under test, the same object each time."""
        raise NotImplementedError("return your testbed from make_testbed")

    def items(self, problem: Problem) -> set[bytes]:
        """What a problem asks about, so that two tiers can be compared: by default the rows of `test_x`."""
        rows = np.asarray(problem.public["test_x"])
        return {row.tobytes() for row in rows.reshape(-1, rows.shape[-1])}

    def problems(self) -> list[Problem]:
        """One development problem of the first family and one of the last."""
        bed = self.make_testbed()
        return [
            _problem(bed, family) for family in dict.fromkeys(((bed.families)[0], (*bed.families, *bed.unseen)[-1]))
        ]

    def test_it_says_what_it_is(self) -> None:
        bed = self.make_testbed()
        assert bed.name
        assert bed.families, "a campaign searches on families; name one at least"
        assert set(bed.families).isdisjoint(bed.unseen), "an unseen family is never searched on"
        for problem in self.problems():
            for name in problem.public:
                assert name.startswith(("train_", "test_")), f"{name!r}: audits resample what begins with train_"
                assert name.partition("_")[2] in bed.card, f"the card does not tell a proposer what {name!r} is"

    def test_the_same_inputs_give_the_same_problem(self) -> None:
        kept = self.problems()[0]
        again = self.make_testbed().problem(kept.family, kept.seed, kept.tier)
        assert list(again.public) == list(kept.public)
        for name, values in again.public.items():
            np.testing.assert_array_equal(values, kept.public[name])
        np.testing.assert_array_equal(again.key.truth, kept.key.truth)
        assert (again.key.weak, again.key.ceiling) == (kept.key.weak, kept.key.ceiling)

    def test_tiers_share_no_item_and_seeds_no_draw(self) -> None:
        bed = self.make_testbed()
        dev = self.problems()[0]
        other = _problem(bed, dev.family, 1)
        assert any(not np.array_equal(v, other.public[name]) for name, v in dev.public.items())
        for tier in ("public", "confirm"):
            shared = self.items(dev) & self.items(_problem(bed, dev.family, 0, tier))
            assert not shared, f"{len(shared)} test items of dev are in {tier} too"

    def test_public_arrays_are_numbers_that_nobody_can_change(self) -> None:
        for problem in self.problems():
            for name, values in problem.public.items():
                assert isinstance(values, np.ndarray), f"{name!r} is a {type(values).__name__}"
                assert np.issubdtype(values.dtype, np.number), f"{name!r} holds {values.dtype}"
                assert np.isfinite(values).all(), f"{name!r} is not finite"
                assert not values.flags.writeable, f"{name!r} can be changed, and other methods see the same array"

    def test_nothing_public_is_the_answer(self) -> None:
        for problem in self.problems():
            truth = problem.key.truth
            for name, values in problem.public.items():
                if len(values) == len(truth):
                    for column in values.reshape(len(truth), -1).T:
                        assert not np.array_equal(column.astype(np.int64), truth), f"{name!r} holds the answers"
                        assert not np.array_equal(column > 0.5, truth > 0), f"{name!r} tells the answers"

    def test_there_is_a_gap_to_recover(self) -> None:
        for problem in self.problems():
            key = problem.key
            assert 0 <= key.weak < key.ceiling <= 1
            assert key.truth.ndim == 1
            assert len(key.truth) >= 20
            for name, given in key.shortcuts.items():
                assert given.shape == key.truth.shape, f"the shortcut {name!r} answers {given.shape} items"
            assert recovered(problem, key.truth) >= 1

    def test_baselines_are_in_the_space(self) -> None:
        bed = self.make_testbed()
        axes = {axis.name for axis in bed.space.axes}
        assert len({b.name for b in bed.baselines}) == len(bed.baselines) > 0
        for baseline in bed.baselines:
            bed.space.method(**baseline.settings)
            assert baseline.tuned, f"{baseline.name!r} has no axis to be tuned on, so it can get no care"
            assert set(baseline.tuned) <= axes
            assert baseline.source, f"{baseline.name!r} says not where it comes from"

    def test_methods_run_on_public_arrays_alone(self) -> None:
        """Neutral, baseline and drawn methods: valid predictions, the same each time, from a copy of the arrays."""
        bed, rng = self.make_testbed(), stream(0, "testing/testbed")
        settings = [bed.space.neutral, *(bed.space.method(**b.settings) for b in bed.baselines)]
        for problem in self.problems():
            for method in (*settings, *(bed.space.draw(rng) for _ in range(DRAWN))):
                found = bed.solve(method, problem.public, 3)
                given = answers(found, len(problem.key.truth))
                copied = {name: values.copy() for name, values in problem.public.items()}
                np.testing.assert_array_equal(answers(bed.solve(method, copied, 3), len(given)), given)
                for name, values in copied.items():
                    np.testing.assert_array_equal(values, problem.public[name], f"solve changed {name!r}")

    def test_what_does_not_exist_is_refused(self) -> None:
        bed, problem = self.make_testbed(), self.problems()[0]
        with pytest.raises(SpecError, match="no family 'nowhere'"):
            bed.problem("nowhere", 0, "dev")
        with pytest.raises(SpecError, match="no tier is called 'train'"):
            bed.problem(problem.family, 0, "train")  # type: ignore[arg-type]
        with pytest.raises(SpecError, match="no axis is called 'unheard_of'"):
            bed.solve({**bed.space.neutral, "unheard_of": 1}, problem.public, 0)
