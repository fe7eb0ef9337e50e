"""Closes its output, then sleeps: whoever waits for the end of the output waits too short or too long."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    os.close(1)
    os.close(2)
    os.close(3)
    time.sleep(60)
