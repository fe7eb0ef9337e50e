"""Specs and records: identity, the documented JSON form, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from superalign.core import records
from superalign.core.errors import SpecError, StoreError
from superalign.core.spec import Condition, Number, Record, Spec, validate
from superalign.core.study import machine, now, read_spec, versions
from superalign.store import open_store


class Demo(Spec):
    study: Literal["demo"] = "demo"
    size: int = 3


def record(name: str = "demo-1", value: float | None = 0.43) -> Record:
    number = Number(value=value, low=0.31, high=0.55, n=1000, seeds=5, reason=None if value else "undefined: no gap")
    return Record(
        id=name, study="demo", title="A demo", spec={"study": "demo"}, spec_hash="abc", created=now(),
        versions=versions(), machine=machine(), conditions=(Condition(name="xent", numbers={"pgr": number}),),
    )  # fmt: skip


def test_the_hash_of_a_spec_is_its_identity() -> None:
    assert Demo().digest == Demo(size=3).digest != Demo(size=4).digest


def test_a_spec_that_does_not_fit_names_the_field() -> None:
    with pytest.raises(SpecError, match="siez: no such field; did you mean 'size'"):
        validate(Demo, {"siez": 3})
    with pytest.raises(SpecError, match=r"size: .*valid integer.*got 'many'"):
        validate(Demo, {"size": "many"})


def test_the_json_form_of_every_study() -> None:
    assert record().summary() == {
        "record": "demo-1",
        "study": "demo",
        "conditions": [
            {
                "name": "xent",
                "numbers": {"pgr": {"value": 0.43, "low": 0.31, "high": 0.55, "n": 1000, "seeds": 5, "reason": None}},
                "labels": {},
            }
        ],
    }


def test_records_are_kept_and_found_by_the_beginning_of_their_id(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "s.sqlite")) as store:
        with pytest.raises(StoreError, match="holds no record yet"):
            records.load(store, "last")
        for name in ("demo-1", "demo-2", "other-1"):
            records.save(store, record(name))
        records.save(store, record("demo-1", None))
        assert [e.id for e in records.entries(store)] == ["demo-2", "other-1", "demo-1"]
        assert records.load(store, "last").condition("xent").numbers["pgr"].value is None
        assert records.load(store, "oth").id == "other-1"
        with pytest.raises(StoreError, match="2 records start with 'demo'"):
            records.load(store, "demo")
        with pytest.raises(StoreError, match="no record 'dmeo-2'; did you mean 'demo-2'"):
            records.load(store, "dmeo-2")
        assert [r.id for r in records.load_all(store)] == ["demo-2", "other-1", "demo-1"]


def test_unknown_conditions_get_near_names() -> None:
    with pytest.raises(SpecError, match="no condition 'xnet'; did you mean 'xent'"):
        record().condition("xnet")


def test_specs_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    with pytest.raises(SpecError, match="no spec at"):
        read_spec(path)
    path.write_text("study = ")
    with pytest.raises(SpecError, match="is not TOML"):
        read_spec(path)
    path.write_text('study = "w2z"')
    with pytest.raises(SpecError, match="'w2z'; did you mean 'w2s'"):
        read_spec(path)
