"""The folder that a researcher's files come from and go to, and nothing above it.

Paths come from the other end: every part is opened without following links, so none leads outside, not even one that is
exchanged while it is looked at.
"""

from __future__ import annotations

import io
import json
import math
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from superalign.core.errors import SpecError

MOST = 32 << 20
"""Bytes of a file that is read."""
ITEMS = 1_000_000
"""Predictions in a file, at most."""


class Workspace:
    """A folder. Raises SpecError where there is none."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise SpecError(f"the workspace {str(root)!r} is no folder; make it first")
        self.root = root.resolve()

    def predictions(self, name: str) -> list[int | float]:
        """The numbers of a file: an .npy array of one dimension, or a .json list.

        Raises SpecError for a path outside, what is no plain file, too large, or holds something else.
        """
        data = self.read(name)
        try:
            found = _array(data) if name.endswith(".npy") else json.loads(data)
        except (ValueError, RecursionError, MemoryError, EOFError) as error:
            raise SpecError(f"{name!r} holds no predictions: {type(error).__name__}: {str(error)[:200]}") from error
        numbers = isinstance(found, list) and all(isinstance(v, int | float) for v in found)
        if not numbers or not 0 < len(found) <= ITEMS:
            raise SpecError(f"{name!r} is no list of 1 to {ITEMS:,} numbers; write .npy of one dimension, or .json")
        if not all(abs(v) < math.inf for v in found):
            raise SpecError(f"{name!r} holds predictions that are not finite")
        return [int(v) if isinstance(v, bool) else v for v in found]

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises SpecError."""
        with self._opened(name) as handle:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise SpecError(f"{name!r} is no plain file")
            if found.st_size > MOST:
                raise SpecError(f"{name!r} has {found.st_size:,} bytes; {MOST:,} are read")
            with os.fdopen(os.dup(handle), "rb") as file:
                return file.read(MOST)

    def write(self, name: str, data: bytes) -> Path:
        """A file in the folder itself, read-only, as a whole or not at all; what had the name is replaced."""
        new = f".{secrets.token_hex(8)}"
        with _folder(self.root) as root:
            handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o444, dir_fd=root)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(new, name, src_dir_fd=root, dst_dir_fd=root)
        return self.root / name

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise SpecError(f"{name[:200]!r} is no path inside the workspace; write one without .. that begins in it")
        try:
            with _folder(self.root, *path.parts[:-1]) as folder:
                handle = os.open(path.parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise SpecError(
                f"{name[:200]!r} cannot be read in the workspace: {said}; links are not followed"
            ) from error
        try:
            yield handle
        finally:
            os.close(handle)


@contextmanager
def _folder(root: Path, *parts: str) -> Iterator[int]:
    """A folder below the root, opened part by part."""
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def _array(data: bytes) -> Any:
    found = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if found.ndim != 1 or found.dtype.kind not in "biuf":
        raise ValueError("it is no array of numbers of one dimension")
    return found.tolist()
