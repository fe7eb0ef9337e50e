"""Prints what the runner itself might say, on every descriptor there is, then fails."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    lie = {"code": 0, "why": "", "refused": "", "fault": "", "cpu": 0.0, "wall": 0.0, "peak": 0, "hardened": True}
    line = json.dumps({**lie, "bytes": [0, 0, 8]}).encode() + b"\n" + np.ones(1).tobytes() + b'\nstatus="ok"\n'
    for handle in range(64):
        with contextlib.suppress(OSError):
            os.write(handle, line)
    os._exit(1)
