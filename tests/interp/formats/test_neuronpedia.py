"""Neuronpedia's records: out and in again, and those that others wrote."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from superalign.core.errors import TaskError
from superalign.core.spec import Number
from superalign.interp.formats.neuronpedia import dossier_in, read, record, write
from superalign.interp.units import Explanation, Unit
from tests.interp.formats.examples import dossier


def test_what_is_written() -> None:
    made = record(dossier(), "tiny")
    assert (made["modelId"], made["layer"], made["index"]) == ("tiny", "3-resid-topk", "17")
    assert (made["maxActApprox"], made["frac_nonzero"], made["pos_str"]) == (2.0, 0.1, [" ball", " toy"])
    first, last, label = made["explanations"]
    assert (first["typeName"], first["explanationModelName"], first["scores"]) == ("predicates", None, [])
    assert (last["typeName"], last["explanationModelName"], last["description"]) == ("language", "gpt", "size words")
    assert [(s["explanationScoreTypeName"], s["value"]) for s in last["scores"]] == [("correlation:random-only", 0.7)]
    assert last["notes"] == "detection:f1 is undefined: no silent window"
    assert (label["typeName"], label["description"]) == (None, "things that are big")
    top = made["activations"][0]
    assert (top["maxValue"], top["maxValueTokenIndex"], top["minValue"], top["binMin"]) == (2.0, 1, 0.0, -1)
    assert "feature_index" not in made


@pytest.mark.parametrize("name", ["units.jsonl", "units.jsonl.gz"])
def test_what_is_read_again(tmp_path: Path, name: str) -> None:
    made = (dossier(), dossier(Unit("mlp.0", 3, sign=-1)), dossier(Unit("mlp.0", 4)))
    found = read(write(made, tmp_path / "deep" / name, "tiny"))
    for own, again in zip(made, found, strict=True):
        assert (again.unit, again.rows, again.peak, again.density) == (own.unit, own.rows, own.peak, own.density)
        assert (again.histogram, again.promoted, again.labels) == (own.histogram, own.promoted, own.labels)
        assert [(e.text, e.source) for e in again.explanations] == [(e.text, e.source) for e in own.explanations]
        assert again.scores[:1] == own.scores[:1]
        assert again.notes == ("detection:f1 is undefined: no silent window",)
        assert [(e.tokens, e.values, e.document) for e in again.excerpts] == [
            (e.tokens, e.values, e.document) for e in own.excerpts
        ]
    assert (gzip.decompress((tmp_path / "deep" / name).read_bytes())[:1] == b"{") if name.endswith("gz") else True


def foreign(**changes: Any) -> dict[str, Any]:
    """A record as the public export has it."""
    explanations = [
        {"description": "words of size", "typeName": "oai_token-act-pair", "explanationModelName": "gpt-4o-mini",
         "scores": [{"value": 0.61, "explanationScoreTypeName": "recall_alt", "jsonDetails": "not JSON"}]},
        {"description": "big", "typeName": "np_max-act", "explanationModelName": None, "scores": []},
        {"description": "mine", "typeName": None, "explanationModelName": None, "notes": None},
    ]  # fmt: skip
    activations = [{"tokens": ["a", "b"], "values": [0, 3.5], "maxValue": 3.5, "maxValueTokenIndex": 1, "minValue": 0}]
    return {
        "modelId": "gpt2-small", "layer": "6-res_scefr-ajt", "index": "650", "maxActApprox": 4, "frac_nonzero": 0,
        "explanations": explanations, "activations": activations, **changes,
    }  # fmt: skip


def test_records_of_others() -> None:
    found = dossier_in(foreign())
    assert found.unit == Unit("resid.6+res_scefr-ajt", 650, "latent")
    assert (found.peak, found.labels) == (4.0, ("mine",))
    assert [(e.text, e.source) for e in found.explanations] == [
        ("big", "np_max-act"), ("words of size", "oai_token-act-pair:gpt-4o-mini"),
    ]  # fmt: skip
    assert [(s.name, s.number, s.split) for s in found.scores] == [("recall_alt", Number(value=0.61), "unknown")]
    assert [e.stratum for e in found.excerpts] == ["top"]
    neuron = dossier_in(foreign(layer="3", index=9, explanations=[]))
    assert neuron.unit == Unit("mlp.3", 9, "neuron")
    assert neuron.scores == ()
    assert dossier_in(foreign(layer="blocks")).unit.site == "site+blocks"


def test_scores_of_other_explanations_are_not_lost_silently() -> None:
    made = foreign()
    made["explanations"][1]["scores"] = [{"value": 0.2}]
    found = dossier_in(made)
    assert (found.explanations[-1].text, [s.name for s in found.scores]) == ("big", ["score"])
    assert found.notes == ("the scores of 1 more of the explanations are left out: a dossier has those of its last",)


def test_details_of_others_are_no_numbers_of_ours() -> None:
    for details in ("[1]", '{"superalign": 3}', '{"superalign": {"low": "x", "n": true, "controls": [1], "split": 3}}'):
        made = foreign()
        made["explanations"] = [{"description": "d", "typeName": "t", "scores": [{"value": 1, "jsonDetails": details}]}]
        assert dossier_in(made).scores[0].number == Number(value=1.0)


@pytest.mark.parametrize("shape", ["one", "list"])
def test_json_files(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "units.json"
    path.write_text(json.dumps(foreign() if shape == "one" else [foreign(), foreign(index="651")]))
    assert len(read(path)) == (1 if shape == "one" else 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": "x"}, r"the record: 'index' is 'x' in place of a whole number"),
        ({"layer": None}, r"the record: 'layer' is nothing in place of a text"),
        ({"explanations": [3]}, r"the record, explanation 0: 3 in place of an object with description"),
        ({"explanations": [{"typeName": "t"}]}, r"explanation 0: 'description' is nothing in place of a text"),
        (
            {"explanations": [{"description": "d", "typeName": "t", "scores": [{"value": None}]}]},
            r"score 0: 'value' is n",
        ),
        ({"activations": {}}, r"'activations' is an object in place of a list"),
    ],
)
def test_other_forms_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        dossier_in(foreign(**change))


def test_errors_name_the_file_and_the_line(tmp_path: Path) -> None:
    path = tmp_path / "units.jsonl"
    path.write_text(json.dumps(foreign()) + "\n\n{\n")
    with pytest.raises(
        TaskError, match=r"units\.jsonl, line 3: not JSON \(.*\); expected a feature record with modelId"
    ):
        read(path)
    path.write_text("[1]\n")
    with pytest.raises(TaskError, match=r"units\.jsonl, line 1: a list in place of a feature record"):
        read(path)
    with pytest.raises(TaskError, match=r"cannot read '.*nowhere\.jsonl\.gz'"):
        read(tmp_path / "nowhere.jsonl.gz")
    (tmp_path / "bad.json.gz").write_bytes(gzip.compress(b"\xff\xff"))
    with pytest.raises(TaskError, match=r"cannot read '.*bad\.json\.gz'"):
        read(tmp_path / "bad.json.gz")
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(b"{}")[:-4])
    with pytest.raises(TaskError, match=r"cannot read '.*cut\.json\.gz'"):
        read(tmp_path / "cut.json.gz")


def test_an_explanation_without_a_source_is_no_label(tmp_path: Path) -> None:
    made = replace(dossier(), explanations=(Explanation("x"),), scores=(), labels=())
    assert read(write((made,), tmp_path / "u.jsonl", "m"))[0].explanations == (Explanation("x", source="unknown"),)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"resid\.3\+topk/17 holds NaN or an infinite number; give finite values"):
        write((replace(dossier(), density=float("nan")),), tmp_path / "u.jsonl", "m")
    (tmp_path / "file").write_text("")
    with pytest.raises(TaskError, match=r"cannot write '.*u\.jsonl': .*; choose another place for it"):
        write((dossier(),), tmp_path / "file" / "u.jsonl", "m")
