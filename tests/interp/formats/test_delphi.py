"""Delphi's folders of results and its cached activations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from superalign.core.errors import TaskError
from superalign.interp.formats import delphi
from superalign.interp.units import Unit

UNIT = Unit("mlp_out.5", 17, "latent")


def window(active: bool, prediction: Any, **changes: Any) -> dict[str, Any]:
    return {
        "str_tokens": [" a", " b"], "activations": [0.0, 2.0] if active else None, "distance": 3 if active else -1,
        "activating": active, "prediction": prediction, "probability": None, "correct": None, **changes,
    }  # fmt: skip


def results(folder: Path, windows: Any, text: Any = "words of size") -> Path:
    for name, value in (("explanations", text), ("scores/detection", windows)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "layers.5.mlp_latent17.txt").write_text(json.dumps(value))
    return folder


def test_failures_are_counted_and_no_answers(tmp_path: Path) -> None:
    """3 of 4 active ones found, 1 of 5 silent ones taken for active, 2 calls failed."""
    windows = [window(True, 1)] * 3 + [window(True, False)] + [window(False, 0)] * 4 + [window(False, 0.7)]
    windows += [window(True, None), window(False, None)]
    (found,) = delphi.read(results(tmp_path, windows))
    assert found.unit == UNIT
    assert [(e.text, e.source) for e in found.explanations] == [("words of size", "delphi")]
    assert {s.name: s.number.value for s in found.scores} == pytest.approx({
        "detection:balanced-accuracy": (0.75 + 0.8) / 2, "detection:recall": 0.75, "detection:precision": 0.75,
    })  # fmt: skip
    for score in found.scores:
        assert (score.n, score.failed, score.base_rate) == (9, 2, 4 / 9)
        assert score.number.low is not None
        assert score.number.high is not None
        assert score.number.value is not None
        assert 0.2 < score.number.low < score.number.value < score.number.high < 1
    assert len(found.excerpts) == 11
    assert found.excerpts[0].values == (0.0, 2.0)
    assert found.excerpts[0].stratum == "judged, distance 3"
    assert (found.excerpts[4].stratum, found.excerpts[4].values) == ("judged, silent", (0.0, 0.0))
    assert found.peak == 2.0


def test_perfect_answers_are_not_certain(tmp_path: Path) -> None:
    (found,) = delphi.read(results(tmp_path, [window(True, 1)] * 10 + [window(False, 0)] * 10))
    number = found.scores[0].number
    assert (number.value, number.high) == (1.0, 1.0)
    assert number.low is not None
    assert 0.8 < number.low < 1


def test_one_sided_answers_are_undefined(tmp_path: Path) -> None:
    (found,) = delphi.read(results(tmp_path, [window(True, 1), window(False, None)]))
    assert [(s.status, s.failed, s.number.reason) for s in found.scores] == [
        ("undefined", 1, "1 active and 0 silent windows were answered; both are needed")
    ]
    (none,) = delphi.read(results(tmp_path, [window(True, 0), window(False, 0)]))
    assert [s.name.partition(":")[2] for s in none.scores] == [
        "balanced-accuracy",
        "recall",
    ]  # nothing was called active


def test_hookpoints() -> None:
    for name, site in {
        "layers.5": "resid.5", ".model.layers.12.mlp": "mlp_out.12", "gpt_neox.layers.0.attention": "attn.0",
        "h.3.attn": "attn.3", "transformer--h--3": "resid.3", "embed": "resid",
    }.items():  # fmt: skip
        assert delphi.unit_of(name, 1) == Unit(site, 1, "latent")


def test_other_forms_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="holds no results of Delphi; expected the folders explanations and scores"):
        delphi.read(tmp_path)
    with pytest.raises(TaskError, match=r"layers\.5\.mlp_latent17\.txt: expected one JSON string, the explanation"):
        delphi.read(results(tmp_path / "a", [], text=[1]))
    with pytest.raises(TaskError, match=r"mlp_latent17\.txt: expected a list of objects with str_tokens"):
        delphi.read(results(tmp_path / "b", {}))
    with pytest.raises(TaskError, match=r"detection/layers\.5\.mlp_latent17\.txt, window 0: 3 in place of a list"):
        delphi.read(results(tmp_path / "c", [3]))
    with pytest.raises(TaskError, match=r"window 0: 'prediction' is 'yes' in place of a number"):
        delphi.read(results(tmp_path / "d", [window(True, "yes")]))
    with pytest.raises(TaskError, match=r"window 0: 2 tokens have 1 activations"):
        delphi.read(results(tmp_path / "e", [window(True, 1, activations=[1.0])]))
    (tmp_path / "f" / "explanations").mkdir(parents=True)
    (tmp_path / "f" / "explanations" / "notes.txt").write_text('"x"')
    with pytest.raises(TaskError, match=r"notes\.txt names no latent; expected a name such as layers\.5\.mlp_latent17"):
        delphi.read(tmp_path / "f")


def cached(folder: Path, sequences: int = 40, length: int = 16) -> np.ndarray[Any, Any]:
    """A cache of 8 latents in two shards, and the dense activations that it holds, (sequences, length, 8)."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 50, (sequences, length))
    dense = np.where(rng.random((sequences, length, 8)) < 0.1, rng.lognormal(size=(sequences, length, 8)), 0.0)
    dense[0, 0, 7], dense[:, :, 3] = -2.0, 0.0  # a negative value, a dead latent
    folder.mkdir(parents=True)
    for start, stop in ((0, 3), (4, 7)):
        part = dense[:, :, start : stop + 1]
        places = np.argwhere(part)
        held = {
            "locations": np.ascontiguousarray(places, np.uint16),
            "activations": part[tuple(places.T)].astype(np.float16),
        }
        save_file(held | {"tokens": tokens}, folder / f"{start}_{stop}.safetensors")
    return dense


def test_a_cache_opens_as_evidence(tmp_path: Path) -> None:
    dense = cached(tmp_path / "layers.5.mlp")
    found = list(delphi.evidence(tmp_path / "layers.5.mlp", [str(k) for k in range(50)], width=8))
    assert [e.unit.index for e in found] == [0, 1, 2, 4, 5, 6, 7]
    assert {e.unit.site for e in found} == {"mlp_out.5"}
    for one in found:
        expected = np.maximum(dense[:, :, one.unit.index].ravel(), 0)
        np.testing.assert_allclose(one.at(np.arange(expected.size)), expected, rtol=1e-3)
        assert (np.diff(one.rows) > 0).all()
        assert len(one.corpus) == 640
        top = one.top("test", 1)
        assert one.maxima[top.index[0]] == max(one.maxima[one.active("test")])


def test_damaged_caches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"holds no shard; expected files such as 0_4095\.safetensors"):
        list(delphi.evidence(tmp_path, ["a"]))
    (tmp_path / "x.safetensors").write_bytes(b"")
    with pytest.raises(TaskError, match=r"x\.safetensors is no shard of a cache"):
        delphi.shard(tmp_path / "x.safetensors")
    (tmp_path / "0_3.safetensors").write_bytes(b"no")
    with pytest.raises(TaskError, match=r"0_3\.safetensors does not hold locations, activations and tokens"):
        delphi.shard(tmp_path / "0_3.safetensors")
    places = np.array([[9, 0, 0]], np.uint16)
    held = {"locations": places, "activations": np.ones(1, np.float16), "tokens": np.zeros((2, 4), np.int64)}
    save_file(held, tmp_path / "0_3.safetensors")
    with pytest.raises(TaskError, match=r"locations \(1, 3\) do not lie in tokens \(2, 4\)"):
        delphi.shard(tmp_path / "0_3.safetensors")
    save_file({"locations": places}, tmp_path / "0_3.safetensors")
    with pytest.raises(TaskError, match=r"does not hold locations, activations and tokens: 'activations'"):
        delphi.shard(tmp_path / "0_3.safetensors")
    cached(tmp_path / "layers.1")
    with pytest.raises(TaskError, match="another tokenizer"):
        list(delphi.evidence(tmp_path / "layers.1", ["a"], width=8))
