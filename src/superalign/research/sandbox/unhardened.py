"""A run without a sandbox, to debug a method of your own: it sees your files, your network and your processes.

It has the same inputs, the same program inside and the same reading of its result, and a deadline. What it yields is
stamped.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from superalign.research.sandbox.capabilities import Capabilities
from superalign.research.sandbox.collect import collect
from superalign.research.sandbox.outcome import Outcome, outcome
from superalign.research.sandbox.wire import Ended, Job

CAPABILITIES = Capabilities(wall=True, clean_environment=True)
"""What holds even so."""


def perform_unhardened(run: Job, items: int | None = None) -> Outcome:
    """Run a job as an ordinary child of this process, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="superalign-unhardened-") as folder:
        for name, data in (("method.py", run.code), ("public.npz", run.arrays), ("child.py", run.child)):
            (Path(folder) / name).write_bytes(data)
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        ended = _spawn(run, folder, scratch)
        if not ended.why and ended.code == 0:
            handle = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
            ended.result, ended.fault = collect(handle, run.limits.result)
            os.close(handle)
    return outcome(ended, items)


def _spawn(run: Job, folder: str, scratch: Path) -> Ended:
    ended, begun = Ended(hardened=False), time.monotonic()
    environment = {**run.environment, "HOME": str(scratch), "TMPDIR": str(scratch)}
    with subprocess.Popen(
        run.arguments(folder, str(scratch)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=scratch,
        start_new_session=True,
    ) as child:
        try:
            said, _ = child.communicate(timeout=run.limits.wall)
        except subprocess.TimeoutExpired:
            ended.why = "timeout"
            os.killpg(child.pid, signal.SIGKILL)
            said, _ = child.communicate()
    ended.said, ended.wall = said[: run.limits.output], time.monotonic() - begun
    if len(said) > run.limits.output and not ended.why:
        ended.why = "output"
    ended.code = child.returncode if child.returncode >= 0 else 128 - child.returncode
    return ended
