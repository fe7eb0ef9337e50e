"""Models on words: what they count, what they save, and what they learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from superalign.core.errors import ModelError
from superalign.core.random import stream
from superalign.core.steps import Steps, decode, encode
from superalign.core.types import Item
from superalign.models.head import softmax
from superalign.models.text import TextModel, Vocabulary, bow, ngram, read_items

Array = np.ndarray[Any, Any]
CHOICES = ("no", "yes")


def build(kind: Any, choices: tuple[str, ...] = CHOICES, **options: Any) -> TextModel:
    made: TextModel = kind(inputs=None, steps=Steps(), choices=choices, **options)
    return made


def cross_entropy(labels: Array) -> Any:
    def objective(logits: Array, rows: Array, step: int, total: int) -> tuple[Array, Array]:
        p = softmax(logits)
        return -(labels[rows] * np.log(p)).sum(1), p - labels[rows]

    return objective


def reviews(n: int, seed: int) -> tuple[list[Item], Array]:
    """Sentences whose kindness hangs on one word of eight; `not` before it turns it round."""
    rng = stream(seed, "test-text")
    kind, rude = ("good", "fine", "great", "lovely"), ("bad", "poor", "awful", "dull")
    items, labels = [], []
    for k in range(n):
        label, turned = int(rng.integers(2)), bool(rng.integers(3) == 0)
        word = rng.choice(kind if label != turned else rude)
        items.append(Item(f"r{seed}-{k}", f"The walk was {'not ' if turned else ''}{word}", CHOICES))
        labels.append(label)
    return items, np.asarray(labels)


def accuracy(model: TextModel, items: list[Item], labels: Array) -> float:
    return float((np.asarray(model.logits(items)).argmax(1) == labels).mean())


def test_counts_of_the_commonest_words() -> None:
    learned = Vocabulary(3, "word", weigh=False).learned(["the cat the hat", "The dog cat", "dog the"])
    assert learned.terms == ("cat", "dog", "the")
    assert learned.rarity == ()
    assert learned.read(["the THE cat, unseen", ""]).tolist() == [[1, 0, 2], [0, 0, 0]]


def test_weighed_counts_follow_the_formula() -> None:
    learned = Vocabulary(10, "word", weigh=True).learned(["red red blue", "red", "red green"])
    row = learned.read(["red red red blue"])[0]
    rare, common = np.log(4 / 2) + 1, np.log(4 / 4) + 1
    wanted = np.asarray([rare, 0, (1 + np.log(3)) * common])  # blue, green, red
    assert learned.terms == ("blue", "green", "red")
    assert row == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-6)
    assert learned.read(["nothing known"]).tolist() == [[0, 0, 0]]


def test_choices_are_read_with_their_overlap() -> None:
    learned = Vocabulary(2, "word", weigh=False).learned(["paris", "rome rome"])
    item = Item("q", "Is it Paris?", ("paris it is", "rome"))
    rows = read_items(learned, [item], classes=False)
    assert rows.shape == (1, 2, 5)
    assert rows[0, 0] == pytest.approx([1, 0, 1.0, 1.0, np.log(4) / 10])  # all its words asked, all asked words said
    assert rows[0, 1] == pytest.approx([0, 1, 0.0, 0.0, np.log(2) / 10])


def test_bow_learns_words_and_ngram_learns_pairs_as_well() -> None:
    items, labels = reviews(300, 0)
    unseen, truth = reviews(300, 1)
    goal = cross_entropy(np.eye(2)[labels])
    weak = build(bow).fit(items, goal, 0)
    strong = build(ngram, C=10.0).fit(items, goal, 0)
    assert 0.6 < accuracy(weak, unseen, truth) < 0.85
    assert accuracy(strong, unseen, truth) > 0.97


def test_the_vocabulary_comes_from_the_training_texts_alone() -> None:
    items, labels = reviews(40, 0)
    model = build(bow).fit(items, cross_entropy(np.eye(2)[labels]), 0)
    before = model.state()["terms"].tobytes().decode().split("\n")
    model.logits([Item("new", "zebra zebra zebra zebra", CHOICES)])
    assert model.state()["terms"].tobytes().decode().split("\n") == before
    assert "zebra" not in before
    assert model.features(items).shape == (40, len(before))


def test_a_model_survives_being_stored() -> None:
    items, labels = reviews(60, 0)
    for start in (build(bow), build(ngram, unit="char", C=1.0)):
        model = start.fit(items, cross_entropy(np.eye(2)[labels]), 0)
        again = start.load(decode(encode(model.state())))
        assert np.array_equal(again.logits(items), model.logits(items))
        assert again.name == model.name


def test_variants_share_the_features_of_one_set() -> None:
    items, labels = reviews(40, 0)
    start = build(ngram)
    strengths = [v.identity["C"] for v in start.variants()]
    assert strengths == sorted(strengths)
    assert len(strengths) == 5
    assert build(bow).variants()[0].identity["C"] == 0.3
    fitted = [v.fit(items, cross_entropy(np.eye(2)[labels]), 0) for v in start.variants()]
    norms = [np.linalg.norm(v.state()["weights"]) for v in fitted]
    assert norms == sorted(norms)
    assert fitted[0].name.startswith("ngram:C=0.03#")


def test_choices_of_an_item_are_told_apart_by_their_words() -> None:
    items = [Item(f"c{k}", "Which is kind?", ("so awful", "so good")[:: 1 if k % 2 else -1]) for k in range(10)]
    labels = np.eye(2)[[1 if k % 2 else 0 for k in range(10)]]
    model = build(bow, choices=(), C=10.0).fit(items, cross_entropy(labels), 0)
    assert np.array_equal(np.asarray(model.logits(items)).argmax(1), labels.argmax(1))
    assert model.state()["bias"].size == 0


def test_a_task_of_vectors_is_refused() -> None:
    for kind in (bow, ngram):
        with pytest.raises(
            ModelError, match="reads texts, and this task holds vectors; choose linear, random-features"
        ):
            kind(inputs=lambda ids: np.zeros((len(ids), 2)), steps=Steps(), choices=CHOICES)


def test_texts_without_words_are_refused() -> None:
    with pytest.raises(ModelError, match=r"no words in 2 texts such as '\?'; unit=char counts letters"):
        build(bow).features([Item("a", "?", CHOICES), Item("b", "!", CHOICES)])


def test_wrong_options_are_named() -> None:
    with pytest.raises(ModelError, match=r"ngram: no unit 'words'; did you mean 'word'\?"):
        build(ngram, unit="words")
    with pytest.raises(ModelError, match="bow: the vocabulary must hold at least 1 unit, got 0"):
        build(bow, words=0)


def test_an_untrained_model_says_so() -> None:
    with pytest.raises(ModelError, match="bow is not trained; call fit or load first"):
        build(bow).logits([Item("a", "text", CHOICES)])
    with pytest.raises(ModelError, match="bow is not trained; call fit or load first"):
        build(bow).state()
    with pytest.raises(ModelError, match="bow was given no items to fit"):
        build(bow).fit([], cross_entropy(np.eye(2)), 0)


def test_foreign_weights_are_refused() -> None:
    with pytest.raises(ModelError, match=r"bow cannot load \['weights'\]: it needs weights, bias, terms and rarity"):
        build(bow).load({"weights": np.zeros(3)})


def test_items_with_different_numbers_of_choices_are_refused() -> None:
    items = [Item("a", "which?", ("left", "right")), Item("b", "which?", ("left", "right", "both"))]
    with pytest.raises(ModelError, match=r"items have \[2, 3\] choices; a linear scorer needs the same number"):
        build(bow, choices=()).features(items)
