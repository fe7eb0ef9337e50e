"""One random stream per step.

A stream is derived from the seed, the name of the step and that step's inputs, so adding a method
or a seed changes nothing else, and two steps never share draws by accident (a weak model and a
strong model on one stream make correlated errors, which once turned a PGR of +0.5 into -0.6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from superalign.core.digest import digest

if TYPE_CHECKING:
    import numpy as np


def derive(seed: int, step: str, *inputs: Any) -> int:
    """A 63-bit seed for `step`, a pure function of its arguments."""
    return int(digest(seed, step, *inputs)[:16], 16) >> 1


def stream(seed: int, step: str, *inputs: Any) -> np.random.Generator:
    """The random stream of `step`."""
    import numpy as np

    return np.random.default_rng(derive(seed, step, *inputs))
