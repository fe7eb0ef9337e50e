"""For the tests, as root: `python ordinary.py PROGRAM ARGUMENT...` runs a Python program as user 65534.

An interpreter that only root can reach (under /root, say) is made reachable in a mount namespace of this process alone:
a closed folder on the way is covered, and what is needed below it bound back.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from superalign.research.sandbox import linux

ROOT = Path(__file__).resolve().parents[3]
STRANGER = 65534


def closed(path: Path) -> Path | None:
    """The outermost folder on the way that others may not pass."""
    return next((p for p in reversed(path.parents) if not p.stat().st_mode & 0o001), None)


def uncover(paths: Iterable[Path]) -> None:
    """Make paths reachable for everybody, here alone."""
    linux.unshare(linux.NEWNS)
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
    wanted: dict[Path, list[Path]] = {}
    for path in paths:
        if found := closed(path):
            wanted.setdefault(found, []).append(path)
    for cover, below in wanted.items():
        handles = [os.open(path, os.O_PATH) for path in below]
        linux.mount("tmpfs", str(cover), "tmpfs", 0, "mode=755")
        for path, handle in zip(below, handles, strict=True):
            path.mkdir(parents=True, exist_ok=True)
            linux.mount(f"/proc/self/fd/{handle}", str(path), "", linux.MS_BIND | linux.MS_REC)
            os.close(handle)


def needed() -> set[Path]:
    """What a test program reads: the interpreter, its packages, the project."""
    packages = {Path(sysconfig.get_paths()[name]).resolve() for name in ("purelib", "platlib")}
    return {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), ROOT / "src", ROOT / "tests", *packages}


if __name__ == "__main__":
    uncover(needed())
    if "--root" in sys.argv:
        sys.argv.remove("--root")
    else:
        os.setgroups([])
        os.setresgid(STRANGER, STRANGER, STRANGER)
        os.setresuid(STRANGER, STRANGER, STRANGER)
    paths = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    os.execve(sys.executable, [sys.executable, *sys.argv[1:]], {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"})
