"""The bounds of one run.

Resource limits of Linux hold for a process, not for a tree, and a control group that one may write to is rare outside
of systemd's user slices. So the memory of the tree is divided: each process may map its share, and the kernel bounds
their number. That number is counted per user namespace since Linux 5.14, so the user's other processes do not count. What the kernel holds for pipes and sockets is beside that: tens of
megabytes at most, with 64 open files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from superalign.core.errors import SpecError

MIB = 1 << 20
SMALLEST = 256 * MIB
"""Address space of each process, at least: numpy starts with 160 MiB (OpenBLAS with one thread); scipy and scikit-learn
ask for 500."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`wall` and `cpu` in seconds (`cpu` of each process), `memory` of all processes and the scratch folder together,
    `processes` at once with threads counted, `disk` of the scratch folder, `result` of the file of predictions and
    `output` of what is printed, all in bytes; `files` open at once. A run that prints more than `output` is ended."""

    wall: float = 60.0
    cpu: int = 60
    memory: int = 2048 * MIB
    processes: int = 1
    disk: int = 64 * MIB
    result: int = 16 * MIB
    files: int = 64
    output: int = 64 * 1024

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise SpecError(f"limit {name}={value!r}; give a number above 0")
            if name != "wall" and not isinstance(value, int):
                raise SpecError(f"limit {name}={value!r}; give a whole number")
        if self.share < SMALLEST:
            raise SpecError(
                f"memory={self.memory} less disk={self.disk} leaves {self.share} bytes to each of {self.processes} "
                f"processes, and one needs {SMALLEST}; give memory={self.disk + SMALLEST * self.processes} or more"
            )

    @property
    def share(self) -> int:
        """Bytes that one process may map."""
        return (self.memory - self.disk) // self.processes
