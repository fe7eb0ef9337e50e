"""Saves an object that would run code where it is unpickled, in the place of its predictions."""

from __future__ import annotations

import os
from typing import Any

import numpy as np


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    trap = np.empty(1, dtype=object)
    trap[0] = Trap(bytes(public["marker"]).decode())
    np.save("/scratch/predictions.npy", trap, allow_pickle=True)
    os._exit(0)
