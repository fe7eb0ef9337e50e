"""Runs a program of its own: writes a file, makes it executable, starts it. Answers how often it could."""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    found = 0
    with open("/scratch/program", "wb") as file:
        file.write(Path(sys.executable).read_bytes()[: 1 << 20])
    os.chmod("/scratch/program", 0o755)
    with contextlib.suppress(OSError):
        handle = os.open("/scratch/program", os.O_RDONLY)
        mmap.mmap(handle, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
        found += 1
    with contextlib.suppress(OSError):
        os.execv("/scratch/program", ["program", "-c", "pass"])
    return np.full(len(public["x"]), float(found))
