"""Predicts words."""

from __future__ import annotations

from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    return ["yes"] * len(public["x"])
