"""A trained model of a record, as a folder in the Hugging Face layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from superalign.core.errors import ModelError, SpecError, StoreError, UserError, nearest
from superalign.core.ports import Store, Trainable
from superalign.core.spec import Record
from superalign.core.steps import decode
from superalign.core.study import spec_of
from superalign.models.head import softmax
from superalign.studies.w2s.sweep import prepare

CHECKED = 64  # test items on which the loaded model must repeat its stored predictions


def export(record: Record, store: Store, condition: str, seed: int, folder: Path) -> None:
    """Write the model of a condition and seed.

    The loaded weights must give the predictions that the store holds for them (weights that were read but
    never loaded once went unnoticed in a published code base). Raises SpecError for a condition or seed
    without a model, StoreError where its weights are gone, ModelError where the kind of model has no
    Hugging Face layout or does not repeat its predictions, UserError where the folder exists.
    """
    if folder.exists():
        raise UserError(f"{str(folder)!r} exists; name a folder that does not")
    name = f"{condition}/seed {seed}"
    if name not in record.artifacts:
        known = [n for n in record.artifacts if n != "graded"]
        raise SpecError(f"{record.id} has no model {name!r}; {nearest(name, known)}")
    artifact = store.get(record.artifacts[name])
    if artifact is None:
        raise StoreError(f"the weights of {name} are gone or damaged; run the spec of {record.id} again")
    value = decode(artifact.data)
    state = {k.removeprefix("state/"): v for k, v in value.items() if k.startswith("state/")}
    sweep = prepare(spec_of(record.spec), store)  # type: ignore[arg-type]
    method, _, pair = condition.partition("@")
    weak, strong = pair.split(">") if pair else (sweep.spec.weak[0], sweep.spec.strong[0])
    model = sweep.model(weak if method in ("weak", "weak-student") else strong)
    writer: Any = getattr(model, "export", None)
    if not state or not isinstance(model, Trainable) or writer is None:
        raise ModelError(
            f"{name} is {model.name!r}, which has no Hugging Face layout; export takes hf: models and minilm"
        )
    cell = next(c for c in sweep.cells if c.seed == seed)
    loaded = model.load(state)
    _same(loaded, cell.task.items("test")[:CHECKED], value["test"], name)
    loaded.export(folder)  # type: ignore[attr-defined]


def _same(model: Trainable, items: Any, stored: np.ndarray, name: str) -> None:
    apart = float(np.abs(softmax(model.logits(items)) - stored[: len(items)]).max())
    if apart > 1e-3:
        raise ModelError(
            f"the weights of {name} do not repeat their predictions (off by {apart:.3g}); nothing was written"
        )
