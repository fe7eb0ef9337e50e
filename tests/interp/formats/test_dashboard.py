"""SAEDashboard's batches: what is read, what is written, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from superalign.core.errors import TaskError
from superalign.interp.dossier import Excerpt
from superalign.interp.formats.dashboard import Dashboard, dashboards, read, write
from superalign.interp.units import Unit
from tests.interp.formats.examples import dossier


def feature(index: int, **changes: Any) -> dict[str, Any]:
    """A feature as the program writes it, whole numbers as ints where it does."""
    windows = [
        {"bin_min": -1, "bin_max": 0.8, "bin_contains": -1, "tokens": [" a", "b"], "values": [0.0, 0.8],
         "qualifying_token_index": 1, "dfa_values": [], "dfa_maxValue": 0, "dfa_targetIndex": -1},
        {"bin_min": 0.0, "bin_max": 0.16, "bin_contains": 0.9999, "tokens": ["c"], "values": [0.1],
         "qualifying_token_index": 0, "dfa_values": [0.5], "dfa_maxValue": 0.5, "dfa_targetIndex": 0},
    ]  # fmt: skip
    return {
        "feature_index": index, "neuron_alignment_indices": [3, 1], "neuron_alignment_values": [0.2, 0.1],
        "neuron_alignment_l1": [0.01, 0.005], "correlated_neurons_indices": [], "correlated_neurons_l1": [],
        "correlated_neurons_pearson": [], "correlated_features_indices": [0], "correlated_features_l1": [0.0],
        "correlated_features_pearson": [-0.0], "logits_hist_data_bar_heights": [1, 0],
        "logits_hist_data_bar_values": [-0.5, 0.5], "decoder_weights_dist": [], "pos_str": [" x"], "pos_values": [1.5],
        "neg_str": ["y"], "neg_values": [-2], "frac_nonzero": 0.001, "freq_hist_data_bar_values": [0.1, 0.3, 0.5, 0.7],
        "freq_hist_data_bar_heights": [6, 0, 2, 2], "n_prompts_total": 100, "n_tokens_in_prompt": 128, "dataset": "text",
        "activations": windows, **changes,
    }  # fmt: skip


def dead(index: int) -> dict[str, Any]:
    silent = {"bin_min": 0.0, "bin_max": 0.0, "bin_contains": 1.0, "tokens": ["a"], "values": [0.0]}
    empty = {"freq_hist_data_bar_values": [], "freq_hist_data_bar_heights": []}
    return feature(index, frac_nonzero=0, activations=[silent], **empty)


def batch(folder: Path, number: int, *features: dict[str, Any], **changes: Any) -> Path:
    head = {"model_id": "gpt2-small", "layer": 0, "sae_set": "res-jb", "features": list(features), **changes}
    folder.mkdir(exist_ok=True)
    (folder / f"batch-{number}.json").write_text(json.dumps(head))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (0, 2, 10):  # in the order of their numbers
        batch(tmp_path / "in", number, feature(number), dead(number + 1))
    skipped = {
        "model_id": "gpt2-small",
        "layer": "0",
        "sae_set": "res-jb",
        "log_sparsity": -5,
        "skipped_indexes": [4, 5],
    }
    (tmp_path / "in" / "skipped_indexes.json").write_text(json.dumps(skipped))
    return tmp_path / "in"


def test_what_is_read(folder: Path) -> None:
    found = read(folder)
    assert (found.model, found.layer, found.dictionary, found.skipped) == ("gpt2-small", "0", "res-jb", (4, 5))
    assert [d.unit for d in found.dossiers] == [Unit("resid.0+res-jb", k, "latent") for k in (0, 1, 2, 3, 10, 11)]
    first, silent = found.dossiers[:2]
    assert (first.rows, first.density, first.peak) == (12800, 0.001, 0.8)
    assert first.mean == pytest.approx((6 * 0.1 + 2 * 0.5 + 2 * 0.7) / 12800)
    assert first.histogram[0] == pytest.approx((0, 0.2, 0.4, 0.6, 0.8))
    assert first.histogram[1] == (6, 0, 2, 2)
    assert [e.stratum for e in first.excerpts] == ["top", "between 0 and 0.16"]
    assert first.facts == {"share between 0 and 0.16": 0.9999}
    assert first.suppressed == (("y", -2.0),)
    assert (silent.density, silent.peak, silent.mean, silent.histogram) == (0, 0, 0, ((), ()))
    assert len(silent.excerpts) == 1  # a dead feature has windows too
    assert read(folder / "batch-2.json").dossiers == found.dossiers[2:4]


def test_nothing_is_lost_on_the_way_back(folder: Path, tmp_path: Path) -> None:
    found = read(folder)
    paths = write(found, tmp_path / "out", batch=2)
    assert [p.name for p in paths] == ["batch-0.json", "batch-1.json", "batch-2.json", "skipped_indexes.json"]
    for old, new in (("batch-0", "batch-0"), ("batch-2", "batch-1"), ("batch-10", "batch-2")):
        before, after = (json.loads(p.read_text()) for p in (folder / f"{old}.json", tmp_path / "out" / f"{new}.json"))
        assert after["layer"] == 0
        for one, other in zip(before.pop("features"), after.pop("features"), strict=True):
            if one["frac_nonzero"]:
                assert one == other
        assert before == after
    assert json.loads(paths[-1].read_text()) == json.loads((folder / "skipped_indexes.json").read_text())
    assert read(tmp_path / "out").dossiers == found.dossiers


def test_our_own_dossiers_as_dashboards(tmp_path: Path) -> None:
    """Shares of intervals come from the histogram; silence is in the lowest."""
    made = (dossier(), dossier(Unit("mlp.0", 3)), dossier(Unit("mlp.0", 3, sign=-1)))
    found = dashboards(made, "tiny")
    assert [(d.layer, d.dictionary) for d in found] == [
        ("3", "resid-topk"), ("0", "mlp-neurons"), ("0", "mlp-neurons-negative"),
    ]  # fmt: skip
    for dashboard, own in zip(found, made, strict=True):
        write(dashboard, tmp_path / dashboard.dictionary)
        again = read(tmp_path / dashboard.dictionary)
        assert [d.unit for d in again.dossiers] == [own.unit]
        assert again.dossiers[0].excerpts[0].values == own.excerpts[0].values
        assert again.dossiers[0].promoted == own.promoted
        assert again.dossiers[0].histogram == own.histogram
        assert again.dossiers[0].rows == 1000
    windows = json.loads((tmp_path / "resid-topk" / "batch-0.json").read_text())["features"][0]["activations"]
    assert [(w["bin_min"], w["bin_max"]) for w in windows] == [(-1, 2.0), (0.4, 0.8), (0.0, 0.4)]
    assert windows[0]["qualifying_token_index"] == 1
    assert windows[1]["bin_contains"] == pytest.approx((0.2 * 60 + 0.6 * 20) / 1000)  # counts spread over their bars
    total = 900 + 0.8 * 60  # silent ones and what lies below 0.4
    assert windows[2]["bin_contains"] == pytest.approx(total / 1000)


def test_changed_excerpts_do_not_get_what_belongs_to_others(folder: Path, tmp_path: Path) -> None:
    found = read(folder)
    fewer = replace(found.dossiers[0], excerpts=found.dossiers[0].excerpts[1:])
    write(replace(found, dossiers=(fewer,)), tmp_path / "out")
    window = json.loads((tmp_path / "out" / "batch-0.json").read_text())["features"][0]["activations"][0]
    assert (window["dfa_values"], window["qualifying_token_index"]) == ([], 0)


def test_a_unit_without_anything(tmp_path: Path) -> None:
    bare = replace(dossier(), rows=0, peak=0.0, histogram=((), ()), excerpts=(Excerpt(0, "", "", "quiet", (), ()),))
    write(Dashboard("m", "3", "resid-topk", (bare,)), tmp_path)
    again = read(tmp_path).dossiers[0]
    assert (again.rows, again.peak, again.histogram) == (0, 0, ((), ()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"batch-0\.json, line 1: not JSON \(.*\); expected an object with model_id, layer, sae_set and features"),
        ("[1]", r"batch-0\.json: a list in place of an object with model_id"),
        ('{"model_id": "m"}', r"batch-0\.json: 'layer' is nothing in place of a text"),
        ({}, r"batch-0\.json holds no features"),
        ({"features": 3}, r"'features' is 3 in place of a list"),
        ({"features": [3]}, r"batch-0\.json, feature 0: 3 in place of an object with feature_index"),
        ({"features": [{}]}, r"feature 0: 'feature_index' is nothing in place of a number"),
        ({"features": [feature(0, pos_values=[])]}, r"feature 0: 1 tokens in pos_str, 0 in pos_values"),
        ({"features": [feature(0, pos_str=[1])]}, r"'pos_str' holds 1 in place of a text"),
        ({"features": [feature(0, frac_nonzero="x")]}, r"'frac_nonzero' is 'x' in place of a number"),
        ({"features": [feature(0, freq_hist_data_bar_heights=[1])]}, r"4 bars have 1 heights"),
        ({"features": [feature(0, activations=[3])]}, r"feature 0, activation 0: 3 in place of an object with tokens"),
        ({"features": [feature(0, activations=[{"tokens": ["a"]}])]}, r"activation 0: 1 tokens have 0 values"),
        ({"features": [feature(0, activations=[{"tokens": ["a"], "values": [True]}])]}, r"'values' is a yes or no in"),
    ],
)
def test_other_forms_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    head = {"model_id": "m", "layer": 0, "sae_set": "res-jb"}
    text = content if isinstance(content, str) else json.dumps(head | content)
    (tmp_path / "batch-0.json").write_text(text)
    with pytest.raises(TaskError, match=message):
        read(tmp_path)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"holds no batch of SAEDashboard; expected batch-0\.json"):
        read(tmp_path)
    batch(tmp_path, 0, feature(0))
    batch(tmp_path, 1, feature(1), layer=3)
    with pytest.raises(
        TaskError, match=r"mixes gpt2-small/0/res-jb and gpt2-small/3/res-jb; read each folder by itself"
    ):
        read(tmp_path)
    (tmp_path / "batch-0.json").write_bytes(b"\xff\xfe")
    with pytest.raises(TaskError, match=r"cannot read '.*batch-0\.json'"):
        read(tmp_path)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    made = replace(dossier(), density=float("inf"))
    with pytest.raises(TaskError, match=r"batch-0\.json holds NaN or an infinite number"):
        write(dashboards((made,), "m")[0], tmp_path)
