"""Every rewrite computes what it replaces, and one that does not is taken back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModel
from transformers.activations import NewGELUActivation

from superalign.models.hf.backbone import Backbone
from superalign.models.hf.batches import collate
from superalign.models.hf.rewrites import TanhGelu
from tests.models import hf_tiny

ROWS = [np.array([0, 4, 5, 0, 9, 1, 3]), np.array([2, 0]), np.array([7, 7, 0, 12])]
BOTH = ["MLP of the last block at one position", "attention of the last block at one position"]


def backbone(kind: str) -> Backbone:
    network = AutoModel.from_pretrained(hf_tiny.folder(kind)).eval()
    return Backbone(network, "mean" if kind == "bert" else "last", kind != "bert", None, torch.float32)


def test_gelu_and_its_slope() -> None:
    x = torch.linspace(-6, 6, 1001, requires_grad=True)
    expected = NewGELUActivation()(x)
    made = TanhGelu()(x)
    assert torch.allclose(made, expected, atol=1e-6)
    slope = torch.autograd.grad(made.sum(), x)[0]
    assert torch.allclose(slope, torch.autograd.grad(expected.sum(), x)[0], atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(TanhGelu()(x), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gpt_neox", "bert"])
def test_states_and_gradients_are_those_of_the_plain_network(kind: str) -> None:
    fast, plain = backbone(kind), backbone(kind)
    kept = fast.speed_up()
    assert kind == "bert" or kept[-2:] == BOTH
    batch = collate(ROWS, torch.device("cpu"))
    inside = torch.arange(batch.ids.shape[1]) < batch.lengths[:, None]
    states = plain.network(input_ids=batch.ids, attention_mask=inside.long()).last_hidden_state
    if kind == "bert":
        expected = (states * inside[..., None]).sum(1) / batch.lengths[:, None]
    else:
        expected = states[torch.arange(3), batch.lengths - 1]
    made = fast(batch)
    assert torch.allclose(made, expected, atol=1e-5)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
    (made * weights).sum().backward()
    (expected * weights).sum().backward()
    found = dict(fast.network.named_parameters())
    for name, p in plain.network.named_parameters():
        if p.grad is not None:
            assert torch.allclose(found[name].grad, p.grad, atol=2e-5), name


def test_a_rewrite_that_changes_the_output_is_taken_back() -> None:
    """A decoder whose last block adds the first token's MLP: it cannot be computed at one position alone."""
    made = backbone("gpt2")
    mlp = made.network.h[-1].mlp
    handle = mlp.register_forward_hook(lambda module, inputs, out: out + out[:, :1])
    kept = made.speed_up()
    handle.remove()
    assert kept == ["fused GELU", "no masks"]
    batch = collate(ROWS, torch.device("cpu"))
    assert torch.allclose(made(batch), backbone("gpt2")(batch), atol=1e-5)


def test_a_network_that_looks_right_keeps_its_masks() -> None:
    """Called causal, but bidirectional: then padding without a mask would be seen."""
    network = AutoModel.from_pretrained(hf_tiny.folder("bert")).eval()
    made = Backbone(network, "mean", True, None, torch.float32)
    assert "no masks" not in made.speed_up()
    assert made.masks_padding
