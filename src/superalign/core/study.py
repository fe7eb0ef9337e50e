"""What a study plug-in is: a kind of spec, and how to prepare, plan and run one."""

from __future__ import annotations

import os
import platform
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

from superalign.core import records
from superalign.core.errors import SpecError, nearest
from superalign.core.ports import Progress, Store, silent
from superalign.core.registry import find, names
from superalign.core.spec import Record, Spec, validate


@dataclass(frozen=True, slots=True)
class Planned:
    """One step of a plan: what it is, its key, and whether the store already holds it."""

    name: str
    key: str
    known: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do: its steps, and remarks (rows to encode, the smallest visible difference, dollars)."""

    steps: tuple[Planned, ...]
    remarks: tuple[str, ...] = ()


class Prepared(Interface):
    """A study with its data loaded and its models found, before anything runs."""

    def plan(self) -> Plan: ...

    def run(self, progress: Progress = silent) -> Record: ...


@dataclass(frozen=True, slots=True)
class Study:
    """A programme: its kind of spec, and how a spec is prepared against a store."""

    name: str
    spec: type[Spec]
    prepare: Callable[[Any, Store], Prepared]


def read_spec(path: Path) -> Spec:
    """A spec from a TOML file; relative paths in it are relative to the current folder.

    Raises SpecError for a missing file, broken TOML, an unknown study or fields that do not fit.
    """
    if not path.is_file():
        raise SpecError(f"no spec at {str(path)!r}; `superalign report RECORD --spec` writes one from a record")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not TOML: {error}") from error
    return spec_of(values, str(path))


def spec_of(values: dict[str, Any], where: str = "the spec") -> Spec:
    """A spec from plain values, by its `study`."""
    study = values.get("study")
    if study not in names("studies"):
        raise SpecError(f'{where} needs a line `study = "..."`, got {study!r}; {nearest(str(study), names("studies"))}')
    kind: type[Spec] = find("studies", study).spec
    return validate(kind, values)


def finish(prepared: Prepared, store: Store | None, progress: Progress = silent) -> Record:
    """Run a prepared study and, where there is a store, keep its record in it."""
    record = prepared.run(progress)
    if store is not None:
        records.save(store, record)
    return record


def circumstances(spec: Spec) -> dict[str, Any]:
    """What every record says of its spec and of how it came about: the fields of `Record` that are not results."""
    return {
        "study": spec.study,
        "spec": spec.model_dump(mode="json", exclude_none=True),
        "spec_hash": spec.digest,
        "created": now(),
        "versions": versions(),
        "machine": machine(),
    }


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on, of those that are installed."""
    packages = ("superalign", "numpy", "scipy", "scikit-learn", "torch", "transformers", "peft", "safetensors")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What the numbers may depend on besides versions: processor kind, cores, thread limits."""
    threads = {k: os.environ[k] for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if k in os.environ}
    return {"processor": platform.machine(), "system": sys.platform, "cores": os.cpu_count(), "threads": threads}


def now() -> str:
    """The time in UTC, ISO 8601, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
