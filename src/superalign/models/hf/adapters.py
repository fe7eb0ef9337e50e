"""LoRA: W + (alpha / r) B A with B = 0 at the start (Hu et al. 2021, section 4.1), through peft."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from superalign.core.errors import ModelError
from superalign.core.random import stream
from superalign.models.hf.options import Options


def adapt(network: Any, options: Options) -> None:
    """Put adapters into the network and freeze the rest. Raises ModelError where `targets` fits no module."""
    from peft import LoraConfig, inject_adapter_in_model
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    kind = network.config.model_type
    named = re.split(r"[,+]", options.targets) if options.targets else KNOWN.get(kind)
    if not named:
        raise ModelError(f"peft knows no usual LoRA targets for {kind}; type targets=all-linear, or names such as"
                         f" targets={_some_linear(network)}")  # fmt: skip
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=0.0,
        target_modules="all-linear" if list(named) == ["all-linear"] else list(named),
        fan_in_fan_out=any(type(m).__name__ == "Conv1D" for m in network.modules()),  # GPT-2 keeps W transposed
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a remark that fan_in_fan_out was mended for mixed layer types
            inject_adapter_in_model(config, network)
    except ValueError as error:
        raise ModelError(
            f"targets={options.targets} fits no module of {kind}; there is {_some_linear(network)}"
        ) from error
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if parameter.requires_grad:  # small steps would be lost in bfloat16; peft casts at the border
            parameter.data = parameter.data.float()


def drawn(initial: Mapping[str, NDArray[np.float32]], seed: int) -> dict[str, NDArray[np.float32]]:
    """The initial weights of a fit: A uniform within 1/sqrt(fan-in), from a stream of its own for each
    adapter; everything else as it was."""
    made = dict(initial)
    for name, value in initial.items():
        if "lora_A" in name or "lora_embedding_A" in name:
            bound = 1 / np.sqrt(value.shape[-1])
            made[name] = stream(seed, "hf-lora", name).uniform(-bound, bound, value.shape).astype(np.float32)
    return made


def merged(network: nn.Module) -> dict[str, Any]:
    """The state of the network as if it had been trained without adapters: W + (alpha / r) B A under W's name."""
    from peft.tuners.lora import LoraLayer

    state = {}
    deltas = {
        f"{name}.weight": layer.get_delta_weight("default")
        for name, layer in network.named_modules()
        if isinstance(layer, LoraLayer)
    }
    for name, value in network.state_dict().items():
        plain = name.replace(".base_layer", "")
        if "lora_" not in name:
            state[plain] = value + deltas[plain].to(value.dtype) if plain in deltas else value
    return state


def _some_linear(network: nn.Module) -> str:
    names = {
        name.rsplit(".", 1)[-1]
        for name, module in network.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and name
    }
    return ",".join(sorted(names)[:6]) or "no linear layer"
