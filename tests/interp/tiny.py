"""A transformer of two blocks without a library, documents of uneven length, and an encoder: cheap in a process of
its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from superalign.interp.corpus import Corpus, build
from superalign.interp.subject import Subject

torch.set_num_threads(1)

WORDS = tuple(f" w{k}" for k in range(50))


class Attention(nn.Module):
    """Looks back at everything alike."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.o_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        count = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        out: Tensor = self.o_proj(x.cumsum(1) / count)
        return out


class Mlp(nn.Module):
    """Two maps and a ReLU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up_proj, self.down_proj = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.up_proj(x).relu() - 0.1)
        return out


class Block(nn.Module):
    """Attention and MLP, each added to the stream."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.attn, self.mlp = Attention(width), Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        out: Tensor = x + self.mlp(x)
        return out


class Transformer(nn.Module):
    """Called as those of transformers are."""

    def __init__(self, width: int = 12, hidden: int = 24, vocabulary: int = len(WORDS)) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(Block(width, hidden) for _ in range(2))

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> Tensor:
        x = self.embedding(input_ids)
        for block in self.layers:
            x = block(x)
        return x @ self.embedding.weight.T


def subject(start: int | None = 0, seed: int = 0) -> Subject:
    """Weights drawn from `seed`; token 0 is fed first."""
    torch.manual_seed(seed)
    model = Transformer().eval().requires_grad_(False)
    return Subject(f"tiny {seed}", {"model": "tiny", "seed": seed}, model, WORDS, start, 64)


def corpus(documents: int = 40, seed: int = 0) -> Corpus:
    """Documents of 8 to 70 tokens, windows of 8, contexts of 32."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(8, 71, documents)
    return build([rng.integers(1, len(WORDS), n).tolist() for n in lengths], WORDS, width=8, context=32)


class TopK:
    """A random dictionary: the largest `k` of `width` projections, none below 0. With `free`, all above 1; of `width`
    times `stride` latents only every `stride`th is used."""

    def __init__(self, inputs: int, width: int = 40, k: int = 4, *, free: bool = False, gain: float = 1.0, pause: float = 0.0, stride: int = 1) -> None:  # fmt: skip
        self.width, self.k, self.per_row, self.stride = width * stride, k, None if free else k, stride
        self.gain, self.pause = gain, pause
        self.identity: Mapping[str, Any] = {"coder": "random", "width": self.width, "k": k, "free": free, "gain": gain}
        self.weight = torch.from_numpy(np.random.default_rng(1).normal(size=(inputs, width)).astype(np.float32))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        time.sleep(self.pause)
        z = (x @ self.weight).relu() * self.gain
        if self.per_row is None:
            most = int((z > 1).sum(1).max())
            values, index = z.topk(max(most, 1))
            return values * (values > 1), index * self.stride
        values, index = z.topk(self.k)
        return values, index * self.stride
