"""Every loss against its published vector, its finite differences and its limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from superalign.core.errors import SpecError
from superalign.learners.confidence import AdaptConf, AugConf, LogConf, Product
from superalign.learners.losses import (
    Cace,
    MidWeak,
    ReverseCE,
    ReverseKL,
    Squared,
    Symmetric,
    TrueEntropy,
    Window,
    Xent,
)

Z = np.array([-1.0, 0.2, 0.7, 2.0])
Y = np.array([0.3, 0.6, 0.4, 0.9])
ZERO = np.zeros(4)


def binary(loss, z=Z, y=Y, step=10, total=10):
    """Mean value and the gradient of the mean in the logit of class 1."""
    columns = np.column_stack([np.zeros(len(z)), z]), np.column_stack([1 - np.asarray(y), y])
    values, gradients = loss(*columns, step, total)
    np.testing.assert_allclose(gradients.sum(axis=1), 0, atol=1e-12)
    return values.mean(), gradients[:, 1] / len(z)


LABELS = np.column_stack([1 - Y, Y])

VECTOR = [
    (Xent(), 0.610379, [-0.007765, -0.012542, 0.067047, -0.004801]),
    (LogConf(alpha=0.5), 0.510379, [0.029735, 0.062458, -0.007953, -0.017301]),
    (LogConf(alpha=0.5, prior=0.55), 0.510379, [0.029735, 0.062458, -0.007953, -0.017301]),
    (LogConf(alpha=0.5, prior="dataset").prepared(LABELS), 0.510379, [0.029735, 0.062458, -0.007953, -0.017301]),
    (LogConf(alpha=0.75), 0.460379, None),
    (LogConf(alpha=1), 0.410379, [0.067235, 0.137458, -0.082953, -0.029801]),
    (Product(), 0.494195, [0.033188, -0.024268, 0.023770, -0.026097]),
    (TrueEntropy(alpha=0.5), 0.589085, [0.020694, -0.012459, 0.014124, -0.028649]),
    (Window(r=0.15), 0.169535, [0, -0.012542, 0, 0]),
    (MidWeak().prepared(LABELS), 0.169535, [0, -0.012542, 0, 0]),
    (ReverseCE(eps=0.02), 0.605903, [0.040714, -0.024575, 0.022013, -0.055419]),
    (ReverseKL(eps=0.02), 0.038112, [-0.008438, -0.012199, 0.060812, -0.002922]),
    (Cace(c=0.15, eps=0.02), 0.603165, [-0.007765, -0.024575, 0.022013, -0.004801]),
    (Symmetric(alpha=1, beta=0.1, eps=0.02), 0.670969, [-0.003693, -0.014999, 0.069248, -0.010343]),
    (AugConf(alpha=0.5, tau=1), 0.200132, [0.029735, -0.062542, -0.007953, -0.017301]),
    (AdaptConf(temperature=0.5, tau=1), 0.181018, [0.029735, -0.062542, 0.037375, -0.017301]),
]


@pytest.mark.parametrize("loss, value, gradient", VECTOR, ids=[repr(v[0])[:40] for v in VECTOR])
def test_the_reference_vector(loss, value, gradient):
    got, got_gradient = binary(loss)
    assert got == pytest.approx(value, abs=1e-6)
    if gradient is not None:
        np.testing.assert_allclose(got_gradient, gradient, atol=1e-6)


# Finite differences. Each formula is written a second time, plainly, with its constants taken at z0.


def soft(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def ce(q, z):
    return -(q * np.log(soft(z))).sum(axis=1)


def kd(z, y, tau):
    w, s = soft(np.log(y) / tau), soft(z / tau)
    return tau**2 * (w * np.log(w / s)).sum(axis=1)


def entropy(z):
    return -(soft(z) * np.log(soft(z))).sum(axis=1)


def rce(z, y, eps):
    return -(soft(z) * np.log((1 - eps) * y + eps / y.shape[1])).sum(axis=1)


def top_two(p):
    ordered = np.sort(p, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def eye(z):
    return np.eye(z.shape[1])[z.argmax(axis=1)]


def adapt(z0, y):
    own = -np.log(soft(z0).max(axis=1))
    weak = -np.log(soft(z0)[np.arange(len(z0)), y.argmax(axis=1)])
    b = np.exp(-weak / 0.7) / (np.exp(-own / 0.7) + np.exp(-weak / 0.7))
    return lambda z: (1 - b) * kd(z, y, 1.5) + b * ce(eye(z0), z)


def window(z0, y):
    kept = top_two(soft(z0)) < 0.5
    return lambda z: np.where(kept, ce(y, z), 0)


def cace(z0, y):
    return lambda z: np.where(top_two(y) >= 0.4, ce(y, z), rce(z, y, 0.05))


def product(z0, y):
    q = soft(0.7 * np.log(soft(z0)) + 1.3 * np.log(y))
    return lambda z: ce(q, z)


def logconf_full(z0, y):
    from superalign.learners.hardening import harden

    h = harden(z0, y.mean(axis=0))
    return lambda z: ce(0.4 * y + 0.6 * h, z)


PLAIN = {
    "xent": (Xent(), lambda z0, y: lambda z: ce(y, z)),
    "entropy": (TrueEntropy(0.3), lambda z0, y: lambda z: 0.7 * ce(y, z) + 0.3 * entropy(z)),
    "window": (Window(0.25), window),
    "reverse": (ReverseCE(0.05), lambda z0, y: lambda z: rce(z, y, 0.05)),
    "reverse-kl": (ReverseKL(0.05), lambda z0, y: lambda z: rce(z, y, 0.05) - entropy(z)),
    "cace": (Cace(0.2, 0.05), cace),
    "symmetric": (Symmetric(0.5, 2.0, 0.05), lambda z0, y: lambda z: 0.5 * ce(y, z) + 2 * rce(z, y, 0.05)),
    "squared": (Squared(), lambda z0, y: lambda z: ((z - y) ** 2).sum(axis=1)),
    "logconf": (LogConf(alpha=0.6), logconf_full),
    "product": (Product(alpha=1.3, beta=0.7), product),
    "augconf": (AugConf(0.4, tau=1.5), lambda z0, y: lambda z: 0.6 * kd(z, y, 1.5) + 0.4 * ce(eye(z0), z)),
    "adaptconf": (AdaptConf(0.7, tau=1.5), adapt),
}


def batches(classes=(2, 3, 4), rows=(1, 7)):
    @st.composite
    def draw(pick):
        shape = (pick(st.integers(*rows)), pick(st.sampled_from(classes)))
        z = pick(arrays(np.float64, shape, elements=st.floats(-4, 4)))
        raw = pick(arrays(np.float64, shape, elements=st.floats(0.05, 1)))
        return z, raw / raw.sum(axis=1, keepdims=True)

    return draw()


@pytest.mark.parametrize("name", PLAIN)
@settings(deadline=None, derandomize=True, max_examples=40)
@given(batch=batches())
def test_values_and_gradients_match_the_plain_formula(name, batch):
    z, y = batch
    loss, formula = PLAIN[name]
    values, gradients = loss(z, y, 5, 10, None)
    plain = formula(z, y)
    np.testing.assert_allclose(values, plain(z), atol=1e-9)
    h = 1e-5
    for k in range(z.shape[1]):
        move = np.zeros_like(z)
        move[:, k] = h
        np.testing.assert_allclose(gradients[:, k], (plain(z + move) - plain(z - move)) / (2 * h), atol=1e-6)


@pytest.mark.parametrize("name", sorted(PLAIN.keys() - {"squared"}))  # squared reads raw outputs
def test_two_columns_reduce_to_the_binary_form(name):
    """Only the difference of two logits counts, so any column split of z gives the same numbers."""
    loss, _ = PLAIN[name]
    labels = np.column_stack([1 - Y, Y])
    one = loss(np.column_stack([ZERO, Z]), labels, 5, 10)
    other = loss(np.column_stack([3 - Z / 2, 3 + Z / 2]), labels, 5, 10)
    np.testing.assert_allclose(one[0], other[0], atol=1e-12)
    np.testing.assert_allclose(one[1], other[1], atol=1e-12)


SATURATED = np.array([[900.0, -900.0, 0.0], [-900.0, 900.0, 3.0], [0.0, 0.0, 0.0]])
ONE_HOT = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])


@pytest.mark.parametrize("name", PLAIN)
def test_saturated_logits_and_one_hot_labels_stay_finite(name):
    values, gradients = PLAIN[name][0](SATURATED, ONE_HOT, 5, 10)
    assert np.isfinite(values).all()
    assert np.isfinite(gradients).all()


@pytest.mark.parametrize("name", PLAIN)
def test_float32_logits_are_computed_in_float64(name):
    values, gradients = PLAIN[name][0](SATURATED.astype(np.float32), ONE_HOT, 5, 10)
    assert values.dtype == gradients.dtype == np.float64


# Limits of the table.


def same(one, other, batch=None):
    z, y = batch if batch is not None else (np.column_stack([ZERO, Z]), LABELS)
    for a, b in zip(one(z, y, 7, 10), other(z, y, 7, 10), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(batch=batches())
def test_limits_that_are_cross_entropy(batch):
    for loss in (
        TrueEntropy(alpha=0),
        Window(r=0.51),
        Cace(c=0),
        Symmetric(alpha=1, beta=0),
        LogConf(alpha=0),
        Product(alpha=1, beta=0),
    ):
        same(loss, Xent(), batch)
    same(Cace(c=0.51), ReverseCE(), batch)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(batch=batches(), a=st.floats(0, 1))
def test_logconf_is_linear_in_alpha(batch, a):
    z, y = batch
    whole, none, all_ = (LogConf(alpha=alpha, warmup=0)(z, y, 3, 10) for alpha in (a, 0.0, 1.0))
    for part in (0, 1):
        np.testing.assert_allclose(whole[part], (1 - a) * none[part] + a * all_[part], atol=1e-10)


def test_window_of_zero_is_zero_and_not_nan():
    value, gradient = binary(Window(r=0))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_window_divides_by_the_batch_and_keeps_by_the_two_largest():
    z = np.log(np.array([[0.5, 0.3, 0.2], [0.7, 0.2, 0.1]]))
    y = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    values, _ = Window(r=0.15)(z, y, 0, 1)
    np.testing.assert_allclose(values, [Xent()(z, y, 0, 1)[0][0], 0])


def test_midweak_takes_the_mean_of_the_two_middle_margins():
    assert MidWeak().prepared(LABELS).r == pytest.approx(0.15)


def test_midweak_without_its_labels_says_what_to_do():
    with pytest.raises(SpecError, match=r"midweak takes its window from all transfer labels; call prepared\(labels\)"):
        binary(MidWeak())


def test_entropy_is_not_a_rescaled_cross_entropy():
    """With a stop-gradient on H the two would be parallel, which Adam cannot tell apart."""
    _, plain = binary(Xent())
    _, with_entropy = binary(TrueEntropy(0.5))
    cosine = plain @ with_entropy / np.linalg.norm(plain) / np.linalg.norm(with_entropy)
    assert abs(cosine) < 0.9
    p = 1 / (1 + np.exp(-Z))
    np.testing.assert_allclose(with_entropy, (0.5 * (p - Y) - 0.5 * p * (1 - p) * Z) / 4, atol=1e-12)


def test_product_limits():
    uniform = np.full((4, 3), 1 / 3)
    z = np.random.default_rng(0).normal(size=(4, 3))
    _, gradient = Product(alpha=1, beta=1)(z, uniform, 0, 1)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)
    _, gradient = Product(alpha=0, beta=1)(z, np.eye(3)[[0, 1, 2, 0]], 0, 1)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)
    hard = np.eye(3)[[0, 2, 1, 1]]
    same(Product(), Xent(), (z, hard))  # a one-hot label gives a one-hot target


def test_product_of_opposite_one_hots_is_finite():
    values, gradients = Product()(np.array([[800.0, -800.0]]), np.array([[0.0, 1.0]]), 0, 1)
    assert values[0] == pytest.approx(1600)
    np.testing.assert_allclose(gradients, [[1.0, -1.0]])


def test_reverse_losses_vanish_where_they_should():
    z = np.random.default_rng(1).normal(size=(5, 2))
    _, gradient = ReverseCE()(z, np.full((5, 2), 0.5), 0, 1)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)
    y = np.array([[0.2, 0.5, 0.3]])
    smoothed = 0.98 * y + 0.02 / 3
    values, gradient = ReverseKL(eps=0.02)(np.log(smoothed), y, 0, 1)
    np.testing.assert_allclose(values, 0, atol=1e-12)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


@pytest.mark.parametrize("loss", [ReverseCE(eps=0), ReverseKL(eps=0), Symmetric(eps=0), Cace(c=0.6, eps=0)])
def test_reverse_without_smoothing_refuses_hard_labels(loss):
    with pytest.raises(SpecError, match=r"eps=0 cannot take labels that are exactly 0; type eps=\.02"):
        binary(loss, y=[1.0, 0.0, 1.0, 1.0])
    assert np.isfinite(binary(loss)[0])  # soft labels need no smoothing


def test_adaptconf_trust():
    z, y = np.column_stack([ZERO, Z]), LABELS
    trust = AdaptConf(0.5).trust(z, y)
    agree = z.argmax(axis=1) == y.argmax(axis=1)
    np.testing.assert_allclose(trust[agree], 0.5)
    assert (trust[~agree] < 0.5).all()
    assert (trust > 0).all()
    np.testing.assert_allclose(AdaptConf(1e-6).trust(z, y)[~agree], 0, atol=1e-12)
    np.testing.assert_allclose(AdaptConf(1e9).trust(z, y), 0.5, atol=1e-6)


def test_preferences_are_symmetric_in_the_order_of_the_pair():
    """L(delta, y) = L(-delta, 1 - y) for a reward model's difference of rewards; 24 pairs without ties."""
    rng = np.random.default_rng(2)
    delta, y = rng.normal(size=24), rng.uniform(0.05, 0.95, 24)
    for loss in (Xent(), LogConf(prior=0.5), Product(), TrueEntropy(), ReverseKL(), AdaptConf()):
        one, other = binary(loss, delta, y), binary(loss, -delta, 1 - y)
        assert one[0] == pytest.approx(other[0])
        np.testing.assert_allclose(one[1], -other[1], atol=1e-12)


WRONG = [
    (lambda: TrueEntropy(1.5), "alpha must be between 0 and 1, got 1.5"),
    (lambda: TrueEntropy(True), "alpha must be a number, got True"),
    (lambda: LogConf(alpha="high"), "alpha must be a number, got 'high'"),
    (lambda: LogConf(warmup=-1), "warmup must be between 0 and 1, got -1"),
    (lambda: LogConf(schedule="cosine"), "schedule is linear or openai_ref, got 'cosine'"),
    (lambda: LogConf(schedule="openai_ref", warmup=0.3), "openai_ref has a warm-up of its own; leave out warmup=0.3"),
    (lambda: LogConf(prior=1.5), "prior is the share of class 1, between 0 and 1, got 1.5"),
    (lambda: LogConf(prior="bach"), "prior is batch, dataset, a share, or shares as .2/.3/.5, got 'bach'"),
    (lambda: LogConf(prior=".2/.3"), "must be two or more and sum to 1, got '.2/.3'"),
    (lambda: LogConf(buffer=-1), "buffer must be 0 or more and finite, got -1"),
    (lambda: ReverseCE(eps=1), r"eps must be between 0 and 1 \(1 excluded\), got 1"),
    (lambda: Window(r=-0.1), "r must be 0 or more and finite, got -0.1"),
    (lambda: AdaptConf(temperature=0), "temperature must be 1e-06 or more"),
]


@pytest.mark.parametrize("make, message", WRONG)
def test_options_are_checked_when_given(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"logits \(2, 3\) and labels \(2, 2\) must both be \(B, K\)"):
        Xent()(np.zeros((2, 3)), np.zeros((2, 2)), 0, 1)
