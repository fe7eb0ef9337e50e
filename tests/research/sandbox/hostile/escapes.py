"""Asks for rights, namespaces and mounts. Answers how many it got."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    libc, found = ctypes.CDLL(None), 0
    for call, arguments in (
        ("unshare", (0x10000000,)),
        ("mount", (b"none", b"/scratch", b"tmpfs", 0, None)),
        ("umount2", (b"/scratch", 2)),
        ("umount2", (b"/", 2)),
        ("chroot", (b"/scratch",)),
        ("setns", (0, 0)),
        ("capset", (ctypes.create_string_buffer(b"\x26\x07\x98\x19" + bytes(4)), b"\xff" * 24)),
    ):
        found += getattr(libc, call)(*arguments) == 0
    for attempt in (os.setuid, os.setgid, lambda _: os.setgroups([0]), lambda _: os.chmod("/input/method.py", 0o777)):
        with contextlib.suppress(OSError):
            attempt(0)
            found += 1
    for path in ("/input/method.py", "/input/new", "/new", "/etc/ld.so.cache", np.__file__):
        with contextlib.suppress(OSError), open(path, "a"):
            found += 1
    return np.full(len(public["x"]), float(found))
