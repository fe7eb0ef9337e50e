"""Reading prompts and writing on from them, many at once, with any decoder that keeps a key-value cache.

Prompts of one batch are padded on the left, so that all end where the next token begins, and rows that are
finished leave the batch. A reply does not depend on the others of its batch (in float32, up to rounding):
positions skip the padding, and every sampled reply has random numbers of its own.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from superalign.core.errors import ModelError
from superalign.models.hf.batches import budget_of, by_budget
from superalign.models.hf.memory import spared

if TYPE_CHECKING:
    from superalign.core.ports import Ints

_ROWS = 8
"""Rows of a batch, however long: writing 32 tokens after 300 with a llama of 11M parameters took 305 ms a row
alone, 253 in twos, 156 in fours, 146 in eights and no less in sixteens, because a step reads all weights once."""

_SHARED = 32
"""Tokens that prompts must have in common for them to be read once. Sixteen draws after the same 300 tokens, 32 each,
took 68 ms a draw instead of 126 (a llama of 11M parameters; 12 instead of 22 with one of 260k); prompts with 250 of
300 in common 76 instead of 128, with 100 in common 109 instead of 131, with 40 in common 141 instead of 160. A
decision, which reads and writes nothing, took 7 instead of 64, 17 instead of 67, 47 instead of 68, 68 instead of 76."""


@dataclass(frozen=True, slots=True)
class Draw:
    """A reply to be written after `ids`: at most `limit` tokens, up to the first of the texts in `stop`.

    At temperature 0 the likeliest tokens; else drawn with the random stream of `seed`.
    """

    ids: tuple[int, ...]
    limit: int
    temperature: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(slots=True)
class State:
    """What a network knows after reading: logits (B, V) of the next token, its cache, the mask (B, T) of the
    tokens in it."""

    logits: torch.Tensor
    cache: Any
    mask: torch.Tensor

    def keep(self, rows: Sequence[int]) -> None:
        """Leave these rows."""
        chosen = torch.tensor(rows, device=self.mask.device)
        self.cache.reorder_cache(chosen)
        self.logits, self.mask = self.logits[chosen], self.mask[chosen]


@dataclass(slots=True)
class _Line:
    """A reply that is being written."""

    draw: Draw
    uniforms: list[float]
    ids: list[int] = field(default_factory=list)
    done: bool = False


class Decoder:
    """A decoder with its output layer. Raises ModelError for one that has no key-value cache.

    `text` turns token ids into text; `ends` are the ids that end a reply.
    """

    def __init__(self, network: Any, text: Callable[[list[int]], str], ends: frozenset[int]) -> None:
        from transformers.cache_utils import DynamicCache, DynamicLayer

        takes = inspect.signature(network.forward).parameters
        if "past_key_values" not in takes:
            raise ModelError(
                f"{type(network).__name__} keeps no key-value cache, so it cannot speak here; give a decoder with"
                " attention (Llama, Qwen, Gemma, GPT-2, ...)"
            )
        self.network, self.device = network, next(network.parameters()).device
        self._text, self._ends = text, ends
        self._cache: Callable[[], Any] = lambda: DynamicCache(config=network.config)
        self._positions, self._last_only = "position_ids" in takes, "logits_to_keep" in takes
        # a sliding window counts the padding between a shared beginning and the rest, so it sees less of it
        self.shares = all(type(layer) is DynamicLayer for layer in self._cache().layers)

    def states(self, rows: Sequence[Ints]) -> Iterator[tuple[Ints, State]]:
        """The state after each row of token ids, batch by batch, as `(positions, state)`."""
        for shared, batches in arranged(rows, budget_of(self.device), self.shares):
            begun = self._read([rows[batches[0][0]][:shared]], None) if shared else None
            for chosen in batches:
                yield chosen, self._read([rows[i][shared:] for i in chosen], begun)

    def write(self, draws: Sequence[Draw]) -> Iterator[list[tuple[int, list[int]]]]:
        """The ids of each reply as `(position, ids)`, batch by batch, without the end of text.

        Equal draws are written once.
        """
        places: dict[Draw, list[int]] = {}
        for i, draw in enumerate(draws):
            places.setdefault(draw, []).append(i)
        own = list(places)
        for chosen, state in self.states([np.asarray(draw.ids, np.int64) for draw in own]):
            written = self._finish(state, [own[i] for i in chosen])
            yield [(place, ids) for i, ids in zip(chosen, written, strict=True) for place in places[own[i]]]

    def _finish(self, state: State, draws: Sequence[Draw]) -> list[list[int]]:
        lines = [_Line(draw, _uniforms(draw)) for draw in draws]
        live = lines
        while True:
            tokens = _picked(state.logits, live)
            for line, token in zip(live, tokens, strict=True):
                self._add(line, token)
            rows = [row for row, line in enumerate(live) if not line.done]
            if not rows:
                return [line.ids for line in lines]
            if len(rows) < len(live):
                with torch.inference_mode():
                    state.keep(rows)
                live, tokens = [live[row] for row in rows], [tokens[row] for row in rows]
            mask = torch.cat([state.mask, state.mask.new_ones(len(rows), 1)], 1)
            with torch.inference_mode(), spared():
                state = self._forward(torch.tensor(tokens, device=self.device)[:, None], mask, state.cache)

    def _add(self, line: _Line, token: int) -> None:
        if token in self._ends:
            line.done = True
            return
        line.ids.append(token)
        line.done = len(line.ids) == line.draw.limit
        if line.draw.stop and not line.done:
            said = self._text(line.ids)
            line.done = any(stop in said for stop in line.draw.stop)

    def _read(self, rows: Sequence[Ints], begun: State | None) -> State:
        """The state after these rows, which go on from `begun` (of one row) where it is given."""
        longest = max(len(row) for row in rows)
        ids = np.zeros((len(rows), longest), np.int64)
        mask = np.zeros((len(rows), longest), np.int64)
        for place, row in enumerate(rows):
            ids[place, longest - len(row) :], mask[place, longest - len(row) :] = row, 1
        seen, cache = torch.from_numpy(mask).to(self.device), self._cache()
        with torch.inference_mode(), spared():
            if begun is not None:
                cache = copy.deepcopy(begun.cache)
                cache.reorder_cache(torch.zeros(len(rows), dtype=torch.long, device=self.device))
                seen = torch.cat([begun.mask.expand(len(rows), -1), seen], 1)
            return self._forward(torch.from_numpy(ids).to(self.device), seen, cache)

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, cache: Any) -> State:
        given: dict[str, Any] = {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]}
        given = given if self._positions else {}
        if self._last_only:  # the other positions' logits would be most of the memory
            given["logits_to_keep"] = 1
        out = self.network(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **given)
        return State(out.logits[:, -1].float(), cache, mask)


def arranged(rows: Sequence[Ints], budget: int, share: bool = True) -> Iterator[tuple[int, list[Ints]]]:
    """Rows in batches of equal beginnings and like lengths, as `(tokens of the beginning, batches)`.

    Rows in alphabetical order form a group as long as each one more saves reading; the rest is grouped by
    length alone. A batch holds `budget` tokens with padding, or 8 rows.
    """
    order = sorted(range(len(rows)), key=lambda i: rows[i].astype(">i8").tobytes()) if share else range(len(rows))
    groups: list[tuple[int, list[int]]] = []
    for i in order:
        if share and groups:
            shared, members = groups[-1]
            most = min(shared, _common(rows[members[-1]], rows[i]), len(rows[i]) - 1)
            if most >= _SHARED and len(members) * most >= (len(members) - 1) * shared:
                members.append(i)
                groups[-1] = (most, members)
                continue
        groups.append((len(rows[i]) - 1, [i]))
    alone = [members[0] for _, members in groups if len(members) == 1]
    for shared, members in [(0, alone), *(group for group in groups if len(group[1]) > 1)]:
        own = np.asarray(members, np.int64)
        lengths = np.fromiter((len(rows[i]) for i in members), np.int64, len(members))
        longest = np.argsort(-lengths, kind="stable")
        batches = by_budget(np.minimum(lengths[longest], budget // _ROWS), budget)
        if members:
            yield shared, [own[longest[chosen]] for chosen in batches]


def _common(one: Ints, other: Ints) -> int:
    length = min(len(one), len(other))
    differ = np.flatnonzero(one[:length] != other[:length])
    return int(differ[0]) if len(differ) else length


def _uniforms(draw: Draw) -> list[float]:
    return np.random.default_rng(draw.seed).random(draw.limit).tolist() if draw.temperature > 0 else []


def _picked(logits: torch.Tensor, lines: Sequence[_Line]) -> list[int]:
    """The next token of each line. Sampling inverts the distribution function at the line's next uniform, in
    float64, so that a change of rounding in the logits changes a token once in a million."""
    tokens: list[int] = logits.argmax(-1).tolist()
    drawn = [row for row, line in enumerate(lines) if line.draw.temperature > 0]
    if drawn:
        logits = logits.cpu() if logits.device.type == "mps" else logits  # which has no float64
        heat = logits.new_tensor([lines[row].draw.temperature for row in drawn], dtype=torch.float64)
        level = logits.new_tensor([lines[row].uniforms[len(lines[row].ids)] for row in drawn], dtype=torch.float64)
        sums = (logits[drawn].double() / heat[:, None]).softmax(-1).cumsum(-1)
        found = torch.searchsorted(sums, level[:, None] * sums[:, -1:], right=True)[:, 0]
        for row, token in zip(drawn, found.clamp(max=logits.shape[1] - 1).tolist(), strict=True):
            tokens[row] = token
    return tokens
