"""`digits`: 1,797 real handwritten digits of 8x8 pixels, from scikit-learn (UCI, Alpaydin and Kaynak 1998).

The inputs are vectors of 64 numbers: pixels / 16, less the mean image. The two-class targets (parity, at least
five, has a loop) are those on which random-feature students were measured against random-feature teachers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from superalign.core.errors import TaskError
from superalign.core.types import Item
from superalign.tasks.pool import Pool, content_id

if TYPE_CHECKING:
    from superalign.core.ports import Floats

Target = Literal["parity", "ge5", "loop", "digit"]

TARGETS: dict[str, tuple[tuple[str, ...], Callable[[int], int]]] = {
    "parity": (("even", "odd"), lambda digit: digit % 2),
    "ge5": (("below five", "five or more"), lambda digit: int(digit >= 5)),
    "loop": (("no loop", "loop"), lambda digit: int(digit in (0, 6, 8, 9))),
    "digit": (tuple(str(k) for k in range(10)), lambda digit: digit),
}


def digits(*, target: Target = "parity", unseen: bool = False) -> Pool:
    """All images; `target` is `parity`, `ge5`, `loop` (0, 6, 8, 9) or `digit` (ten classes).

    `unseen` leaves out the third of the images whose digits the model `pretrained-digits` was taught, so that
    what it is tested on is new to it. Inputs are float64 of shape (n, 64). Raises TaskError for another target.
    """
    if target not in TARGETS:
        raise TaskError(f"digits has no target {target!r}; type target={', target='.join(TARGETS)}")
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    vectors = images / 16.0
    vectors = vectors - vectors.mean(axis=0)
    choices, answer = TARGETS[target]
    items, key, row = [], {}, {}
    for k, label in enumerate(labels):
        if unseen and taught(images[k]):
            continue
        prompt = f"digit image {k:04d}"
        item = Item(content_id(prompt, choices), prompt, choices)
        items.append(item)
        key[item.id] = answer(int(label))
        row[item.id] = k

    def inputs(ids: Sequence[str]) -> Floats:
        return vectors[[row[i] for i in ids]]  # type: ignore[no-any-return]

    return Pool(f"digits-{target}{'-unseen' if unseen else ''}", tuple(items), key, choices, inputs=inputs)


def taught(image: Floats) -> bool:
    """Whether this image (64 pixels, 0 to 16) is one of the third set aside for pretraining, by its pixels' hash."""
    return int(hashlib.sha256(image.astype("uint8").tobytes()).hexdigest()[:8], 16) % 3 == 0
