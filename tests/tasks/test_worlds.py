"""The built-in worlds: their truth can be learnt, their dials turn, and they are the same every time."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from superalign.core.errors import PluginError, TaskError
from superalign.models.vectors import pretraining_set
from superalign.tasks.divide import Sizes
from superalign.tasks.load import load
from superalign.tasks.pool import Pool
from superalign.tasks.source import Source
from superalign.tasks.worlds.digits import digits
from superalign.tasks.worlds.hidden_manifold import concepts, hidden_manifold
from superalign.tasks.worlds.random_features import random_features
from superalign.tasks.worlds.reviews import KINDS, NEGATIVE, POSITIVE, reviews


def xy(pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    assert pool.inputs is not None
    ids = [item.id for item in pool.items]
    return pool.inputs(ids), np.array([pool.key[i] for i in ids])


def test_digits_are_the_images_of_scikit_learn() -> None:
    x, y = xy(digits(target="digit"))
    assert x.shape == (1797, 64)
    assert np.abs(x.mean(axis=0)).max() < 1e-12
    assert x.max() <= 1
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    for target, share in (("parity", 0.5), ("ge5", 0.5), ("loop", 0.4)):
        other = digits(target=target)  # type: ignore[arg-type]
        assert np.mean(list(other.key.values())) == pytest.approx(share, abs=0.02)
    assert set(xy(digits(target="loop"))[1][np.isin(y, (0, 6, 8, 9))]) == {1}
    assert digits().items[7].prompt == "digit image 0007"


def test_unseen_digits_are_those_that_no_model_was_taught() -> None:
    everything, unseen = digits(), digits(unseen=True)
    images, _ = pretraining_set()
    assert len(unseen.items) == 1797 - len(images)
    pixels = {image.tobytes() for image in np.round(xy(unseen)[0], 6)}
    assert not pixels & {image.tobytes() for image in np.round(images, 6)}
    assert {i.id for i in unseen.items} < {i.id for i in everything.items}
    assert unseen.name == "digits-parity-unseen"


def test_digits_refuses_another_target() -> None:
    with pytest.raises(TaskError, match=r"digits has no target 'prime'; type target=parity, target=ge5"):
        digits(target="prime")  # type: ignore[arg-type]


def test_random_features_are_on_the_sphere_and_linear() -> None:
    x, y = xy(random_features(n=1500))
    assert np.linalg.norm(x, axis=1) == pytest.approx(np.ones(1500))
    assert 0.45 < y.mean() < 0.55
    assert LogisticRegression(C=100.0).fit(x[:1000], y[:1000]).score(x[1000:], y[1000:]) > 0.95


def test_worlds_grow_without_moving_and_differ_by_seed() -> None:
    for world in (random_features, hidden_manifold):
        small, large, other = world(n=50), world(n=80), world(n=50, seed=1)
        assert [i.id for i in large.items[:50]] == [i.id for i in small.items]
        assert np.allclose(xy(large)[0][:50], xy(small)[0], atol=1e-5)
        assert (xy(large)[1][:50] == xy(small)[1]).all()
        assert not {i.id for i in small.items} & {i.id for i in other.items}  # caches go by id
        assert not np.allclose(xy(other)[0], xy(small)[0])


def test_hidden_manifold_concepts_are_pretraining_for_the_task() -> None:
    """A linear readout of the 64 concepts, learnt from few labels, beats one of the raw observations."""
    x, y = xy(hidden_manifold(n=2200, seed=1))
    assert x.shape == (2200, 128)
    assert x.dtype == np.float32
    seen, truth = concepts(1, 4000)
    assert seen.shape == (4000, 128)
    assert truth.shape == (4000, 64)
    assert 0.4 < truth.mean() < 0.6
    solved = np.linalg.lstsq(seen, 2.0 * truth - 1, rcond=None)[0]
    few, rest = slice(0, 40), slice(200, None)
    raw = LogisticRegression(max_iter=2000).fit(x[few], y[few]).score(x[rest], y[rest])
    pretrained = LogisticRegression(max_iter=2000).fit(x[few] @ solved, y[few]).score(x[rest] @ solved, y[rest])
    assert pretrained > raw + 0.02
    assert pretrained > 0.85


def test_hidden_manifold_draws_are_fresh_and_repeatable() -> None:
    first, again, other = concepts(0, 30, 3), concepts(0, 30, 3), concepts(0, 30, 4)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.allclose(first[0], other[0])
    assert not np.allclose(concepts(0, 30)[0], xy(hidden_manifold(n=30))[0])


def test_reviews_hold_the_kinds_and_classes_asked_for() -> None:
    pool = reviews(n=1000, contrastive=0.4)
    assert len(pool.items) == len({i.prompt for i in pool.items}) == 1000
    kinds = Counter(i.info["kind"] for i in pool.items)
    assert kinds == {"plain": 600, "expected": 100, "negated": 100, "although": 100, "friends": 100}
    for kind in KINDS:
        assert sum(pool.key[i.id] for i in pool.items if i.info["kind"] == kind) == kinds[kind] / 2
    assert set(Counter(i.info["kind"] for i in reviews(n=100, contrastive=0).items)) == {"plain"}
    assert "plain" not in Counter(i.info["kind"] for i in reviews(n=100, contrastive=1).items)
    assert len(reviews(n=1003, contrastive=0.33).items) == 1003
    assert len(POSITIVE) == len(NEGATIVE) == len({*POSITIVE, *NEGATIVE}) / 2 == 40


def test_reviews_mean_what_they_say() -> None:
    """The last adjective that is asserted has the sign of the answer."""
    for item, answer in ((i, k) for p in [reviews(n=400, contrastive=0.5)] for i in p.items for k in [p.key[i.id]]):
        words = item.prompt.replace(",", " ").replace(".", " ").split()
        signs = [int(w in POSITIVE) for w in words if w in POSITIVE or w in NEGATIVE]
        shown = signs[-1] if item.info["kind"] in ("plain", "expected", "although") else 1 - signs[-1]
        assert shown == answer
        assert len(signs) == (2 if item.info["kind"] in ("expected", "although") else 1)


def test_reviews_mislead_a_bag_of_words_by_the_share_that_is_dialled() -> None:
    scores = []
    for contrastive in (0.0, 0.2, 0.65):
        pool = reviews(contrastive=contrastive)
        task = pool.task(0, Sizes(weak_train=600, transfer=900, validation=100, test=1200))
        train, test = task.items("weak-train"), task.items("test")
        words = CountVectorizer().fit([i.prompt for i in train])
        bag = LogisticRegression(max_iter=500).fit(
            words.transform([i.prompt for i in train]), [pool.key[i.id] for i in train]
        )
        scores.append(bag.score(words.transform([i.prompt for i in test]), [pool.key[i.id] for i in test]))
    assert scores[0] > 0.95
    assert 0.7 < scores[1] < scores[0] - 0.08
    assert scores[2] < 0.65


@pytest.mark.parametrize(
    "task, error, message",
    [
        ("reviews:contrastive=2", TaskError, "contrastive is a share from 0 to 1, got 2"),
        ("reviews:contrastive=many", TaskError, "contrastive is a share from 0 to 1, got many"),
        ("reviews:n=1", TaskError, "reviews needs a whole number n of 2 or more, got n=1"),
        (
            "reviews:n=900000",
            TaskError,
            r"360000 sentences of kind 'plain' were asked for, \d+ exist; type a smaller n",
        ),
        ("reviews:m=2", PluginError, "'reviews' has no option 'm'; there is: contrastive, n, seed"),
        ("random-features:n=0", TaskError, "random-features needs whole numbers n and dimension of 2 or more, got n=0"),
        ("hidden-manifold:n=big", TaskError, "hidden-manifold needs a whole number n of 2 or more, got n=big"),
    ],
)
def test_options_that_do_not_fit_are_refused(task: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load(Source(task=task))


def test_worlds_load_by_name_with_options() -> None:
    assert load(Source(task="reviews:n=200:contrastive=.5")).digest == reviews(n=200, contrastive=0.5).digest
    assert load(Source(task="digits:target=loop")).name == "digits-loop"
