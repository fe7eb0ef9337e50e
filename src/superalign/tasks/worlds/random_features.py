"""`random-features`: points on a sphere, and the sign of a linear function as the truth.

The world of the theory of weak-to-strong learning with random features (Medvedev et al. 2025, arXiv 2503.02877):
a teacher with few random ReLU features supervises a student with many, and both can be solved in closed form.
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
    from superalign.core.ports import Floats

CHOICES = ("negative", "positive")


def random_features(*, n: int = 4500, dimension: int = 32, seed: int = 0) -> Pool:
    """`n` points uniform on the unit sphere in R^dimension; the class is the sign of `beta . x` for a hidden beta.

    Inputs are float64 of shape (n, dimension). A larger `n` adds points and leaves the first ones as they are.
    Raises TaskError for n or dimension below 2.
    """
    if not (isinstance(n, int) and isinstance(dimension, int) and n >= 2 and dimension >= 2):
        raise TaskError(
            f"random-features needs whole numbers n and dimension of 2 or more, got n={n}, dimension={dimension}"
        )
    points = stream(seed, "worlds/random-features/points", dimension).standard_normal((n, dimension))
    points /= (points**2).sum(axis=1, keepdims=True) ** 0.5
    beta = stream(seed, "worlds/random-features/beta", dimension).standard_normal(dimension)
    labels = ((points * beta).sum(axis=1) > 0).astype(int)
    ids = [digest("random-features", 1, dimension, seed, k)[:16] for k in range(n)]
    row = {item_id: k for k, item_id in enumerate(ids)}

    def inputs(wanted: Sequence[str]) -> Floats:
        return points[[row[i] for i in wanted]]

    items = tuple(Item(item_id, f"point {k}", CHOICES) for k, item_id in enumerate(ids))
    key = {item_id: int(labels[k]) for k, item_id in enumerate(ids)}
    return Pool("random-features", items, key, CHOICES, inputs=inputs)
