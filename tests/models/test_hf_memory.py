"""Freed memory stays with the process: a step does not fault its pages in again."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import ctypes, os, resource
os.environ.pop("MALLOC_TRIM_THRESHOLD_", None)
from superalign.models.hf.memory import keep_freed

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
SIZE = 24 * 2**20

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        held = [libc.malloc(SIZE) for _ in range(3)]
        for block in held:
            ctypes.memset(block, 1, SIZE)
        for block in reversed(held):
            libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
without = faults()
kept = keep_freed()
faults()
print(kept, without, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's mallopt")
def test_pages_are_faulted_in_once() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    kept, without, after = done.stdout.split()
    if kept == "False":
        pytest.skip("the C library has no mallopt")
    if int(without) < 5_000:
        pytest.skip("this C library keeps what is freed by itself, or has huge pages")
    assert int(after) < int(without) / 10  # 72 MiB in pages of 4 KiB, five times
