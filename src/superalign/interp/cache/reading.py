"""A cache that is read by unit: what a unit does on a text costs as many steps as it has entries."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from superalign.core.digest import digest
from superalign.core.errors import SpecError, StoreError
from superalign.interp.cache.arrays import load, publish, read_json, verify
from superalign.interp.cache.index import by_unit, entries
from superalign.interp.evidence import Evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from superalign.core.ports import Floats, Ints
    from superalign.interp.corpus import Corpus
    from superalign.interp.subject import Subject
    from superalign.interp.units import Unit

CACHE = "cache.json"


class _Strips(NamedTuple):
    """A segment by unit: dense `values` (units, n); or sparse `rows`, `values` and `starts` (units + 1,)."""

    first: int
    scale: np.float32
    values: NDArray[np.float16]
    rows: Ints | None
    starts: Ints | None


def open_cache(folder: Path) -> Cache:
    """A cache that is finished. Raises StoreError for one that is not, and for a damaged or foreign folder."""
    return Cache(Path(folder))


class Cache:
    """Activations of `units` units on `rows` rows of a corpus. Made by `write`, opened by `open_cache`.

    Everything is mapped into memory and read where it is asked for. `identity` says which model, text, site and encoder
    it is of. Values are as stored: float16 times a power of two, with what is at most 1e-5 left out.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        facts = read_json(folder / CACHE)
        try:
            self.identity: dict[str, Any] = dict(facts["identity"])
            self.rows, self.units, self.form = int(facts["rows"]), int(facts["units"]), str(facts["form"])
            self.site, self._subject = str(self.identity["site"]), str(facts["subject"])
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{folder / CACHE} describes no cache of activations") from error
        self._bounds = segments_of(folder)
        done = self._bounds[-1][1] if self._bounds else 0
        if done != self.rows:
            raise StoreError(f"the cache {folder} has {done:,} of {self.rows:,} rows; run what wrote it again to go on")

    def evidence(self, unit: Unit, corpus: Corpus, seed: int = 0) -> Evidence:
        """When a unit fires. Latents have no negative side: there it is empty.

        Raises SpecError for a unit that is not in the cache, StoreError for a cache of another text.
        """
        if corpus.identity != self.identity["corpus"]:
            raise StoreError(f"the cache {self.folder} is of another text; cache this one")
        if not 0 <= unit.index < self.units:
            raise SpecError(f"there is no unit {unit.name}: {self.site} has {self.units:,} here, 0 to {self.units - 1}")
        found = [self._strip(strips, unit.index, unit.sign) for strips in self._strips]
        rows = np.concatenate([rows for rows, _ in found])
        return Evidence(unit, corpus, rows, np.concatenate([values for _, values in found]), seed)

    def counts(self, sign: int = 1) -> Ints:
        """(units,) the number of rows where each fires."""
        total = np.zeros(self.units, np.int64)
        for strips in self._strips:
            if strips.starts is not None:
                total += np.diff(strips.starts) if sign > 0 else 0
            else:
                total += [np.count_nonzero(row > 0 if sign > 0 else row < 0) for row in strips.values]
        return total

    def peaks(self, sign: int = 1) -> Floats:
        """(units,) float32: the largest activation of each; 0 for one that never fires."""
        found = np.zeros(self.units, np.float32)
        for strips in self._strips:
            if strips.starts is None:
                most = strips.values.max(1) if sign > 0 else -strips.values.min(1)
                found = np.maximum(found, most.astype(np.float32) * strips.scale)
            elif sign > 0:
                alive = np.flatnonzero(np.diff(strips.starts))
                if len(alive):
                    most = np.maximum.reduceat(strips.values, strips.starts[alive]).astype(np.float32)
                    found[alive] = np.maximum(found[alive], most * strips.scale)
        return found

    def entries(self) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Segment by segment, the rows (ascending), units and activations of a sparse cache.

        Raises SpecError for a dense one, which has an entry everywhere.
        """
        if self.form == "dense":
            raise SpecError(f"the cache of {self.site} is dense; read it unit by unit")
        for number, (first, _) in enumerate(self._bounds):
            arrays, facts = load(segment_folder(self.folder, number))
            rows, units, values = entries(arrays)
            yield rows.astype(np.int64) + first, units, values.astype(np.float32) * np.float32(facts["scale"])

    def check(self, subject: Subject, corpus: Corpus) -> None:
        """Raises StoreError unless the cache is of this model and this text."""
        if digest(self.identity["subject"], self.identity["start"]) != digest(dict(subject.identity), subject.start):
            raise StoreError(
                f"the cache {self.folder} is of another model ({self._subject}) than {subject.name}; cache this one"
            )
        if self.identity["corpus"] != corpus.identity:
            raise StoreError(f"the cache {self.folder} is of another text; cache this one")

    def verify(self) -> None:
        """Read every file and compare it with its checksum. Raises StoreError that names the first that differs."""
        for number in range(len(self._bounds)):
            verify(segment_folder(self.folder, number))
            if self.form != "dense":
                verify(index_folder(self.folder, number))

    @cached_property
    def _strips(self) -> list[_Strips]:
        return [self._opened(number, first) for number, (first, _) in enumerate(self._bounds)]

    def _opened(self, number: int, first: int) -> _Strips:
        if self.form == "dense":
            arrays, facts = load(segment_folder(self.folder, number))
            return _Strips(first, np.float32(facts["scale"]), arrays["values"], None, None)
        arrays, facts = load(index_segment(self.folder, number, self.units))
        return _Strips(first, np.float32(facts["scale"]), arrays["values"], arrays["rows"], np.array(arrays["starts"]))

    def _strip(self, strips: _Strips, unit: int, sign: int) -> tuple[Ints, Floats]:
        if strips.starts is not None and strips.rows is not None:
            begin, end = strips.starts[unit : unit + 2] if sign > 0 else (0, 0)
            rows, values = strips.rows[begin:end].astype(np.int64), strips.values[begin:end]
        else:
            column = strips.values[unit]
            rows = np.flatnonzero(column > 0 if sign > 0 else column < 0)
            values = np.abs(column[rows])
        return rows + strips.first, values.astype(np.float32) * strips.scale


def segment_folder(folder: Path, number: int) -> Path:
    """Where a stretch of rows is, as it came."""
    return folder / f"segment-{number:05d}"


def index_folder(folder: Path, number: int) -> Path:
    """Where the same entries are by unit."""
    return folder / f"index-{number:05d}"


def index_segment(folder: Path, number: int, units: int) -> Path:
    """Make the index of a sparse segment where it is not there; returns where it is."""
    place = index_folder(folder, number)
    if not place.is_dir():
        arrays, facts = load(segment_folder(folder, number))
        publish(place, by_unit(arrays, units), {key: facts[key] for key in ("rows", "scale")})
    return place


def segments_of(folder: Path) -> list[tuple[int, int]]:
    """The rows of each segment that is whole, in order. Raises StoreError for segments that do not follow."""
    found: list[tuple[int, int]] = []
    while (place := segment_folder(folder, len(found))).is_dir():
        _, facts = load(place)
        first, last = facts.get("rows", (0, 0))
        if first != (found[-1][1] if found else 0) or last <= first:
            raise StoreError(f"{place} does not follow the segment before it; remove {folder}, and it is written again")
        found.append((first, last))
    return found
