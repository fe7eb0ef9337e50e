"""Spec and Record: a study before it ran, and after.

A Spec is a frozen value and its digest is its identity. A Record holds all that is needed to run it
again and to trust its numbers: spec, versions, threads, numbers with intervals, the key of every
artifact, charts, costs, the oracle audit and failures by kind.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from superalign.core.digest import digest
from superalign.core.errors import SpecError, nearest


class Value(BaseModel):
    """A frozen value that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _count(value: Any) -> Any:
    return tuple(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value


Seeds = Annotated[tuple[int, ...], BeforeValidator(_count), Field(min_length=1)]
"""Seeds of a study: a list of them, or how many."""


def distinct(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of a field. Raises ValueError, which a spec reports, for one that is given twice."""
    repeated = [v for v in value if value.count(v) > 1]
    if repeated:
        raise ValueError(f"{repeated[0]!r} is given twice")
    return value


class Spec(Value):
    """What every study's spec has. A study subclasses it in its own file."""

    study: str

    @property
    def digest(self) -> str:
        """The identity of the spec."""
        return digest(self.model_dump(mode="json"))


class Number(Value):
    """A number with its doubt. `value` is None where it is undefined, and `reason` says why.

    `low` and `high` bound a 95 % interval; `n` counts items, `seeds` the repetitions.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    seeds: int | None = None
    reason: str | None = None


class Condition(Value):
    """One row of a study: a stable name, its numbers, and what is not a number."""

    name: str
    numbers: dict[str, Number] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


class Audit(Value):
    """One use of the truth; a read from inside a method has a purpose that starts with `leak`."""

    door: Literal["truth", "score"]
    split: str
    purpose: str
    n: int


class Table(Value):
    """Tidy rows behind a chart or a section of the report."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""


class Record(Value):
    """What a study leaves behind."""

    id: str
    study: str
    title: str
    spec: dict[str, Any]
    spec_hash: str
    created: str
    versions: dict[str, str]
    machine: dict[str, Any]
    conditions: tuple[Condition, ...]
    artifacts: dict[str, str] = Field(default_factory=dict)
    charts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    tables: dict[str, Table] = Field(default_factory=dict)
    audit: tuple[Audit, ...] = ()
    costs: dict[str, float] = Field(default_factory=dict)
    failures: dict[str, int] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def condition(self, name: str) -> Condition:
        """The condition of that name. Raises SpecError with near names."""
        for condition in self.conditions:
            if condition.name == name:
                return condition
        raise SpecError(f"{self.id} has no condition {name!r}; {nearest(name, [c.name for c in self.conditions])}")

    def summary(self) -> dict[str, Any]:
        """The one documented `--json` form of every study."""
        rows = [c.model_dump(mode="json") for c in self.conditions]
        return {"record": self.id, "study": self.study, "conditions": rows}


S = TypeVar("S", bound=Spec)


def validate(kind: type[S], values: dict[str, Any]) -> S:
    """A spec from plain values. Raises SpecError that names each field that does not fit."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            where = ".".join(str(p) for p in fault["loc"]) or kind.__name__
            if fault["type"] == "extra_forbidden":
                lines.append(f"{where}: no such field; {nearest(str(fault['loc'][-1]), _fields(kind, fault['loc']))}")
            else:
                got = f" (got {fault.get('input')!r})" if fault["loc"] else ""  # of the whole spec: all that was given
                lines.append(f"{where}: {fault['msg']}{got}")
        raise SpecError("the spec does not fit:\n  " + "\n  ".join(lines)) from error


def _fields(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The fields beside the last one of a path."""
    for part in path[:-1]:
        inner = kind.model_fields[str(part)].annotation if str(part) in kind.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        kind = inner
    return list(kind.model_fields)
