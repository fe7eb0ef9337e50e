"""A pretrained transformer as a function from texts to one state each."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from superalign.core.errors import ModelError
from superalign.core.ports import Floats, Ints
from superalign.models.hf.batches import Batch, by_budget, collate
from superalign.models.hf.options import Options
from superalign.models.hf.rewrites import ReadOut, blocks, fast_gelu, narrow_attention, narrow_mlp
from superalign.models.hf.source import Source

_log = logging.getLogger(__name__)

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
_BUDGET = {"cpu": 2048, "mps": 8192, "cuda": 65536}
"""Tokens of one inference batch: larger ones were no faster on a CPU, whose caches they leave."""
DEFAULT_TOKENS = 128


class Backbone(nn.Module):
    """The transformer without its output layer, and how its states become one vector per text.

    `forward(batch)` gives (B, d) float32. `pool` is `last`, `mean` or `cls`. `dtype` is what is computed in;
    weights that are trained stay float32.
    """

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
        return next(self.network.parameters()).device

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
        for chosen in by_budget(lengths, _BUDGET.get(self.device.type, 8192)):
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


def load(source: Source, options: Options, trained: bool) -> Backbone:
    """The backbone of a source on its device. `trained` weights are float32; frozen ones are held as computed.

    Raises ModelError for what is not a text encoder or decoder that transformers itself ships.
    """
    from transformers import AutoConfig, AutoModel

    device = _device(options.device)
    dtype = _dtype(options.dtype, device)
    with _told(source):
        config = AutoConfig.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
        if getattr(config, "is_encoder_decoder", False):
            raise ModelError(f"{source.folder} is an encoder-decoder ({config.model_type}); take an encoder or a decoder")
        network = AutoModel.from_pretrained(
            source.folder, config=config, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            dtype=torch.float32 if trained else dtype, **_without_pooler(config),
        )  # fmt: skip
    causal = is_causal(config)
    pool = options.pool if options.pool != "auto" else _pool(source.folder, causal)
    if pool == "cls" and causal:
        raise ModelError(f"pool=cls reads the first token, which in a decoder ({config.model_type}) has seen nothing else")
    with spared():
        # evaluation mode for good: dropout stays off in training too, so that a forward pass can be repeated
        return Backbone(network.to(device).eval(), pool, causal, options.layer, dtype)


def tokenizer_of(source: Source) -> Any:
    """The tokenizer of a source. Raises ModelError where there is none."""
    from transformers import AutoTokenizer

    with _told(source):
        return AutoTokenizer.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)


def limit_of(config: Any, tokenizer: Any, wanted: int | None) -> int:
    """Tokens per text. Raises ModelError for more than the model has positions for."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None) or 10**9
    most = min(int(positions), int(tokenizer.model_max_length or 10**9))
    if wanted is not None and wanted > most:
        raise ModelError(f"tokens={wanted}: this model takes {most} at most")
    return wanted or min(DEFAULT_TOKENS, most)


def is_causal(config: Any) -> bool:
    """Whether each token sees only those before it."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    if getattr(config, "is_decoder", False):
        return True
    kind = config.model_type
    return kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


@contextmanager
def spared() -> Iterator[None]:
    """Turns exhausted memory into a ModelError that says what to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ModelError(
            "out of memory; lower micro= (gradients stay the same), tokens= or batch=, or type tune=lora or tune=head"
        ) from error


@contextmanager
def _told(source: Source) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"transformers cannot load {source.folder}: {first}") from error


def _without_pooler(config: Any) -> dict[str, Any]:
    # BERT's pooler (a layer on the first token) is never read; without it, it is neither computed nor trained
    import inspect

    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    kind = MODEL_MAPPING.get(type(config), None)
    kind = kind[0] if isinstance(kind, tuple) else kind
    takes = kind is not None and "add_pooling_layer" in inspect.signature(kind.__init__).parameters
    return {"add_pooling_layer": False} if takes else {}


def _pool(folder: Path, causal: bool) -> str:
    described = folder / "1_Pooling" / "config.json"
    if described.is_file():
        settings = json.loads(described.read_text(encoding="utf-8"))
        named = {"pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last", "pooling_mode_mean_tokens": "mean"}
        for key, pool in named.items():
            if settings.get(key) is True:
                return pool
    return "last" if causal else "mean"


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"device={name!r} is not a device; type auto, cpu, cuda, cuda:1 or mps") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device={name}: torch sees no CUDA device here; type device=cpu or leave it out")
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return torch.bfloat16 if name == "bfloat16" else torch.float32
