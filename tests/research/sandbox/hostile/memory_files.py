"""Reads the memory of its caller and of its parents through /proc."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    for process in (1, os.getppid(), int(public["caller"])):
        with contextlib.suppress(OSError):
            maps = Path(f"/proc/{process}/maps").read_text()
            print(maps)
            with open(f"/proc/{process}/mem", "rb") as memory:
                for line in maps.splitlines():
                    start, _, end = line.split()[0].partition("-")
                    memory.seek(int(start, 16))
                    print(memory.read(int(end, 16) - int(start, 16)))
    return np.zeros(len(public["x"]))
