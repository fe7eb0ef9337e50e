"""Files of other projects: read by the formulas of those who wrote them, written back, and refused where they mislead."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from superalign.core.errors import ModelError
from superalign.interp.dictionaries.dictionary import Dictionary, Kind
from superalign.interp.dictionaries.formats.saelens import write_saelens
from superalign.interp.dictionaries.formats.sparsify import write_sparsify
from superalign.interp.dictionaries.reading import read
from tests.interp.dictionaries.planted import numbers, small

D, F = 6, 16
X = numbers(50, D, seed=20)
W_ENC, W_DEC = numbers(D, F, seed=1), numbers(F, D, seed=3)  # as SAELens has them
B_ENC, B_DEC = numbers(F, seed=2), numbers(D, seed=4)
LENS = {"W_enc": W_ENC, "W_dec": W_DEC, "b_enc": B_ENC, "b_dec": B_DEC}
Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Writes cfg.json and tensors into a folder."""

    def write(weights: str, tensors: dict[str, Tensor], cfg: dict[str, Any]) -> Path:
        save_file({k: t.contiguous() for k, t in tensors.items()}, tmp_path / weights)
        (tmp_path / "cfg.json").write_text(json.dumps(cfg))
        return tmp_path

    return write


def lens(folder: Folder, tensors: dict[str, Tensor] = LENS, **cfg: Any) -> Path:
    return folder("sae_weights.safetensors", tensors, {"d_in": D, "d_sae": F, "architecture": "standard", **cfg})


def sparsify(folder: Folder, skip: bool = False, **cfg: Any) -> Path:
    tensors = {"encoder.weight": W_ENC.T, "encoder.bias": B_ENC, "W_dec": W_DEC, "b_dec": B_DEC}
    tensors |= {"W_skip": numbers(D, D, seed=6)} if skip else {}
    return folder("sae.safetensors", tensors, {"d_in": D, "k": 3, "activation": "topk", "novel_key": 1, **cfg})


def top(pre: Tensor, k: int) -> Tensor:
    values, index = pre.topk(k)
    return torch.zeros_like(pre).scatter(1, index, values.relu())


def check(d: Dictionary, codes: Tensor, made: Tensor) -> None:
    """Codes and reconstructions of X are those of the formula."""
    values, index = d.encode(X)
    torch.testing.assert_close(torch.zeros(len(X), F).scatter_add(1, index, values), codes, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(d.reconstruct(X), made, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("centred", [True, False])
def test_saelens_standard(folder: Folder, centred: bool) -> None:
    z = ((X - centred * B_DEC) @ W_ENC + B_ENC).relu()
    check(read(lens(folder, apply_b_dec_to_input=centred)), z, z @ W_DEC + B_DEC)


def test_saelens_before_version_6_centres_and_names_topk_by_its_function(folder: Folder) -> None:
    z = top((X - B_DEC) @ W_ENC + B_ENC, 4)
    old: dict[str, Any] = {
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 4},
        "hook_point": "blocks.0.hook_resid_pre",
    }
    d = read(lens(folder, **old, normalize_activations=False))
    check(d, z, z @ W_DEC + B_DEC)
    assert d.k == 4


def test_saelens_topk_compared_by_the_length_of_directions(folder: Folder) -> None:
    length = W_DEC.norm(dim=1)
    z = top(((X - B_DEC) @ W_ENC + B_ENC) * length, 4)
    check(
        read(lens(folder, architecture="topk", k=4, rescale_acts_by_decoder_norm=True)), z, (z / length) @ W_DEC + B_DEC
    )


def test_saelens_jumprelu_has_its_threshold_plain(folder: Folder) -> None:
    threshold = numbers(F, seed=5)  # those below 0 count as 0
    pre = X @ W_ENC + B_ENC
    z = pre.relu() * (pre > threshold.relu())
    path = lens(folder, {**LENS, "threshold": threshold}, architecture="jumprelu", apply_b_dec_to_input=False)
    check(read(path), z, z @ W_DEC + B_DEC)


def test_saelens_gated_is_the_jumprelu_that_it_is_equal_to(folder: Folder) -> None:
    gate, mag, r = numbers(F, seed=7), numbers(F, seed=8), numbers(F, seed=9) / 3
    x = X - B_DEC
    z = ((x @ W_ENC + gate) > 0) * (x @ (W_ENC * r.exp()) + mag).relu()
    tensors = {"W_enc": W_ENC, "W_dec": W_DEC, "b_dec": B_DEC, "b_gate": gate, "b_mag": mag, "r_mag": r}
    d = read(lens(folder, tensors, architecture="gated"))
    check(d, z, z @ W_DEC + B_DEC)
    assert d.kind == "jumprelu"
    assert 0.1 < float((z > 0).float().mean()) < 0.9


def test_saelens_batchtopk_of_training_has_one_threshold(folder: Folder) -> None:
    pre = (X - B_DEC) @ W_ENC + B_ENC
    z = pre * (pre > 0.8)
    tensors = {**LENS, "topk_threshold": torch.tensor(0.8, dtype=torch.float64)}
    check(read(lens(folder, tensors, architecture="batchtopk", k=3)), z, z @ W_DEC + B_DEC)


@pytest.mark.parametrize("where", ["argument", "file"])
def test_saelens_scaled_activations_are_given_back_in_their_own_units(folder: Folder, where: str) -> None:
    z = ((2.5 * X - B_DEC) @ W_ENC + B_ENC).relu()
    known: dict[str, Any] = {"norm_scaling_factor": 2.5} if where == "file" else {}
    path = lens(folder, normalize_activations="expected_average_only_in", **known)
    check(read(path, scale=2.5 if where == "argument" else None), z, (z @ W_DEC + B_DEC) / 2.5)


def test_saelens_factors_of_finetuning_are_used_only_where_the_file_says_so(folder: Folder) -> None:
    factor = numbers(F, seed=5).exp()
    z = ((X - B_DEC) @ W_ENC + B_ENC).relu()
    path = lens(folder, {**LENS, "scaling_factor": factor}, finetuning_scaling_factor=True)
    check(read(path), z, (z * factor) @ W_DEC + B_DEC)
    check(read(lens(folder, {**LENS, "scaling_factor": torch.ones(F)})), z, z @ W_DEC + B_DEC)
    with pytest.raises(ModelError, match="holds scaling factors and does not say whether they are used"):
        read(lens(folder, {**LENS, "scaling_factor": factor}))


def test_saelens_transcoders_are_not_centred_and_may_skip(folder: Folder) -> None:
    skip, threshold = numbers(5, D, seed=6), numbers(F, seed=5).abs()
    out = {"W_enc": W_ENC, "b_enc": B_ENC, "W_dec": numbers(F, 5, seed=3), "b_dec": numbers(5, seed=4)}
    tensors = {**out, "W_skip": skip, "threshold": threshold}
    pre = X @ W_ENC + B_ENC
    z = pre.relu() * (pre > threshold)
    d = read(lens(folder, tensors, architecture="jumprelu_skip_transcoder", d_out=5))
    check(d, z, z @ out["W_dec"] + out["b_dec"] + X @ skip.T)
    assert d.transcode


def test_half_precision_is_read_as_float32(folder: Folder) -> None:
    d = read(lens(folder, {k: t.to(torch.bfloat16) for k, t in LENS.items()}))
    assert d.W_enc.dtype == d.b_dec.dtype == torch.float32


def test_sparsify_is_centred_unless_it_transcodes(folder: Folder) -> None:
    z = top((X - B_DEC) @ W_ENC + B_ENC, 3)
    check(read(sparsify(folder)), z, z @ W_DEC + B_DEC)
    z = top(X @ W_ENC + B_ENC, 3)
    check(
        read(sparsify(folder, True, transcode=True, skip_connection=True)),
        z,
        z @ W_DEC + B_DEC + X @ numbers(D, D, seed=6).T,
    )


@pytest.mark.parametrize("kind", ["topk", "jumprelu", "batchtopk", "standard"])
def test_what_is_written_in_the_form_of_saelens_is_read_back(kind: Kind, tmp_path: Path) -> None:
    d = small(kind)
    write_saelens(d, tmp_path / "new", metadata={"model_name": "tiny", "hook_name": "blocks.0.hook_resid_post"})
    again = read(tmp_path / "new")
    torch.testing.assert_close(again.reconstruct(X), d.reconstruct(X))
    assert again.kind == ("jumprelu" if kind == "batchtopk" else kind)
    cfg = json.loads((tmp_path / "new" / "cfg.json").read_text())
    assert cfg["metadata"]["model_name"] == "tiny"
    assert (cfg["apply_b_dec_to_input"], cfg["normalize_activations"]) == (False, "none")
    kept = load_file(tmp_path / "new" / "sae_weights.safetensors")
    assert (kept["W_enc"].shape, kept["W_dec"].shape) == ((D, F), (F, D))
    with pytest.raises(ModelError, match=r"new is already there; remove it or choose another name"):
        write_saelens(d, tmp_path / "new")


def test_transcoders_are_written_where_the_form_has_them(tmp_path: Path) -> None:
    d = small("jumprelu", skip=True)
    write_saelens(d, tmp_path / "lens")
    torch.testing.assert_close(read(tmp_path / "lens").reconstruct(X), d.reconstruct(X))
    top_skip = small("topk", skip=True)
    write_sparsify(top_skip, tmp_path / "sparsify")
    torch.testing.assert_close(read(tmp_path / "sparsify").reconstruct(X), top_skip.reconstruct(X))
    with pytest.raises(ModelError, match=r"form of SAELens has no topk transcoder; write the form of sparsify"):
        write_saelens(top_skip, tmp_path / "no")


def test_what_is_written_in_the_form_of_sparsify_is_read_back(tmp_path: Path) -> None:
    d = small("topk")
    write_sparsify(d, tmp_path / "new")
    again = read(tmp_path / "new")
    torch.testing.assert_close(again.reconstruct(X), d.reconstruct(X), rtol=1e-5, atol=1e-5)
    assert (again.k, again.width) == (3, F)
    with pytest.raises(ModelError, match=r"holds topk dictionaries .* this is a jumprelu of 6 to 6"):
        write_sparsify(small("jumprelu"), tmp_path / "no")


@pytest.mark.parametrize("threshold", [True, False])
def test_params_npz(tmp_path: Path, threshold: bool) -> None:
    level = numbers(F, seed=5).abs()
    pre = X @ W_ENC + B_ENC
    z = pre.relu() * (pre > level) if threshold else pre.relu()
    arrays: dict[str, Any] = {k: t.numpy() for k, t in LENS.items()} | (
        {"threshold": level.numpy()} if threshold else {}
    )
    np.savez(tmp_path / "params.npz", **arrays)
    for path in (tmp_path, tmp_path / "params.npz"):
        check(read(path), z, z @ W_DEC + B_DEC)


@pytest.mark.parametrize("kind", ["standard", "topk", "batchtopk"])
def test_state_dicts_with_linear_layers(tmp_path: Path, kind: Kind) -> None:
    tensors = {"encoder.weight": W_ENC.T.contiguous(), "encoder.bias": B_ENC, "decoder.weight": W_DEC.T.contiguous()}
    tensors |= {"bias" if kind == "standard" else "b_dec": B_DEC}
    pre = (X - B_DEC) @ W_ENC + B_ENC
    z = pre.relu()
    if kind == "topk":
        tensors |= {"k": torch.tensor(4), "threshold": torch.tensor(-1.0)}
        z = top(pre, 4)
    if kind == "batchtopk":
        tensors |= {"k": torch.tensor(4), "threshold": torch.tensor(0.9)}
        z = pre * (pre > 0.9)
        save_file(tensors, tmp_path / "ae.safetensors")
        with pytest.raises(ModelError, match=r"is a TopK or a BatchTopK; put config.json beside it, .* \(got None\)"):
            read(tmp_path)
        (tmp_path / "config.json").write_text(json.dumps({"trainer": {"dict_class": "BatchTopKSAE"}}))
    save_file(tensors, tmp_path / "ae.safetensors")
    check(read(tmp_path), z, z @ W_DEC + B_DEC)


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"normalize_activations": "layer_norm"}, r"normalize_activations is 'layer_norm', and only 'none' and"),
        ({"normalize_activations": "constant_norm_rescale"}, r"others change each row by a factor of its own"),
        ({"normalize_activations": "expected_average_only_in"}, r"give scale = sqrt\(d_in\) / mean norm"),
        ({"architecture": "temporal"}, r"the architecture 'temporal' is not known; there is: standard, topk"),
        ({"activation_fn": "tanh-relu"}, r"the architecture 'standard with tanh-relu' is not known"),
        ({"architecture": "jumprelu"}, r"has no threshold; there is: W_dec \(16, 6\), W_enc \(6, 16\), b_dec"),
        ({"architecture": "topk"}, r"k must be a whole number above 0, got None"),
        ({"architecture": "topk", "k": 99}, r"needs k from 1 to 16, got 99"),
        ({"d_in": 7}, r"says d_in=7, and W_enc has shape \(6, 16\)"),
        ({"reshape_activations": "fold"}, r"reshape_activations is 'fold'"),
    ],
)
def test_saelens_files_that_cannot_be_run_are_refused(folder: Folder, cfg: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(lens(folder, **cfg))


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"activation": "groupmax"}, r"latents fire by 'groupmax', and only 'topk' can be run"),
        ({"embed_skip": True}, r"needs more than activations to be run \(embed_skip\)"),
        ({"d_in": 5}, r"cfg.json says d_in=5, and encoder.weight has shape \(16, 6\)"),
        ({"k": 2.5}, r"k must be a whole number above 0, got 2.5"),
        ({"skip_connection": True}, r"has no W_skip"),
        ({"d_in": None}, r"d_in must be a whole number above 0, got None"),
    ],
)
def test_sparsify_files_that_cannot_be_run_are_refused(folder: Folder, cfg: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(sparsify(folder, **cfg))


def test_damaged_and_foreign_files_say_what_was_expected(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"is no dictionary; one has sae.safetensors \(sparsify\), .*; there is: nothing"
    ):
        read(tmp_path)
    with pytest.raises(ModelError, match=r"there is no .*gone; give a folder or file with"):
        read(tmp_path / "gone")
    (tmp_path / "ae.pt").write_bytes(b"\x80\x04")
    for path in (tmp_path, tmp_path / "ae.pt"):
        with pytest.raises(ModelError, match=r"ae.pt is a pickle, which can run code when it is opened"):
            read(path)
    np.savez(tmp_path / "params.npz", W_enc=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ModelError, match=r"cannot read .*params.npz: Object arrays cannot be loaded"):
        read(tmp_path / "params.npz")
    (tmp_path / "params.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ModelError, match=r"cannot read .*params.npz"):
        read(tmp_path / "params.npz")
    path = lens(folder)
    for text, message in (("{", r"cfg.json is not JSON"), ("[1]", "cfg.json is not a JSON object")):
        (path / "cfg.json").write_text(text)
        with pytest.raises(ModelError, match=message):
            read(path)
    lens(folder)
    weights = path / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"cannot read .*sae_weights.safetensors: not a safetensors file"):
        read(path)
    (path / "cfg.json").unlink()
    with pytest.raises(ModelError, match=r"cannot read .*cfg.json: No such file"):
        read(path)
    with pytest.raises(ModelError, match=r"name its folder"):
        read(weights)


def test_tensors_of_other_shapes_are_refused(folder: Folder) -> None:
    with pytest.raises(ModelError, match=r"W_enc has shape \(6,\), and a table of two dimensions is expected"):
        read(lens(folder, {**LENS, "W_enc": torch.ones(6)}))
    with pytest.raises(ModelError, match=r"an encoder \(16, 6\) with biases \(16,\) and \(5,\) does not fit together"):
        read(lens(folder, {**LENS, "b_dec": torch.ones(5)}))
    with pytest.raises(ModelError, match=r"topk_threshold has shape \(3,\), and one number is expected"):
        read(lens(folder, {**LENS, "topk_threshold": torch.ones(3)}, architecture="batchtopk", k=3))
    with pytest.raises(ModelError, match=r"is not of the form of SAELens, whose files alone leave out a scale"):
        read(Path("/nowhere"), scale=2.0)
