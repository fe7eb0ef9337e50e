"""The perceptron: exact gradients, a golden trajectory, fine-tuning, and its errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core.errors import ModelError
from superalign.core.ports import Trainable
from superalign.core.random import stream
from superalign.core.steps import Steps, decode, encode
from superalign.core.types import Item
from superalign.models.head import softmax
from superalign.models.mlp import MANIFOLD, Mlp, backward, count, descend, forward, initial, layers, manifold_mlp, mlp
from superalign.models.vectors import linear
from tests.contract.test_model import VectorContract

Array = np.ndarray[Any, Any]
CHOICES = ("no", "yes")
STEPS = Steps()  # pretraining is one step: done once for this file
GOLDEN = Path(__file__).parents[1] / "golden" / "mlp.json"


def cross_entropy(labels: Array) -> Any:
    def objective(logits: Array, rows: Array, step: int, total: int) -> tuple[Array, Array]:
        p = softmax(logits)
        return -(labels[rows] * np.log(p)).sum(1), p - labels[rows]

    return objective


def points(ids: Sequence[str]) -> Array:
    return np.stack([stream(0, "test-mlp", i).standard_normal(6) for i in ids])


ITEMS = [Item(f"p{k}", f"point {k}", CHOICES) for k in range(50)]
TRUTH = (np.abs(points([i.id for i in ITEMS]))[:, :2].sum(1) > 1.5).astype(int)


def build(**options: Any) -> Mlp:
    return mlp(inputs=points, steps=Steps(), choices=CHOICES, **options)


def test_backpropagation_equals_finite_differences() -> None:
    sizes = (4, 5, 3, 2)
    rng = stream(0, "differences")
    flat = rng.standard_normal(count(sizes)).astype(np.float32)
    x, pull = rng.standard_normal((7, 4)), rng.standard_normal((7, 2))

    def value(at: Array) -> float:  # in float64, so that differences mean something
        hidden = x
        network = layers(at, sizes)
        for i, (weights, bias) in enumerate(network):
            hidden = hidden @ weights + bias
            hidden = np.maximum(hidden, 0) if i < 2 else hidden
        return float((hidden * pull).sum())

    slope = np.zeros_like(flat)
    backward(layers(flat, sizes), forward(layers(flat, sizes), x), pull.astype(np.float32), layers(slope, sizes))
    wide = flat.astype(np.float64)
    for place in range(flat.size):
        step = np.zeros_like(wide)
        step[place] = 1e-6
        difference = (value(wide + step) - value(wide - step)) / 2e-6
        assert slope[place] == pytest.approx(difference, abs=2e-5, rel=1e-4)


def test_adam_with_a_cosine_follows_its_definition() -> None:
    sizes, total, rate = (2, 1), 5, 0.1
    x = np.asarray([[1.0, 2.0]])
    flat = np.asarray([0.3, -0.2, 0.1], np.float32)
    wanted, m, v = flat.astype(np.float64), np.zeros(3), np.zeros(3)
    for step in range(total):
        out = x @ wanted[:2] + wanted[2]
        g = 2 * out * np.asarray([1.0, 2.0, 1.0])
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        now = rate * 0.5 * (1 + np.cos(np.pi * step / total))
        wanted = wanted - now * (m / (1 - 0.9 ** (step + 1))) / (np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8)
    descend(flat, sizes, total, rate, lambda step: x, lambda step, out: 2 * out)
    assert flat == pytest.approx(wanted, abs=1e-6)


def trajectory() -> dict[str, Any]:
    """The logits of two points over a short fit with two hidden layers."""
    seen: dict[str, list[Any]] = {}

    def watch(step: int, total: int, model: Any) -> None:
        seen[str(step)] = np.asarray(model.logits(ITEMS[:2])).tolist()

    build(width=4, depth=2, epochs=5, lr=0.05, batch=16).fit(ITEMS, cross_entropy(np.eye(2)[TRUTH]), 7, watch)
    return {"logits": seen}


def test_a_short_fit_follows_its_golden_trajectory() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))["logits"]
    now = trajectory()["logits"]
    assert list(now) == list(golden)
    for step, logits in golden.items():
        assert np.allclose(now[step], logits, atol=1e-5), f"step {step}: {now[step]} instead of {logits}"


def test_it_learns_what_a_line_cannot() -> None:
    goal = cross_entropy(np.eye(2)[TRUTH])
    straight = linear(inputs=points, steps=Steps(), choices=CHOICES, C=10.0).fit(ITEMS, goal, 0)
    bent = build(epochs=200, lr=0.01).fit(ITEMS, goal, 0)
    assert (np.asarray(straight.logits(ITEMS)).argmax(1) == TRUTH).mean() < 0.8
    assert (np.asarray(bent.logits(ITEMS)).argmax(1) == TRUTH).mean() > 0.95


def test_swapping_two_classes_swaps_the_logits() -> None:
    labels = np.eye(2)[TRUTH]
    one = build(epochs=3).fit(ITEMS, cross_entropy(labels), 0)
    other = build(epochs=3).fit(ITEMS, cross_entropy(labels[:, ::-1]), 0)
    assert np.allclose(one.logits(ITEMS), np.asarray(other.logits(ITEMS))[:, ::-1], atol=1e-6)


def test_students_of_one_seed_share_start_and_order_and_two_widths_do_not() -> None:
    def first_rows(seed: int, width: int, labels: Array) -> Array:
        seen: list[Array] = []

        def spy(logits: Array, rows: Array, step: int, total: int) -> tuple[Array, Array]:
            seen.append(rows)
            return cross_entropy(labels)(logits, rows, step, total)  # type: ignore[no-any-return]

        build(width=width, epochs=1).fit(ITEMS, spy, seed)
        return np.concatenate(seen)

    labels = np.eye(2)[TRUTH]
    base = first_rows(0, 8, labels)
    assert np.array_equal(base, first_rows(0, 8, labels[:, ::-1]))
    assert not np.array_equal(base, first_rows(1, 8, labels))
    assert not np.array_equal(base, first_rows(0, 16, labels))


def test_an_untrained_head_is_uniform_at_the_first_step() -> None:
    seen: list[Array] = []

    def spy(logits: Array, rows: Array, step: int, total: int) -> tuple[Array, Array]:
        seen.append(logits)
        return cross_entropy(np.eye(2)[TRUTH])(logits, rows, step, total)  # type: ignore[no-any-return]

    build(epochs=2, batch=20).fit(ITEMS, spy, 0)
    assert [len(z) for z in seen] == [20, 20, 10, 20, 20, 10]
    assert np.array_equal(seen[0], np.zeros((20, 2)))
    assert np.abs(seen[-1]).max() > 0


def test_a_model_survives_being_stored() -> None:
    model = build(depth=2, epochs=2).fit(ITEMS, cross_entropy(np.eye(2)[TRUTH]), 0)
    again = build(depth=2, epochs=2).load(decode(encode(model.state())))
    assert np.array_equal(again.logits(ITEMS), model.logits(ITEMS))
    assert sorted(model.state()) == ["bias0", "bias1", "bias2", "weights0", "weights1", "weights2"]


def test_the_pretrained_model_is_fine_tuned_whole_and_keeps_its_features() -> None:
    from superalign.tasks.worlds.hidden_manifold import hidden_manifold

    pool = hidden_manifold(n=2200, seed=0)
    truth = np.asarray([pool.key[i.id] for i in pool.items])
    train, test = pool.items[:200], pool.items[200:]
    strong = manifold_mlp(inputs=pool.inputs, steps=STEPS, choices=pool.choices, epochs=20)
    before = np.asarray(strong.features(test[:10]))
    fitted = strong.fit(train, cross_entropy(np.eye(2)[truth[:200]]), 0)
    scratch = mlp(inputs=pool.inputs, steps=STEPS, choices=pool.choices)
    weak = scratch.fit(train, cross_entropy(np.eye(2)[truth[:200]]), 0)

    def right(model: Mlp) -> float:
        return float((np.asarray(model.logits(test)).argmax(1) == truth[200:]).mean())

    assert before.shape == (10, MANIFOLD[-1])
    assert np.array_equal(np.asarray(fitted.features(test[:10])), before)
    start = np.asarray(STEPS.run("manifold-mlp", 1, {"world": 0, "hidden": list(MANIFOLD)}, dict)["weights"])
    assert not np.array_equal(fitted.state()["weights0"], layers(start, (128, *MANIFOLD))[0][0])
    assert 0.85 < right(weak) < 0.935
    assert right(fitted) > right(weak) + 0.005


class TestManifoldMlp(VectorContract):
    width = 128

    def make_model(self) -> Trainable:
        return manifold_mlp(inputs=self.points, steps=STEPS, choices=CHOICES)


def test_initial_weights_have_the_scale_of_their_fan_in() -> None:
    first, last = layers(initial((200, 300, 2), stream(0, "scale")), (200, 300, 2))
    assert first[0].std() == pytest.approx(np.sqrt(2 / 200), rel=0.02)
    assert not first[1].any()
    assert not last[0].any()


def test_errors_name_what_was_there() -> None:
    goal = cross_entropy(np.eye(2)[TRUTH])
    with pytest.raises(ModelError, match="mlp is not trained; call fit or load first"):
        build().logits(ITEMS)
    with pytest.raises(ModelError, match="mlp is not trained; call fit or load first"):
        build().state()
    with pytest.raises(ModelError, match="mlp was given no items to fit"):
        build().fit([], goal, 0)
    with pytest.raises(
        ModelError, match=r"mlp: epochs, batch and width must be at least 1 and lr above 0, got epochs=0"
    ):
        build(epochs=0)
    with pytest.raises(
        ModelError, match="mlp: depth must be at least 1, got 0; a model without hidden layers is `linear`"
    ):
        build(depth=0)
    with pytest.raises(ModelError, match="mlp reads vectors, and this task holds texts"):
        mlp(inputs=None, steps=Steps(), choices=CHOICES)
    with pytest.raises(ModelError, match=r"mlp cannot load \{'weights0': \(6, 32\)\}: it has layers \(6, 32, 1\)"):
        build().load({"weights0": np.zeros((6, 32))})


def test_a_gradient_that_is_not_finite_is_named() -> None:
    def bad(logits: Array, rows: Array, step: int, total: int) -> tuple[Array, Array]:
        return np.zeros(len(rows)), np.full(logits.shape, np.inf if step == 3 else 0.0)

    with pytest.raises(ModelError, match="at step 3 of 120 the loss has a gradient that is not finite"):
        build().fit(ITEMS, bad, 0)


def test_inputs_of_another_width_are_refused() -> None:
    fitted = build(epochs=1).fit(ITEMS, cross_entropy(np.eye(2)[TRUTH]), 0)
    other = mlp(inputs=lambda ids: np.zeros((len(ids), 9)), steps=Steps(), choices=CHOICES).load(fitted.state())
    with pytest.raises(ModelError, match="mlp reads 6 numbers per item, and these items have 9"):
        other.logits(ITEMS)
    elsewhere = manifold_mlp(inputs=points, steps=STEPS, choices=CHOICES)
    with pytest.raises(ModelError, match="manifold-mlp was pretrained on other inputs than these of 6 numbers"):
        elsewhere.fit(ITEMS, cross_entropy(np.eye(2)[TRUTH]), 0)
    with pytest.raises(ModelError, match="manifold-mlp was pretrained on other inputs than these of 6 numbers"):
        elsewhere.features(ITEMS)
