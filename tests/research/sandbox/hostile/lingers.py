"""Leaves threads and exit handlers that do not end."""

from __future__ import annotations

import atexit
import threading
import time
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    atexit.register(time.sleep, 60)
    threading.Thread(target=time.sleep, args=(60,)).start()
    return np.zeros(len(public["x"]))
