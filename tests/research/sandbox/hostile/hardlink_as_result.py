"""Leaves a second name of a file outside where its predictions are looked for."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    for path in (bytes(public["key"]).decode(), "/input/public.npz", "/usr/lib/os-release", "/sealed"):
        with contextlib.suppress(OSError):
            os.link(path, "/scratch/predictions.npy")
    os._exit(0)
