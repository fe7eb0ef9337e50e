"""What a policy is: a causal language model that generates, tells log-probabilities, and can be trained.

Everything on-policy needs these few operations and nothing else. Back-ends: the small native transformer
(`models/native/`) and any causal transformer of Hugging Face (`models/hf/policy.py`).

Rows of tokens are (B, P + R): a left-padded prompt of P columns, then a response of R columns. `mask` is true on
real tokens. A response ends with its first EOS, which counts as a token of the response; what follows is padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, runtime_checkable
from typing import Protocol as Interface

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True, slots=True)
class Sampling:
    """How responses are drawn. `least` bans EOS before so many tokens; temperature 0 takes the likeliest token."""

    tokens: int = 16
    temperature: float = 1.0
    least: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """Prompts with their responses: `tokens` (B, P + R) int64, `mask` (B, P + R) bool, `start` = P."""

    tokens: torch.Tensor
    mask: torch.Tensor
    start: int

    @property
    def response(self) -> torch.Tensor:
        """The response's tokens, (B, R)."""
        return self.tokens[:, self.start :]

    @property
    def response_mask(self) -> torch.Tensor:
        """True on tokens of the response up to and including EOS, (B, R)."""
        return self.mask[:, self.start :]


@runtime_checkable
class Policy(Interface):
    """A causal language model that can be trained. `pad` is never `eos`: else EOS is masked out and it never stops."""

    name: str
    identity: Mapping[str, Any]
    pad: int
    eos: int
    vocabulary: int

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without padding."""
        ...

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The text of each row, without padding and EOS."""
        ...

    def logits(self, rows: Rows) -> torch.Tensor:
        """Logits that predict each response token, (B, R, V), gradients kept."""
        ...

    def hidden(self, rows: Rows) -> torch.Tensor:
        """Last hidden states at the positions that predict each response token and after the last, (B, R + 1, d)."""
        ...

    def generate(
        self, prompts: Rows, sampling: Sampling, generator: torch.Generator, share: torch.Tensor | None = None
    ) -> Rows:
        """Prompts (B, P) with sampled responses, no gradients. Draws come from `generator` alone; with `share`, indices
        (b,), only these rows are sampled, with the draws that they have among all."""
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """What an optimiser trains."""
        ...

    def copy(self) -> Policy:
        """An independent copy with the same weights: a reference, a value network, a checkpoint."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Weights as named arrays."""
        ...

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take these weights."""
        ...

    def save(self, folder: Path) -> None:
        """Write a folder in the Hugging Face layout that transformers loads."""
        ...
