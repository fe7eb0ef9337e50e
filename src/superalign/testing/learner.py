"""Contract tests for learners, and the smallest Trainable to run them on.

    from superalign.testing.learner import LearnerContract

    class TestMine(LearnerContract):
        def make_learner(self):
            return mine()

Run it with pytest. Override `make_model`, `make_data` and `labels` where a learner needs other material.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.errors import ModelError
from superalign.core.ports import Learner, Run, Trainable
from superalign.core.random import stream
from superalign.core.steps import Steps
from superalign.core.types import Ask, Data, Item, Judgment, Reply, Seat, Verdict

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Objective, Watch


class LinearModel:
    """Softmax regression on given vectors, by full-batch gradient descent from a small random start.

    `vectors` maps item ids to rows (d,). `decays` are the L2 penalties to choose among, strongest first.
    """

    serial = True

    def __init__(
        self,
        vectors: Mapping[str, Floats],
        classes: int = 2,
        *,
        decays: Sequence[float] = (1e-3,),
        steps: int = 100,
        weights: Floats | None = None,
    ) -> None:
        self.vectors, self.classes, self.decays = vectors, classes, tuple(decays)
        self.steps, self.weights = steps, weights
        self.name = "linear-model"
        self.identity: Mapping[str, Any] = {"linear-model": 1, "decays": list(decays), "steps": steps}

    def _copy(self, decays: Sequence[float], weights: Floats | None) -> LinearModel:
        kind = type(self)
        return kind(self.vectors, self.classes, decays=decays, steps=self.steps, weights=weights)

    def variants(self) -> list[LinearModel]:
        return [self] if len(self.decays) == 1 else [self._copy((decay,), self.weights) for decay in self.decays]

    def features(self, items: Sequence[Item]) -> Floats:
        """The vectors, (n, d)."""
        return np.stack([self.vectors[item.id] for item in items])

    def _design(self, items: Sequence[Item]) -> Floats:
        return np.column_stack([self.features(items), np.ones(len(items))])

    def logits(self, items: Sequence[Item]) -> Floats:
        """(n, K). Raises ModelError before `fit` or `load`."""
        if self.weights is None:
            raise ModelError(f"{self.name} is not trained; call fit or load first and use the model they return")
        return np.asarray(self._design(items) @ self.weights)

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """Probabilities over the choices of each ask's item."""
        for i, ask in enumerate(asks):
            if ask.item is None:
                raise ModelError(f"{self.name} answers about items, and this ask carries none")
            z = self.logits([ask.item])[0]
            p = np.exp(z - z.max())
            yield i, Reply(probs=tuple(float(v) for v in p / p.sum()))

    def fit(self, items: Sequence[Item], objective: Objective, seed: int, watch: Watch | None = None) -> LinearModel:
        """A copy trained on the items, watched at six points."""
        x, rows = self._design(items), np.arange(len(items))
        w = stream(seed, "linear-model").normal(scale=0.01, size=(x.shape[1], self.classes))
        rate = 0.9 / (
            float(np.linalg.norm(x, 2)) ** 2 / len(x) + self.decays[0]
        )  # stable for every convex loss we ship
        points = {round(self.steps * part / 5) for part in range(1, 6)}
        for step in range(self.steps):
            _, gradients = objective(x @ w, rows, step, self.steps)
            w = w - rate * (x.T @ gradients / len(x) + self.decays[0] * w)
            if watch is not None and step + 1 in points:
                watch(step + 1, self.steps, self._copy(self.decays, w))
        return self._copy(self.decays, w)

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """`weights` (d + 1, K)."""
        if self.weights is None:
            raise ModelError(f"{self.name} is not trained, so it has no weights to save")
        return {"weights": np.asarray(self.weights)}

    def load(self, state: Mapping[str, np.ndarray[Any, Any]]) -> LinearModel:
        return self._copy(self.decays, np.asarray(state["weights"]))


class Asked:
    """An overseer with given hard labels that remembers which items it was asked about."""

    def __init__(self, labels: Mapping[str, int]) -> None:
        self.labels = labels
        self.items: set[str] = set()

    def __call__(self, items: Sequence[Item]) -> list[Judgment]:
        self.items.update(item.id for item in items)
        return [self._judged(item) for item in items]

    def _judged(self, item: Item) -> Judgment:
        answer = self.labels[item.id]
        probs = tuple(0.9 if k == answer else 0.1 / (len(item.choices) - 1) for k in range(len(item.choices)))
        return Judgment(item.id, Seat(), Verdict(answer, probs))


class LearnerContract:
    """What every Learner must hold: subclass it, name the subclass Test..., and return yours."""

    def make_learner(self) -> Learner:
        """The learner under test."""
        raise NotImplementedError("return your learner from make_learner")

    def make_model(self) -> Trainable:
        """The model it trains; by default softmax regression on the vectors of `make_data`."""
        vectors = {f"i{i}": stream(0, "contract", i).normal(size=4) for i in range(120)}
        return LinearModel(vectors)

    def make_data(self) -> Data:
        """60 training, 30 validation and 30 unlabelled items."""
        items = tuple(Item(f"i{i}", f"vector {i}", ("no", "yes")) for i in range(120))
        return Data(items[:60], items[60:90], items[90:])

    def labels(self, data: Data) -> dict[str, int]:
        """The overseer's labels of all items, two classes or more; by default a line through the vectors."""
        items = (*data.train, *data.valid, *data.unlabelled)
        return dict(
            zip((item.id for item in items), map(int, self.make_model().features(items)[:, 0] > 0), strict=True)
        )

    def trained(self, flip: bool = False, seed: int = 3) -> tuple[Floats, Asked]:
        """Logits on all items, and the overseer that was asked; with `flip` its labels are exchanged."""
        data = self.make_data()
        labels = self.labels(data)
        top = max(labels.values())
        overseer = Asked({name: top - label if flip else label for name, label in labels.items()})
        student = self.make_learner()(self.make_model(), data, overseer, Run(seed, Steps()))
        return student.logits((*data.train, *data.valid, *data.unlabelled)), overseer

    def test_learns_what_the_overseer_says(self) -> None:
        data = self.make_data()
        labels = np.asarray(list(self.labels(data).values()))
        logits, _ = self.trained()
        assert np.isfinite(logits).all()
        right = float((logits.argmax(axis=1) == labels).mean())
        guess = float(np.bincount(labels).max() / len(labels))
        assert right > guess + 0.1, (
            f"agrees with its overseer on {right:.2f} of the items; the largest class is {guess:.2f}"
        )

    def test_labels_come_from_the_overseer_alone(self) -> None:
        plain, _ = self.trained()
        flipped, _ = self.trained(flip=True)
        same = float((plain.argmax(axis=1) == flipped.argmax(axis=1)).mean())
        assert same < 0.5, f"with all labels exchanged {same:.2f} of the predictions stayed; where does it read labels?"

    def test_asks_about_training_and_validation_items_only(self) -> None:
        data = self.make_data()
        _, overseer = self.trained()
        extra = overseer.items - {item.id for item in (*data.train, *data.valid)}
        assert not extra, f"asked for labels of items that are not to be labelled: {sorted(extra)[:3]}"
        assert overseer.items, "never asked its overseer"

    def test_same_seed_same_model(self) -> None:
        first, _ = self.trained()
        second, _ = self.trained()
        np.testing.assert_array_equal(first, second)

    def test_leaves_the_given_model_alone(self) -> None:
        data = self.make_data()
        model = self.make_model()
        before = (dict(model.identity), model.name, np.array(model.features(data.train)))
        self.make_learner()(model, data, Asked(self.labels(data)), Run(3, Steps()))
        assert (dict(model.identity), model.name) == before[:2]
        np.testing.assert_array_equal(model.features(data.train), before[2])
        try:
            model.logits(data.train)
        except ModelError:
            return  # still untrained, as it was given
        fresh = self.make_model()
        np.testing.assert_array_equal(model.logits(data.train), fresh.logits(data.train))
