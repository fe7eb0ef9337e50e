"""Leaves with a code that means success, and no predictions."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    sys.exit(0)
