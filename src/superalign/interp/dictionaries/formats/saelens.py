"""The form of SAELens: a folder with `cfg.json` and `sae_weights.safetensors` (W_enc (d, F), W_dec (F, d), b_enc, b_dec;
`threshold` (F,) of JumpReLU; b_gate, b_mag, r_mag of gated).

Read are the forms of version 6 (settings beside `metadata`) and of those before (all settings flat, TopK as
`activation_fn`). What changes the numbers is folded into the weights where it can be and refused where it cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from superalign.core.errors import ModelError
from superalign.interp.dictionaries.dictionary import Dictionary, Kind
from superalign.interp.dictionaries.formats.files import (
    Tensors,
    centred,
    count,
    matrices,
    save,
    scalar,
    settings,
    take,
    tensors,
)

WEIGHTS = "sae_weights.safetensors"
_KINDS: dict[str, Kind] = {
    "standard": "standard", "topk": "topk", "jumprelu": "jumprelu", "gated": "jumprelu", "batchtopk": "batchtopk",
    "transcoder": "standard", "skip_transcoder": "standard", "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
}  # fmt: skip
_SCALED = "expected_average_only_in"


def read_saelens(folder: Path, *, scale: float | None = None) -> Dictionary:
    """The dictionary of a folder. A gated one is read as the JumpReLU that it is equal to.

    `scale` is what activations are multiplied with first, for files that say `expected_average_only_in` and do not hold
    it: sqrt(d_in) / the mean norm of the activations. Raises ModelError for malformed files, and where rows would have
    to be normalised one by one.
    """
    path = folder / "cfg.json"
    cfg = _flat(settings(path))
    name = str(cfg.get("architecture", "standard"))
    if name not in _KINDS:
        raise ModelError(f"{path}: the architecture {name!r} is not known; there is: {', '.join(_KINDS)}")
    found, transcode = tensors(folder / WEIGHTS), name.endswith("transcoder")
    W_enc, W_dec = matrices(found, folder / WEIGHTS, "W_enc", "W_dec")
    (b_dec,) = take(found, folder / WEIGHTS, "b_dec")
    if W_enc.shape[0] != count(cfg.get("d_in"), path, "d_in"):
        raise ModelError(f"{path} says d_in={cfg['d_in']}, and W_enc has shape {tuple(W_enc.shape)}")
    d = {"W_enc": W_enc.T.contiguous(), "W_dec": W_dec, "b_dec": b_dec}  # (F, d) both, as here
    d |= _gated(found, folder, d["W_enc"]) if name == "gated" else _plain(found, folder, _KINDS[name])
    if cfg.get("apply_b_dec_to_input", not transcode):
        d["b_enc"] = centred(d["W_enc"], d["b_enc"], d["b_dec"])
    _norms(d, cfg, _KINDS[name])
    _finetuned(d, found, cfg, path)
    _scale(d, _factor(cfg, path, scale))
    return Dictionary(
        kind=_KINDS[name],
        k=count(cfg.get("k"), path, "k") if name == "topk" else None,
        W_skip=take(found, folder / WEIGHTS, "W_skip")[0] if "skip" in name else None,
        transcode=transcode,
        **d,
    )


def write_saelens(dictionary: Dictionary, folder: Path, *, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a dictionary; BatchTopK as the JumpReLU that it is run as. `metadata` says of which model and hook it is
    (`model_name`, `hook_name`, `context_size`, `prepend_bos`).

    Raises ModelError for a topk transcoder, which the form does not have, and for a folder that exists.
    """
    d = dictionary
    if d.transcode and d.kind == "topk":
        raise ModelError("the form of SAELens has no topk transcoder; write the form of sparsify")
    name: str = "jumprelu" if d.threshold is not None else d.kind
    if d.transcode:
        parts = [part for part, there in (("jumprelu", name == "jumprelu"), ("skip", d.W_skip is not None)) if there]
        name = "_".join([*parts, "transcoder"])
    cfg: dict[str, Any] = {
        "architecture": name, "d_in": d.d_in, "d_sae": d.width, "dtype": "float32", "device": "cpu",
        "apply_b_dec_to_input": False, "normalize_activations": "none", "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.0.0", **(metadata or {})},
    }  # fmt: skip
    cfg |= {"k": d.k, "rescale_acts_by_decoder_norm": False} if d.kind == "topk" else {}
    cfg |= {"d_out": d.d_out} if d.transcode else {}
    optional = {"threshold": d.threshold, "W_skip": d.W_skip}
    kept = {"W_enc": d.W_enc.T, "W_dec": d.W_dec, "b_enc": d.b_enc, "b_dec": d.b_dec}
    save(Path(folder), WEIGHTS, kept | {n: t for n, t in optional.items() if t is not None}, cfg)


def _flat(cfg: dict[str, Any]) -> dict[str, Any]:
    """Settings under one set of names, whatever the version."""
    metadata = cfg.get("metadata")
    cfg = {**(metadata if isinstance(metadata, dict) else {}), **cfg}
    function = cfg.get("activation_fn", cfg.get("activation_fn_str"))
    chosen = cfg.get("activation_fn_kwargs")
    if function == "topk":
        cfg |= {"architecture": "topk", "k": cfg.get("k", (chosen if isinstance(chosen, dict) else {}).get("k"))}
    elif cfg.get("architecture", "standard") == "standard" and function not in (None, "relu"):
        cfg["architecture"] = f"standard with {function}"
    return cfg


def _plain(found: Tensors, folder: Path, kind: Kind) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    (bias,) = take(found, path, "b_enc")
    if kind == "jumprelu":
        return {"b_enc": bias, "threshold": take(found, path, "threshold")[0].relu()}
    if kind == "batchtopk":
        return {"b_enc": bias, "threshold": torch.full_like(bias, scalar(found, path, "topk_threshold"))}
    return {"b_enc": bias}


def _gated(found: Tensors, folder: Path, W_enc: Tensor) -> dict[str, Tensor]:
    """1[W x + b_gate > 0] relu(e^r W x + b_mag) is JumpReLU: with pre = e^r W x + b_mag, the gate is open where
    pre > b_mag - e^r b_gate."""
    b_gate, b_mag, r = take(found, folder / WEIGHTS, "b_gate", "b_mag", "r_mag")
    gain = r.exp()
    if not gain.shape == b_gate.shape == b_mag.shape == W_enc.shape[:1]:
        raise ModelError(f"{folder / WEIGHTS}: b_gate, b_mag and r_mag do not fit {W_enc.shape[0]} latents")
    return {"W_enc": gain[:, None] * W_enc, "b_enc": b_mag, "threshold": (b_mag - gain * b_gate).relu()}


def _norms(d: dict[str, Tensor], cfg: dict[str, Any], kind: Kind) -> None:
    """A topk whose latents were compared by their activation times the length of their direction."""
    if kind == "topk" and cfg.get("rescale_acts_by_decoder_norm"):
        length = d["W_dec"].norm(dim=1).clamp(min=1e-12)
        d |= {
            "W_enc": length[:, None] * d["W_enc"],
            "b_enc": length * d["b_enc"],
            "W_dec": d["W_dec"] / length[:, None],
        }


def _finetuned(d: dict[str, Tensor], found: Tensors, cfg: dict[str, Any], path: Path) -> None:
    """Older files multiply activations by a factor each before decoding, if they say so; else it must be 1."""
    factor = found.get("finetuning_scaling_factor", found.get("scaling_factor"))
    if factor is None or torch.allclose(factor, torch.ones_like(factor)):
        return
    if not cfg.get("finetuning_scaling_factor") or factor.shape != d["W_dec"].shape[:1]:
        raise ModelError(f"{path} holds scaling factors and does not say whether they are used; set "
                         "finetuning_scaling_factor to true or remove them from the weights")  # fmt: skip
    d["W_dec"] = factor[:, None] * d["W_dec"]


def _factor(cfg: dict[str, Any], path: Path, scale: float | None) -> float:
    """What activations are multiplied with before anything else."""
    how = cfg.get("normalize_activations")
    how = {None: "none", False: "none", True: _SCALED}.get(how, how)  # older files say it with a truth value
    if cfg.get("reshape_activations", "none") not in ("none", "hook_z"):
        raise ModelError(
            f"{path}: reshape_activations is {cfg['reshape_activations']!r}; 'none' and 'hook_z' are known"
        )
    if how == "none":
        return 1.0
    if how == _SCALED:
        known = scale if scale is not None else cfg.get("norm_scaling_factor")
        if isinstance(known, int | float) and known > 0:
            return float(known)
        raise ModelError(f"{path}: activations were scaled to norm sqrt(d_in) on average, and the file does not say by "
                         "how much; give scale = sqrt(d_in) / mean norm, measured on the model's activations")  # fmt: skip
    raise ModelError(f"{path}: normalize_activations is {how!r}, and only 'none' and {_SCALED!r} can be run: others "
                     "change each row by a factor of its own")  # fmt: skip


def _scale(d: dict[str, Tensor], factor: float) -> None:
    if factor != 1.0:
        d |= {"W_enc": factor * d["W_enc"], "W_dec": d["W_dec"] / factor, "b_dec": d["b_dec"] / factor}
