"""Committed methods on problems: points of the space, and files in the sandbox; what goes wrong is a status."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from superalign.core.errors import SpecError, StoreError
from superalign.research.running import Bench, commit, development, scored, source
from superalign.research.testbed import Problem, Tier
from superalign.research.values import Code, typed
from superalign.store import open_store
from tests.research.toy import Toy

GOOD = """
import numpy as np

def method(public, seed):
    return (np.asarray(public["test_x"]).mean(1) > 0.5).astype(float)
"""


def test_a_point_of_the_space_runs(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        bench = Bench(Toy(), store)
        found = scored(bench, typed(Toy.space.method(skill=3)), [("a", 0), ("b", 1)], "dev")
        assert found["status"] == "ok"
        assert all(0.5 < s < 0.9 for s in found["scores"])
        assert found["usage"]["wall_s"] > 0


@pytest.mark.parametrize(
    ("method", "status", "said"),
    [
        (typed({"skill": 3, "trick": "on", "idle": 0}), "failed", "the trick does not work"),
        (typed({"skill": 9, "trick": "off", "idle": 0}), "failed", "skill=9 is not in the space"),
        (Code(sha256="0" * 64), "failed", "the method file 000000000000 is not in the store"),
    ],
)
def test_what_goes_wrong_is_a_status(tmp_path: Path, method: object, status: str, said: str) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        found = scored(Bench(Toy(), store), method, [("a", 0)], "dev")  # type: ignore[arg-type]
        assert found["status"] == status
        assert said in found["said"]
        assert found["scores"] == []


def test_a_problem_without_a_gap_is_a_status(tmp_path: Path) -> None:
    class Flat(Toy):
        def problem(self, family: str, seed: int, tier: Tier) -> Problem:
            made = super().problem(family, seed, tier)
            return replace(made, key=replace(made.key, ceiling=0.5))

    with open_store(tmp_path / "s.sqlite") as store:
        found = scored(Bench(Flat(), store), typed(Toy.space.neutral), [("a", 0)], "dev")
    assert (found["status"], found["scores"]) == ("failed", [])
    assert found["said"] == "a/0: the ceiling 0.500 is not above weak 0.600"


def test_a_file_is_kept_by_its_hash(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        code = commit(store, GOOD)
        assert source(store, code) == GOOD
        assert commit(store, GOOD) == code
        with pytest.raises(SpecError, match="give one of at most 1,048,576"):
            commit(store, "#" * (1 << 20) + "#")
        with pytest.raises(StoreError, match="is not in the store"):
            source(store, Code(sha256="f" * 64))


def test_development_problems_go_through_the_families() -> None:
    assert development(Toy(), 5) == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)]


def test_a_method_is_not_handed_the_seed_of_its_problem(tmp_path: Path) -> None:
    """With our code the seed of a problem makes its answers."""
    seeds: list[int] = []

    class Spy(Toy):
        def solve(self, method: object, public: object, seed: int) -> np.ndarray:
            seeds.append(seed)
            return np.zeros(400)

    with open_store(tmp_path / "s.sqlite") as store:
        scored(Bench(Spy(), store), typed(Toy.space.neutral), [("a", 0), ("a", 7)], "dev")
    assert len(seeds) == 2
    assert not set(seeds) & {0, 7}
