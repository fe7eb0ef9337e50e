"""Prints for ever on descriptor 2."""

from __future__ import annotations

import os
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    while True:
        os.write(2, b"x" * 65536)
