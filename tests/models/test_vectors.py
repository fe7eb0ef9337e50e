"""Heads on vectors: pooling, random features, and the network that knows digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from superalign.core.errors import ModelError
from superalign.core.random import stream
from superalign.core.steps import Steps
from superalign.core.types import Item
from superalign.models.head import softmax
from superalign.models.vectors import linear, pooled, pretrained_digits, pretraining_set, random_features

Array = np.ndarray[Any, Any]
CHOICES = ("even", "odd")


def digit_task() -> tuple[list[Item], Array, Any]:
    """All images in a fixed random order, their parity, and their vectors by id."""
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    vectors = (images - images.mean(0)) / 16
    order = stream(0, "test-vectors").permutation(len(digits))
    items = [Item(f"d{k}", f"image {k}", CHOICES) for k in order]
    return items, digits[order] % 2, lambda ids: vectors[[int(i[1:]) for i in ids]]


def cross_entropy(labels: Array) -> Any:
    def objective(logits: Array, rows: Array, step: int, total: int) -> tuple[Array, Array]:
        p = softmax(logits)
        return -(labels[rows] * np.log(p)).sum(1), p - labels[rows]

    return objective


def test_pooling_averages_squares_of_pixels() -> None:
    image = np.arange(16.0).reshape(1, 16)
    assert pooled(image, 2).tolist() == [[2.5, 4.5, 10.5, 12.5]]
    assert pooled(image, 4).tolist() == [[7.5]]
    assert pooled(image, 1) is image


def test_random_features_follow_the_formula_and_belong_to_the_model() -> None:
    x = stream(1, "x").standard_normal((5, 3))
    items = [Item(f"d{k}", "", CHOICES) for k in range(5)]

    def build(**options: Any) -> Array:
        made = random_features(inputs=lambda ids: x, steps=Steps(), choices=CHOICES, **options)
        return np.asarray(made.features(items))

    one = build(width=4000)
    assert one.shape == (5, 4000)
    assert one.min() == 0
    # a row of features has squared length E[relu(w.x + b)^2] = (|x|^2 + 1/4) / 2
    assert (one**2).sum(1) == pytest.approx(((x**2).sum(1) + 0.25) / 2, rel=0.15)
    assert np.array_equal(one, build(width=4000))
    assert not np.array_equal(one, build(width=4000, draw=1))
    assert not np.allclose(build(width=50) * np.sqrt(50), one[:, :50] * np.sqrt(4000))


def test_pretraining_sees_a_fixed_third_of_the_images() -> None:
    images, digits = pretraining_set()
    assert 540 < len(images) < 660
    assert images.shape == (len(digits), 64)
    assert np.abs(images).max() <= 1
    assert np.bincount(digits).min() > 30


def test_a_pretrained_student_beats_its_weak_teacher_and_a_wide_one_its_narrow_teacher() -> None:
    items, truth, inputs = digit_task()
    fixed: dict[str, Any] = {"inputs": inputs, "steps": Steps(), "choices": CHOICES}
    gold, few, transfer, test = np.eye(2)[truth], slice(0, 200), slice(500, 1100), slice(1100, None)

    def right(model: Any) -> float:
        return float((np.asarray(model.logits(items[test])).argmax(1) == truth[test]).mean())

    weak = linear(pool=2, C=1.0, **fixed).fit(items[few], cross_entropy(gold[few]), 0)
    soft = cross_entropy(softmax(weak.logits(items[transfer])))
    strong = pretrained_digits(C=0.02, **fixed)
    student, ceiling = (
        strong.fit(items[transfer], soft, 0),
        strong.fit(items[transfer], cross_entropy(gold[transfer]), 0),
    )
    assert 0.7 < right(weak) < 0.88
    assert right(student) > right(weak) + 0.02
    assert right(ceiling) > 0.94

    narrow = random_features(width=30, C=100.0, **fixed).fit(items[few], cross_entropy(gold[few]), 0)
    soft = cross_entropy(softmax(narrow.logits(items[transfer])))
    wide = random_features(C=3.0, **fixed).fit(items[transfer], soft, 0)
    assert right(wide) > right(narrow) + 0.01


def test_grids_go_from_strong_to_weak_regularisation() -> None:
    fixed: dict[str, Any] = {"inputs": lambda ids: np.zeros((len(ids), 64)), "steps": Steps(), "choices": CHOICES}
    for factory in (linear, random_features, pretrained_digits):
        strengths = [v.identity["C"] for v in factory(**fixed).variants()]
        assert strengths == sorted(strengths)
        assert len(strengths) == 10
        assert [v.identity["C"] for v in factory(C=0.5, **fixed).variants()] == [0.5]


@pytest.mark.parametrize("factory", [linear, random_features, pretrained_digits])
def test_texts_and_choices_are_refused(factory: Any) -> None:
    with pytest.raises(ModelError, match="reads vectors, and this task holds texts; choose bow, ngram"):
        factory(inputs=None, steps=Steps(), choices=CHOICES)
    with pytest.raises(ModelError, match=r"needs a task whose items share their classes, got the choices \(\)"):
        factory(inputs=lambda ids: np.zeros((len(ids), 64)), steps=Steps(), choices=())


def test_wrong_shapes_and_options_are_named() -> None:
    def inputs(ids: Sequence[str]) -> Array:
        return np.zeros((len(ids), 12))

    fixed: dict[str, Any] = {"inputs": inputs, "steps": Steps(), "choices": CHOICES}
    item = [Item("d0", "", CHOICES)]
    with pytest.raises(
        ModelError, match="linear:pool=2 needs square images whose side 2 divides; these vectors have 12"
    ):
        linear(pool=2, **fixed).features(item)
    with pytest.raises(ModelError, match="linear: pool must be at least 1, got 0"):
        linear(pool=0, **fixed)
    with pytest.raises(ModelError, match="random-features: width must be at least 1, got 0"):
        random_features(width=0, **fixed)
    with pytest.raises(ModelError, match="pretrained-digits reads 8x8 images, and these vectors have 12 numbers"):
        pretrained_digits(**fixed).features(item)
