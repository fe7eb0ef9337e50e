"""Zero-shot answers against sums and cosines computed by hand."""

from __future__ import annotations

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from superalign.core.types import Item
from superalign.models.head import softmax
from tests.models import hf_tiny


def by_hand(prompt: str, choice: str) -> float:
    network = AutoModelForCausalLM.from_pretrained(hf_tiny.folder("gpt2")).eval()
    words = f"{prompt} {choice}".split()
    ids = torch.tensor([[hf_tiny.WORDS.index(word) for word in words]])
    with torch.no_grad():
        logs = network(ids).logits[0].log_softmax(-1)
    first = len(prompt.split())
    return sum(float(logs[i - 1, ids[0, i]]) for i in range(first, len(words)))


def test_a_decoder_sums_the_log_probability_of_each_choice() -> None:
    prompts = ["the meal was", "! the film was ! ! the room was", "the walk was"]
    choices = ("was awful", "good")
    items = [Item(str(i), prompt, choices) for i, prompt in enumerate(prompts)]
    expected = softmax(np.array([[by_hand(prompt, choice) for choice in choices] for prompt in prompts]))
    for made in (hf_tiny.model("gpt2", choices=choices), hf_tiny.model("gpt2", choices=(), tune="head")):
        found = made.zero_shot(items)
        assert np.allclose(found, expected, atol=1e-5)


def test_a_long_prompt_loses_its_beginning() -> None:
    prompt = "the meal was ! " * 20
    found = hf_tiny.model("gpt2", choices=("good", "bad")).zero_shot([Item("a", prompt.strip(), ("good", "bad"))])
    kept = " ".join(prompt.split()[-31:])
    expected = softmax(np.array([by_hand(kept, "good"), by_hand(kept, "bad")]))
    assert np.allclose(found[0], expected, atol=1e-5)


def test_an_encoder_compares_the_text_with_the_names_of_the_choices() -> None:
    items = [Item(str(i), text, ("good", "awful_film")) for i, text in enumerate(["the meal was good", "awful film"])]
    made = hf_tiny.model("bert", choices=("good", "awful_film"), tune="head")
    vectors = made.features([*items, Item("b", "good"), Item("c", "awful film")])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.allclose(made.zero_shot(items), softmax(20 * unit[:2] @ unit[2:].T), atol=1e-4)
    assert made.zero_shot(items)[1, 1] > 0.5  # the same words


def test_names_without_words_say_nothing() -> None:
    for choices in (("0", "1"), ("A", "B"), ("-", "+")):
        assert hf_tiny.model("bert", choices=choices, tune="head").zero_shot([Item("a", "the meal", choices)]) is None


def test_a_decoder_without_an_output_layer_says_nothing(tmp_path: object) -> None:
    from pathlib import Path

    from transformers import AutoModel

    place = Path(str(tmp_path)) / "bare"
    AutoModel.from_pretrained(hf_tiny.folder("llama")).save_pretrained(place)
    hf_tiny.tokenizer().save_pretrained(place)
    made = hf_tiny.hf(str(place), choices=("good", "bad"))
    assert made.zero_shot([Item("a", "the meal was", ("good", "bad"))]) is None
