"""Recurses until the stack ends."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    sys.setrecursionlimit(1 << 30)

    def deeper(depth: int) -> int:
        return deeper(depth + 1) + 1

    return deeper(0)
