"""Starts a campaign's scorer in a process of its own, and speaks to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from superalign.core.errors import ModelError
from superalign.research.scorer.wire import Line

SAID = 1000
"""Characters that are told of what a scorer said which did not start."""


class Scorer:
    """A scorer that lives as long as the `with` block. `genesis` is the first entry of a campaign that has none.

    Raises ModelError where it does not start, with what it said.
    """

    def __init__(self, store: str, campaign: str, home: Path, genesis: Mapping[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="superalign-")  # sockets have short names
        socket = Path(self._folder.name) / "scorer"
        orders = {
            "store": store, "campaign": campaign, "home": str(home), "socket": str(socket), "genesis": dict(genesis),
            "parent": os.getpid(),
        }  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._said = Path(self._folder.name) / "said"  # a pipe that nobody reads would stop a testbed that warns a lot
        with self._said.open("wb") as said_here:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "superalign.research.scorer"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said_here, text=True, env=environment,
            )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(orders) + "\n")
            self._process.stdin.flush()
            ready = self._process.stdout.readline() == "ready\n"
        except BrokenPipeError:
            ready = False
        if not ready:
            said = self._end()
            raise ModelError(f"the scorer did not start: {said.strip() or 'it said nothing'}")
        self.pid = self._process.pid
        self._line = Line(socket)

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """One request and its reply."""
        return self._line.ask(do, **fields)

    def _end(self) -> str:
        self._process.kill()
        self._process.communicate()
        said = self._said.read_text(encoding="utf-8", errors="replace")[-SAID:]
        self._folder.cleanup()
        return said

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._line.close()
        self._end()
