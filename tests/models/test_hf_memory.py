"""Freed memory stays with the process: a step does not fault its pages in again."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import os, resource, sys
os.environ.pop("MALLOC_TRIM_THRESHOLD_", None)
import torch
torch.set_num_threads(1)
from superalign.models.hf.memory import keep_freed

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        held = [torch.ones(1_000_000) for _ in range(5)]
        del held
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
    assert int(without) > 5_000  # 20 MB in pages of 4 KiB, 20 times, as far as they were given back
    assert int(after) < int(without) / 10
