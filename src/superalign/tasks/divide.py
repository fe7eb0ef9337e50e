"""Dividing rows into weak-train, transfer, validation and test.

The parts are disjoint, keep groups together, and hold the classes in the same shares. Rows are shuffled before
they are cut, never taken from the top: files are often sorted by class. The test part depends on the split seed
alone, so that all seeds of a study are scored on the same items. Nothing depends on the order of rows in a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from superalign.core.errors import TaskError
from superalign.core.random import stream
from superalign.core.spec import Value
from superalign.core.types import Item

if TYPE_CHECKING:
    import numpy as np

SPLITS = ("weak-train", "transfer", "validation", "test")
FIXABLE = ("validation", "test")
SMALLEST = 20
"""Items that a part has at least when it shrinks because rows are few."""


class Sizes(Value):
    """How many items each part gets.

    A size at its default is an upper limit: where rows are fewer, all such parts shrink in the same proportion.
    Any other size is exact, and rows that cannot meet it are a TaskError. (Where items come in groups, a part may
    fall short by less than the largest group.) `validation` may be 0.
    """

    weak_train: int = Field(default=1000, ge=1)
    transfer: int = Field(default=1500, ge=1)
    validation: int = Field(default=500, ge=0)
    test: int = Field(default=1500, ge=1)

    def of(self, split: str) -> int:
        """The size of a part by the split's name."""
        return int(getattr(self, split.replace("-", "_")))

    def exact(self, split: str) -> bool:
        """Whether the size differs from the default, so that it must be met."""
        return self.of(split) != Sizes().of(split)


@dataclass(frozen=True, slots=True)
class Division:
    """The parts by name, and what was done to get them."""

    splits: dict[str, tuple[Item, ...]]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Unit:
    """Items that stay together, and the class they count for."""

    stratum: int
    items: tuple[Item, ...]


def divide(
    name: str,
    items: Sequence[Item],
    key: Mapping[str, int],
    choices: tuple[str, ...],
    fixed: Mapping[str, Sequence[str]],
    sizes: Sizes,
    seed: int,
    split_seed: int,
) -> Division:
    """Divide the items (see the module). Raises TaskError where there are fewer than the splits need."""
    given = {split: set(ids) for split, ids in fixed.items() if ids}
    taken = {i for ids in given.values() for i in ids}
    strata = key if choices else {}  # items with choices of their own have no class to keep in balance
    pools = {split: _units((i for i in items if i.id in ids), strata) for split, ids in given.items()}
    reserved = {_group(i) for i in items if i.id in taken} - {None}
    free = [i for i in items if i.id not in taken and _group(i) not in reserved]
    units = _units(free, strata)
    wanted = _sizes(name, len(free), {s: len(ids) for s, ids in given.items()}, sizes)

    splits: dict[str, tuple[Item, ...]] = {}
    # Test first, from a stream of its own: nothing that a seed or another part does can move it.
    for split in ("test", "weak-train", "transfer", "validation"):
        rng = stream(split_seed, "tasks/test") if split == "test" else stream(seed, "tasks/split", split_seed, split)
        part, rest = _take(pools.get(split, units), wanted[split], rng, each_class=split == "weak-train")
        units = units if split in pools else rest
        splits[split] = part
    _check(name, splits, wanted, sizes, _largest(free))
    _check_classes(name, splits["weak-train"], key, choices, items)
    lost = len(items) - len(taken) - len(free)
    return Division({s: splits[s] for s in SPLITS}, _notes(splits, sizes, lost))


def _group(item: Item) -> str | None:
    group = item.info.get("group")
    return None if group is None else str(group)


def _units(items: Iterable[Item], strata: Mapping[str, int]) -> list[_Unit]:
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in sorted(items, key=lambda i: i.id):
        group = _group(item)
        groups.setdefault(("item", item.id) if group is None else ("group", group), []).append(item)
    units = []
    for members in groups.values():
        counts = Counter(strata.get(i.id, 0) for i in members)
        stratum = min(counts, key=lambda c: (-counts[c], c))
        units.append(_Unit(stratum, tuple(members)))
    return units


def _largest(items: Sequence[Item]) -> int:
    counts = Counter(g for g in map(_group, items) if g is not None)
    return max(counts.values(), default=1)


def _sizes(name: str, free: int, given: Mapping[str, int], sizes: Sizes) -> dict[str, int]:
    """How many items each part is to get, from `free` rows and the numbers of rows given for a part."""
    wanted = {s: min(sizes.of(s), given[s]) for s in given}
    open_parts = [s for s in SPLITS if s not in given]
    exact = {s: sizes.of(s) for s in open_parts if sizes.exact(s)}
    limits = {s: sizes.of(s) for s in open_parts if s not in exact}
    left = free - sum(exact.values())
    share = min(1.0, left / sum(limits.values())) if limits else 1.0
    wanted |= exact | {s: int(limit * share + 1e-9) for s, limit in limits.items()}
    for s in given:
        if sizes.exact(s) and given[s] < sizes.of(s):
            raise TaskError(
                f"{name}: fewer items than the splits need: {s} {sizes.of(s)} was asked for, and the rows given for it "
                f"are {given[s]}; type {s.replace('-', '_')}={given[s]} or less, or give more rows"
            )
    if left < 0 or any(wanted[s] < SMALLEST for s in limits):
        raise TaskError(_too_few(name, free, given, wanted, exact, left))
    return wanted


def _too_few(
    name: str, free: int, given: Mapping[str, int], wanted: Mapping[str, int], exact: Mapping[str, int], left: int
) -> str:
    rows = f"there are {free} rows" + "".join(f" and {n} given for {s}" for s, n in given.items())
    parts = ", ".join(f"{s} {max(0, wanted[s])}" for s in SPLITS)
    if left < 0:
        asked = ", ".join(f"{s} {n}" for s, n in exact.items())
        why = f"{asked} were asked for; type sizes that add up to at most {free}"
    elif exact:
        why = f"beside what was asked for, the splits would get {parts}, and each needs {SMALLEST}; type smaller sizes"
    else:
        shares = {"weak-train": 2 / 9, "transfer": 1 / 3, "validation": 1 / 9, "test": 2 / 9}
        fitting = {s: given.get(s) or max(1, int(share * free)) for s, share in shares.items()}
        typed = ", ".join(f"{s.replace('-', '_')}={n}" for s, n in fitting.items())
        why = f"the splits would get {parts}, and each needs {SMALLEST}; give more rows, or type sizes such as {typed}"
    return f"{name}: fewer items than the splits need: {rows}; {why}"


def _take(
    units: list[_Unit], n: int, rng: np.random.Generator, each_class: bool
) -> tuple[tuple[Item, ...], list[_Unit]]:
    """Draw about `n` items in whole units, classes in proportion; returns them shuffled, and the units left."""
    by_class: dict[int, list[_Unit]] = {}
    for unit in units:
        by_class.setdefault(unit.stratum, []).append(unit)
    available = {k: sum(len(u.items) for u in by_class[k]) for k in sorted(by_class)}
    quotas = _quotas(available, n, each_class)
    part: list[Item] = []
    rest: list[_Unit] = []
    carried = 0  # what one class could not use because its groups are large, the next may use
    for stratum, quota in quotas.items():
        members = by_class[stratum]
        room = quota + carried
        for index in rng.permutation(len(members)):
            unit = members[index]
            if len(unit.items) <= room:
                part.extend(unit.items)
                room -= len(unit.items)
            else:
                rest.append(unit)
        carried = room
    order = rng.permutation(len(part))
    return tuple(part[i] for i in order), sorted(rest, key=lambda u: u.items[0].id)


def _quotas(available: Mapping[int, int], n: int, each_class: bool) -> dict[int, int]:
    """Largest remainder: `n` split over the classes in proportion to what is there."""
    total = sum(available.values())
    n = min(n, total)
    if not total:
        return {}
    exact = {k: n * count / total for k, count in available.items()}
    quotas = {k: int(x) for k, x in exact.items()}
    by_remainder = sorted(exact, key=lambda k: (quotas[k] - exact[k], k))
    for k in by_remainder[: n - sum(quotas.values())]:
        quotas[k] += 1
    if each_class and n >= len(quotas):
        for k in [k for k, q in quotas.items() if q == 0]:
            quotas[max(quotas, key=lambda c: (quotas[c], -c))] -= 1
            quotas[k] += 1
    return quotas


def _check(
    name: str, splits: Mapping[str, Sequence[Item]], wanted: Mapping[str, int], sizes: Sizes, largest: int
) -> None:
    for split in SPLITS:
        least = wanted[split] - (largest - 1) if sizes.exact(split) else min(SMALLEST, wanted[split])
        if len(splits[split]) < max(least, min(1, wanted[split])):
            raise TaskError(
                f"{name}: fewer items than the splits need: {split} got {len(splits[split])} of {wanted[split]}, "
                f"because groups stay whole and the largest holds {largest} items; choose a finer group or other sizes"
            )


def _check_classes(
    name: str, weak_train: Sequence[Item], key: Mapping[str, int], choices: tuple[str, ...], items: Sequence[Item]
) -> None:
    """Raise TaskError unless each class is in weak-train: a supervisor cannot teach a class it never saw."""
    there = {key[i.id] for i in weak_train}
    for k, choice in enumerate(choices):
        if k not in there:
            rows = sum(key[i.id] == k for i in items)
            raise TaskError(
                f"{name}: fewer items than the splits need: weak-train has none of class {choice!r}, of which there "
                f"are {rows} rows; give more of them, leave the class out, or type a larger weak_train"
            )


def _notes(splits: Mapping[str, Sequence[Item]], sizes: Sizes, lost: int) -> tuple[str, ...]:
    notes = []
    small = [s for s in SPLITS if len(splits[s]) < sizes.of(s)]
    if small:
        parts = ", ".join(f"{s} {len(splits[s])} of {sizes.of(s)}" for s in small)
        notes.append(f"fewer rows than the sizes ask for, so the parts are smaller: {parts}")
    if lost:
        notes.append(f"{lost} rows left out because their group is in a given test or validation part")
    return tuple(notes)
