"""A study whose students are transformers, trained whole and by adapters, taken away and loaded again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs pip install 'superalign[hf]'")

from superalign.core.errors import StoreError
from superalign.core.spec import validate
from superalign.core.steps import decode
from superalign.store import open_store
from superalign.studies.w2s import W2S, prepare, w2s
from superalign.studies.w2s.export import export
from tests.models import hf_tiny
from tests.studies.test_w2s import damage


@pytest.mark.parametrize("tune", ["head:C=.1", "full:epochs=1", "lora:epochs=1"])
def test_students_can_be_taken_away_and_give_the_same_predictions(tmp_path: Path, tune: str) -> None:
    """Weights that were saved but never loaded once went unnoticed; ours must repeat their predictions."""
    from transformers import AutoModel

    rows = ["text,label"]
    rng = np.random.default_rng(0)
    for k in range(120):
        words = " ".join(rng.choice(["the", "a", "cat", "dog", "is", "was", "here"], 5))
        rows.append(f"{words} {'kind' if k % 2 else 'cruel'} {k},{k % 2}")
    (tmp_path / "rows.csv").write_text("\n".join(rows) + "\n")
    spec = validate(
        W2S,
        {
            "source": {"task": str(tmp_path / "rows.csv")},
            "sizes": {"weak_train": 24, "transfer": 40, "validation": 24, "test": 30},
            "weak": "bow",
            "strong": f"hf:{hf_tiny.folder('bert')}:tune={tune}",
            "methods": ["xent", "logconf"],
            "seeds": 1,
        },
    )
    url = str(tmp_path / "s.sqlite")
    with open_store(url) as store:
        record = w2s(spec, store)
        assert record.condition("xent").numbers["accuracy"].value is not None
        assert all(s.known for s in prepare(spec, store).plan().steps)
        export(record, store, "xent", 0, tmp_path / "out")
        assert any((tmp_path / "out").glob("*.safetensors"))
        assert not list((tmp_path / "out").glob("*.bin"))
        artifact = store.get(record.artifacts["xent/seed 0"])
        assert artifact is not None
        assert decode(artifact.data)["test"].shape == (30, 2)
        assert AutoModel.from_pretrained(tmp_path / "out") is not None
        damage(url, record.artifacts["logconf/seed 0"])
        with pytest.raises(StoreError, match="gone or damaged"):
            export(record, store, "logconf", 0, tmp_path / "other")
    assert not (tmp_path / "other").exists()
