"""A small testbed whose truth is simple: noisy answers, and two axes that say how noisy a method's are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from superalign.core.random import stream
from superalign.research.space import Axis, Method, Space
from superalign.research.testbed import Baseline, Key, Problem, Tier

ITEMS = 400


class Toy:
    """The best method (`skill` 3, `trick` off) is right in 90 %, the weak supervisor in 60 %, the ceiling always."""

    name = "toy"
    card = "toy: train_x and test_x hold noisy hints of the answers"
    space = Space(
        (Axis("skill", (0, 1, 2, 3), 0, ordered=True), Axis("trick", ("off", "on"), "off"), Axis("idle", (0, 1, 2), 0))
    )
    families: tuple[str, ...] = ("a", "b")
    unseen: tuple[str, ...] = ("c",)
    baselines: tuple[Baseline, ...] = (
        Baseline("plain", {"skill": 1}, ("skill",), "a toy"),
        Baseline("stuck", {"skill": 1}, ("idle",), "a toy that cannot be tuned"),
    )

    def problem(self, family: str, seed: int, tier: Tier) -> Problem:
        rng = stream(seed, "toy", family, tier)
        truth = rng.integers(0, 2, ITEMS)
        levels = np.stack([np.where(rng.random(ITEMS) < right, truth, 1 - truth) for right in (0.6, 0.7, 0.8, 0.9)], 1)
        public = {"train_x": rng.normal(size=(50, 2)), "test_x": levels.astype(np.float32)}
        return Problem(family, seed, tier, public, Key(truth, 0.6, 1.0, {"majority": np.zeros(ITEMS, np.int64)}))

    def solve(self, method: Method, public: Mapping[str, Any], seed: int) -> Any:
        if method["trick"] == "on":
            raise ValueError("the trick does not work")
        found = np.asarray(public["test_x"])[:, int(method["skill"])].astype(np.int64)
        flipped = stream(seed, "toy/noise", len(public["train_x"]), float(np.asarray(public["train_x"]).sum()))
        return np.where(flipped.random(ITEMS) < 0.02, 1 - found, found)


def toy() -> Toy:
    """The testbed."""
    return Toy()
