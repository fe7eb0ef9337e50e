"""Prints what would clear a terminal, hide a line, or turn text around."""

from __future__ import annotations

from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    print("\x1b[2J\x1b[1;1Hall is well\r\x07\u202egnp.exe\u2066\ufeff\u200b\x00\x9b1m" + chr(0xE0041))
    return np.zeros(len(public["x"]))
