"""What a sandbox keeps from the code in it, what a run needs it to keep, and the refusal where the two differ.

A backend declares capabilities and proves them by live attempts (`probes`): one that gets through strikes the
capability that it disproves. A run whose needs are not covered is refused; there is no "warn and go on".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from superalign.core.errors import UserError

Net = Literal["none", "loopback", "host"]
Files = Literal["landlock", "mount", "none"]
Labels = Literal["uid", "landlock", "mount", "none"]


class SandboxRefused(UserError):
    """The sandbox cannot keep what a run needs it to keep."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What holds for code in the sandbox.

    `net`: what it reaches. `files`: what hides other files: `mount` is a view of the interpreter, its libraries and the
    inputs, `landlock` is that view and the kernel's Landlock. `label_isolation`: what stands between it and a file of
    labels that the caller can read: another user id, Landlock, the view, or nothing. `tree_memory` and
    `tree_processes`: bounds on everything that it starts together. `cpu`: seconds of each process, so that the tree
    has at most processes x wall. `wall`: everything in it ends at the deadline. `clean_environment`: none of the
    caller's variables.
    """

    net: Net = "host"
    files: Files = "none"
    label_isolation: Labels = "none"
    tree_memory: bool = False
    tree_processes: bool = False
    cpu: bool = False
    wall: bool = False
    clean_environment: bool = False


@dataclass(frozen=True, slots=True)
class Needs:
    """The least that a run asks for; the default is everything. `net` is the most that it may reach; `files` and
    `labels` ask for other files and labels to be hidden by one means or another."""

    net: Net = "none"
    files: bool = True
    labels: bool = True
    tree_memory: bool = True
    tree_processes: bool = True
    cpu: bool = True
    wall: bool = True
    clean_environment: bool = True

    def missing(self, found: Capabilities) -> Iterator[str]:
        """Every need that is not covered, in words."""
        order: tuple[Net, ...] = ("none", "loopback", "host")
        if order.index(found.net) > order.index(self.net):
            yield f"the network is {found.net}, not {self.net}"
        if self.files and found.files == "none":
            yield "other files are within reach"
        if self.labels and found.label_isolation == "none":
            yield "labels that you can read are within reach"
        for name, lack in _LACKS.items():
            if getattr(self, name) and not getattr(found, name):
                yield lack


_LACKS = {
    "tree_memory": "the memory of all its processes together is not bounded",
    "tree_processes": "the number of its processes is not bounded",
    "cpu": "processor time is not bounded",
    "wall": "it may outlive its deadline",
    "clean_environment": "your environment variables are within reach",
}
