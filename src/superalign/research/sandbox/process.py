"""The caller's side of a run: packs a job, starts the launching process, and judges what comes back."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from superalign.core.errors import SpecError
from superalign.research.sandbox.limits import Limits
from superalign.research.sandbox.outcome import Outcome, escaped, outcome
from superalign.research.sandbox.wire import Ended, Job, Layer, ask, read_answer

_HERE = Path(__file__).resolve().parent
_SOURCE = _HERE.parents[2]
_GRACE = 20.0
_CODE = 1 << 20
_SYSTEM = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_FLAGS = ("-P", "-s", "-S", "-B", "-u")
"""No folder of the script or the user on the path, no start-up files of site-packages, no compiled files; what is
printed is seen even if the method is killed. Not -I: it would ignore PYTHONHASHSEED, and the order of a set of words
would differ from run to run."""

ENVIRONMENT = {
    "HOME": "/scratch",
    "TMPDIR": "/scratch",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""All that the method finds in its environment."""


@cache
def libraries() -> tuple[str, ...]:
    """The folders that hold numpy and the packages installed beside it. A method may import them."""
    origin = getattr(importlib.util.find_spec("numpy"), "origin", None)
    paths = sysconfig.get_paths()
    found = [str(Path(origin).parent.parent)] if origin else []
    return tuple(dict.fromkeys(os.path.realpath(p) for p in (*found, paths["purelib"], paths["platlib"])))


@cache
def shown() -> tuple[str, ...]:
    """What the interpreter and its libraries need to be seen, outermost first."""
    prefix = os.path.realpath(sys.base_prefix)
    wanted = [*_SYSTEM, f"{prefix}/lib", f"{prefix}/lib64", os.path.realpath(sys.executable), *libraries()]
    kept: list[str] = []
    for path in sorted(dict.fromkeys(wanted)):
        if not any(path.startswith(f"{above}/") for above in kept if not os.path.islink(above)):
            kept.append(path)
    return tuple(kept)


def pack(public: Mapping[str, Any]) -> bytes:
    """The public arrays as an .npz. Raises SpecError for names and types that a method could not be given."""
    arrays = {}
    for name, values in public.items():
        array = np.asarray(values)
        if not re.fullmatch(r"[A-Za-z_]\w{0,99}", name):
            raise SpecError(f"a public array cannot be called {name!r}; use a word of letters, digits and '_'")
        if array.dtype.hasobject:
            raise SpecError(f"the public array {name!r} holds Python objects; give numbers or fixed-width text")
        arrays[name] = array
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:  # not np.savez, to which some names are options
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return stream.getvalue()


def source(code: Path | str) -> bytes:
    """The bytes of a method's file, or of its text. Raises SpecError for what cannot be read and for a megabyte."""
    try:
        data = code.read_bytes() if isinstance(code, Path) else code.encode()
    except (OSError, UnicodeError) as error:
        raise SpecError(f"the method's code cannot be read: {error}") from error
    if len(data) > _CODE:
        raise SpecError(f"the method's code is {len(data)} bytes; {_CODE} are allowed")
    return data


def job(
    code: Path | str,
    function: str,
    public: Mapping[str, Any],
    seed: int,
    limits: Limits,
    off: tuple[Layer, ...] = (),
) -> Job:
    """A run, ready to be sent. Raises SpecError for a function's name that is none."""
    if not function.isidentifier():
        raise SpecError(f"{function!r} is no name of a function")
    environment = {**os.environ, **ENVIRONMENT} if "environment" in off else ENVIRONMENT
    return Job(
        code=source(code),
        arrays=pack(public),
        child=(_HERE / "child.py").read_bytes(),
        function=function,
        seed=int(seed),
        limits=limits,
        python=(os.path.realpath(sys.executable), *_FLAGS),
        shown=shown(),
        hidden=(str(_SOURCE / "superalign"),),  # where it is installed among the libraries: it can make problems' keys
        libraries=libraries(),
        environment=environment,
        off=off,
    )


def perform(run: Job, items: int | None = None) -> Outcome:
    """Run a job in a sandbox. What the method does comes back as data, and so does a sandbox that could not be built."""
    command = [os.path.realpath(sys.executable), *_FLAGS, "-m", "superalign.research.sandbox.launch"]
    told = b""
    try:
        done = subprocess.run(
            command,
            input=ask(run),
            capture_output=True,
            env={"PYTHONPATH": str(_SOURCE), "LANG": "C.UTF-8"},
            cwd="/",
            timeout=run.limits.wall + _GRACE,
            start_new_session=True,
            check=False,
        )
        told = done.stderr[-500:]
        ended = read_answer(io.BytesIO(done.stdout))
    except subprocess.TimeoutExpired:
        ended = Ended(refused="the launching process did not answer")
    except (OSError, ValueError) as error:
        ended = Ended(refused=f"the launching process failed: {error} {escaped(told)}".strip())
    return outcome(ended, items)
