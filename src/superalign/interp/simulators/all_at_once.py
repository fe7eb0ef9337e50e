"""All at once: a local transformer predicts every activation of a text in one forward pass (Bills et al. 2023).

The prompt shows solved units whose values turn from a placeholder into numbers at some line, and then the text with
placeholders alone; after every tab a number is therefore plausible, and its distribution is read there: with the ids of
0 to 10 gathered from the logits it is exact. The prompt is built as token ids (`layout.Spelling`), the beginning that
all prompts share is read once, and what was read is copied for each batch and never written to.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from superalign.core.errors import ModelError, SpecError
from superalign.core.ports import Progress, silent
from superalign.interp.corpus import Windows
from superalign.interp.layout import TOP, Spelling, digits_of, escaped
from superalign.interp.templates import sheet
from superalign.interp.units import Explanation, Simulation
from superalign.models.hf.batches import budget_of, by_budget, collate
from superalign.models.hf.memory import spared
from superalign.protocols.template import Template

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints

UNKNOWN = "unknown"
_LOGITS = 2**27
"""Logits of a batch, at most 512 MB: those of all positions are made."""


@dataclass(frozen=True)
class Row:
    """The ids of one text below the shared beginning, and the places (L,) whose next token is a value."""

    ids: Ints
    places: Ints


class Layout:
    """Prompts as ids: the shared `beginning` and one Row for each explanation and text.

    Numbers go to `top`: 10, or 9 where the tokenizer writes 10 in two tokens.
    """

    def __init__(self, spelling: Spelling, template: Template) -> None:
        self._spelling, self._template = spelling, template
        self.values = digits_of(spelling)
        self.top = len(self.values) - 1
        self._tab, self._end, self._unknown = (spelling.ids(piece) for piece in ("\t", "\n", UNKNOWN))
        self.beginning = self._begin()

    def row(self, explanation: str, tokens: Sequence[str]) -> Row:
        """The prompt of one text after `beginning`."""
        ids = self._header(explanation)
        places = []
        for token in tokens:
            ids += self._spelling.ids(escaped(token)) + self._tab
            places.append(len(ids) - 1)
            ids += self._unknown + self._end
        return Row(np.asarray(ids, np.int64), np.asarray(places, np.int64))

    def _header(self, explanation: str) -> list[int]:
        header = self._template.fill("unit", explanation=" ".join(explanation.split()))
        return [*self._spelling.ids(header), *self._end]

    def _begin(self) -> list[int]:
        task = self._template.fill("task", top=str(self.top), unknown=UNKNOWN)
        ids = [*self._spelling.start, *self._spelling.ids(task), *self._end, *self._end]
        units = [part.split("\n") for part in self._template.sections["solved"].split("\n\n") if part.strip()]
        for k, (explanation, *lines) in enumerate(units):
            known = (k + 1) * len(lines) // (len(units) + 1)  # from which line on the values are given
            ids += self._header(explanation)
            for place, line in enumerate(lines):
                token, level = _solved(line)
                value = [self.values[round(level * self.top / TOP)]] if place >= known else self._unknown
                ids += [*self._spelling.ids(token), *self._tab, *value, *self._end]
            ids += self._end
        return ids


class AllAtOnce:
    """A Simulator: at each position the mean of the numbers under their probabilities, scaled to 0 to 10.

    `network` is a decoder of transformers with its output layer. A text that does not fit into its context is NaN
    throughout, and counted. Raises ModelError for a tokenizer without digits, and where not even the shared beginning
    fits.
    """

    def __init__(
        self, network: Any, tokenizer: Any, *, name: str = "model", template: str = "", progress: Progress = silent
    ) -> None:
        self.name = f"all-at-once:{name}"
        self._network, self._progress = network, progress
        self._device = next(network.parameters()).device
        fields = {"task": ("top", "unknown"), "solved": (), "unit": ("explanation",)}
        self.layout = Layout(Spelling(tokenizer), sheet("all_at_once", template, fields))
        positions = getattr(network.config.get_text_config(), "max_position_embeddings", None) or 10**9
        self._room = int(positions) - len(self.layout.beginning)
        if self._room <= 0:
            raise ModelError(
                f"the prompt begins with {len(self.layout.beginning)} tokens and {name} takes {positions}; give a"
                " template with fewer solved units, or another model"
            )

    def simulate(self, asked: Sequence[tuple[Explanation, Windows]]) -> list[Simulation]:
        """Values in 0 to 10 at every position of the windows."""
        rows = [[self.layout.row(x.text, tokens) for tokens in windows.texts()] for x, windows in asked]
        values = iter(self.values([row for own in rows for row in own]))
        return [_simulation([next(values) for _ in own]) for own in rows]

    def values(self, rows: Sequence[Row]) -> list[Floats]:
        """The simulated values (L,) of each row; NaN for a row that is too long."""
        found: list[Floats] = [np.full(len(row.places), np.nan) for row in rows]
        fits = [k for k, row in enumerate(rows) if len(row.ids) <= self._room]
        done = 0
        for chosen in self._batches([rows[k] for k in fits]):
            logits = self._logits([rows[fits[i]].ids for i in chosen])
            for row, i in enumerate(chosen):
                places = torch.from_numpy(rows[fits[i]].places).to(self._device)
                own = logits[row, places][:, self.layout.values].float().softmax(-1).cpu().numpy()
                found[fits[i]] = own @ np.arange(len(self.layout.values)) * (TOP / self.layout.top)
            done += len(chosen)
            self._progress("simulate", done, len(fits))
        return found

    def _batches(self, rows: Sequence[Row]) -> Iterator[Ints]:
        vocabulary = int(self._network.config.get_text_config().vocab_size)
        lengths = np.array([len(row.ids) for row in rows], np.int64)
        return by_budget(lengths, min(budget_of(self._device), _LOGITS // vocabulary)) if rows else iter(())

    def _logits(self, rows: Sequence[Ints]) -> torch.Tensor:
        """Logits (B, T, V) of rows padded on the right, which a decoder never looks at."""
        begun = self._begun
        if begun is None:
            rows = [np.concatenate([np.asarray(self.layout.beginning, np.int64), row]) for row in rows]
        batch = collate(rows, self._device)
        with torch.inference_mode(), spared():
            if begun is None:
                out = self._network(input_ids=batch.ids, use_cache=False).logits
                return out[:, len(self.layout.beginning) :]  # type: ignore[no-any-return]
            cache = copy.deepcopy(begun)
            cache.batch_repeat_interleave(len(rows))
            return self._network(input_ids=batch.ids, past_key_values=cache, use_cache=True).logits  # type: ignore[no-any-return]

    @cached_property
    def _begun(self) -> Any:
        """What the network keeps of the beginning; None for one whose cache is more than keys and values (a sliding
        window, a recurrent state), which reads it with every row."""
        from transformers.cache_utils import DynamicCache, DynamicLayer

        cache = DynamicCache(config=self._network.config)
        if not all(type(layer) is DynamicLayer for layer in cache.layers):
            return None
        ids = torch.tensor([self.layout.beginning], device=self._device)
        with torch.inference_mode(), spared():
            self._network(input_ids=ids, past_key_values=cache, use_cache=True)
        return cache


def all_at_once(argument: str, *, device: str = "auto", template: str = "", progress: Progress = silent) -> AllAtOnce:
    """The simulator of a model's folder or hub name. Raises ModelError for what is no decoder with an output layer."""
    from superalign.models.hf.options import Options
    from superalign.models.hf.plan import plan, tokenizer_of
    from superalign.models.hf.source import locate

    source = locate(argument)
    tokenizer = tokenizer_of(source)
    made = plan(source, Options.of({"tune": "none", "device": device}), tokenizer)
    network = made.speaker() if made.causal else None
    if network is None:
        raise ModelError(f"{source.folder} has no output layer of a decoder, so it predicts no tokens; give a decoder")
    return AllAtOnce(network, tokenizer, name=source.folder.name, template=template, progress=progress)


def _solved(line: str) -> tuple[str, int]:
    """A token and its level. Raises SpecError for a line of a template that is none."""
    token, tab, level = line.rpartition("\t")
    if not tab or not level.isdecimal() or int(level) > TOP:
        raise SpecError(f"the line {line!r} of a solved unit is no token, tab and number from 0 to {TOP}")
    return token, int(level)


def _simulation(found: Sequence[Floats]) -> Simulation:
    values = np.concatenate(found) if found else np.zeros(0)
    failed = np.isnan(values)
    long = sum(bool(len(own)) and bool(np.isnan(own).any()) for own in found)
    reason = f"{long} of {len(found)} windows are longer than the simulator's context" if long else ""
    return Simulation(values, failed, "undefined" if long and failed.all() else "ok", reason)
