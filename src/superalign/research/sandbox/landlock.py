"""Landlock (Linux 5.13): this process and all that it starts can open what they are granted, and nothing else.

It is the second wall behind the mount view. It also refuses TCP (ABI 4), and abstract sockets and signals that leave the
sandbox (ABI 6). It does not know of UDP: the network namespace is the guard there.
Source: the kernel's userspace-api/landlock page. Rights that the running ABI does not have are left out, never assumed.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from superalign.research.sandbox import linux

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture
_PATH_BENEATH = 1

_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE = 1 << 4 | 1 << 5
_MAKE = 1 << 7 | 1 << 8 | 1 << 12  # folders, files and symlinks; no devices, sockets or pipes
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE
_ADDED = ((1, 13), (2, 14), (3, 15), (5, 16))
"""From which ABI on there are how many rights over files."""

RUN = _EXECUTE | _READ | _LIST
LOOK = _READ | _LIST
USE = _READ | _WRITE
KEEP = _READ | _LIST | _WRITE | _REMOVE | _MAKE | _REFER | _TRUNCATE


def abi() -> int:
    """The version that the kernel speaks; 0 where there is none."""
    try:
        return linux.syscall(_CREATE, None, 0, 1, what="landlock")
    except OSError:
        return 0


def _known(version: int) -> int:
    return (1 << max(bits for since, bits in _ADDED if version >= since)) - 1


def restrict(grants: Iterable[tuple[str, int]]) -> None:
    """Leave this process the rights granted below each path, for good. Raises OSError where the kernel refuses."""
    version = abi()
    if version < 1:
        raise OSError("this kernel has no Landlock")
    files = _known(version)
    net = 3 if version >= 4 else 0
    scoped = 3 if version >= 6 else 0
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = ctypes.create_string_buffer(struct.pack("=QQQ", files, net, scoped)[:size], size)
    handle = linux.syscall(_CREATE, rules, size, 0, what="landlock_create_ruleset")
    try:
        for path, rights in grants:
            _grant(handle, path, rights & files)
        linux.syscall(_RESTRICT, handle, 0, what="landlock_restrict_self")
    finally:
        os.close(handle)


def _grant(handle: int, path: str, rights: int) -> None:
    below = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(below).st_mode):
            rights &= _OF_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, below), 12)
        linux.syscall(_ADD, handle, _PATH_BENEATH, rule, 0, what=f"landlock_add_rule for {path}")
    finally:
        os.close(below)
