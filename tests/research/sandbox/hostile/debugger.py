"""Attaches to other processes, or reads their memory with system calls. Answers how often it could."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    libc = ctypes.CDLL(None)
    own, found = os.getpid(), 0
    buffer = ctypes.create_string_buffer(64)
    piece = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 64)
    for process in (*range(1, 50), int(public["caller"])):
        if process != own:
            found += libc.ptrace(16, process, None, None) == 0
            found += (
                libc.process_vm_readv(process, piece, ctypes.c_ulong(1), piece, ctypes.c_ulong(1), ctypes.c_ulong(0))
                > 0
            )
            print(buffer.raw)
    return np.full(len(public["x"]), float(found))
