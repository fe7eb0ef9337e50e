"""LoRA: it starts as the base, changes adapters and head alone, and merges into the same function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModel

from superalign.core.errors import ModelError
from superalign.models.hf.adapters import drawn, merged
from superalign.models.hf.batches import collate
from tests.models import hf_tiny


@pytest.mark.parametrize("kind", ["gpt2", "bert", "llama"])
def test_step_0_is_the_base_and_training_moves_adapters_and_head_alone(kind: str) -> None:
    items = hf_tiny.sentences()
    model = hf_tiny.model(kind, tune="lora", lr=0.03)
    base = hf_tiny.model(kind, tune="head").features(items)
    assert np.allclose(model.features(items), base, atol=1e-5)
    network = model._parts.bench().network
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    fitted = model.fit(items, hf_tiny.cross_entropy(hf_tiny.kindness(items)), 0)
    assert all("lora_" in name or name == "head.weight" for name in fitted.state())
    moved = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert moved <= set(fitted.state())
    assert any("lora_B" in name for name in moved)
    assert (fitted.logits(items).argmax(1) == hf_tiny.kindness(items)).mean() > 0.7


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_merged_equals_unmerged(kind: str) -> None:
    items = hf_tiny.sentences()
    fitted = hf_tiny.model(kind, tune="lora", lr=0.03).fit(items, hf_tiny.cross_entropy(hf_tiny.kindness(items)), 0)
    network = fitted._parts.bench().hold(fitted._weights)
    plain = AutoModel.from_pretrained(hf_tiny.folder(kind)).eval()
    assert not plain.load_state_dict(merged(network.backbone.network)).missing_keys
    batch = collate([np.array([4, 5, 9, 13])], torch.device("cpu"))
    with torch.no_grad():
        assert torch.allclose(plain(batch.ids).last_hidden_state[:, -1], network.backbone(batch), atol=1e-5)


def test_the_start_is_drawn_from_the_seed() -> None:
    initial = hf_tiny.model("gpt2", tune="lora")._parts.bench().initial
    one, two, other = drawn(initial, 1), drawn(initial, 1), drawn(initial, 2)
    for name, value in initial.items():
        assert np.array_equal(one[name], two[name])
        assert np.array_equal(one[name], other[name]) == ("lora_A" not in name)
        assert np.array_equal(one[name], value) == ("lora_A" not in name)
        assert "lora_B" not in name or not one[name].any()


def test_rank_and_targets_are_what_was_asked() -> None:
    state = hf_tiny.model("llama", tune="lora", rank=3, targets="q_proj,down_proj")._parts.bench().initial
    assert {name.split(".")[-4] for name in state if "lora_" in name} == {"q_proj", "down_proj"}
    assert all(value.shape[0] == 3 for name, value in state.items() if "lora_A" in name)
    every = hf_tiny.model("llama", tune="lora", targets="all-linear")._parts.bench().initial
    assert sum("lora_A" in name for name in every) == 14
    assert hf_tiny.model("llama", tune="lora", rank=3).identity != hf_tiny.model("llama", tune="lora").identity


def test_targets_that_fit_nothing_are_named() -> None:
    with pytest.raises(ModelError, match=r"targets=nonsense fits no module of gpt2; there is c_attn,c_fc,c_proj"):
        hf_tiny.model("gpt2", tune="lora", targets="nonsense").features(hf_tiny.sentences())


@pytest.mark.parametrize("tune", ["lora", "full", "head"])
def test_bfloat16_trains_in_float32_and_loads_back(tune: str) -> None:
    items = hf_tiny.sentences()
    goal = hf_tiny.cross_entropy(hf_tiny.kindness(items))
    options = {} if tune == "head" else {"lr": 0.03 if tune == "lora" else 0.01}
    model = hf_tiny.model("gpt2", tune=tune, dtype="bfloat16", **options).variants()[-1]
    fitted = model.fit(items, goal, 0)
    logits = fitted.logits(items)
    assert (logits.argmax(1) == hf_tiny.kindness(items)).mean() > 0.7
    assert np.array_equal(model.load(fitted.state()).logits(items), logits)
    if tune != "head":
        assert all(p.dtype == torch.float32 for p in model._parts.bench().trained.values())
