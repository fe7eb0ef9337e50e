"""Activations with known directions, and small dictionaries of every kind."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from superalign.core.random import stream
from superalign.interp.dictionaries.dictionary import Dictionary, Kind


def planted(rows: int, d: int, directions: int, active: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """x (rows, d), each row a sum of `active` of the `directions` (directions, d), around a mean that is not 0."""
    rng = stream(seed, "test/planted")
    basis = rng.standard_normal((directions, d))
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    which = rng.integers(0, directions, (rows, active))
    sizes = rng.lognormal(0, 0.25, (rows, active))
    x = (sizes[..., None] * basis[which]).sum(1) + 0.02 * rng.standard_normal((rows, d)) + 1.0
    return torch.tensor(x, dtype=torch.float32), torch.tensor(basis, dtype=torch.float32)


def numbers(*shape: int, seed: int = 0, wide: bool = False) -> Tensor:
    """Normal numbers."""
    drawn = torch.from_numpy(stream(seed, "test/numbers", list(shape)).standard_normal(shape))
    return drawn if wide else drawn.float()


def small(
    kind: Kind = "topk", d: int = 6, latents: int = 16, *, skip: bool = False, transcode: bool = False
) -> Dictionary:
    """A random dictionary."""
    return Dictionary(
        kind=kind,
        W_enc=numbers(latents, d, seed=1),
        b_enc=numbers(latents, seed=2),
        W_dec=numbers(latents, d, seed=3),
        b_dec=numbers(d, seed=4),
        k=3 if kind == "topk" else None,
        threshold=numbers(latents, seed=5).abs() if kind in ("jumprelu", "batchtopk") else None,
        W_skip=numbers(d, d, seed=6) if skip else None,
        transcode=transcode or skip,
    )


def dense(dictionary: Dictionary, x: Tensor) -> Tensor:
    """(n, F) activations by the definition of the kind."""
    pre = x @ dictionary.W_enc.T + dictionary.b_enc
    if dictionary.kind == "topk":
        assert dictionary.k is not None
        kth = pre.sort(1, descending=True).values[:, dictionary.k - 1 : dictionary.k]
        return torch.where(pre >= kth, pre, 0).relu()
    level = 0 if dictionary.threshold is None else dictionary.threshold
    return torch.where(pre > level, pre, 0).relu()
