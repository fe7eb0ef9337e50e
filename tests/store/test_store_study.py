"""A whole study on PostgreSQL leaves the same numbers as on SQLite."""

from __future__ import annotations

from pathlib import Path

from superalign.core import records
from superalign.core.spec import validate
from superalign.store import open_store
from superalign.studies.w2s import W2S, prepare, w2s
from tests.studies.test_w2s import same


def test_a_study_does_not_care_which_database_keeps_it(postgres: str, tmp_path: Path) -> None:
    values = {
        "source": {"task": "digits"}, "weak": "linear:pool=2:C=1", "strong": "random-features:width=100:C=.3",
        "methods": ["xent"], "seeds": 1, "sizes": {"weak_train": 60, "transfer": 150, "validation": 60, "test": 150},
    }  # fmt: skip
    spec = validate(W2S, values)
    with open_store(postgres) as shared, open_store(tmp_path / "own.sqlite") as own:
        assert same(w2s(spec, shared).summary()["conditions"], w2s(spec, own).summary()["conditions"])
        assert all(step.known for step in prepare(spec, shared).plan().steps)
        assert records.load(shared, "last").id == records.load(own, "last").id
