"""Weights without a description: `params.npz` (Gemma Scope) and state dicts of dictionary-learning."""

from __future__ import annotations

from pathlib import Path

import torch

from superalign.core.errors import ModelError
from superalign.interp.dictionaries.dictionary import Dictionary, Kind
from superalign.interp.dictionaries.formats.files import Tensors, centred, matrices, scalar, settings, take, tensors


def read_npz(path: Path) -> Dictionary:
    """JumpReLU from W_enc (d, F), W_dec (F, d), b_enc, b_dec, threshold; without a threshold all positive
    pre-activations fire. The input is not centred. Raises ModelError for malformed files."""
    found = tensors(path)
    found = {("W" + name[1:] if name.startswith("w_") else name): t for name, t in found.items()}
    W_enc, W_dec = matrices(found, path, "W_enc", "W_dec")
    b_enc, b_dec = take(found, path, "b_enc", "b_dec")
    factor = found.get("scaling_factor")
    if factor is not None and not torch.allclose(factor, torch.ones_like(factor)):
        raise ModelError(f"{path} holds scaling factors that are not 1, and nothing says how they are used")
    threshold = found.get("threshold")
    return Dictionary(
        kind="standard" if threshold is None else "jumprelu", W_enc=W_enc.T.contiguous(), b_enc=b_enc, W_dec=W_dec,
        b_dec=b_dec, threshold=None if threshold is None else threshold.relu(),
    )  # fmt: skip


def read_linear(path: Path) -> Dictionary:
    """encoder.weight (F, d), encoder.bias, decoder.weight (d, F) and the bias of the decoder (`b_dec`, or `bias`), which
    also centres the input. With `k` it is a TopK, or a BatchTopK run by its `threshold`: `config.json` beside it says.

    Raises ModelError for malformed files, and where both could be meant.
    """
    found = tensors(path)
    W_enc, decoder = matrices(found, path, "encoder.weight", "decoder.weight")
    b_enc, b_dec = take(found, path, "encoder.bias", "bias" if "bias" in found else "b_dec")
    kind = _kind(found, path)
    level = scalar(found, path, "threshold") if kind == "batchtopk" else None
    return Dictionary(
        kind=kind, W_enc=W_enc, b_enc=centred(W_enc, b_enc, b_dec), W_dec=decoder.T.contiguous(), b_dec=b_dec,
        k=int(scalar(found, path, "k")) if "k" in found else None,
        threshold=None if level is None else torch.full_like(b_enc, level),
    )  # fmt: skip


def _kind(found: Tensors, path: Path) -> Kind:
    if "k" not in found:
        return "standard"
    if "threshold" not in found or scalar(found, path, "threshold") < 0:  # -1 until it is known
        return "topk"
    beside = path.with_name("config.json")
    trainer = settings(beside).get("trainer") if beside.exists() else None
    name = trainer.get("dict_class") if isinstance(trainer, dict) else None
    kinds: dict[object, Kind] = {"AutoEncoderTopK": "topk", "BatchTopKSAE": "batchtopk"}
    if name not in kinds:
        raise ModelError(
            f"{path} has k and a threshold, so it is a TopK or a BatchTopK; put config.json beside it, with "
            f"trainer.dict_class {' or '.join(map(str, kinds))} (got {name!r})"
        )
    return kinds[name]
