"""Crashes the interpreter."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    ctypes.string_at(0)
    return None
