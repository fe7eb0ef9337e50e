"""Threads, set once and said aloud.

Tiny models on few cores lose 5 to 20 times when BLAS, OpenMP and torch each start a thread per core.
"""

from __future__ import annotations

import os

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit(threads: int | None = None) -> int:
    """Set the number of threads for every library that is loaded after this call; the environment wins.

    Call it before numpy or torch is imported. Returns the number in force.
    """
    wanted = threads or int(os.environ.get(VARIABLES[0], 0) or 0) or cores()
    for variable in VARIABLES:
        if threads:
            os.environ[variable] = str(threads)
        else:
            os.environ.setdefault(variable, str(wanted))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true" if wanted > 1 else "false")
    return wanted
