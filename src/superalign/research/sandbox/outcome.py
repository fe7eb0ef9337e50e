"""What a run hands back. All of it comes from code that nobody has read: text is escaped, arrays are parsed by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from superalign.research.sandbox.child import INVALID, MEMORY
from superalign.research.sandbox.wire import Ended

Status = Literal["ok", "failed", "timeout", "memory", "output", "refused", "invalid"]

_HEADER = re.compile(
    r"\{'descr': '([<|][biuf][1248])', 'fortran_order': (True|False), 'shape': \(((?:\d{1,18}, )*(?:\d{1,18},?)?)\), \} *\n"
)
_CONTROL = re.compile(r"[^\n\t\x20-\x7e\xa1-\xac\xae-\u02ff\u0370-\u05cf\u2010-\u2027\u2030-\u205e]")
_DENIALS, _DENIAL = 50, 300
_PROCESSOR_TIME = (128 + 24, 128 + 9)  # SIGXCPU, then SIGKILL a second later


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run used: seconds of processors and of the clock, and the memory of its largest process in bytes."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_memory: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """How a run ended.

    `status`: `ok`; `failed` (it raised, exited or crashed), `timeout` (of the clock or the processor), `memory`,
    `output` (it printed too much), `invalid` (no array of finite numbers, or of another shape), `refused` (it was not
    run). `reason` is ours and says why; `said` is what it printed, escaped and bounded, and is not to be believed.
    `denials` are attempts to reach what is not its own that Python's audit hook saw; their absence proves nothing.
    `hardened` is False for a run without a sandbox.
    """

    status: Status
    predictions: np.ndarray[Any, Any] | None = None
    reason: str = ""
    said: str = ""
    usage: Usage = Usage()
    denials: tuple[str, ...] = ()
    hardened: bool = True


def outcome(ended: Ended, items: int | None) -> Outcome:
    """The outcome of a run that has ended. `items`: the predictions' number, where it is known."""
    status, reason, predictions = _judged(ended)
    if status == "ok":
        try:
            predictions = parse(ended.result or b"", items)
        except ValueError as error:
            status, reason = "invalid", str(error)
    lines = ended.reports.split(b"\n")[:-1]
    return Outcome(
        status,
        predictions,
        reason,
        escaped(ended.said),
        Usage(ended.cpu, ended.wall, ended.peak),
        tuple(dict.fromkeys(escaped(line)[:_DENIAL] for line in lines if line))[:_DENIALS],
        ended.hardened,
    )


def _judged(ended: Ended) -> tuple[Status, str, None]:
    if ended.refused:
        return "refused", f"the sandbox could not be set up: {ended.refused}", None
    if ended.why == "timeout":
        return "timeout", f"ended after {ended.wall:.1f} s", None
    if ended.why:
        return "output", "it printed more than it may", None
    if ended.code == MEMORY:
        return "memory", "it asked for more memory than it may have", None
    if ended.code == INVALID:
        return "invalid", "it returned no array of numbers", None
    if ended.code in _PROCESSOR_TIME:
        return "timeout", f"killed by signal {ended.code - 128} after {ended.cpu:.1f} s of processor time", None
    if ended.code:
        return "failed", f"it ended with code {ended.code}", None
    return ("invalid", ended.fault, None) if ended.result is None else ("ok", "", None)


def escaped(data: bytes) -> str:
    """Text from outside: control characters, and those that reorder or hide text, are spelled out."""
    text = data.decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}" if found[0] < "\x80" else _spelled(found[0]), text)


def _spelled(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode()


def parse(raw: bytes, items: int | None = None) -> np.ndarray[Any, Any]:
    """An array of finite numbers from the bytes of a .npy file of version 1.0, as numpy itself writes it.

    The header is matched, not evaluated, and nothing is allocated before the size that it claims is compared with what
    is there. Raises ValueError.
    """
    if raw[:8] != b"\x93NUMPY\x01\x00" or len(raw) < 10:
        raise ValueError("the predictions are not a .npy file of version 1.0")
    start = 10 + int.from_bytes(raw[8:10], "little")
    found = _HEADER.fullmatch(raw[10:start].decode("latin-1"))
    if found is None:
        raise ValueError("the predictions are not a plain array of numbers")
    shape = tuple(int(size) for size in re.findall(r"\d+", found[3]))
    try:
        dtype = np.dtype(found[1])
    except TypeError as error:
        raise ValueError(f"the predictions have an unknown type {found[1]}") from error
    claimed = dtype.itemsize
    for size in shape:
        claimed *= size
    if len(shape) > 4 or claimed != len(raw) - start:
        raise ValueError(f"the predictions have shape {shape} but {len(raw) - start} bytes")
    array = np.frombuffer(raw, dtype, offset=start).reshape(shape, order="F" if found[2] == "True" else "C").copy()
    if items is not None and array.shape != (items,):
        raise ValueError(f"the predictions have shape {array.shape}; there are {items} items")
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{int((~np.isfinite(array)).sum())} predictions are not finite")
    return array
