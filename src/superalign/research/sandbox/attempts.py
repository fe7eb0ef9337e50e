"""What a sandbox must refuse, tried from inside: a method file of our own that `probes` runs.

It is loaded as a file, with nothing of ours within reach. It answers 1.0 for each attempt that got through.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import socket
from collections.abc import Callable
from typing import Any

import numpy as np

NAMES = (
    "tcp", "udp", "abstract", "label", "sealed", "write", "processes", "trace", "memory_read", "signal",
    "environment", "memory", "shared_memory", "disk", "fork", "cpu",
)  # fmt: skip

_PTRACE_ATTACH = 16


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> np.ndarray[Any, Any]:
    """One number per name of `NAMES`. `seed` is the process id of the caller."""
    text = {name: bytes(public[name]).decode() for name in ("label", "abstract", "secret")}
    attempts: dict[str, Callable[[], bool]] = {
        "tcp": lambda: connects(socket.AF_INET, ("127.0.0.1", int(public["tcp"]))),
        "udp": lambda: sends(int(public["udp"])),
        "abstract": lambda: connects(socket.AF_UNIX, "\0" + text["abstract"]),
        "label": lambda: reads(text["label"]),
        "sealed": lambda: reads("/sealed"),
        "write": lambda: any(writes(folder) for folder in (os.path.dirname(text["label"]), "/", "/input", "/tmp")),
        "processes": lambda: any(reads(f"/proc/{p}/environ") for p in ("self", 1, os.getppid(), seed)),
        "trace": lambda: traces(seed) or traces(os.getppid()),
        "memory_read": lambda: peeks(seed) or peeks(os.getppid()),
        "signal": lambda: signals(seed),
        "environment": lambda: text["secret"] in os.environ,
        "memory": lambda: maps(int(public["share"])),
        "shared_memory": shares,
        "disk": lambda: fills(int(public["disk"])),
        "fork": lambda: forks(int(public["processes"])),
        "cpu": lambda: lasts(int(public["cpu"])),
    }
    return np.array([float(through(attempts[name])) for name in NAMES])


def through(attempt: Callable[[], bool]) -> bool:
    """Whether an attempt got through; to be refused is to raise or to answer False."""
    try:
        return attempt()
    except (OSError, MemoryError, ValueError, AttributeError):
        return False


def connects(family: socket.AddressFamily, address: Any) -> bool:
    """A connection to a server of the caller."""
    with socket.socket(family, socket.SOCK_STREAM) as line:
        line.settimeout(2.0)
        line.connect(address)
    return True


def sends(port: int) -> bool:
    """A datagram, which no connection precedes. Landlock alone lets it pass."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        return line.sendto(b"probe", ("127.0.0.1", port)) > 0


def reads(path: str) -> bool:
    """A byte of a file."""
    with open(path, "rb") as file:
        return bool(file.read(1))


def writes(folder: str) -> bool:
    """A new file outside of the scratch folder."""

    def write() -> bool:
        with open(f"{folder}/superalign-probe", "xb"):
            return True

    return through(write)


def _libc(name: str, *arguments: Any) -> bool:
    found = getattr(ctypes.CDLL(None), name)
    found.restype = ctypes.c_int  # -1 is a refusal
    return int(found(*arguments)) >= 0


def traces(process: int) -> bool:
    """Attaching to a process as a debugger does."""
    return process > 1 and _libc("ptrace", _PTRACE_ATTACH, process, None, None)


def peeks(process: int) -> bool:
    """Reading the memory of another process: eight bytes where this one has a buffer."""
    buffer = ctypes.create_string_buffer(8)
    piece = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    where = ctypes.byref(piece)
    return _libc("process_vm_readv", process, where, ctypes.c_ulong(1), where, ctypes.c_ulong(1), ctypes.c_ulong(0))


def signals(process: int) -> bool:
    """Whether the caller's process can be named at all."""
    os.kill(process, 0)
    return process not in (os.getpid(), os.getppid())


def maps(share: int) -> bool:
    """More memory than a process's share."""
    with mmap.mmap(-1, share) as memory:
        return len(memory) == share


def shares() -> bool:
    """Memory that no address space holds, so that limits of address space do not count it."""
    if through(lambda: os.memfd_create("probe") >= 0):
        return True
    return _libc("shmget", 0, ctypes.c_size_t(1 << 20), 0o1600)


def fills(disk: int) -> bool:
    """More on the scratch folder than it may hold, in several files since the size of one is bounded too."""
    paths = ["/scratch/probe-a", "/scratch/probe-b"]
    try:
        for path in paths:
            with open(path, "wb", buffering=0) as file:
                left = disk // 2 + (1 << 16)
                while left > 0:
                    left -= file.write(b"\1" * min(left, 1 << 20))
        return True
    finally:
        for path in paths:
            if os.path.exists(path):
                os.unlink(path)


def forks(processes: int) -> bool:
    """One process more than there may be at once, this one counted."""
    children = []
    try:
        for _ in range(processes):
            child = os.fork()
            if not child:
                signal.pause()
                os._exit(0)
            children.append(child)
        return True
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def lasts(seconds: int) -> bool:
    """More processor time than a process may have, by raising its own bound."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY or hard > seconds + 1:
        return True
    resource.setrlimit(resource.RLIMIT_CPU, (hard + 1, hard + 1))
    return True
