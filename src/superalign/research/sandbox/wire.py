"""What goes to the launching process and what comes back: a line of JSON, then the bytes that it announces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

from superalign.research.sandbox.limits import Limits

Layer = str
LAYERS: tuple[Layer, ...] = ("net", "view", "landlock", "seccomp", "environment")
"""What tests can leave out, to see that the probes notice. Nothing else leaves them out."""


@dataclass(frozen=True)
class Job:
    """One run. `python` is the interpreter and its flags, `shown` the paths that it needs, `hidden` folders
    among them that it must not see, `libraries` the folders of packages among them, `child` the text of the program inside."""

    code: bytes
    arrays: bytes
    child: bytes
    function: str
    seed: int
    limits: Limits
    python: tuple[str, ...]
    shown: tuple[str, ...]
    hidden: tuple[str, ...]
    libraries: tuple[str, ...]
    environment: Mapping[str, str]
    off: tuple[Layer, ...] = ()

    def arguments(self, inputs: str, scratch: str) -> list[str]:
        """The command line of the program inside."""
        return [*self.python, f"{inputs}/child.py", self.function, str(self.seed), inputs, scratch, *self.libraries]


@dataclass
class Ended:
    """How a run ended: the exit code, what cut it short (`timeout` or `output`), what it printed, the attempts that it
    reported as refused, its file of predictions or what is wrong with that, and what it used (seconds, bytes)."""

    code: int = 0
    why: str = ""
    refused: str = ""
    fault: str = ""
    said: bytes = b""
    reports: bytes = b""
    result: bytes | None = None
    cpu: float = 0.0
    wall: float = 0.0
    peak: int = 0
    hardened: bool = field(default=True)


_JOB = ("code", "arrays", "child")
_ENDED = ("said", "reports", "result")


def _pack(values: dict[str, Any], blobs: tuple[str, ...]) -> bytes:
    data = {name: values.pop(name) for name in blobs}
    values["bytes"] = [-1 if data[name] is None else len(data[name]) for name in blobs]
    return json.dumps(values).encode() + b"\n" + b"".join(data[name] or b"" for name in blobs)


def _unpack(stream: BinaryIO, blobs: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(stream.readline())
    for name, size in zip(blobs, values.pop("bytes"), strict=True):
        data = stream.read(size) if size >= 0 else None
        if data is not None and len(data) != size:
            raise ValueError(f"{name} ends after {len(data)} of {size} bytes")
        values[name] = data
    return values


def ask(job: Job) -> bytes:
    """A job as bytes."""
    return _pack(asdict(job), _JOB)


def read_job(stream: BinaryIO) -> Job:
    """The job that `ask` wrote. Raises ValueError for half of one."""
    values = _unpack(stream, _JOB)
    values["limits"] = Limits(**values["limits"])
    lists = {name: tuple(values[name]) for name in ("python", "shown", "hidden", "libraries", "off")}
    return Job(**{**values, **lists})


def answer(ended: Ended) -> bytes:
    """An end as bytes."""
    return _pack(asdict(ended), _ENDED)


def read_answer(stream: BinaryIO) -> Ended:
    """The end that `answer` wrote. Raises ValueError for half of one."""
    return Ended(**_unpack(stream, _ENDED))
