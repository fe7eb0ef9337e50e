"""What the sandbox declares, and the live attempts that prove it, before anything of a stranger's is run.

The attempts run inside with everything in reach that they should not reach: a server on this machine, a file of labels
that the caller can read, a variable in the caller's environment, the caller itself. One that gets through strikes what
it disproves.
"""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from superalign.research.sandbox import landlock, seccomp
from superalign.research.sandbox.attempts import NAMES
from superalign.research.sandbox.capabilities import Capabilities, SandboxRefused
from superalign.research.sandbox.limits import MIB, Limits
from superalign.research.sandbox.process import job, perform
from superalign.research.sandbox.wire import Layer

_LIMITS = Limits(wall=30.0, cpu=20, memory=2 * 320 * MIB, processes=2, disk=4 * MIB)
_STRIKES: dict[str, tuple[str, ...]] = {
    "net": ("tcp", "udp", "abstract"),
    "files": ("label", "write"),
    "landlock": ("sealed",),
    "label_isolation": ("label", "processes", "trace", "memory_read", "signal"),
    "tree_memory": ("memory", "shared_memory", "disk"),
    "tree_processes": ("fork",),
    "cpu": ("cpu",),
    "clean_environment": ("environment",),
}
"""Which attempts disprove what."""

_ADVICE = (
    "superalign runs code that nobody has read only where Linux lets you make user namespaces. Where they are switched "
    "off, type as root: sysctl user.max_user_namespaces=10000 (and on Debian kernel.unprivileged_userns_clone=1, on "
    "Ubuntu kernel.apparmor_restrict_unprivileged_userns=0); a container needs --security-opt seccomp=unconfined"
)


def declared(off: tuple[Layer, ...] = ()) -> Capabilities:
    """What the sandbox should keep on this kernel, for this user."""
    walled = landlock.abi() > 0 and "landlock" not in off
    filtered = seccomp.known() and "seccomp" not in off
    viewed = "view" not in off
    return Capabilities(
        net="host" if "net" in off else "none",
        files="landlock" if walled else "mount" if viewed else "none",
        label_isolation="uid" if os.geteuid() == 0 else "landlock" if walled else "mount" if viewed else "none",
        tree_memory=filtered,
        tree_processes=True,
        cpu=True,
        wall=True,
        clean_environment="environment" not in off,
    )


@cache
def proven(off: tuple[Layer, ...] = ()) -> Capabilities:
    """What is declared less what an attempt disproved. Raises SandboxRefused where no sandbox can be made at all."""
    return struck(declared(off), attempt(off))


def struck(claim: Capabilities, through: frozenset[str]) -> Capabilities:
    """The capabilities that are left when some attempts got `through`."""

    def fallen(name: str) -> bool:
        return not through.isdisjoint(_STRIKES[name])

    files = claim.files
    if fallen("landlock") and files == "landlock":
        files = "mount"
    return replace(
        claim,
        net="host" if fallen("net") else claim.net,
        files="none" if fallen("files") else files,
        label_isolation="none" if fallen("label_isolation") else claim.label_isolation,
        tree_memory=claim.tree_memory and not fallen("tree_memory"),
        tree_processes=claim.tree_processes and not fallen("tree_processes"),
        cpu=claim.cpu and not fallen("cpu"),
        wall=claim.wall and "wall" not in through,
        clean_environment=claim.clean_environment and not fallen("clean_environment"),
    )


def attempt(off: tuple[Layer, ...] = ()) -> frozenset[str]:
    """The names of the attempts that got through. Raises SandboxRefused where they could not be made."""
    with ThreadPoolExecutor(1) as beside, _bait() as (public, reached):
        late = beside.submit(_outlives, off)
        code = Path(__file__).with_name("attempts.py")
        done = perform(job(code, "method", public, os.getpid(), _LIMITS, off), len(NAMES))
        outlived = late.result()
        arrived = reached()
    if done.status != "ok" or done.predictions is None:
        raise SandboxRefused(f"no sandbox could be made: {done.reason}. {done.said[-500:]}\n{_ADVICE}".strip())
    through = {name for name, value in zip(NAMES, done.predictions, strict=True) if value}
    return frozenset(through | arrived | ({"wall"} if outlived else set()))


def _outlives(off: tuple[Layer, ...]) -> bool:
    """Whether a method that sleeps is still there after its time."""
    code = "import time\ndef method(public, seed):\n    time.sleep(20)\n"
    done = perform(job(code, "method", {}, 0, replace(_LIMITS, wall=0.2), off))
    return done.status not in ("timeout", "refused") or done.usage.wall_s > 5.0


@contextmanager
def _bait() -> Iterator[tuple[dict[str, Any], Callable[[], set[str]]]]:
    """Things within the caller's reach: what the attempts are told of them, and a look at what arrived at the servers."""
    word = f"superalign-{secrets.token_hex(8)}"
    variable = word.replace("-", "_").upper()
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    abstract = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with tcp, udp, abstract, tempfile.TemporaryDirectory(prefix="superalign-probe-") as folder:
        label = Path(folder) / "label"
        label.write_text(word)
        label.chmod(0o600)
        abstract.bind("\0" + word)
        udp.bind(("127.0.0.1", 0))
        tcp.bind(("127.0.0.1", 0))
        for server in (tcp, abstract):
            server.listen()
        told = {"label": str(label), "abstract": word, "secret": variable}
        numbers = {"tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1]}
        numbers |= {name: getattr(_LIMITS, name) for name in ("share", "disk", "processes", "cpu")}
        os.environ[variable] = word
        try:
            yield (
                {name: np.frombuffer(text.encode(), np.uint8) for name, text in told.items()} | numbers,
                lambda: _arrived(tcp, udp, abstract),
            )
        finally:
            del os.environ[variable]


def _arrived(tcp: socket.socket, udp: socket.socket, abstract: socket.socket) -> set[str]:
    """What reached a server, whatever the attempts said of it."""
    found = set()
    for name, server in (("tcp", tcp), ("udp", udp), ("abstract", abstract)):
        server.setblocking(False)
        try:
            if name == "udp":
                server.recv(16)
            else:
                server.accept()[0].close()
            found.add(name)
        except BlockingIOError:
            continue
    return found
