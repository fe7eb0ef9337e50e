"""What a pretrained model answers before any training.

A decoder: the log-probability of each choice after the prompt, summed over its tokens. An encoder: the
cosine of the text's vector with the choice's, at the scale of 20 that sentence encoders are trained with.
Both go through a softmax over the choices.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.models.head import softmax

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints
    from superalign.core.types import Item

_SCALE = 20.0
_WORD = re.compile(r"[^\W\d_]{2,}")


class ZeroShot:
    """`zero_shot(items)` -> (n, K) probabilities, or None where the names of the classes carry no words
    or a decoder's folder has no output layer.

    `embed` gives an encoder's vectors (n, d) of texts; `log_probs`, for a decoder, the summed
    log-probability (n,) of each continuation after its prompt. One of them is given.
    """

    def __init__(
        self,
        choices: tuple[str, ...],
        embed: Callable[[Sequence[str]], Floats] | None = None,
        log_probs: Callable[[Sequence[tuple[str, str]]], Floats | None] | None = None,
    ) -> None:
        self._choices, self._embed, self._log_probs = choices, embed, log_probs

    def __call__(self, items: Sequence[Item]) -> Floats | None:
        if self._choices and not all(_WORD.search(name) for name in self._choices):
            return None
        names = [tuple(_spoken(c) for c in self._choices) if self._choices else item.choices for item in items]
        if self._log_probs is not None:
            pairs = [(item.prompt, choice) for item, own in zip(items, names, strict=True) for choice in own]
            sums = self._log_probs(pairs)
            return None if sums is None else softmax(sums.reshape(len(items), -1))
        assert self._embed is not None
        prompts = _unit(self._embed([item.prompt for item in items]))
        known = sorted({choice for own in names for choice in own})
        vectors = dict(zip(known, _unit(self._embed(known)), strict=True))
        cosines = [[float(prompt @ vectors[c]) for c in own] for prompt, own in zip(prompts, names, strict=True)]
        return softmax(_SCALE * np.asarray(cosines))


def continuation_log_probs(network: Any, tokenizer: Any, limit: int, pairs: Sequence[tuple[str, str]]) -> Floats:
    """log p(choice | prompt, newline) for each (prompt, choice), (n,) float64, in nats.

    Long prompts lose their beginning, never the choice. The choice's tokens are those after the longest
    common start of the two token lists, because a tokenizer may join across the border.
    """

    def ids(texts: Sequence[str]) -> list[list[int]]:
        found: list[list[int]] = tokenizer(list(texts), padding=False, return_attention_mask=False)["input_ids"]
        return found

    rows: list[Ints] = []
    starts: list[int] = []
    before = ids([f"{prompt}\n" if prompt else "" for prompt, _ in pairs])
    after = ids([f"{prompt}\n{choice}" if prompt else choice for prompt, choice in pairs])
    for left, whole in zip(before, after, strict=True):
        shared = next(
            (i for i, (a, b) in enumerate(zip(left, whole, strict=False)) if a != b), min(len(left), len(whole))
        )
        shared = min(shared, len(whole) - 1)  # something is left to be scored
        cut = max(0, len(whole) - limit)
        rows.append(np.asarray(whole[cut:], np.int64))
        starts.append(max(shared - cut, 1))  # the first token has nothing before it
    return summed_log_probs(network, rows, starts)


def summed_log_probs(network: Any, rows: Sequence[Ints], starts: Sequence[int]) -> Floats:
    """The log-probability of each row's tokens from its start on, given those before, (n,) float64, in nats."""
    import torch

    from superalign.models.hf.batches import budget_of, by_budget, collate
    from superalign.models.hf.memory import spared

    lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
    sums = np.zeros(len(rows))
    device = next(network.parameters()).device
    for chosen in by_budget(lengths, budget_of(device)):
        batch = collate([rows[i] for i in chosen], device)
        inside = torch.arange(batch.ids.shape[1], device=device) < batch.lengths[:, None]
        with torch.inference_mode(), spared():
            logits = network(input_ids=batch.ids, attention_mask=inside.long(), use_cache=False).logits
            logs = logits[:, :-1].float().log_softmax(-1).gather(2, batch.ids[:, 1:, None])[..., 0].cpu().numpy()
        for row, i in enumerate(chosen):
            sums[i] = logs[row, starts[i] - 1 : lengths[i] - 1].sum()
    return sums


def _spoken(name: str) -> str:
    return name.replace("_", " ").strip()


def _unit(rows: Floats) -> Floats:
    wide = np.asarray(rows, np.float64)
    unit: Floats = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return unit
