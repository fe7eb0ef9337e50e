"""Leaves something that is no file where its predictions are looked for: reading it could block for ever."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    path = "/scratch/predictions.npy"
    with contextlib.suppress(OSError):
        os.mkfifo(path)
    with contextlib.suppress(OSError):
        socket.socket(socket.AF_UNIX).bind(path)
    with contextlib.suppress(OSError):
        os.mkdir(path)
    os._exit(0)
