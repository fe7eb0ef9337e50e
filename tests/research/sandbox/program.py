"""Programs for the tests, run in a process of their own: `python program.py NAME ARGUMENT...`. They print JSON."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from superalign.research.sandbox import linux, probes, seccomp
from superalign.research.sandbox.capabilities import SandboxRefused
from superalign.research.sandbox.limits import MIB, Limits
from superalign.research.sandbox.runner import Sandbox
from superalign.research.sandbox.wire import Layer


def attempts(*choices: str) -> object:
    """For each choice of layers to leave out: who tries, what gets through, what is then left of the capabilities."""
    found = {}
    for choice in choices:
        layers: tuple[Layer, ...] = tuple(choice.split("+")) if choice != "none" else ()
        through = probes.attempt(layers)
        left = probes.struck(probes.declared(layers), through)
        found[choice] = {"user": os.geteuid(), "through": sorted(through), "left": asdict(left)}
    return found


def hostile(key: str, *names: str) -> object:
    """What some methods come back with, run by this user with this user's key."""
    folder = Path(__file__).parent / "hostile"
    Path(key).write_text("CANARY")
    told = {
        name: np.frombuffer(text.encode(), np.uint8) for name, text in (("key", key), ("unix", "x"), ("marker", key))
    }
    public = {"x": np.zeros(3), "caller": os.getpid(), "tcp": 1, "udp": 1, **told}
    limits = Limits(wall=10.0, memory=3 * 256 * MIB + 16 * MIB, disk=16 * MIB, processes=3)
    sandbox = Sandbox.open()
    found = {}
    for name in names:
        outcome = sandbox.run(folder / f"{name}.py", "method", public, 0, limits, 3)
        predictions = None if outcome.predictions is None else outcome.predictions.tolist()
        found[name] = (outcome.status, predictions, "CANARY" in repr(outcome))
    os.unlink(key)
    return found


def without_namespaces() -> object:
    """What a user reads where the system lets nobody make namespaces."""
    linux.no_new_privileges()
    seccomp.install()
    try:
        Sandbox.open()
    except SandboxRefused as refused:
        sandbox = Sandbox.open(unsafe=True)
        done = sandbox.run("def method(public, seed):\n    return public['x'] + seed\n", "method", {"x": np.ones(2)}, 1)
        assert done.predictions is not None
        return {"refused": str(refused), "unsafe": [done.status, done.hardened, list(done.predictions)]}
    return {}


def sleeps(mark: str) -> object:
    """Runs a method that does not end."""
    print(json.dumps("begun"), flush=True)
    code = "import time\ndef method(public, seed):\n    time.sleep(100)\n"
    return Sandbox.open().run(code, "method", {}, int(mark), Limits(wall=100.0)).status


if __name__ == "__main__":
    programs = {f.__name__: f for f in (attempts, hostile, without_namespaces, sleeps)}
    print(json.dumps(programs[sys.argv[1]](*sys.argv[2:])))
