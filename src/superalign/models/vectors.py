"""Linear heads on a task's vectors: as they are, through random features, and through a pretrained network.

`linear` and a narrow `random-features` are weak supervisors; a wide `random-features` is the strong
model of Medvedev et al. 2025 (arXiv 2503.02877); `pretrained-digits` has seen digits before, as a large
model has seen the world.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.errors import ModelError
from superalign.core.ports import Inputs
from superalign.core.random import stream
from superalign.core.types import Item
from superalign.models.head import GRID, WIDE_GRID, Featurise, HeadModel, softmax
from superalign.models.mlp import count, descend, forward, from_inputs, initial, layers

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints
    from superalign.core.steps import Steps

BODY = (64, 128, 64)
"""The layers of the network behind `pretrained-digits`, its inputs first."""


def linear(
    *, inputs: Inputs | None, steps: Steps, choices: tuple[str, ...], pool: int = 1, C: float | None = None
) -> HeadModel:
    """A linear head on the vectors. `pool=2` first averages squares of 2x2 pixels of a square image (8x8 images
    become 4x4). Without `C`, `variants()` offers a grid and `fit` takes C=1.
    """
    read = from_inputs("linear", inputs, choices)
    if pool < 1:
        raise ModelError(f"linear: pool must be at least 1, got {pool}")

    def featurise(items: Sequence[Item]) -> Floats:
        return pooled(read([item.id for item in items]), pool)

    return _headed("linear", {"model": "linear", "pool": pool}, featurise, choices, C, GRID)


def pooled(images: Floats, side: int) -> Floats:
    """Square images (n, s * s), averaged over squares of `side` pixels: (n, (s / side)^2)."""
    if side == 1:
        return images
    size = isqrt(images.shape[1])
    if size * size != images.shape[1] or size % side:
        raise ModelError(f"linear:pool={side} needs square images whose side {side} divides; these vectors have"
                         f" {images.shape[1]} numbers")  # fmt: skip
    cells = images.reshape(-1, size // side, side, size // side, side)
    means: Floats = cells.mean((2, 4)).reshape(len(images), -1)
    return means


def random_features(
    *,
    inputs: Inputs | None,
    steps: Steps,
    choices: tuple[str, ...],
    width: int = 1000,
    draw: int = 0,
    C: float | None = None,
) -> HeadModel:
    """A linear head on ReLU(x W + b) / sqrt(width), W ~ N(0, 1) and b ~ N(0, 1/4).

    W and b are drawn from `draw` and `width`, not from the seed of a fit: the features are this model's
    pretraining, and ceiling and students of all seeds must share them. Another `draw` is another model;
    models of two widths never share draws. Without `C`, `variants()` offers a grid and `fit` takes C=10.
    """
    read = from_inputs("random-features", inputs, choices)
    if width < 1:
        raise ModelError(f"random-features: width must be at least 1, got {width}")

    def featurise(items: Sequence[Item]) -> Floats:
        x = np.asarray(read([item.id for item in items]), np.float64)
        rng = stream(draw, "random-features", width)
        shift = 0.5 * rng.standard_normal(width)
        weights = rng.standard_normal((x.shape[1], width))
        values: Floats = np.maximum(x @ weights + shift, 0) / np.sqrt(width)
        return values

    identity = {"model": "random-features", "version": 1, "width": width, "draw": draw}
    return _headed("random-features", identity, featurise, choices, C, WIDE_GRID, default=10.0)


def pretrained_digits(
    *, inputs: Inputs | None, steps: Steps, choices: tuple[str, ...], C: float | None = None
) -> HeadModel:
    """A linear head on the last hidden layer (64, standardised) of a network that knows the ten digits.

    It was pretrained on a fixed third of scikit-learn's 1797 images, chosen by the hash of their pixels
    and with their ten digit labels; a task's own labels are never used. Since a task of digits draws its
    items from the same 1797, about a third of any split was seen in pretraining, with the digit but
    without the task's question, as it may have been for any pretrained model. Without `C`, `variants()`
    offers a grid and `fit` takes C=.1. Raises ModelError on inputs that are not 8x8 images.
    """
    read = from_inputs("pretrained-digits", inputs, choices)

    def featurise(items: Sequence[Item]) -> Floats:
        x = np.asarray(read([item.id for item in items]), np.float32)
        if x.shape[1] != BODY[0]:
            raise ModelError(f"pretrained-digits reads 8x8 images, and these vectors have {x.shape[1]} numbers")
        body = steps.run("pretrained-digits", 1, {"layers": list(BODY)}, _pretrain)
        hidden = forward(layers(body["weights"], BODY), x)[-1]
        values: Floats = (np.maximum(hidden, 0) - body["mean"]) / body["spread"]
        return values

    return _headed("pretrained-digits", {"model": "pretrained-digits", "version": 1}, featurise, choices, C, GRID, 0.1)


def _pretrain() -> Mapping[str, Any]:
    """Train the network on its third of the images: 1200 Adam steps of 32, 2e-3, ten classes."""
    images, digits = pretraining_set()
    sizes = (*BODY, 10)
    flat = initial(sizes, stream(0, "pretrained-digits/start"))
    rng = stream(0, "pretrained-digits/batches")
    batches = rng.integers(0, len(images), (1200, 32))

    def slope(step: int, outputs: Floats) -> Floats:
        pull: Floats = (softmax(outputs) - np.eye(10)[digits[batches[step]]]) / 32
        return pull

    descend(flat, sizes, len(batches), 2e-3, lambda step: images[batches[step]], slope)
    body = flat[: count(BODY)].copy()
    hidden = np.maximum(forward(layers(body, BODY), images)[-1], 0)
    return {"weights": body, "mean": hidden.mean(0), "spread": hidden.std(0) + 1e-3}


def pretraining_set() -> tuple[Floats, Ints]:
    """Images (n, 64), centred and divided by 16, and their digits (n,): the third that pretraining sees."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    mine = [int(hashlib.sha256(image.astype(np.uint8).tobytes()).hexdigest()[:8], 16) % 3 == 0 for image in raw.data]
    return ((raw.data - raw.data.mean(0)) / 16)[mine], raw.target[mine]


def _headed(
    name: str,
    identity: Mapping[str, Any],
    featurise: Featurise,
    choices: tuple[str, ...],
    C: float | None,
    grid: Sequence[float],
    default: float = 1.0,
) -> HeadModel:
    return HeadModel(name, identity, featurise, choices, C=default if C is None else C, grid=grid if C is None else ())
