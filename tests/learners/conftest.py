"""A small world for learners: points in a plane whose class is known, and an overseer that errs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from superalign.core.ports import Run
from superalign.core.steps import Steps
from superalign.core.types import Data, Item, Judgment, Seat, Verdict
from superalign.learners.labels import Labels, View
from superalign.testing.learner import LinearModel


@dataclass
class World:
    """`n` items around `classes` well-separated centres; `soft` are weak labels, a few on the wrong side."""

    n: int = 240
    classes: int = 2
    flips: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.truth = np.arange(self.n) % self.classes
        centres = 6 * np.eye(max(self.classes, 4))[: self.classes]
        self.x = centres[self.truth] + rng.normal(size=(self.n, centres.shape[1]))
        choices = tuple(f"c{k}" for k in range(self.classes))
        self.items = tuple(Item(f"w{i:04d}", f"point {i}", choices) for i in range(self.n))
        self.flipped = np.sort(rng.choice(self.n, self.flips, replace=False))
        named = self.truth.copy()
        named[self.flipped] = (named[self.flipped] + 1) % self.classes
        sure = rng.uniform(0.6, 0.95, self.n)
        self.soft = np.full((self.n, self.classes), 0.0) + ((1 - sure) / (self.classes - 1))[:, None]
        self.soft[np.arange(self.n), named] = sure
        self.rows = {item.id: i for i, item in enumerate(self.items)}

    @property
    def labels(self) -> Labels:
        return Labels(self.items, self.soft, np.ones(self.n))

    @property
    def model(self) -> LinearModel:
        return LinearModel({item.id: row for item, row in zip(self.items, self.x, strict=True)}, self.classes)

    @property
    def data(self) -> Data:
        half = self.n // 2
        return Data(self.items[:half], self.items[half : half * 3 // 2], self.items[half * 3 // 2 :])

    def overseer(self, items):
        return [Judgment(i.id, Seat(), Verdict(None, tuple(self.soft[self.rows[i.id]]))) for i in items]

    def view(self, labels: Labels, zero_shot: Callable | None = None, seed: int = 5) -> View:
        rows = [self.rows[item.id] for item in labels.items]
        return View(lambda: self.x[rows], lambda: zero_shot(rows) if zero_shot else None, seed)

    def positions(self, labels: Labels) -> np.ndarray:
        return np.array([self.rows[item.id] for item in labels.items])


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def worlds() -> type[World]:
    return World


@pytest.fixture
def run() -> Run:
    return Run(7, Steps())
