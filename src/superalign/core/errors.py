"""Every error that superalign raises on purpose.

    SuperalignError
    |-- UserError              something to mend in what was typed or given; exit code 2
    |   |-- SpecError          a spec or an option that does not fit
    |   |-- TaskError          data that cannot become a task
    |   |-- PluginError        an unknown or broken plug-in
    |   |-- ModelError         a model that cannot be found, loaded or run as asked
    |   `-- StoreError         a store that cannot be opened, read or written
    |       `-- Conflict       another process appended first
    |-- Degenerate             data on which a method is undefined; the study reports it and goes on
    `-- ProtocolError          a protocol broke the rules of the driver

A message says what happened, what was there, and what to type.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SuperalignError(Exception):
    """Root of the tree."""


class UserError(SuperalignError):
    """Something the user can mend. The command line prints the message alone and exits with 2."""


class SpecError(UserError):
    """A spec or an option that does not fit."""


class TaskError(UserError):
    """Data that cannot become a task."""


class PluginError(UserError):
    """An unknown or broken plug-in."""


class ModelError(UserError):
    """A model that cannot be found, loaded or run as asked."""


class StoreError(UserError):
    """A store that cannot be opened, read or written."""


class Conflict(StoreError):
    """The stream's head is not the one expected: another process appended first."""


class Degenerate(SuperalignError):
    """Data on which a method is undefined (constant weak labels, a filter that keeps nothing)."""


class ProtocolError(SuperalignError):
    """A protocol broke the rules of the driver."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A half-sentence that helps after a wrong name: near matches, or everything there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "there is: " + (", ".join(names) if names else "nothing")
