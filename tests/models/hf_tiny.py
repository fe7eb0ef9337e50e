"""Tiny transformers with random weights, made once per test run."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superalign.core.types import Item
from superalign.models.head import softmax
from superalign.models.hf.load import hf

torch.set_num_threads(1)

KIND = ("good", "fine", "great")
UNKIND = ("bad", "poor", "awful")
WORDS = ["!", "[UNK]", "[CLS]", "[SEP]", "the", "meal", "room", "walk", "film", "was", "no", "yes", *KIND, *UNKIND]
Array = np.ndarray[Any, Any]


def tokenizer(**settings: Any) -> Any:
    """Word by word; "!" is id 0, as in GPT-2."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", model_max_length=32, **settings)


def network(kind: str) -> Any:
    """A network of two blocks and width 16, with weights large enough for texts to differ."""
    import transformers as t

    size = len(WORDS)
    torch.manual_seed(0)
    if kind == "gpt2":
        config = t.GPT2Config(vocab_size=size, n_positions=32, n_embd=16, n_layer=2, n_head=2, bos_token_id=None,
                              eos_token_id=None, initializer_range=0.3)  # fmt: skip
        return t.GPT2LMHeadModel(config)
    if kind == "bert":
        return t.BertModel(t.BertConfig(vocab_size=size, max_position_embeddings=32, hidden_size=16, num_hidden_layers=2,
                                        num_attention_heads=2, intermediate_size=32, initializer_range=0.3))  # fmt: skip
    shared = {"vocab_size": size, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
              "num_attention_heads": 4, "max_position_embeddings": 32, "initializer_range": 0.3,
              "bos_token_id": None, "eos_token_id": None}  # fmt: skip
    if kind == "llama":
        return t.LlamaForCausalLM(t.LlamaConfig(num_key_value_heads=2, **shared))
    assert kind == "gpt_neox"
    return t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**shared))


@cache
def folder(kind: str = "gpt2") -> Path:
    """A folder with such a network and its tokenizer."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    made = Path(tempfile.mkdtemp(prefix=f"tiny-{kind}-"))
    network(kind).save_pretrained(made)
    tokenizer().save_pretrained(made)
    return made


def sentences() -> list[Item]:
    """24 sentences of 4 to 6 words that are kind or not, the class at the end."""
    things = ("meal", "room", "walk", "film")
    texts = [f"{'! ' * (i % 3)}the {thing} was {word}" for i, thing in enumerate(things) for word in KIND + UNKIND]
    return [Item(f"i{k}", text, ("no", "yes")) for k, text in enumerate(texts)]


def kindness(items: list[Item]) -> Array:
    return np.array([int(item.prompt.endswith(KIND)) for item in items])


def cross_entropy(truth: Array, classes: int = 2) -> Any:
    def objective(logits: Array, rows: Array, step: int, total: int) -> tuple[Array, Array]:
        p = softmax(logits)
        wanted = np.eye(classes)[truth[rows]]
        return -(wanted * np.log(p)).sum(1), p - wanted

    return objective


def model(kind: str = "gpt2", choices: tuple[str, ...] = ("no", "yes"), **options: Any) -> Any:
    """`hf:` on such a folder, with settings that train it in a second."""
    if options.get("tune", "full") != "head":
        options = {"tune": "full", "lr": 0.01, "epochs": 4, "batch": 8, **options}
    return hf(str(folder(kind)), choices=choices, **options)
