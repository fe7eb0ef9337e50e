"""The program inside the sandbox: loads the inputs, calls the method, writes its predictions.

Nothing here is trusted by the outside: the method runs in this very process. It is started as a file, by an
interpreter that sees neither site-packages' start-up files nor the caller's environment, and imports nothing of ours.

    python -P -s -S -B -u child.py FUNCTION SEED INPUT_FOLDER SCRATCH_FOLDER LIBRARY...
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

MEMORY, INVALID = 3, 4
"""Exit codes: it asked for more memory than it may have; it returned no array of numbers."""
REPORTS = 3
"""The descriptor on which refused attempts are told."""

_PATHS = ("open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "os.link", "os.symlink")
_NET = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind", "socket.getaddrinfo")


def watch(allowed: tuple[str, ...]) -> None:
    """Tell of paths outside of the view, and of the network, before the kernel refuses them. An audit hook cannot be
    removed, but code that leaves Python is not seen by it: what it tells is evidence, its silence is not."""

    def hook(event: str, details: tuple[Any, ...]) -> None:
        if event in _PATHS:
            path = details[0]
            if not isinstance(path, str | bytes) or os.path.abspath(os.fsdecode(path)).startswith(allowed):
                return
            told = os.fsdecode(path)
        elif event in _NET:
            told = repr(details[1:] if event != "socket.getaddrinfo" else details[:2])
        else:
            return
        try:
            os.write(REPORTS, f"{event} {told}".encode("ascii", "backslashreplace")[:300].replace(b"\n", b" ") + b"\n")
        except OSError:
            return

    sys.addaudithook(hook)


def _open(handle: int) -> bool:
    try:
        return bool(os.fstat(handle))
    except OSError:
        return False


def load(path: str, function: str) -> Callable[[dict[str, Any], int], Any]:
    """The function of the method's file."""
    spec = importlib.util.spec_from_file_location("method", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["method"] = module
    spec.loader.exec_module(module)
    found: Callable[[dict[str, Any], int], Any] = getattr(module, function)
    return found


def main(function: str, seed: int, inputs: str, scratch: str, libraries: list[str]) -> int:
    """Returns the exit code."""
    listened = _open(REPORTS)
    sys.path += libraries
    import numpy as np

    with np.load(f"{inputs}/public.npz", allow_pickle=False) as stored:
        public = {name: stored[name] for name in stored.files}
    if listened:
        watch((f"{inputs}/", f"{scratch}/", "/dev/", sys.base_prefix, *libraries, *sys.path))
    write = np.lib.format.write_array
    predictions = np.asarray(load(f"{inputs}/method.py", function)(public, seed))
    if predictions.dtype.kind not in "biuf":
        print(f"the method returned {predictions.dtype}, not numbers", file=sys.stderr)
        return INVALID
    with open(f"{scratch}/predictions.npy", "wb") as file:
        write(file, predictions, version=(1, 0), allow_pickle=False)
    return 0


if __name__ == "__main__":
    code = 1
    try:
        code = main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
    except MemoryError:
        traceback.print_exc(limit=-30)  # of a recursion a million calls deep, too
        code = MEMORY
    except BaseException:  # SystemExit too: a method that leaves early has not predicted anything
        traceback.print_exc(limit=-30)
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                code = code or 1
        os._exit(code)  # threads and exit handlers of the method do not delay the end
