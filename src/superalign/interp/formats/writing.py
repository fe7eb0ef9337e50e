"""Files for others, written with errors that say what could not be written and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from superalign.core.errors import TaskError


def json_text(values: Any, what: str) -> str:
    """JSON on one line. Raises TaskError for numbers that JSON does not have; `what` says whose they are."""
    try:
        return json.dumps(values, allow_nan=False)
    except ValueError as error:
        raise TaskError(f"{what} holds NaN or an infinite number; give finite values") from error


def save(path: Path, data: bytes) -> Path:
    """Write a file, with the folders that it needs. Raises TaskError where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise TaskError(f"cannot write {str(path)!r}: {why}; choose another place for it") from error
    return path
