"""Texts become batches: padding is never told by an id, nothing is dropped, order depends on the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import ModelError
from superalign.core.types import Item
from superalign.models.hf.batches import Reader, by_budget, collate, read_items, schedule
from tests.models import hf_tiny


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gpt_neox", "bert"])
def test_a_text_with_token_0_gives_the_same_logits_alone_and_padded(kind: str) -> None:
    texts = ["! the meal was ! !", "! !", "the film was good", "!", "the walk was ! awful ! ! the room was !"]
    items = [Item(str(i), text, ("no", "yes")) for i, text in enumerate(texts)]
    model = hf_tiny.model(kind)
    rng = np.random.default_rng(0)
    shapes = {name: p.shape for name, p in model._parts.bench().trained.items()}
    model = model.load({name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()})
    together = model.logits(items)
    alone = np.concatenate([model.logits([item]) for item in items])
    assert np.abs(together - alone).max() < 1e-5
    assert np.ptp(together[:, 0]) > 1e-3  # the texts do differ


def test_collate_knows_padding_by_length() -> None:
    batch = collate([np.array([0, 5, 0]), np.array([7])], torch.device("cpu"))
    assert batch.ids[0].tolist() == [0, 5, 0]
    assert batch.lengths.tolist() == [3, 1]
    assert batch.padded
    assert not collate([np.array([0, 0]), np.array([1, 0])], torch.device("cpu")).padded


def test_long_texts_are_cut_and_kept() -> None:
    tokenizer = hf_tiny.tokenizer()
    text = "the meal was good " * 20
    assert [len(row) for row in Reader(tokenizer, 8, False).tokens([text, "the", ""])] == [8, 1, 1]
    right = Reader(tokenizer, 4, False).tokens(["the meal was good and the walk was bad"])[0]
    left = Reader(tokenizer, 4, True).tokens(["the meal was good and the walk was bad"])[0]
    assert [hf_tiny.WORDS[i] for i in right] == ["the", "meal", "was", "good"]
    assert [hf_tiny.WORDS[i] for i in left] == ["the", "walk", "was", "bad"]  # the choice at the end is kept


def test_own_choices_follow_the_prompt() -> None:
    texts, per_item = read_items([Item("a", "the meal was", ("good", "bad"))], per_choice=True)
    assert (texts, per_item) == (["the meal was\ngood", "the meal was\nbad"], 2)


def test_items_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(ModelError, match="no text; a transformer reads prompts"):
        read_items([Item("a", "", ("no", "yes"))], per_choice=False)
    with pytest.raises(ModelError, match=r"items have \[1, 2\] choices; a batch needs the same number"):
        read_items([Item("a", "x", ("no", "yes")), Item("b", "x", ("no",))], per_choice=True)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=80), st.integers(1, 9), st.integers(1, 3), st.integers(0, 5))
def test_every_row_comes_once_an_epoch_in_an_order_of_the_seed(
    lengths: list[int], batch: int, epochs: int, seed: int
) -> None:
    made = schedule(np.array(lengths), batch, epochs, seed)
    per_epoch = -(-len(lengths) // batch)
    assert len(made) == epochs * per_epoch
    for epoch in range(epochs):
        rows = np.concatenate(made[epoch * per_epoch : (epoch + 1) * per_epoch])
        assert sorted(rows.tolist()) == list(range(len(lengths)))
    again = schedule(np.array(lengths), batch, epochs, seed)
    assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))


def test_batches_pad_little_and_another_seed_has_others() -> None:
    lengths = np.random.default_rng(0).integers(16, 41, 512)
    made = schedule(lengths, 32, 1, 0)
    padded = sum(len(rows) * lengths[rows].max() for rows in made)
    assert padded < 1.06 * lengths.sum()
    other = schedule(lengths, 32, 1, 1)
    assert {tuple(sorted(r)) for r in made}.isdisjoint({tuple(sorted(r)) for r in other})


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 100))
def test_inference_batches_hold_the_budget(lengths: list[int], budget: int) -> None:
    made = list(by_budget(np.array(lengths, np.int64), budget))
    assert sorted(int(i) for rows in made for i in rows) == list(range(len(lengths)))
    assert all(len(rows) == 1 or max(lengths[i] for i in rows) * len(rows) <= budget for rows in made)


def test_long_texts_are_cut_and_never_dropped() -> None:
    """Published code dropped texts over a tokenizer's limit, so weak, student and ceiling saw different sets."""
    made = hf_tiny.model("gpt2", tune="head", tokens=4, C=1.0)
    short = [Item("a", "the meal was good", ("no", "yes")), Item("b", "the room was bad", ("no", "yes"))]
    long = [
        Item("c", "the meal was good the room was bad", ("no", "yes")),
        Item("d", "the room was bad" + " film" * 200, ("no", "yes")),
    ]
    assert made.features(long).shape == made.features(short).shape
    assert np.abs(made.features(long) - made.features(short)).max() < 1e-5
