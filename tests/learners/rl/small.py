"""A policy that trains in milliseconds, and an overseer who likes one word."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from superalign.core.types import Item, Judgment, Overseer
from superalign.learners.rl import overseers
from superalign.models.native.gpt import GPT, Shape
from superalign.models.policy import Policy

WORDS = ("<pad>", "<eos>", *"abcdefghij")
PROMPTS = tuple(f"{a} {b}" for a in "abcdefgh" for b in "abcdefgh")
TINY = {"batch": 16, "tokens": 8, "lr": 3e-3}
"""Options under which every on-policy method learns in 20 iterations."""

likes_c = overseers.program(lambda prompts, completions: [float(c.count("c")) for c in completions], "likes c")


def gpt(seed: int = 0) -> GPT:
    """Two layers of width 16."""
    return GPT(Shape(len(WORDS), layers=2, width=16, heads=2, context=12), WORDS, seed=seed)


def failing(when: Callable[[int], bool], wrong: Callable[[Sequence[Item]], list[Judgment]]) -> Overseer:
    """Likes c, but does `wrong` at those batches, counted from 0."""
    batches = iter(range(1000))

    def overseer(items: Sequence[Item]) -> list[Judgment]:
        return wrong(items) if when(next(batches)) else likes_c(items)

    return overseer


def same(a: Policy, b: Policy) -> bool:
    """Whether all weights are equal to the last bit."""
    return all(np.array_equal(x, b.state()[name]) for name, x in a.state().items())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
