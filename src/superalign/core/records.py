"""Records in a store: an index stream, and one artifact per record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from superalign.core.digest import digest
from superalign.core.errors import StoreError, nearest
from superalign.core.ports import Store
from superalign.core.spec import Record

INDEX = "records"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the index."""

    id: str
    study: str
    title: str
    created: str
    artifact: str


def save(store: Store, record: Record) -> None:
    """Keep a record. The same study run again leaves a new version; the last one is shown."""
    data = record.model_dump_json().encode()
    key = f"record/{record.id}/{digest(data)[:24]}"
    store.put(key, data, {"record": record.id})
    event = {"id": record.id, "study": record.study, "title": record.title, "created": record.created, "artifact": key}
    store.append(INDEX, [event])


def entries(store: Store) -> list[Entry]:
    """The latest version of each record, oldest first."""
    latest: dict[str, Entry] = {}
    for event in store.read(INDEX):
        entry = Entry(**event.body)
        latest.pop(entry.id, None)
        latest[entry.id] = entry
    return list(latest.values())


def load(store: Store, name: str) -> Record:
    """The record with this id, or the only one whose id starts with it; `last` is the newest.

    Raises StoreError where there is none or several, and where its bytes are damaged.
    """
    known = entries(store)
    if not known:
        raise StoreError("this store holds no record yet; type `superalign demo` or `superalign w2s --help`")
    found = known[-1:] if name == "last" else [e for e in known if e.id == name]
    found = found or [e for e in known if e.id.startswith(name)]
    if len(found) != 1:
        several = f"{len(found)} records start with {name!r}" if found else f"no record {name!r}"
        raise StoreError(f"{several}; {nearest(name, [e.id for e in (found or known)])} (`superalign runs` lists them)")
    artifact = store.get(found[0].artifact)
    if artifact is None:
        raise StoreError(f"the record {found[0].id} is damaged in the store; run its spec again to mend it")
    return Record.model_validate_json(artifact.data)


def load_all(store: Store) -> Iterator[Record]:
    """Every undamaged record, oldest first."""
    for entry in entries(store):
        artifact = store.get(entry.artifact)
        if artifact is not None:
            yield Record.model_validate_json(artifact.data)
