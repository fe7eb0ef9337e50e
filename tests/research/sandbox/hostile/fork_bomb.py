"""Forks for ever, children of children too. Answers how many processes it had at once."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    children: list[int] = []
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        try:
            child = os.fork()
        except OSError:
            continue
        if not child:
            while True:
                try:
                    os.fork()
                except OSError:
                    signal.pause()
        children.append(child)
    return np.full(len(public["x"]), float(len(children) + 1))
