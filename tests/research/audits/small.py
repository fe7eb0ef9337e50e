"""A weak-to-strong testbed of half a millisecond: 300 noisy labels, 500 items, 20 columns, methods that use their seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from superalign.core.random import stream
from superalign.research.space import Axis, Method, Space
from superalign.research.testbed import Baseline, Key, Problem, Tier
from superalign.research.testbeds.ridge import design, fit, probability

TRAIN, TEST, COLUMNS = 300, 500, 20


class Small:
    """The weak supervisor sees a quarter of the columns through noise; the student sees all of them."""

    name = "small"
    card = "small: train_x, train_p, test_x"
    space = Space(
        (
            Axis("l2", (0.1, 30.0, 100.0), 0.1, ordered=True),
            Axis("keep", (1.0, 0.7, 0.4), 1.0, ordered=True),
            Axis("label", ("hard", "soft"), "hard"),
            Axis("bag", (0, 1), 0),
            Axis("shift", (0, 1), 0),
        )
    )
    families: tuple[str, ...] = ("a", "b")
    unseen: tuple[str, ...] = ("c",)
    baselines = (
        Baseline("plain", {"shift": 1}, ("l2", "shift")),
        Baseline("filter", {"keep": 0.4}, ("l2", "keep")),
    )

    def problem(self, family: str, seed: int, tier: Tier) -> Problem:
        rng = stream(seed, "small", family, tier)
        w = rng.standard_normal(COLUMNS)
        x = rng.standard_normal((TRAIN + TEST, COLUMNS))
        truth = (x @ w > 0).astype(np.int64)
        sight = np.where(np.arange(COLUMNS) < 10, w, 0.0)
        weak = 1 / (1 + np.exp(-(x @ sight + 1.5 * rng.standard_normal(len(x)))))
        student = x.astype(np.float32)
        best = fit(design(student[:TRAIN]), truth[:TRAIN], 1.0)
        asked = truth[TRAIN:]
        ceiling = float(((probability(design(student[TRAIN:]), best) > 0.5) == asked).mean())
        short = {"majority": np.full(TEST, int(truth[:TRAIN].mean() > 0.5)), "weak": (weak[TRAIN:] > 0.5).astype(int)}
        public = {"train_x": student[:TRAIN], "train_p": weak[:TRAIN], "test_x": student[TRAIN:]}
        return Problem(family, seed, tier, public, Key(asked, float((short["weak"] == asked).mean()), ceiling, short))

    def solve(self, method: Method, public: Mapping[str, Any], seed: int) -> Any:
        p = np.asarray(public["train_p"])
        y = (p > 0.5).astype(float) if method["label"] == "hard" else p
        rows = np.argsort(-np.abs(p - 0.5), kind="stable")[: round(float(method["keep"]) * len(p))]
        if method["bag"]:
            rows = stream(seed, "small/bag").choice(rows, len(rows))
        beta = fit(design(public["train_x"][rows]), y[rows], float(method["l2"]))
        found = probability(design(public["test_x"]), beta)
        return np.clip(found + 0.4 * int(method["shift"]), 0, 1)  # published settings that care mends
