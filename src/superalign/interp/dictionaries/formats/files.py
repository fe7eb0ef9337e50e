"""Opening what others wrote: tensors without pickle, JSON objects, and errors that say what was expected."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superalign.core.errors import ModelError
from superalign.models.hf.folder import whole

Tensors = dict[str, Tensor]
_REAL = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def tensors(path: Path) -> Tensors:
    """The tensors of a safetensors file, or of an .npz without objects, real ones as float32.

    Raises ModelError for a file that is missing, damaged or of another kind.
    """
    try:
        found = _arrays(path) if path.suffix == ".npz" else _safetensors(path)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"cannot read {path}: {_first_line(error)}") from error
    return {name: t.float() if t.dtype in _REAL else t for name, t in found.items()}


def settings(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ModelError where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {_first_line(error)}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} is not a JSON object")
    return found


def take(found: Tensors, path: Path, *names: str) -> list[Tensor]:
    """Some tensors by name. Raises ModelError that lists what is missing and what there is."""
    missing = [name for name in names if name not in found]
    if missing:
        there = ", ".join(f"{name} {tuple(t.shape)}" for name, t in sorted(found.items()))
        raise ModelError(f"{path} has no {' and no '.join(missing)}; there is: {there or 'nothing'}")
    return [found[name] for name in names]


def matrices(found: Tensors, path: Path, *names: str) -> list[Tensor]:
    """As `take`, of tables of numbers. Raises ModelError for other shapes."""
    chosen = take(found, path, *names)
    for name, tensor in zip(names, chosen, strict=True):
        if tensor.dim() != 2 or not tensor.numel():
            raise ModelError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, and a table of two dimensions is expected"
            )
    return chosen


def scalar(found: Tensors, path: Path, name: str) -> float:
    """One number. Raises ModelError for several."""
    (tensor,) = take(found, path, name)
    if tensor.numel() != 1:
        raise ModelError(f"{path}: {name} has shape {tuple(tensor.shape)}, and one number is expected")
    return float(tensor)


def count(value: Any, path: Path, name: str) -> int:
    """A positive whole number of a JSON file."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelError(f"{path}: {name} must be a whole number above 0, got {value!r}")
    return value


def centred(W_enc: Tensor, b_enc: Tensor, b_dec: Tensor) -> Tensor:
    """The bias (F,) of an encoder that subtracts `b_dec` from its input first. Raises ModelError for other shapes."""
    if W_enc.dim() != 2 or b_dec.shape != W_enc.shape[1:] or b_enc.shape != W_enc.shape[:1]:
        raise ModelError(
            f"an encoder {tuple(W_enc.shape)} with biases {tuple(b_enc.shape)} and {tuple(b_dec.shape)} does not fit "
            "together; it takes (latents, width), (latents,) and (width,)"
        )
    return b_enc - W_enc @ b_dec


def save(folder: Path, weights: str, kept: Mapping[str, Tensor], cfg: Mapping[str, Any]) -> None:
    """Write a new folder with `cfg.json` and the tensors. Raises ModelError where it exists already."""
    from safetensors.torch import save_file

    def write(into: Path) -> None:
        save_file({name: t.detach().cpu().contiguous() for name, t in kept.items()}, into / weights)
        text = json.dumps(cfg, indent=1, sort_keys=True, allow_nan=False)
        (into / "cfg.json").write_text(text + "\n", encoding="utf-8")

    try:
        whole(folder, write)
    except OSError as error:
        raise ModelError(f"cannot write {folder}: {error.strerror or error}") from error


def _safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found: Tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"not a safetensors file ({_first_line(error)})") from error
    return found


def _arrays(path: Path) -> Tensors:
    with path.open("rb") as file:  # np.load leaves the file of a damaged archive open
        kept = np.load(file, allow_pickle=False)
        if not isinstance(kept, np.lib.npyio.NpzFile):
            raise ValueError("one array where several are expected")
        return {name: torch.from_numpy(np.ascontiguousarray(kept[name])) for name in kept.files}


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
