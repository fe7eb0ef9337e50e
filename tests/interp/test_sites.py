"""Sites of real architectures with random weights: read, replaced, stopped at."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from superalign.core.errors import ModelError
from superalign.interp.sites import KINDS, expand, reading, replacing, sites_of
from tests.interp.tiny import Transformer

SHARED: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 32, "pad_token_id": 0,
}  # fmt: skip
GPT: dict[str, Any] = {"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 32}
CONFIGS: dict[str, dict[str, Any]] = {
    "GPT2": GPT,
    "GPTNeoX": SHARED,
    "Llama": SHARED,
    "Mistral": SHARED,
    "Gemma2": {**SHARED, "head_dim": 4},
    "Phi3": SHARED,
    "OPT": {"vocab_size": 40, "hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
            "max_position_embeddings": 32, "word_embed_proj_dim": 16},
    "Bloom": {"vocab_size": 40, "hidden_size": 16, "n_layer": 2, "n_head": 4},
    "Falcon": {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4},
    "GPTNeo": {"vocab_size": 40, "hidden_size": 16, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 32,
               "attention_types": [[["global"], 2]]},
}  # fmt: skip
IDS = torch.arange(12).reshape(2, 6) + 3


@cache
def model(kind: str) -> Any:
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**CONFIGS.get(kind, SHARED))
    return transformers.AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)


def read(network: nn.Module, *sites: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    with reading(network, sites, lambda site, x: found.update({site: x.clone()})):
        network(input_ids=IDS, use_cache=False)
    return found


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_site_is_read_with_its_width_in_the_order_of_computation(kind: str) -> None:
    network = model(kind)
    sites = sites_of(network)
    assert list(sites) == [f"{k}.{layer}" for layer in (0, 1) for k in KINDS]
    found = read(network, *sites)
    assert list(found) == list(sites)
    assert {site: tuple(x.shape) for site, x in found.items()} == {site: (2, 6, width) for site, width in sites.items()}


@pytest.mark.parametrize("kind", [k for k in CONFIGS if k != "Gemma2"])  # which norms what its parts add
def test_a_block_adds_attention_and_mlp_to_the_stream(kind: str) -> None:
    found = read(model(kind), "resid.0", "attn.1", "mlp_out.1", "resid.1")
    torch.testing.assert_close(found["resid.1"], found["resid.0"] + found["attn.1"] + found["mlp_out.1"])


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_is_put_in_place_flows_on(kind: str) -> None:
    network = model(kind)
    plain = network(input_ids=IDS).logits
    for site in sites_of(network):
        with replacing(network, site, torch.clone):
            assert torch.equal(network(input_ids=IDS).logits, plain), site
        with replacing(network, site, torch.zeros_like):
            assert not torch.allclose(network(input_ids=IDS).logits, plain), site
    assert torch.equal(network(input_ids=IDS).logits, plain)


def test_neurons_are_what_the_down_projection_reads() -> None:
    network = model("Llama")
    found = read(network, "mlp_in.1", "mlp.1", "mlp_out.1")
    mlp = network.model.layers[1].mlp
    gate, up = mlp.gate_proj(found["mlp_in.1"]), mlp.up_proj(found["mlp_in.1"])
    torch.testing.assert_close(found["mlp.1"], nn.functional.silu(gate) * up)
    torch.testing.assert_close(found["mlp_out.1"], mlp.down_proj(found["mlp.1"]))


def test_the_residual_stream_is_that_of_hidden_states() -> None:
    network = model("GPT2")
    states = network(input_ids=IDS, output_hidden_states=True).hidden_states
    torch.testing.assert_close(read(network, "resid.0")["resid.0"], states[1])


def test_the_forward_pass_stops_at_the_last_site() -> None:
    network, seen, after = model("GPTNeoX"), [], []
    hook = network.gpt_neox.layers[1].register_forward_pre_hook(lambda *_: after.append("layer 1"))
    with reading(network, ["mlp.0", "attn.0"], lambda site, _: seen.append(site), stop=True):
        network(input_ids=IDS)
        after.append("the body")
    hook.remove()
    assert (seen, after) == (["attn.0", "mlp.0"], [])


def test_no_hook_is_left_behind() -> None:
    network = Transformer().eval()
    with pytest.raises(ZeroDivisionError), reading(network, list(sites_of(network)), lambda *_: 1 / 0):  # type: ignore[arg-type, return-value]
        network(input_ids=IDS)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert network(input_ids=IDS).shape == (2, 6, 50)


def test_a_mixture_of_experts_has_no_mlp_sites() -> None:
    network = model("Mixtral")
    assert list(sites_of(network)) == ["attn.0", "resid.0", "attn.1", "resid.1"]
    with pytest.raises(
        ModelError, match=r"MixtralForCausalLM has no site 'mlp.0'; there is: attn.0 to attn.1, resid.0"
    ):
        read(network, "mlp.0")


def test_names_are_expanded_in_the_order_of_computation() -> None:
    known = sites_of(Transformer())
    assert expand(["mlp", "resid.0", "mlp.0"], known) == ("mlp.0", "resid.0", "mlp.1")
    with pytest.raises(ModelError, match=r"no site 'mpl.0'; did you mean"):
        expand(["mpl.0"], known)
    with pytest.raises(ModelError, match=r"no site 'mlp.7'; there is: attn.0 to attn.1, mlp_in.0 to mlp_in.1"):
        expand(["mlp.7"], known)
    with pytest.raises(ModelError, match="no site was named"):
        expand([], known)


def test_a_model_without_blocks_has_no_sites() -> None:
    with pytest.raises(ModelError, match="Linear has no list of blocks"):
        sites_of(nn.Linear(2, 2))
    for site in ("mlp.2", "mlp", "mlp.x"):
        with pytest.raises(ModelError, match=f"has no site '{site}'"), replacing(Transformer(), site, torch.clone):
            pass
