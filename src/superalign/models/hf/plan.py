"""How a transformer's folder will be read: decided from its config alone, before any weights are."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from superalign.core.errors import ModelError
from superalign.models.hf.memory import keep_freed, spared
from superalign.models.hf.options import Options
from superalign.models.hf.source import Source

if TYPE_CHECKING:
    from superalign.models.hf.backbone import Backbone

DEFAULT_TOKENS = 128


@dataclass(frozen=True)
class Plan:
    """What of a source is read, and how. `limit` is the number of tokens per text."""

    source: Source
    config: Any
    causal: bool
    pool: str
    layer: int | None
    limit: int
    device: torch.device
    dtype: torch.dtype

    @property
    def identity(self) -> dict[str, Any]:
        """All that a text's vector depends on."""
        return {
            "model": "transformer", "weights": self.source.weights, "tokenizer": self.source.tokenizer,
            "pool": self.pool, "layer": self.layer, "tokens": self.limit, "dtype": str(self.dtype).removeprefix("torch."),
        }  # fmt: skip

    def build(self, trained: bool) -> Backbone:
        """The backbone on its device. Weights that are `trained` are float32; frozen ones are as computed."""
        from transformers import AutoModel

        from superalign.models.hf.backbone import Backbone

        with told(self.source), spared():
            network, report = AutoModel.from_pretrained(
                self.source.folder, config=self.config, local_files_only=True, trust_remote_code=False,
                use_safetensors=True, dtype=torch.float32 if trained else self.dtype, output_loading_info=True,
                **_without_pooler(self.config),
            )  # fmt: skip
            missing = sorted(report["missing_keys"])
            if missing:  # transformers would go on with random numbers in their place
                raise ModelError(f"{self.source.folder} lacks {len(missing)} weights of a {self.config.model_type} model"
                                 f" ({', '.join(missing[:3])}, ...)")  # fmt: skip
            # evaluation mode for good: dropout stays off in training too, so that a forward pass can be repeated
            network = network.to(self.device).eval()
        if self.device.type == "cpu":
            keep_freed()
        return Backbone(network, self.pool, self.causal, self.layer, self.dtype)

    def speaker(self) -> Any:
        """The decoder with its output layer, for log-probabilities; None where the folder has no output layer."""
        from transformers import AutoModelForCausalLM

        with told(self.source), spared():
            network, report = AutoModelForCausalLM.from_pretrained(
                self.source.folder, local_files_only=True, trust_remote_code=False, use_safetensors=True,
                dtype=self.dtype, output_loading_info=True,
            )  # fmt: skip
            return None if report["missing_keys"] else network.to(self.device).eval()


def plan(source: Source, options: Options, tokenizer: Any) -> Plan:
    """The plan for a source. Raises ModelError for what is not a text encoder or decoder that transformers
    itself ships, and for options that do not fit it."""
    from transformers import AutoConfig

    with told(source):
        config = AutoConfig.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{source.folder} is an encoder-decoder ({config.model_type}); take an encoder or a decoder")
    causal = is_causal(config)
    pool = options.pool if options.pool != "auto" else _pool(source.folder, causal)
    if pool == "cls" and causal:
        raise ModelError(f"pool=cls reads the first token, which in a decoder ({config.model_type}) sees nothing else")
    device = _device(options.device)
    dtype = _dtype(options.dtype, device)
    limit = _limit(config, tokenizer, options.tokens)
    return Plan(source, config, causal, pool, options.layer, limit, device, dtype)


def tokenizer_of(source: Source) -> Any:
    """The tokenizer of a source. Raises ModelError where there is none."""
    from transformers import AutoTokenizer

    with told(source):
        return AutoTokenizer.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)


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
def told(source: Source) -> Iterator[None]:
    """Turns what transformers raises while loading into a ModelError with its first line."""
    from safetensors import SafetensorError
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # its remarks on unused heads and special tokens say nothing about this use
    try:
        yield
    except (torch.OutOfMemoryError, ModelError):
        raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"transformers cannot load {source.folder}: {first}") from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def context(config: Any, tokenizer: Any) -> int:
    """The number of tokens that a model can take at once."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None) or 10**9
    return min(int(positions), int(tokenizer.model_max_length or 10**9))


def _limit(config: Any, tokenizer: Any, wanted: int | None) -> int:
    most = context(config, tokenizer)
    if wanted is not None and wanted > most:
        raise ModelError(f"tokens={wanted}: this model takes {most} at most")
    return wanted or min(DEFAULT_TOKENS, most)


def _without_pooler(config: Any) -> dict[str, Any]:
    # BERT's pooler (a layer on the first token) is never read; without it, it is neither computed nor trained
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
