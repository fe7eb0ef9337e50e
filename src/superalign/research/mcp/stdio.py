"""Standard input and output for the protocol alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def protocol_alone() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The process's real input and output, which nothing else gets to touch meanwhile.

    What is printed, by a library in C or by a child process too, goes to stderr; what reads the input finds it empty. One
    stray line would break the protocol.
    """
    sys.stdout.flush()
    kept = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    os.close(empty)
    try:
        with os.fdopen(os.dup(kept[0]), "rb") as source, os.fdopen(os.dup(kept[1]), "wb") as sink:
            yield source, sink
    finally:
        sys.stdout.flush()
        for place, number in enumerate(kept):
            os.dup2(number, place)
            os.close(number)
