"""Leaves a grandchild behind in a session of its own, which answers later."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        for handle in range(4):
            os.close(handle)
        time.sleep(60)
        os._exit(0)
    time.sleep(0.05)
    return np.zeros(len(public["x"]))
