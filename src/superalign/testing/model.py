"""What every Model and every Trainable must do. Run it on your own:

    class TestMyModel(ModelContract):
        def make_model(self):
            return MyModel()

    class TestMyTrainable(TrainableContract):
        def make_model(self):
            return MyTrainable()

Override `make_asks`, `make_items` and `truth` where a model needs other material. A model that trains in
micro-batches must still call the objective once per optimiser step, with the logits of the whole effective
batch (one pass without gradients collects them), because some losses set a threshold over the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.digest import digest
from superalign.core.ports import Model, Trainable
from superalign.core.types import Ask, Item, Message, Pending, Reply

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints


class ModelContract:
    """The contract of `superalign.core.ports.Model` as tests."""

    deterministic = True
    """Whether the same ask gets the same reply at temperature 0; a person or a script in order need not."""

    def make_model(self) -> Model:
        """The model under test."""
        raise NotImplementedError("return your model from make_model")

    def make_asks(self) -> Sequence[Ask]:
        """Different asks that the model can answer, two or more."""
        items = [Item(f"i{k}", f"Is {k} an even number?", ("no", "yes")) for k in range(5)]
        return [Ask("judge", (Message("user", i.prompt),), i.choices, i) for i in items]

    def test_it_is_a_model(self) -> None:
        model = self.make_model()
        assert isinstance(model, Model), f"{type(model).__name__} needs name, serial and answer"
        assert model.name, "a model's name is part of the key of every call, so it cannot be empty"

    def test_every_ask_is_answered_once(self) -> None:
        asks = self.make_asks()
        indices = [i for i, _ in self.make_model().answer(asks)]
        assert sorted(indices) == list(range(len(asks))), f"{len(asks)} asks were answered as {indices}"

    def test_an_empty_batch_gives_nothing(self) -> None:
        assert list(self.make_model().answer([])) == []

    def test_replies_are_well_formed(self) -> None:
        asks = self.make_asks()
        for i, reply in self.make_model().answer(asks):
            if isinstance(reply, Pending):
                continue
            assert isinstance(reply, Reply), f"ask {i} got {reply!r}; yield (index, Reply or Pending)"
            if reply.probs:
                assert len(reply.probs) == len(asks[i].choices), (
                    f"{asks[i].choices} got {len(reply.probs)} probabilities"
                )
                assert min(reply.probs) >= 0, f"negative probabilities {reply.probs}"
                assert abs(sum(reply.probs) - 1) < 1e-6, f"probabilities {reply.probs} do not sum to 1"

    def test_the_same_asks_get_the_same_replies(self) -> None:
        if not self.deterministic:
            return
        model, asks = self.make_model(), self.make_asks()
        first, again = dict(model.answer(asks)), dict(model.answer(asks))
        for i, reply in first.items():
            assert _close(reply, again[i], 0), f"ask {i} got {reply!r}, then {again[i]!r}"

    def test_the_batch_does_not_change_a_reply(self) -> None:
        if not self.deterministic:
            return
        model, asks = self.make_model(), self.make_asks()
        together = dict(model.answer(asks))
        for i, ask in enumerate(asks):
            alone = dict(model.answer([ask]))[0]
            assert _close(together[i], alone, 1e-5), f"ask {i} got {together[i]!r} in a batch and {alone!r} alone"


def _close(one: Reply | Pending, other: Reply | Pending, tolerance: float) -> bool:
    if isinstance(one, Pending) or isinstance(other, Pending):
        return one == other
    same = (one.text, one.failure, len(one.probs)) == (other.text, other.failure, len(other.probs))
    return same and all(abs(a - b) <= tolerance for a, b in zip(one.probs, other.probs, strict=True))


class Recorded:
    """Cross-entropy with given labels (n, K), that remembers how it was called: steps, totals, rows, shapes."""

    def __init__(self, labels: Floats) -> None:
        self.labels = labels
        self.steps: list[int] = []
        self.totals: set[int] = set()
        self.rows: set[int] = set()
        self.losses: list[float] = []

    def __call__(self, logits: Floats, rows: Ints, step: int, total: int) -> tuple[Floats, Floats]:
        assert np.shape(logits) == (len(rows), self.labels.shape[1]), f"logits {np.shape(logits)} for {len(rows)} rows"
        self.steps.append(step)
        self.totals.add(total)
        self.rows.update(int(row) for row in rows)
        wide = np.asarray(logits, np.float64)
        shifted = wide - wide.max(1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        values = -(self.labels[rows] * log_p).sum(1)
        self.losses.append(float(values.mean()))
        return values, np.exp(log_p) - self.labels[rows]


class TrainableContract:
    """The contract of `superalign.core.ports.Trainable` as tests, each with one to three short fits."""

    deterministic = False
    """Whether a fit does not depend on its seed (a convex head that starts at zero)."""

    tolerance = 1e-5
    """By how much the other items of a batch may change an item's logits."""

    def make_model(self) -> Trainable:
        """The model under test, untrained, with settings that make a fit quick."""
        raise NotImplementedError("return your model from make_model")

    def make_items(self) -> Sequence[Item]:
        """Some twenty items that share their number of choices; by default short sentences."""
        words = ("good", "fine", "great"), ("bad", "poor", "awful")
        texts = [
            f"the {thing} was {word}" for thing in ("meal", "room", "walk", "film") for side in words for word in side
        ]
        return [Item(f"i{k}", text, ("no", "yes")) for k, text in enumerate(texts)]

    def truth(self, items: Sequence[Item]) -> list[int]:
        """A class per item that can be learned from it; by default whether the sentence is kind."""
        return [int(item.prompt.endswith(("good", "fine", "great"))) for item in items]

    def recorded(self) -> Recorded:
        """Cross-entropy on softened truth."""
        items = self.make_items()
        return Recorded(0.9 * np.eye(len(items[0].choices))[self.truth(items)] + 0.1 / len(items[0].choices))

    def trained(self, seed: int = 0) -> Trainable:
        """The model after one fit."""
        return self.make_model().fit(self.make_items(), self.recorded(), seed)

    def test_it_is_a_trainable(self) -> None:
        model = self.make_model()
        assert isinstance(model, Trainable), f"{type(model).__name__} lacks a method of superalign.core.ports.Trainable"
        assert model.identity, "identity is part of artifact keys, so it cannot be empty"
        assert digest(model.identity) == digest(self.make_model().identity), "identity must not change from run to run"

    def test_variants_differ_in_identity(self) -> None:
        variants = self.make_model().variants()
        assert variants, "variants() is empty; return [self] where there is nothing to choose"
        assert len({digest(v.identity) for v in variants}) == len(variants), "two variants have the same identity"

    def test_fit_returns_another_model_and_changes_nothing(self) -> None:
        first, items = self.trained(), self.make_items()
        before = {name: array.copy() for name, array in first.state().items()}
        logits = np.array(first.logits(items))
        flipped = Recorded(np.roll(self.recorded().labels, 1, axis=1))
        second = first.fit(items, flipped, 1)
        assert second is not first, "fit must return another object"
        for name, array in first.state().items():
            assert np.array_equal(array, before[name]), f"fit changed {name!r} of the model it was called on"
        assert np.array_equal(first.logits(items), logits), "fit changed the logits of the model it was called on"

    def test_the_same_seed_gives_the_same_bits(self) -> None:
        one = self.trained(3)
        two = one.fit(self.make_items(), self.recorded(), 3)  # a fit starts afresh, also from a trained model
        _assert_equal_states(one, two)

    def test_another_seed_gives_another_model_unless_declared(self) -> None:
        one, two = self.trained(3), self.trained(4)
        if self.deterministic:
            _assert_equal_states(one, two)
        else:
            same = all(np.array_equal(one.state()[name], two.state()[name]) for name in one.state())
            assert not same, "seeds 3 and 4 gave the same weights; set deterministic = True if that is meant"

    def test_state_and_load_give_the_same_logits(self) -> None:
        model, items = self.trained(), self.make_items()
        loaded = self.make_model().load({name: np.array(array) for name, array in model.state().items()})
        assert np.array_equal(loaded.logits(items), model.logits(items)), "logits changed between state() and load()"

    def test_other_items_in_the_batch_do_not_change_logits(self) -> None:
        model, items = self.trained(), self.make_items()
        together = np.asarray(model.logits(items))
        assert together.shape == (len(items), len(items[0].choices)), f"logits have shape {together.shape}"
        alone = np.concatenate([model.logits([item]) for item in items])
        backwards = np.asarray(model.logits(items[::-1]))[::-1]
        moved = max(np.abs(alone - together).max(), np.abs(backwards - together).max())
        assert moved <= self.tolerance, f"the other items of a batch move logits by {moved:.2g}"

    def test_features_have_a_row_per_item(self) -> None:
        model, items = self.make_model(), self.make_items()
        features = np.asarray(model.features(items))
        shapes = {2: (len(items),), 3: (len(items), len(items[0].choices))}
        assert features.shape[:-1] == shapes.get(features.ndim), f"features have shape {features.shape}"
        assert np.isfinite(features).all(), "features are not all finite"

    def test_the_objective_sees_every_row_and_every_step_once(self) -> None:
        goal, items = self.recorded(), self.make_items()
        self.make_model().fit(items, goal, 0)
        assert goal.rows == set(range(len(items))), f"rows {sorted(set(range(len(items))) - goal.rows)} were never seen"
        assert len(goal.totals) == 1, f"`total` changed during the fit: {goal.totals}"
        total = goal.totals.pop()
        assert goal.steps == list(range(total)), (
            f"steps came as {goal.steps[:5]}... of {total}; each comes once, in order"
        )

    def test_a_fit_lowers_the_loss(self) -> None:
        items, goal = self.make_items(), self.recorded()
        model = self.make_model().fit(items, goal, 0)
        values, _ = self.recorded()(np.asarray(model.logits(items)), np.arange(len(items)), 0, 1)
        uniform = np.log(len(items[0].choices))
        assert values.mean() < uniform, f"after a fit the loss is {values.mean():.3f}, no better than {uniform:.3f}"

    def test_watch_is_called_at_the_end(self) -> None:
        seen: list[tuple[int, int, Floats]] = []
        items = self.make_items()

        def watch(step: int, total: int, model: Trainable) -> None:
            seen.append((step, total, np.array(model.logits(items))))

        model = self.make_model().fit(items, self.recorded(), 0, watch)
        assert seen, "watch was never called"
        assert seen[-1][0] == seen[-1][1], f"the last call of watch was at step {seen[-1][0]} of {seen[-1][1]}"
        assert len(seen) <= 50, f"watch was called {len(seen)} times; a handful is enough"
        assert [s for s, _, _ in seen] == sorted({s for s, _, _ in seen}), "watched steps must ascend"
        assert np.allclose(seen[-1][2], model.logits(items), atol=1e-6), (
            "the model watched at the end is not the result"
        )
        _assert_equal_states(model, self.trained(0))  # watching changes nothing

    def test_it_answers_with_its_own_probabilities(self) -> None:
        model, items = self.trained(), self.make_items()
        shown = [items[0].choices[::-1], *(item.choices for item in items[1:])]
        asks = [Ask("judge", (), choices, item) for choices, item in zip(shown, items, strict=True)]
        logits = np.asarray(model.logits(items), np.float64)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        expected = powers / powers.sum(1, keepdims=True)
        expected[0] = expected[0][::-1]
        for i, reply in model.answer(asks):
            assert isinstance(reply, Reply), f"a trained model answers at once, and said {reply!r}"
            assert np.allclose(reply.probs, expected[i], atol=1e-6), f"ask {i}: {reply.probs}, not {expected[i]}"


def _assert_equal_states(one: Trainable, two: Trainable) -> None:
    first, second = one.state(), two.state()
    assert set(first) == set(second), f"states name {sorted(first)} and {sorted(second)}"
    for name, array in first.items():
        assert np.array_equal(array, second[name]), f"{name!r} differs between two fits with the same seed"
