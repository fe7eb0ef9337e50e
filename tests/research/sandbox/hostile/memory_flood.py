"""Takes memory until there is none."""

from __future__ import annotations

from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    taken = []
    while True:
        taken.append(np.ones(1 << 22))
