"""Played games outside of the store: as transcripts to read, and as files for other programs.

Each format is a file with `bytes_of(archives) -> bytes`; JSON Lines and Parquet have `read(bytes) -> archives` too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from superalign.core.errors import SpecError, StoreError, UserError, nearest
from superalign.protocols.played import Archive, Played, unpack

if TYPE_CHECKING:
    from superalign.core.ports import Store
    from superalign.core.spec import Record

FORMATS = {"jsonl": ".jsonl", "parquet": ".parquet", "inspect": ".eval"}
"""Formats by name, with the suffix of their files."""

Archives = Mapping[str, Archive]


def writer(format_: str) -> Callable[[Archives], bytes]:
    """The function that turns archives by condition into the bytes of a file. Raises UserError for an unknown format."""
    if format_ not in FORMATS:
        raise UserError(f"no format {format_!r} for games; {nearest(format_, FORMATS)}")
    write: Callable[[Archives], bytes] = import_module(f"superalign.report.games.{format_}").bytes_of
    return write


def archives(record: Record, store: Store, condition: str = "") -> dict[str, Archive]:
    """The games of a record by condition, of all or of one.

    Raises SpecError for a record without games and for an unknown condition, StoreError where they are gone.
    """
    keys = {n.removeprefix("games/"): key for n, key in record.artifacts.items() if n.startswith("games/")}
    if not keys:
        raise SpecError(f"{record.id} has no games; studies of judges and debates keep theirs")
    if condition and condition not in keys:
        raise SpecError(f"{record.id} has no games of {condition!r}; {nearest(condition, keys)}")
    found = {}
    for name in (condition,) if condition else keys:
        artifact = store.get(keys[name])
        if artifact is None:
            raise StoreError(f"the games of {name} are gone or damaged; run the spec of {record.id} again")
        found[name] = unpack(artifact.data)
    return found


def select(games: Archives, name: str) -> Sequence[tuple[Archive, Played]]:
    """The games with the id `name`; where there is none, those whose id starts with it."""
    found = [(a, g) for a in games.values() for g in a.games if g.id.startswith(name)]
    return [(a, g) for a, g in found if g.id == name] or found
