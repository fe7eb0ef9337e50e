"""Fills the scratch folder, with data and with names. Answers the bytes that it could write."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    written = 0
    with contextlib.suppress(OSError):
        for number in range(100_000):
            with open(f"/scratch/{number}", "wb", buffering=0) as file:
                written += file.write(bytes(1 << 20))
    with contextlib.suppress(OSError):
        for number in range(10_000):
            open(f"/scratch/empty-{number}", "wb").close()
    print(written)
    raise OSError(str(written))
