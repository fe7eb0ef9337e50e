"""The Model and Trainable contracts: on every small model, and on models that break them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core.ports import Model, Trainable
from superalign.core.random import stream
from superalign.core.steps import Steps
from superalign.core.transcript import key_of
from superalign.core.types import Ask, Item, Message, Pending, Reply
from superalign.models.labels import Labels
from superalign.models.mlp import Mlp, mlp
from superalign.models.replay import Replay
from superalign.models.scripted import Scripted
from superalign.models.text import bow, ngram
from superalign.models.vectors import linear, pretrained_digits, random_features
from superalign.testing.model import ModelContract, TrainableContract

CHOICES = ("no", "yes")
STEPS = Steps()  # the pretrained models of this file are pretrained once


def say(ask: Ask) -> Reply | Pending:
    if ask.item is not None and ask.item.id == "i3":
        return Pending("asleep")
    return Reply("yes", (0.25, 0.75))


class TestScripted(ModelContract):
    def make_model(self) -> Model:
        return Scripted("script", say)


class TestScriptedOutOfOrder(ModelContract):
    def make_model(self) -> Model:
        return Scripted("script", say, serial=False, shuffle=5)


class TestScriptedInOrder(ModelContract):
    deterministic = False

    def make_model(self) -> Model:
        return Scripted("script", ["yes"] * 20)


class TestLabels(ModelContract):
    def make_model(self) -> Model:
        return Labels("people", {"i0": "yes", "i1": {"yes": 0.2, "no": 0.8}, "i2": "no", "i4": "yes"})


class TestReplay(ModelContract):
    def make_model(self) -> Model:
        return Replay("again", {key_of("", ask): Reply(f"reply {k}") for k, ask in enumerate(self.make_asks())})


class TestTrainedModel(ModelContract):
    def make_model(self) -> Model:
        items = [ask.item for ask in self.make_asks() if ask.item is not None]
        return bow(inputs=None, steps=STEPS, choices=CHOICES).fit(items, unlearned, 0)


def unlearned(logits: Any, rows: Any, step: int, total: int) -> Any:
    return np.zeros(len(rows)), np.zeros(logits.shape)


class TestBow(TrainableContract):
    deterministic = True

    def make_model(self) -> Trainable:
        return bow(inputs=None, steps=STEPS, choices=CHOICES)


class TestNgram(TrainableContract):
    deterministic = True

    def make_model(self) -> Trainable:
        return ngram(inputs=None, steps=STEPS, choices=CHOICES, unit="char", size=60)


class TestNgramOnChoices(TrainableContract):
    deterministic = True

    def make_model(self) -> Trainable:
        return ngram(inputs=None, steps=STEPS, choices=())

    def make_items(self) -> Sequence[Item]:
        pairs = [(kind, rude) for kind in ("good walk", "fine meal", "great day") for rude in ("bad", "poor", "awful")]
        both = [(pair, pair[::-1])[k % 2] for k, pair in enumerate(pairs)]
        return [Item(f"i{k}", "how was the walk", choices) for k, choices in enumerate(both)]

    def truth(self, items: Sequence[Item]) -> list[int]:
        return [int(item.choices[1].startswith(("good", "fine", "great"))) for item in items]


class VectorContract(TrainableContract):
    """Items are points; their class says on which side of a plane they are."""

    width = 16

    def points(self, ids: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.stack([stream(1, "contract", i).standard_normal(self.width) for i in ids])

    def make_items(self) -> Sequence[Item]:
        return [Item(f"p{k}", f"point {k}", CHOICES) for k in range(40)]

    def truth(self, items: Sequence[Item]) -> list[int]:
        return [int(row[:3].sum() > 0) for row in self.points([i.id for i in items])]


class TestLinear(VectorContract):
    deterministic = True

    def make_model(self) -> Trainable:
        return linear(inputs=self.points, steps=STEPS, choices=CHOICES, pool=2)

    def points(self, ids: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.repeat(super().points(ids).reshape(-1, 4, 4), 2, axis=1).repeat(2, axis=2).reshape(len(ids), 64)

    def truth(self, items: Sequence[Item]) -> list[int]:
        return [int(row[0] > 0) for row in self.points([i.id for i in items])]


class TestRandomFeatures(VectorContract):
    deterministic = True

    def make_model(self) -> Trainable:
        return random_features(inputs=self.points, steps=STEPS, choices=CHOICES, width=50)


class TestPretrainedDigits(VectorContract):
    deterministic = True
    width = 64

    def make_model(self) -> Trainable:
        return pretrained_digits(inputs=self.points, steps=STEPS, choices=CHOICES)


class TestMlp(VectorContract):
    def make_model(self) -> Trainable:
        return mlp(inputs=self.points, steps=STEPS, choices=CHOICES, width=8, depth=2, batch=16)


class TestMlpOfThreeClasses(VectorContract):
    def make_items(self) -> Sequence[Item]:
        return [Item(f"p{k}", f"point {k}", ("a", "b", "c")) for k in range(40)]

    def truth(self, items: Sequence[Item]) -> list[int]:
        return [int(row[:3].argmax()) for row in self.points([i.id for i in items])]

    def make_model(self) -> Trainable:
        return mlp(inputs=self.points, steps=STEPS, choices=("a", "b", "c"), width=8, batch=16)


def broken(answers: list[tuple[int, Reply]]) -> type[ModelContract]:
    class Broken:
        name, serial = "broken", True

        def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
            return iter(answers)

    class Contract(ModelContract):
        def make_model(self) -> Model:
            return Broken()

        def make_asks(self) -> Sequence[Ask]:
            return [Ask("judge", (Message("user", str(k)),), CHOICES) for k in range(2)]

    return Contract


def test_the_contract_sees_an_ask_answered_twice() -> None:
    with pytest.raises(AssertionError, match=r"2 asks were answered as \[0, 0\]"):
        broken([(0, Reply("a")), (0, Reply("a"))])().test_every_ask_is_answered_once()


def test_the_contract_sees_probabilities_that_do_not_sum_to_one() -> None:
    with pytest.raises(AssertionError, match="do not sum to 1"):
        broken([(0, Reply(probs=(0.5, 0.6)))])().test_replies_are_well_formed()


class Mutating(Mlp):
    """A perceptron whose fit trains itself in place: the mistake that the contract is there for."""

    def fit(self, *args: Any, **options: Any) -> Mlp:
        other = super().fit(*args, **options)
        self._flat, self.name = other._flat, other.name
        return self


class MutatingContract(VectorContract):
    def make_model(self) -> Trainable:
        return Mutating("mutating", {"model": 1}, self.points, CHOICES, hidden=(4,), training=(2, 0.01, 8))


class BatchNorm(Mlp):
    """A perceptron that centres its logits over the batch."""

    def logits(self, items: Sequence[Item]) -> np.ndarray[Any, Any]:
        logits = np.asarray(super().logits(items))
        return np.asarray(logits - logits.mean(0))

    def fit(self, *args: Any, **options: Any) -> Mlp:
        other = super().fit(*args, **options)
        return BatchNorm("norm", {}, self._inputs, CHOICES, hidden=(4,), training=(2, 0.01, 8), flat=other._flat)


class BatchNormContract(VectorContract):
    def make_model(self) -> Trainable:
        return BatchNorm("norm", {"model": 1}, self.points, CHOICES, hidden=(4,), training=(2, 0.01, 8))


def test_the_contract_sees_a_fit_that_changes_the_model() -> None:
    with pytest.raises(AssertionError, match="fit must return another object"):
        MutatingContract().test_fit_returns_another_model_and_changes_nothing()


def test_the_contract_sees_logits_that_depend_on_the_batch() -> None:
    with pytest.raises(AssertionError, match="the other items of a batch move logits"):
        BatchNormContract().test_other_items_in_the_batch_do_not_change_logits()


def test_the_contract_sees_a_seed_that_changes_nothing() -> None:
    class Forgotten(TestBow):
        deterministic = False

    with pytest.raises(AssertionError, match="set deterministic = True"):
        Forgotten().test_another_seed_gives_another_model_unless_declared()


def test_the_contract_sees_weights_that_were_not_loaded() -> None:
    class Ignoring(Mlp):
        """Reads the state and keeps its first weights, as in a cached run that evaluated an untrained model."""

        def load(self, state: Mapping[str, np.ndarray[Any, Any]]) -> Mlp:
            return super().load({name: np.zeros_like(array) for name, array in state.items()})

    class Contract(VectorContract):
        def make_model(self) -> Trainable:
            return Ignoring("ignoring", {"model": 1}, self.points, CHOICES, hidden=(4,), training=(2, 0.01, 8))

    with pytest.raises(AssertionError, match=r"logits changed between state\(\) and load\(\)"):
        Contract().test_state_and_load_give_the_same_logits()


def test_models_of_a_store_are_pretrained_once(tmp_path: Path) -> None:
    from superalign.store import open_store

    points = TestPretrainedDigits().points
    items = TestPretrainedDigits().make_items()
    store = open_store(tmp_path / "store.sqlite")
    first = pretrained_digits(inputs=points, steps=Steps(store), choices=CHOICES).features(items)
    later = Steps(store)
    again = pretrained_digits(inputs=points, steps=later, choices=CHOICES).features(items)
    assert np.array_equal(first, again)
    assert [(done.name, done.cached) for done in later.done] == [("pretrained-digits", True)]
