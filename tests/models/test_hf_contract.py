"""Transformers keep the contract of a Trainable: each way of tuning, an encoder and a decoder, classes and choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from superalign.core.types import Item
from superalign.testing.model import TrainableContract
from tests.models import hf_tiny


class TestFullDecoder(TrainableContract):
    def make_model(self) -> Any:
        return hf_tiny.model("gpt2")


class TestLoraDecoder(TrainableContract):
    def make_model(self) -> Any:
        return hf_tiny.model("gpt2", tune="lora", lr=0.03)


class TestFullEncoder(TrainableContract):
    def make_model(self) -> Any:
        return hf_tiny.model("bert")


class TestHead(TrainableContract):
    deterministic = True

    def make_model(self) -> Any:
        return hf_tiny.model("bert", tune="head")


class TestChoices(TrainableContract):
    """Every item has two texts of its own; the kind one is right."""

    def make_model(self) -> Any:
        return hf_tiny.model("gpt2", choices=())

    def make_items(self) -> Sequence[Item]:
        pairs = [(k, u) for k in hf_tiny.KIND for u in hf_tiny.UNKIND]
        return [
            Item(f"{thing} {k} {u}", f"the {thing} was", (u, k) if (i + j) % 2 else (k, u))
            for j, thing in enumerate(("meal", "room"))
            for i, (k, u) in enumerate(pairs)
        ]

    def truth(self, items: Sequence[Item]) -> list[int]:
        return [int(item.choices[1] in hf_tiny.KIND) for item in items]
