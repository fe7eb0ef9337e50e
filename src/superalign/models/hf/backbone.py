"""A pretrained transformer as a function from texts to one state each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from superalign.core.errors import ModelError
from superalign.models.hf.batches import Batch, budget_of, by_budget, collate
from superalign.models.hf.memory import spared
from superalign.models.hf.rewrites import ReadOut, blocks, fast_gelu, narrow_attention, narrow_mlp

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints

_log = logging.getLogger(__name__)

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}


class Backbone(nn.Module):
    """The transformer without its output layer, and how its states become one vector per text.

    `forward(batch)` gives (B, d) float32. `pool` is `last`, `mean` or `cls`. `dtype` is what is computed in;
    weights that are trained stay float32.
    """

    network: Any  # a PreTrainedModel, which is not typed

    def __init__(self, network: nn.Module, pool: str, causal: bool, layer: int | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.pool, self.causal, self.dtype = network, pool, causal, dtype
        self.read_out = ReadOut()
        self.masks_padding = True
        self._middle: list[torch.Tensor] = []
        if layer is not None:
            self._stop_at(layer)

    @property
    def device(self) -> torch.device:
        found: torch.device = next(self.network.parameters()).device
        return found

    @property
    def width(self) -> int:
        """d."""
        config = self.network.config
        return int(getattr(config, "hidden_size", None) or config.get_text_config().hidden_size)

    def forward(self, batch: Batch) -> torch.Tensor:
        masked = batch.padded and self.masks_padding
        inside = torch.arange(batch.ids.shape[1], device=batch.ids.device) < batch.lengths[:, None]
        self.read_out.positions = batch.lengths - 1 if self.pool == "last" else None
        settings: dict[str, Any] = {"use_cache": False} if self.causal else {}
        try:
            with self.precision():
                out = self.network(input_ids=batch.ids, attention_mask=inside.long() if masked else None, **settings)
            states = self._middle.pop() if self._middle else out.last_hidden_state
            if self.pool == "last":
                return self.read_out.at(states)[:, 0].float()
        finally:
            self.read_out.positions = None
        if self.pool == "cls":
            return states[:, 0].float()
        if not batch.padded:
            return states.float().mean(1)
        return (states.float() * inside[..., None]).sum(1) / batch.lengths[:, None]

    def precision(self) -> AbstractContextManager[Any]:
        """Autocast where weights are wider than what is computed in."""
        held = next(self.network.parameters()).dtype
        return nullcontext() if held == self.dtype else torch.autocast(self.device.type, self.dtype)

    def pooled(self, rows: Sequence[Ints]) -> Iterator[tuple[Ints, Floats]]:
        """Vectors of tokenised texts as `(positions, (b, d))`, longest texts first, without gradients."""
        lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
        for chosen in by_budget(lengths, budget_of(self.device)):
            with torch.inference_mode(), spared():
                yield chosen, self(collate([rows[i] for i in chosen], self.device)).cpu().numpy()

    def speed_up(self) -> list[str]:
        """Apply every rewrite that leaves the outputs as they are; returns the names of those kept.

        Call it once, when adapters are in place. A network that cannot be run on three random texts keeps
        its own code.
        """
        texts = self._probe()
        alone = torch.cat([self._quietly([text]) for text in texts])
        kept: list[str] = []

        def attempt(name: str, undo: Callable[[], None] | None) -> None:
            if undo is None:
                return
            try:
                change = float((self._quietly(texts) - alone).abs().max()) / max(1.0, float(alone.abs().max()))
            except Exception as error:  # whatever an unknown architecture raises means: not for this one
                _log.info("%s is not for this architecture: %s", name, error)
                change = float("inf")
            if change <= _TOLERANCE[self.dtype]:
                kept.append(name)
            else:
                undo()

        attempt("fused GELU", fast_gelu(self.network))
        if self.causal:
            # a decoder never looks to the right, so padding there needs no mask, and attention without a
            # mask takes the causal kernel
            self.masks_padding = False
            attempt("no masks", lambda: setattr(self, "masks_padding", True))
        found = blocks(self.network) if self.causal and self.pool == "last" else None
        if found is not None:
            attempt("MLP of the last block at one position", narrow_mlp(found[-1], self.read_out))
            attempt("attention of the last block at one position", narrow_attention(found[-1], self.read_out))
        return kept

    def _probe(self) -> list[Ints]:
        vocabulary = int(self.network.config.get_text_config().vocab_size)
        rng = np.random.default_rng(0)
        return [rng.integers(0, vocabulary, length) for length in (7, 4, 2)]

    def _quietly(self, rows: Sequence[Ints]) -> torch.Tensor:
        with torch.no_grad():
            made: torch.Tensor = self(collate(rows, self.device))
        return made

    def _stop_at(self, layer: int) -> None:
        found = blocks(self.network)
        if found is None:
            raise ModelError(f"{type(self.network).__name__} has no list of blocks, so layer={layer} cannot be read")
        depth = layer if layer > 0 else len(found) + layer
        if not 1 <= depth <= len(found):
            raise ModelError(f"layer={layer}: this model has layers 1 to {len(found)} (or -{len(found) - 1} to -1)")
        if depth == len(found):
            return  # the last layer is read after the final norm, as by default

        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            self._middle[:] = [output[0] if isinstance(output, tuple) else output]

        del found[depth:]  # what lies above is never computed
        found[-1].register_forward_hook(keep)
