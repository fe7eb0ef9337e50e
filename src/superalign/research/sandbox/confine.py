"""Sets the resource limits of the process that becomes the method. Unix only."""

from __future__ import annotations

import resource

from superalign.research.sandbox.limits import Limits


def confine(limits: Limits, beside: int) -> None:
    """Set this process's resource limits, for good. `beside` is the number of processes that watch over it and that
    the kernel counts with it. Raises OSError where the system refuses one."""
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, limits.share),
        (resource.RLIMIT_FSIZE, limits.disk),
        (resource.RLIMIT_NOFILE, limits.files),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_NPROC, limits.processes + beside),
    ):
        _lower(kind, value, value)
    _lower(resource.RLIMIT_CPU, limits.cpu, limits.cpu + 1)  # SIGXCPU, then SIGKILL


def _lower(kind: int, soft: int, hard: int) -> None:
    """Set a limit; one that is lower already stays."""
    there = resource.getrlimit(kind)[1]
    if there != resource.RLIM_INFINITY:
        soft, hard = min(soft, there), min(hard, there)
    resource.setrlimit(kind, (soft, hard))
