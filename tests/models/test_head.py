"""The head against scikit-learn, scipy and closed forms, and its errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import ModelError
from superalign.core.types import Ask, Item, Message
from superalign.models.head import GRID, Head, HeadModel, design, fit_head, softmax

Array = np.ndarray[Any, Any]


def cross_entropy(labels: Array) -> Any:
    def objective(logits: Array, rows: Array, step: int, total: int) -> tuple[Array, Array]:
        p = softmax(logits)
        return -(labels[rows] * np.log(p)).sum(1), p - labels[rows]

    return objective


def data(n: int, d: int, classes: int, seed: int = 0) -> tuple[Array, Array]:
    """Features with a mean and unequal scales, and soft labels that follow them with noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) * np.exp(-np.arange(d) / 10) + 0.5
    return x, softmax(2 * x @ rng.standard_normal((d, classes)) + rng.standard_normal((n, classes)))


def reference(x: Array, soft: Array, C: float) -> tuple[Array, Array]:
    """scikit-learn's solution: every row once per class, weighted by its soft label."""
    from sklearn.linear_model import LogisticRegression

    n, classes = soft.shape
    fitted = LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(
        np.tile(x, (classes, 1)), np.repeat(np.arange(classes), n), sample_weight=soft.T.ravel()
    )
    return fitted.coef_.T, fitted.intercept_


@pytest.mark.parametrize("C", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(300, 20), (40, 120)], ids=["tall", "wide"])
@pytest.mark.parametrize("classes", [2, 3])
def test_cross_entropy_gives_the_solution_of_scikit_learn(classes: int, shape: tuple[int, int], C: float) -> None:
    x, soft = data(*shape, classes)
    weights, bias = reference(x, soft, C)
    head = fit_head(x, classes, cross_entropy(soft), C)
    assert np.abs(head.weights - weights).max() < 1e-3
    assert (
        np.abs(head.bias - head.bias.mean() - bias + bias.mean()).max() < 1e-3
    )  # equal shifts of all classes are free
    if classes == 2:
        assert np.abs(head.bias - bias).max() < 1e-3


def test_choices_give_the_conditional_logit() -> None:
    from scipy.optimize import minimize

    rng = np.random.default_rng(3)
    phi = rng.standard_normal((80, 4, 6)) + 1
    soft = softmax(phi @ rng.standard_normal(6) + rng.gumbel(size=(80, 4)))
    C = 0.5

    def loss(w: Array) -> float:
        return float(-C * (soft * np.log(softmax(phi @ w))).sum() + 0.5 * w @ w)

    head = fit_head(phi, 0, cross_entropy(soft), C)
    found = minimize(loss, np.zeros(6), method="BFGS", options={"gtol": 1e-4}).x
    assert np.abs(head.weights[:, 0] - found).max() < 1e-3
    assert head.bias.size == 0
    assert head.logits(phi).shape == (80, 4)


def test_two_choices_equal_two_classes_without_intercept_on_their_difference() -> None:
    rng = np.random.default_rng(4)
    phi, soft = rng.standard_normal((60, 2, 5)), softmax(rng.standard_normal((60, 2)))
    mirrored = np.vstack([phi[:, 1] - phi[:, 0], phi[:, 0] - phi[:, 1]])  # every pair both ways: the intercept is 0
    twice = fit_head(mirrored, 2, cross_entropy(np.vstack([soft, soft[:, ::-1]])), 0.5)
    once = fit_head(phi, 0, cross_entropy(soft), 1.0)
    assert np.allclose(once.weights, twice.weights, atol=1e-6)
    assert abs(float(twice.bias[0])) < 1e-9


def test_swapping_two_classes_swaps_the_logits() -> None:
    x, soft = data(100, 8, 2)
    head = fit_head(x, 2, cross_entropy(soft), 0.3)
    swapped = fit_head(x, 2, cross_entropy(soft[:, ::-1]), 0.3)
    assert np.array_equal(head.logits(x), swapped.logits(x)[:, ::-1])


def test_squared_loss_gives_ridge_though_its_curvature_exceeds_the_bound() -> None:
    x, soft = data(200, 10, 3)

    def squared(logits: Array, rows: Array, step: int, total: int) -> tuple[Array, Array]:
        return ((logits - soft[rows]) ** 2).sum(1), 2 * (logits - soft[rows])

    C = 1.0
    head = fit_head(x, 3, squared, C)
    centred = x - x.mean(0)
    ridge = np.linalg.solve(2 * C * centred.T @ centred + np.eye(10), 2 * C * centred.T @ soft)
    assert np.allclose(head.weights, ridge, atol=1e-6)
    assert np.allclose(head.bias, soft.mean(0) - x.mean(0) @ ridge, atol=1e-6)


def test_reverse_cross_entropy_settles() -> None:
    x, soft = data(200, 10, 2)
    cost = -np.log(0.98 * np.eye(2)[soft.argmax(1)] + 0.01)
    values: list[float] = []

    def reverse(logits: Array, rows: Array, step: int, total: int) -> tuple[Array, Array]:
        p = softmax(logits)
        value = (p * cost).sum(1)
        values.append(float(value.sum()))
        return value, p * (cost - value[:, None])

    fit_head(x, 2, reverse, 1.0)
    assert values[-1] < 0.5 * values[0]
    assert np.ptp(values[-50:]) < 1e-3 * values[0]


@given(st.integers(2, 4), st.integers(1, 12), st.integers(1, 8), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_gradient_of_the_objective_vanishes_at_the_solution(classes: int, n: int, d: int, seed: int) -> None:
    x, soft = data(n, d, classes, seed)
    soft = 0.9 * soft + 0.1 / classes  # where all labels are sure, a free intercept has its optimum far out
    head = fit_head(x, classes, cross_entropy(soft), 0.3)
    pull = softmax(head.logits(x)) - soft
    back = pull[:, 1:] if classes == 2 else pull
    assert np.abs(0.3 * x.T @ back + head.weights).max() < 1e-6
    assert np.abs(back.sum(0)).max() < 1e-6


def test_a_schedule_is_carried_to_its_end() -> None:
    x, soft = data(100, 5, 2)
    seen: list[tuple[int, int]] = []

    def changing(logits: Array, rows: Array, step: int, total: int) -> tuple[Array, Array]:
        seen.append((step, total))
        labels = soft if step >= 0.2 * total else soft[:, ::-1]
        return cross_entropy(labels)(logits, rows, step, total)  # type: ignore[no-any-return]

    late = fit_head(x, 2, changing, 0.3, steps=200)
    assert seen == [(step, 200) for step in range(200)]
    assert np.allclose(late.weights, fit_head(x, 2, cross_entropy(soft), 0.3).weights, atol=1e-5)


def test_watch_sees_halvings_of_the_steps_and_the_end() -> None:
    x, soft = data(50, 5, 2)
    seen: list[int] = []
    heads: list[Head] = []

    def watch(step: int, total: int, head: Head) -> None:
        seen.append(step)
        heads.append(head)

    head = fit_head(x, 2, cross_entropy(soft), 0.3, 300, watch)
    assert seen == [2, 4, 9, 18, 37, 75, 150, 300]
    assert np.array_equal(heads[-1].weights, head.weights)
    assert np.linalg.norm(heads[0].weights) < np.linalg.norm(head.weights)


def test_constant_features_leave_the_intercept() -> None:
    soft = np.tile([0.2, 0.8], (10, 1))
    head = fit_head(np.ones((10, 3)), 2, cross_entropy(soft), 1.0)
    assert np.allclose(softmax(head.logits(np.ones((1, 3)))), [[0.2, 0.8]], atol=1e-6)
    assert design(np.ones((10, 3))).spread.size == 0


def test_a_gradient_that_is_not_finite_is_named() -> None:
    with pytest.raises(ModelError, match=r"at step 0 of 300 \(C=1\) the loss has a gradient that is not finite"):
        fit_head(np.eye(3), 2, lambda z, rows, step, total: (np.zeros(3), np.full((3, 2), np.nan)), 1.0)


ITEMS = [Item(f"i{k}", f"number {k}", ("no", "yes")) for k in range(6)]
LABELS = np.eye(2)[[0, 1, 0, 1, 0, 1]]


def parity(items: Sequence[Item]) -> Array:
    number = [int(item.prompt.split()[1]) for item in items]
    return np.column_stack([np.asarray(number) % 2, np.ones(len(items))]).astype(np.float32)


def model(**options: Any) -> HeadModel:
    return HeadModel("test", {"model": "test"}, parity, ("no", "yes"), **options)


def test_features_are_computed_once_and_shared() -> None:
    calls: list[str] = []

    def counting(items: Sequence[Item]) -> Array:
        calls.extend(item.id for item in items)
        return parity(items)

    start = HeadModel("test", {}, counting, ("no", "yes"), grid=(0.1, 1.0))
    for variant in start.variants():
        variant.fit(ITEMS[:4], cross_entropy(LABELS[:4]), 0).logits(ITEMS)
    start.features(ITEMS)
    assert calls == [item.id for item in ITEMS]


def test_a_grid_has_one_variant_per_strength_and_a_given_one_has_itself() -> None:
    start = model(grid=GRID)
    variants = start.variants()
    assert [v.identity["C"] for v in variants] == sorted(GRID)
    assert variants[0].name == "test:C=0.0003"
    assert [v.variants() for v in variants[:1]] == [[variants[0]]]
    norms = [np.linalg.norm(v.fit(ITEMS, cross_entropy(LABELS), 0).state()["weights"]) for v in variants]
    assert norms == sorted(norms)
    given_one = model(C=0.5)
    assert given_one.variants() == [given_one]
    assert start.identity != given_one.identity


def test_models_with_different_weights_have_different_names() -> None:
    start = model()
    one = start.fit(ITEMS, cross_entropy(LABELS), 0)
    other = start.fit(ITEMS, cross_entropy(LABELS[:, ::-1]), 0)
    assert start.name == "test"
    assert one.name.startswith("test#")
    assert one.name == start.fit(ITEMS, cross_entropy(LABELS), 1).name != other.name


def test_choices_that_are_seated_in_another_order_keep_their_probabilities() -> None:
    def length(items: Sequence[Item]) -> Array:
        return np.asarray([[[len(choice)] for choice in item.choices] for item in items], np.float64)

    items = [Item(f"i{k}", "", ("a" * (k % 3 + 1), "bb", "cccc")) for k in range(9)]
    longest = np.tile([0.0, 0.0, 1.0], (9, 1))
    fitted = HeadModel("test", {}, length).fit(items, cross_entropy(longest), 0)
    straight, seated = items[0], Item("i0", "", items[0].choices[::-1])
    replies = dict(fitted.answer([Ask("judge", (), i.choices, i) for i in (straight, seated)]))
    assert replies[0].text == replies[1].text == "cccc"
    assert replies[0].probs == pytest.approx(replies[1].probs[::-1])
    shown_differently = dict(fitted.answer([Ask("judge", (), straight.choices[::-1], straight)]))[0]
    assert shown_differently.probs == pytest.approx(replies[1].probs)


def test_equal_choices_each_get_their_own_probability() -> None:
    fitted = model().load({"weights": np.asarray([[1.0], [0.0]]), "bias": np.asarray([0.5])})
    twin = HeadModel("twin", {}, lambda items: np.ones((len(items), 2, 1))).load(
        {"weights": np.ones((1, 1)), "bias": np.zeros(0)}
    )
    reply = dict(twin.answer([Ask("judge", (), ("same", "same"), Item("i", "", ("same", "same")))]))[0]
    assert reply.probs == (0.5, 0.5)
    assert len(dict(fitted.answer([Ask("judge", (), (), ITEMS[0])]))[0].probs) == 2


def test_an_untrained_head_says_so() -> None:
    for use in (lambda: model().logits(ITEMS), lambda: model().state(), lambda: list(model().answer([ask()]))):
        with pytest.raises(ModelError, match="test is not trained; call fit or load first"):
            use()


def ask(item: Item | None = ITEMS[0], choices: tuple[str, ...] = ("no", "yes")) -> Ask:
    return Ask("judge", (Message("user", "well?"),), choices, item)


def test_an_ask_without_an_item_is_refused() -> None:
    fitted = model().fit(ITEMS, cross_entropy(LABELS), 0)
    with pytest.raises(
        ModelError, match="answers about items, and the ask for 'judge' carries none; cast a model that"
    ):
        list(fitted.answer([ask(item=None)]))


def test_an_ask_for_other_choices_is_refused() -> None:
    fitted = model().fit(ITEMS, cross_entropy(LABELS), 0)
    with pytest.raises(
        ModelError, match=r"was trained to choose among \('no', 'yes'\), and 'judge' was asked for \('A',"
    ):
        list(fitted.answer([ask(choices=("A", "B"))]))


def test_a_fit_on_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match="test was given no items to fit; a filter may have dropped all of them"):
        model().fit([], cross_entropy(LABELS), 0)


def test_features_that_are_not_finite_are_refused_by_item() -> None:
    def bad(items: Sequence[Item]) -> Array:
        return np.asarray([[np.nan if item.id == "i2" else 1.0] for item in items])

    with pytest.raises(ModelError, match="the features of item 'i2' are not finite"):
        HeadModel("test", {}, bad, ("no", "yes")).features(ITEMS)


def test_items_with_different_numbers_of_choices_are_refused() -> None:
    def ones(items: Sequence[Item]) -> Array:
        return np.ones((len(items), len(items[0].choices), 1))

    start = HeadModel("test", {}, ones)
    two, three = Item("a", "", ("x", "y")), Item("b", "", ("x", "y", "z"))
    start.features([two])
    start.features([three])
    with pytest.raises(ModelError, match=r"items have \[2, 3\] choices; a batch needs the same number in each item"):
        start.features([two, three])


def test_foreign_weights_are_refused() -> None:
    with pytest.raises(ModelError, match=r"test cannot load .*: it needs weights \(d, 1\) and bias \(1,\)"):
        model().load({"weights": np.zeros((2, 3)), "bias": np.zeros(3)})
    with pytest.raises(ModelError, match=r"test cannot load \['kernel'\]: it needs weights"):
        model().load({"kernel": np.zeros((2, 3))})


def test_weights_for_other_features_are_refused() -> None:
    other = model().load({"weights": np.zeros((5, 1)), "bias": np.zeros(1)})
    with pytest.raises(ModelError, match="the head has 5 weights per column, and the features have 2 numbers"):
        other.logits(ITEMS)


def test_a_strength_of_zero_is_refused() -> None:
    with pytest.raises(ModelError, match="test: C must be above 0, got C=0"):
        model(C=0)
