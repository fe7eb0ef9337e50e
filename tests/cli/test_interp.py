"""`superalign interp` and `superalign units` as a user meets them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="needs pip install 'superalign[hf]'")

from superalign.core import records
from superalign.interp.formats import delphi, files, neuronpedia
from superalign.interp.units import Unit
from superalign.store import open_store
from superalign.studies.interp.model import kept_dossiers
from tests.interp.formats.examples import dossier
from tests.interp.formats.test_delphi import results, window
from tests.models import hf_tiny
from tests.studies.interp_small import words


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    """The arguments of a study of four neurons of a random llama."""
    text = words(tmp_path / "words.jsonl")
    return ["interp", "--model", str(hf_tiny.folder("llama")), "--text", text, "--site", "mlp.0", "--units", "0-3",
            "--window", "8", "--context", "32", "--store", "s.sqlite"]  # fmt: skip


def test_the_planted_world(superalign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Explanations recover what was planted, from its own directions; random directions score and recover nothing."""
    monkeypatch.setattr("superalign.studies.interp.planted.STEPS", 500)  # of 1,500
    command = ["interp", "--world", "planted", "--seeds", "1", "--tokens", "12000", "--store", "s.sqlite"]
    code, out, _ = superalign(*command, "--dry-run")
    assert code == 0
    assert "the world 'planted' in 1 seed, about 20 s" in out
    code, out, err = superalign(*command, "--json", "--report", "r.md")
    assert code == 0, err
    text = json.loads(out)
    assert text["study"] == "interp"
    found = {c["name"]: c["numbers"] for c in text["conditions"]}
    assert list(found) == ["true-directions", "sae-latents", "neurons", "random-directions"]
    for numbers in found.values():
        assert {"recall", "precision", "score", "score_truth_correlation"} <= set(numbers)
        assert numbers["score"]["seeds"] == 1
    value = {kind: {n: v["value"] for n, v in numbers.items()} for kind, numbers in found.items()}
    assert value["true-directions"]["recall"] >= 0.85
    assert value["random-directions"]["recall"] <= 0.05
    assert 0.2 <= value["sae-latents"]["recall"] < value["true-directions"]["recall"]
    latents = value["sae-latents"]
    assert latents["score_truth_correlation"] > latents["top_and_random_truth_correlation"] + 0.1
    assert latents["fvu"] < 0.1
    assert value["random-directions"]["score"] > 0.5  # and says nothing
    assert abs(latents["shuffled"]) < 0.05
    assert "Random directions score 0.6" in (tmp_path / "r.md").read_text()
    with open_store("s.sqlite") as store:
        dossiers = {d.unit.name: d for d in kept_dossiers(records.load(store, "last"), store)}
    assert {"planted/0", "neurons/23", "random/95"} <= set(dossiers)
    truth = [str(dossiers[f"planted/{k}"].truth) for k in range(40)]
    assert sum(text.endswith("(overlap 1.00)") for text in truth) > 30


def test_from_the_plan_to_the_pages(superalign: Any, small: list[str], tmp_path: Path) -> None:
    code, out, _ = superalign(*small, "--dry-run", "--json")
    assert code == 0
    assert [(s["name"], s["known"]) for s in json.loads(out)["steps"]] == [("text", False)]
    code, out, err = superalign(*small, "--pages", "shown")
    assert code == 0, err
    assert out.splitlines()[-1] == "pages: shown/index.html"
    assert "4 neurons: explanations score" in out
    code, out, err = superalign(*small, "--json")
    assert code == 0, err
    assert "units 0-3, explained by predicates" in err
    found = {c["name"]: c["numbers"] for c in json.loads(out)["conditions"]}
    assert list(found) == ["neurons", "shuffled", "random-directions", "random-weights"]
    for name in ("neurons", "random-directions", "random-weights"):
        assert {"score", "top_and_random", "explained_variance", "auprc", "f1", "iou", "bigram_table"} <= set(
            found[name]
        )
    assert {"value", "low", "high", "n", "seeds", "reason"} == set(found["neurons"]["score"])
    assert (tmp_path / "activations").is_dir()  # beside the store
    code, out, _ = superalign("units", "last", "units", "--store", "s.sqlite")
    assert (code, out.strip()) == (0, "units/index.html")
    assert sorted(p.name for p in Path("units/units").iterdir()) == [f"mlp.0-{k}.html" for k in range(4)]
    code, out, _ = superalign("units", "last", "one.html", "--store", "s.sqlite")
    assert code == 0
    assert "<script" in Path("one.html").read_text()
    code, out, _ = superalign("units", "last", "units.jsonl", "--store", "s.sqlite")
    assert code == 0
    read = neuronpedia.read("units.jsonl")
    assert [d.unit.name for d in read] == ["mlp.0/0", "mlp.0/1", "mlp.0/2", "mlp.0/3"]
    assert read[0].scores[0].controls.keys() == {"shuffled"}
    code, out, _ = superalign("interp", "--world", "compiled", "--dry-run")
    assert "the world 'compiled' in 3 seeds" in out


def test_people_s_labels_stand_beside_explanations(superalign: Any, small: list[str], tmp_path: Path) -> None:
    """Labels that say what the explanations say agree with them; those of other units do not."""
    assert superalign(*small, "--controls", "none")[0] == 0
    superalign("units", "last", "plain", "--store", "s.sqlite")
    made = files.read(tmp_path / "plain").dossiers
    lines = [{"Name": d.unit.name, "Annotation": d.explanations[0].text} for d in made[:3]]
    Path("people.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code, out, _ = superalign("units", "last", "pages", "--labels", "people.jsonl", "--store", "s.sqlite")
    assert code == 0
    assert "3 of 4 units have labels by people" in out
    said = {line[:36].strip(): line[36:].split() for line in out.splitlines()}
    shown = " ".join(out.split())
    assert re.search(r"similarity, own label 1\.0", shown), said
    for words_of in ("other units' labels", "difference", "rank of the own label (chance .5)"):
        assert words_of in shown
    labels = [d.labels for d in files.read("pages").dossiers]
    assert labels == [*((line["Annotation"],) for line in lines), ()]
    pages = [Path(f"pages/units/mlp.0-{k}.html").read_text() for k in range(4)]
    assert ["<b>people say</b>" in page for page in pages] == [True, True, True, False]
    Path("others.jsonl").write_text(json.dumps({"Name": "resid_5/3036", "Annotation": "plural nouns"}))
    code, _, err = superalign("units", "last", "pages", "--labels", "others.jsonl", "--store", "s.sqlite")
    assert code == 2
    assert "others.jsonl labels none of the 4 units: it names resid.5/3036, ..., and the units are mlp.0/0" in flat(err)
    code, _, err = superalign("units", "last", "pages", "--embedder", "minilm", "--store", "s.sqlite")
    assert code == 2
    assert "--embedder compares labels with explanations; give --labels FILE.jsonl too" in flat(err)


def test_files_of_other_projects_become_pages(superalign: Any, tmp_path: Path) -> None:
    made = [dossier(Unit("resid.3+topk", k, "latent")) for k in range(3)]
    neuronpedia.write(made, tmp_path / "records.jsonl", "gpt2-small")
    neuronpedia.write(made[:1], tmp_path / "one.json", "gpt2-small")
    answers = [window(True, 1)] * 3 + [window(False, 0)] * 3
    results(tmp_path / "delphi", answers)
    for source, pages in (("records.jsonl", 3), ("one.json", 1), ("delphi", 1), ("./delphi/", 1)):
        code, out, err = superalign("units", source, "pages")
        assert code == 0, err
        assert out.strip() == "pages/index.html"
        found = json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', Path(out.strip()).read_text())[1])  # type: ignore[index]  # fmt: skip
        assert len(found["rows"]) == pages
    assert "<title>delphi: units of Delphi" in Path("pages/index.html").read_text()
    code, out, _ = superalign("units", "pages", "again.jsonl")
    assert code == 0
    assert [d.unit for d in neuronpedia.read("again.jsonl")] == [d.unit for d in delphi.read("delphi")]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.json", "there is no file or folder 'none.json'; give one with batch-0.json (SAEDashboard)"),
        ("./", "holds no units; expected batch-0.json (SAEDashboard)"),
        ("list.json", "list.json holds no units; expected a feature record"),
        ("text.json", "text.json, line 1: not JSON"),
        ("own.jsonl", "own.jsonl, line 1: no dossier of a unit"),
        ("last", "this store holds no record yet"),
    ],
)
def test_what_holds_no_units_is_told(superalign: Any, source: str, message: str) -> None:
    Path("list.json").write_text("[]")
    Path("text.json").write_text("units")
    Path("own.jsonl").write_text('{"excerpts": [], "unit": {}}')
    code, _, err = superalign("units", source, "pages", "--store", "s.sqlite")
    assert code == 2
    assert message in flat(err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--world", "plantd"], "'planted' or 'compiled'"),
        (["--model", "x"], "a model needs a text: --text FILE, --text FOLDER, or --text sample:600x192"),
        ([], "give either a world (planted, compiled) or a model with a text"),
        (["--world", "planted", "--site", "mlp.0"], "takes no 'site'; leave it out, or give a model"),
        (["--world", "planted", "--tokens", "128"], "2 documents leave no new window for the split"),
        (["--model", "./none", "--text", "x.txt"], "none"),
    ],
)
def test_a_mistake_says_what_to_type(superalign: Any, arguments: list[str], message: str) -> None:
    code, _, err = superalign("interp", *arguments, "--store", "s.sqlite")
    assert code == 2
    assert message in flat(err)
    assert "Traceback" not in err


def test_help_has_examples(superalign: Any) -> None:
    code, out, _ = superalign("interp", "--help")
    assert code == 0
    assert "superalign interp --model ./my-model --text books/ --site mlp --pages units/" in out
    code, out, _ = superalign("units", "--help")
    assert "superalign units ./sae-dashboard/ units/" in out


def flat(text: str) -> str:
    return " ".join(text.replace("│", " ").split())
