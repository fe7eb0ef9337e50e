"""`hidden-manifold`: observations of a hidden 8-dimensional state, and concepts that are half-spaces of it.

`z ~ N(0, I_8)`, `x = 2 tanh(2 z A) B + N(0, I_128)` and `concept = 1[z . h > 0]`, with A 8x128 / sqrt(8) and
B 128x128 / sqrt(128) (after the hidden-manifold model of Goldt et al. 2020, Physical Review X 10, 041044).
A strong model is pretrained on 64 concepts (`concepts`), which teach it the hidden state; the task asks for a
concept that is none of them. This is the world for pretraining, fine-tuning and over-fitting to a weak supervisor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from superalign.core.digest import digest
from superalign.core.errors import TaskError
from superalign.core.random import stream
from superalign.core.types import Item
from superalign.tasks.pool import Pool

if TYPE_CHECKING:
    import numpy as np

    from superalign.core.ports import Floats, Ints

CHOICES = ("no", "yes")
HIDDEN = 8
OBSERVED = 128
CONCEPTS = 64


def hidden_manifold(*, n: int = 6000, seed: int = 0) -> Pool:
    """`n` observations and one concept of the world `seed`.

    Inputs are float32 of shape (n, 128). A larger `n` adds points and leaves the first ones as they are.
    Raises TaskError for n below 2.
    """
    if not isinstance(n, int) or n < 2:
        raise TaskError(f"hidden-manifold needs a whole number n of 2 or more, got n={n}")
    points, hidden = _observe(seed, n, stream(seed, "worlds/hidden-manifold/points"))
    concept = stream(seed, "worlds/hidden-manifold/task").standard_normal(HIDDEN)
    labels = ((hidden * concept).sum(axis=1) > 0).astype(int)
    ids = [digest("hidden-manifold", 1, seed, k)[:16] for k in range(n)]
    row = {item_id: k for k, item_id in enumerate(ids)}

    def inputs(wanted: Sequence[str]) -> Floats:
        return points[[row[i] for i in wanted]]

    items = tuple(Item(item_id, f"observation {k}", CHOICES) for k, item_id in enumerate(ids))
    key = {item_id: int(labels[k]) for k, item_id in enumerate(ids)}
    return Pool("hidden-manifold", items, key, CHOICES, inputs=inputs)


def concepts(seed: int, n: int, draw: int = 0) -> tuple[Floats, Ints]:
    """Pretraining data of the world `seed`: observations (n, 128) float32 and 64 concepts (n, 64) of 0 and 1.

    The task's concept is not among them, and no observation of the task is. Another `draw` gives fresh points.
    """
    points, hidden = _observe(seed, n, stream(seed, "worlds/hidden-manifold/pretraining", draw))
    directions = stream(seed, "worlds/hidden-manifold/concepts").standard_normal((HIDDEN, CONCEPTS))
    return points, (hidden @ directions > 0).astype(int)


def _observe(seed: int, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Observations (n, 128) float32 and their hidden states (n, 8)."""
    import numpy as np

    world = stream(seed, "worlds/hidden-manifold/world")
    A = world.standard_normal((HIDDEN, OBSERVED)) / HIDDEN**0.5
    B = world.standard_normal((OBSERVED, OBSERVED)) / OBSERVED**0.5
    draws = rng.standard_normal((n, HIDDEN + OBSERVED))  # row by row, so that the first points do not depend on n
    hidden = draws[:, :HIDDEN]
    observed = 2 * np.tanh(2 * hidden @ A) @ B + draws[:, HIDDEN:]
    return observed.astype(np.float32), hidden
