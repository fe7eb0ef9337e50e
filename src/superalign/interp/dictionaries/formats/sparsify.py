"""The form of EleutherAI/sparsify: a folder with `cfg.json` and `sae.safetensors` (encoder.weight (F, d), encoder.bias,
W_dec (F, d), b_dec, and W_skip (d, d) with a skip connection). All are TopK; an autoencoder's input is centred by b_dec.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superalign.core.errors import ModelError
from superalign.interp.dictionaries.dictionary import Dictionary
from superalign.interp.dictionaries.formats.files import centred, count, matrices, save, settings, take, tensors

WEIGHTS = "sae.safetensors"
_OTHER = ("embed_skip", "gram_lookup")
"""Settings that add something to the output that this form does not hold alone."""


def read_sparsify(folder: Path) -> Dictionary:
    """The dictionary of a folder. Keys that are not known are ignored, and those that would change what comes out are
    refused. Raises ModelError for malformed files."""
    cfg, path = settings(folder / "cfg.json"), folder / WEIGHTS
    activation = cfg.get("activation", "topk")
    if activation != "topk":
        raise ModelError(f"{folder}: latents fire by {activation!r}, and only 'topk' can be run")
    for name in _OTHER:
        if cfg.get(name):
            raise ModelError(f"{folder} needs more than activations to be run ({name}); give a dictionary without it")
    found = tensors(path)
    W_enc, W_dec = matrices(found, path, "encoder.weight", "W_dec")
    b_enc, b_dec = take(found, path, "encoder.bias", "b_dec")
    d_in = count(cfg.get("d_in"), folder / "cfg.json", "d_in")
    if W_enc.shape[1] != d_in:
        raise ModelError(f"{folder}: cfg.json says d_in={d_in}, and encoder.weight has shape {tuple(W_enc.shape)}")
    transcode = bool(cfg.get("transcode", False))
    skip = take(found, path, "W_skip")[0] if cfg.get("skip_connection") else None
    if skip is not None and not transcode:
        raise ModelError(f"{folder} is an autoencoder with a skip connection, which would only copy; it is not run")
    return Dictionary(
        kind="topk", W_enc=W_enc, b_enc=b_enc if transcode else centred(W_enc, b_enc, b_dec), W_dec=W_dec, b_dec=b_dec,
        k=count(cfg.get("k", 32), folder / "cfg.json", "k"), W_skip=skip, transcode=transcode,
    )  # fmt: skip


def write_sparsify(dictionary: Dictionary, folder: Path) -> None:
    """Write a TopK dictionary. Raises ModelError for another kind, for a transcoder whose sites differ in width, and
    for a folder that exists."""
    d = dictionary
    if d.kind != "topk" or d.d_in != d.d_out:
        raise ModelError(f"the form of sparsify holds topk dictionaries that give what they read, or as many numbers;"
                         f" this is a {d.kind} of {d.d_in} to {d.d_out}; write the form of SAELens")  # fmt: skip
    bias = d.b_enc if d.transcode else d.b_enc + d.W_enc @ d.b_dec
    kept = {"encoder.weight": d.W_enc, "encoder.bias": bias, "W_dec": d.W_dec, "b_dec": d.b_dec}
    cfg: dict[str, Any] = {
        "activation": "topk", "d_in": d.d_in, "expansion_factor": max(1, d.width // d.d_in), "k": d.k,
        "multi_topk": False, "normalize_decoder": not d.transcode, "num_latents": d.width,
        "skip_connection": d.W_skip is not None, "transcode": d.transcode,
    }  # fmt: skip
    save(Path(folder), WEIGHTS, kept if d.W_skip is None else {**kept, "W_skip": d.W_skip}, cfg)
