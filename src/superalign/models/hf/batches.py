"""Texts as batches of token ids: cut, never dropped; grouped by length, so that little is padded.

Padding is told from tokens by each text's length and never by a token id: id 0 is a real token of many
models ("!" in GPT-2), and taking it for padding moves the position that is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.errors import ModelError
from superalign.core.random import stream

if TYPE_CHECKING:
    import torch

    from superalign.core.ports import Ints
    from superalign.core.types import Item

_SORTED = 8
"""Batches of an epoch that are sorted by length together: 3 % padding for lengths of 16 to 40, where random
batches have 30 %, while a batch still holds different texts in each epoch."""


_BUDGET = {"cpu": 1024, "mps": 8192, "cuda": 65536}
"""Tokens of one inference batch. On a CPU, whose caches large ones leave, a MiniLM encoded 105 texts a second
with 256 tokens, 97 with 1024, 82 with 4096 and 65 with 8192; small networks want few calls. The others are guesses."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids (B, T) padded on the right, and the number of tokens (B,) of each row."""

    ids: torch.Tensor
    lengths: torch.Tensor
    padded: bool


class Reader:
    """A tokenizer with a length limit. Every text is tokenised once.

    `per_choice` readers cut from the left, so that a long prompt never costs the choice at its end.
    """

    def __init__(self, tokenizer: Any, limit: int, per_choice: bool) -> None:
        self.tokenizer, self.limit = tokenizer, limit
        self.side = "left" if per_choice else "right"
        self._known: dict[str, Ints] = {}
        special = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, 0]
        self._nothing = next(token for token in special if token is not None)

    def tokens(self, texts: Sequence[str]) -> list[Ints]:
        """The token ids of each text, between 1 and `limit` of them (an empty text is one special token)."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self.tokenizer.truncation_side = self.side
            found = self.tokenizer(new, truncation=True, max_length=self.limit, padding=False,
                                   return_attention_mask=False, return_token_type_ids=False)  # fmt: skip
            for text, ids in zip(new, found["input_ids"], strict=True):
                self._known[text] = np.asarray(ids or [self._nothing], np.int64)
        return [self._known[text] for text in texts]


def texts_of(item: Item, per_choice: bool) -> list[str]:
    """What is read of an item: its prompt, or its prompt followed by each of its own choices."""
    if not per_choice:
        return [item.prompt]
    return [f"{item.prompt}\n{choice}" if item.prompt else choice for choice in item.choices]


def read_items(items: Sequence[Item], per_choice: bool) -> tuple[list[str], int]:
    """The texts of all items in order, and how many there are per item.

    Raises ModelError for items without text and for items with different numbers of choices.
    """
    texts = [texts_of(item, per_choice) for item in items]
    if texts and not any(text.strip() for own in texts for text in own):
        raise ModelError("the items have no text; a transformer reads prompts (for vectors type mlp or features)")
    counts = sorted({len(own) for own in texts})
    if len(counts) > 1 or counts == [0]:
        raise ModelError(f"items have {counts} choices; a batch needs the same number, at least 1, in each item")
    return [text for own in texts for text in own], counts[0] if counts else 1


def collate(rows: Sequence[Ints], device: torch.device) -> Batch:
    """One padded batch."""
    import torch

    lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
    # a row is padded with its own last token: nothing reads it, and transformers warns about padding ids
    ids = np.repeat(np.array([row[-1] for row in rows], np.int64)[:, None], int(lengths.max()), axis=1)
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return Batch(
        torch.from_numpy(ids).to(device), torch.from_numpy(lengths).to(device), bool(lengths.min() < len(ids[0]))
    )


def budget_of(device: torch.device) -> int:
    """Tokens of one inference batch on this device."""
    return _BUDGET.get(device.type, 8192)


def by_budget(lengths: Ints, budget: int) -> Iterator[Ints]:
    """Rows for inference, longest first, as many at once as hold `budget` tokens with padding (at least one)."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, budget // int(lengths[order[start]]))
        yield order[start : start + count]
        start += count


def schedule(lengths: Ints, batch: int, epochs: int, seed: int) -> list[Ints]:
    """The rows of every optimiser step of a fit: a fixed function of the seed and the lengths.

    Each epoch is shuffled, sorted by length within chunks of 8 batches, cut into batches, and the batches
    are shuffled. Every row comes once an epoch; nothing depends on labels, losses or models.
    """
    rng = stream(seed, "hf-batches")
    steps: list[Ints] = []
    for _ in range(epochs):
        order = rng.permutation(len(lengths))
        chunks = [order[i : i + batch * _SORTED] for i in range(0, len(order), batch * _SORTED)]
        ordered = np.concatenate([chunk[np.argsort(lengths[chunk], kind="stable")] for chunk in chunks])
        batches = [ordered[i : i + batch] for i in range(0, len(ordered), batch)]
        steps += [batches[i] for i in rng.permutation(len(batches))]
    return steps
