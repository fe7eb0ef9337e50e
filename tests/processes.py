"""Other processes for tests: the functions of a `workers.py`, each `python workers.py NAME URL ...`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Worker = subprocess.Popen[str]
Start = Callable[..., Worker]


@contextmanager
def starting(workers: Path) -> Iterator[Start]:
    """`start(name, url, ...)`; none of those started outlives the block."""
    started: list[Worker] = []

    def start(*words: str) -> Worker:
        pipe = subprocess.PIPE
        started.append(subprocess.Popen([sys.executable, str(workers), *words], stdin=pipe, stdout=pipe, text=True))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
        worker.communicate()


def run_together(workers: list[Worker]) -> None:
    """Let them all go at once when all are ready, and wait for their end."""
    assert [w.stdout.readline() for w in workers if w.stdout] == ["ready\n"] * len(workers)
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    assert [w.stdout.read() for w in workers if w.stdout] == ["done\n"] * len(workers)
    assert [w.wait(timeout=120) for w in workers] == [0] * len(workers)
