"""Exports give transformers alone the same logits, through the code that their README shows."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.core.errors import ModelError
from superalign.models.head import softmax
from superalign.models.hf.folder import whole
from tests.models import hf_tiny


def fitted(kind: str, **options: Any) -> tuple[Any, Any, Any]:
    items = hf_tiny.sentences()
    made = hf_tiny.model(kind, **options).variants()[-1]
    made = made.fit(items, hf_tiny.cross_entropy(hf_tiny.kindness(items)), 0)
    return made, items, made.logits(items)


@pytest.mark.parametrize(("kind", "tune"), [("gpt2", "full"), ("gpt2", "lora"), ("llama", "full")])
def test_a_decoder_becomes_a_sequence_classifier(kind: str, tune: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    made, items, logits = fitted(kind, tune=tune)
    made.export(tmp_path / "out")
    network = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert network.config.id2label == {0: "no", 1: "yes"}
    batch = tokenizer([item.prompt for item in items], padding=True, return_tensors="pt")
    with torch.no_grad():
        found = network(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits.numpy()
    assert np.abs(found - logits).max() < 1e-4
    assert not list((tmp_path / "out").glob("superalign*"))
    assert "AutoModelForSequenceClassification" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("kind,options", [("bert", {}), ("bert", {"tune": "head"}), ("gpt2", {"tune": "head"}),
                                          ("gpt2", {"tune": "head", "layer": 1})])  # fmt: skip
def test_the_readme_s_code_gives_the_same_probabilities(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    made, items, logits = fitted(kind, **options)
    made.export(tmp_path / "out")
    code = re.search(r"```python\n(.*?)```", (tmp_path / "out" / "README.md").read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "shown.py").write_text(code[1].replace('folder = "."', f"folder = {str(tmp_path / 'out')!r}"))
    shown = runpy.run_path(str(tmp_path / "shown.py"))
    found = np.stack([shown["logits"](item.prompt).numpy() for item in items])
    assert np.abs(softmax(found) - softmax(logits)).max() < 1e-4


def test_own_choices_become_one_score(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    items = hf_tiny.sentences()
    made = hf_tiny.model("gpt2", choices=()).fit(items, hf_tiny.cross_entropy(hf_tiny.kindness(items)), 0)
    made.export(tmp_path / "out")
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").config.num_labels == 1


def test_an_export_is_whole_or_not_there(tmp_path: Path) -> None:
    made, _, _ = fitted("gpt2")
    with pytest.raises(ModelError, match="is already there; remove it or choose another name"):
        made.export(tmp_path)

    def half(into: Path) -> None:
        (into / "config.json").write_text("{}")
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        whole(tmp_path / "out", half)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ModelError, match="is not trained"):
        hf_tiny.model("gpt2").export(tmp_path / "out")
