"""Files of others, opened with errors that say which file, which line and what was expected there."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from superalign.core.errors import TaskError

MAX_BYTES = 2 << 30
"""Of one file after unpacking: a small archive may unpack to more than a machine holds."""


def text_of(path: Path) -> str:
    """The text of a file, unpacked where its name ends in .gz. Raises TaskError."""
    try:
        if path.suffix != ".gz":
            return path.read_text(encoding="utf-8")
        with gzip.open(path) as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise TaskError(f"cannot read {str(path)!r}: {error}") from error
    if len(data) > MAX_BYTES:
        raise TaskError(f"{path.name} unpacks to more than {MAX_BYTES >> 30} GiB; split it")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise TaskError(f"cannot read {str(path)!r}: {error}") from error


def json_of(path: Path, expected: str) -> Any:
    """The JSON value that a file holds. Raises TaskError with the line where it is none."""
    try:
        return json.loads(text_of(path))
    except json.JSONDecodeError as error:
        raise TaskError(f"{path.name}, line {error.lineno}: not JSON ({error.msg}); expected {expected}") from error


def lines_of(path: Path, expected: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line numbers and JSON objects of a file with one a line. Raises TaskError for a line that is none."""
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except json.JSONDecodeError as error:
            raise TaskError(f"{path.name}, line {number}: not JSON ({error.msg}); expected {expected}") from error
        if not isinstance(found, dict):
            raise TaskError(f"{path.name}, line {number}: {_kind(found)} in place of {expected}")
        yield number, found


class Fields:
    """A JSON object whose fields are asked for by name and kind; `where` says in errors what it is."""

    def __init__(self, values: Any, where: str, expected: str) -> None:
        if not isinstance(values, Mapping):
            raise TaskError(f"{where}: {_kind(values)} in place of {expected}")
        self.values: Mapping[str, Any] = values
        self.where = where

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number; a missing or empty one is the default, an error without one."""
        found = self.values.get(name)
        if found is None and default is not None:
            return default
        return self._number(found, name)

    def text(self, name: str, default: str | None = None) -> str:
        """A text, or a number written as one."""
        found = self.values.get(name)
        if found is None and default is not None:
            return default
        if not isinstance(found, str | int | float) or isinstance(found, bool):
            raise TaskError(f"{self.where}: {name!r} is {_kind(found)} in place of a text")
        return str(found)

    def numbers(self, name: str) -> tuple[float, ...]:
        """A list of finite numbers, empty where it is missing."""
        return tuple(self._number(v, name) for v in self.list(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, empty where it is missing."""
        found = self.list(name)
        wrong = next((v for v in found if not isinstance(v, str)), None)
        if wrong is not None:
            raise TaskError(f"{self.where}: {name!r} holds {_kind(wrong)} in place of a text")
        return tuple(found)

    def list(self, name: str) -> Sequence[Any]:
        """A list, empty where it is missing."""
        found = self.values.get(name)
        if found is None:
            return ()
        if not isinstance(found, list):
            raise TaskError(f"{self.where}: {name!r} is {_kind(found)} in place of a list")
        return found

    def _number(self, found: Any, name: str) -> float:
        finite = isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < float("inf")
        if not finite:
            raise TaskError(f"{self.where}: {name!r} is {_kind(found)} in place of a number")
        return float(found)


def _kind(value: Any) -> str:
    """A value as an error names it."""
    words = {dict: "an object", list: "a list", type(None): "nothing", bool: "a yes or no"}
    return words.get(type(value)) or f"{value!r:.60}"
