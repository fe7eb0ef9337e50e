"""Interpretability as a study: a model from a folder, its controls, dictionaries and speakers; worlds with known truth."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="needs pip install 'superalign[hf]'")

from superalign.core.errors import ModelError, SpecError, TaskError, UserError
from superalign.core.spec import Record, validate
from superalign.interp.dictionaries.dictionary import Dictionary
from superalign.interp.dictionaries.formats.saelens import write_saelens
from superalign.store import open_store
from superalign.studies.interp import Interp, interp, prepare
from superalign.studies.interp.model import kept_dossiers, selected
from tests.interp.simulators.test_all_at_once import network, tokenizer
from tests.models import hf_tiny
from tests.studies.interp_small import SPEAKER, number, run, spec, words
from tests.studies.test_w2s import damage


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """All neurons of both layers with every control."""
    folder = tmp_path_factory.mktemp("whole")
    controls = ("shuffled", "random-directions", "random-weights")
    return folder, run(folder, site=("mlp",), units="all", controls=controls)


def test_every_unit_is_explained_scored_and_held_against_controls(whole: tuple[Path, Record]) -> None:
    folder, record = whole
    names = [c.name for c in record.conditions]
    assert names == ["neurons", "shuffled", "random-directions", "random-weights", "neurons/mlp.0", "neurons/mlp.1"]
    assert number(record, "neurons", "explained") == 1.0
    assert next(c for c in record.conditions if c.name == "neurons").numbers["explained"].n == 64
    assert number(record, "neurons/mlp.0", "score") > 0.3
    assert abs(number(record, "shuffled", "score")) < 0.1
    assert number(record, "neurons", "bigram_table") > number(record, "neurons", "score")
    assert number(record, "neurons/mlp.0", "token_table") > number(record, "neurons/mlp.1", "token_table")
    less = record.tables["trained less permuted"].rows
    assert [(row[0], row[1]) for row in less] == [
        (site, of) for site in ("mlp.0", "mlp.1") for of in ("score", "bigram table", "token table")
    ]
    assert all(row[5] == 32 for row in less)
    sites = {(row[0], row[1]): row[2] for row in record.tables["sites"].rows}
    assert sites["neurons", "mlp.1"] == 32
    assert sites["random-directions", "mlp.1"] == 24
    assert "another unit's explanation" in record.notes[0]
    assert "split by document" in record.notes[-1]
    with open_store(folder / "s.sqlite") as store:
        dossiers = kept_dossiers(record, store)
    assert len(dossiers) == 64
    shown = dossiers[0]
    assert {e.stratum for e in shown.excerpts} >= {"top", "random"}
    assert {e.split for e in shown.excerpts} == {"explain", "test"}
    assert len(shown.promoted) == len(shown.suppressed) == 8
    assert shown.scores[0].controls["shuffled"].value is not None
    seen = set(shown.explanations[0].evidence)
    assert not seen & {e.window for e in shown.excerpts if e.split == "test"}


def test_a_second_run_computes_nothing(whole: tuple[Path, Record], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one forward pass, search or score; the numbers are the same."""
    folder, record = whole

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed again")

    monkeypatch.setattr("transformers.LlamaForCausalLM.forward", never)
    monkeypatch.setattr("superalign.interp.predicates.search.Predicates.explain", never)
    monkeypatch.setattr("superalign.interp.scorers.correlation.SimulationScores.score", never)
    monkeypatch.setattr("superalign.studies.interp.model.Prepared.tables", never)
    with pytest.raises(AssertionError, match="computed again"):
        run(folder, site=("mlp",), units="0-4")  # another study does compute
    assert run(folder, **_all()).conditions == record.conditions


def test_more_units_leave_what_was_explained(tmp_path: Path) -> None:
    """The six units of a run have the same scores among eight, and the same windows."""
    few, more = (run(tmp_path, units=units) for units in ("0-5", "0-7"))
    with open_store(tmp_path / "s.sqlite") as store:
        before, after = (kept_dossiers(record, store) for record in (few, more))
    assert [d.scores for d in after[:6]] == [d.scores for d in before]
    assert [d.excerpts for d in after[:6]] == [d.excerpts for d in before]


def _all() -> dict[str, Any]:
    controls = ("shuffled", "random-directions", "random-weights")
    return {"site": ("mlp",), "units": "all", "controls": controls}


def test_which_units_are_meant() -> None:
    assert selected("all", 5, 0, "mlp.0").tolist() == [0, 1, 2, 3, 4]
    assert selected("1-2,4,2", 5, 0, "mlp.0").tolist() == [1, 2, 4]
    drawn = selected("3", 1000, 0, "mlp.0")
    assert len(drawn) == 3
    assert (np.diff(drawn) > 0).all()
    assert drawn.tolist() != selected("3", 1000, 0, "mlp.1").tolist()
    assert selected("9", 5, 0, "mlp.0").tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(SpecError, match=r"there is no unit mlp\.0/5: mlp\.0 has 5 units, 0 to 4"):
        selected("1-7", 5, 0, "mlp.0")


def test_both_sides_of_a_neuron(tmp_path: Path) -> None:
    record = run(tmp_path, units="0-1", signs=True)
    with open_store(tmp_path / "s.sqlite") as store:
        dossiers = kept_dossiers(record, store)
    assert [d.unit.name for d in dossiers] == ["mlp.0/0", "mlp.0/0-", "mlp.0/1", "mlp.0/1-"]
    assert all(0 < d.density < 1 for d in dossiers)
    assert dossiers[0].density + dossiers[1].density <= 1


def test_a_dictionary_is_trained_and_its_latents_are_the_units(tmp_path: Path) -> None:
    given = {"dictionary": "train:topk:latents=24:k=4:steps=60:batch=256", "site": ("resid.0",), "units": "all"}
    record = run(tmp_path, controls=("shuffled", "random-directions"), **given)
    assert [c.name for c in record.conditions] == ["sae-latents", "shuffled", "random-directions"]
    (row,) = record.tables["dictionaries"].rows
    kept = dict(zip(record.tables["dictionaries"].columns, row, strict=True))
    assert (kept["site"], kept["kind"], kept["latents"]) == ("resid.0", "topk", 24)
    assert 3.5 < kept["l0"] <= 4
    assert kept["fvu"] < 0.5
    assert number(record, "sae-latents", "score") > abs(number(record, "shuffled", "score")) + 0.2
    with open_store(tmp_path / "s.sqlite") as store:
        assert kept_dossiers(record, store)[0].unit.name == "resid.0+topk/0"


def saved(folder: Path, dead: int = 2) -> Path:
    """A dictionary of the random llama's residual stream in the form of SAELens; latent `dead` never fires."""
    rng = np.random.default_rng(0)
    weight = torch.from_numpy(rng.normal(size=(12, 16)).astype(np.float32))
    bias = torch.zeros(12)
    bias[dead] = -1e6
    made = Dictionary("standard", weight, bias, weight.clone(), torch.zeros(16))
    write_saelens(made, folder)
    return folder


def test_latents_of_a_folder_and_one_that_never_fires(tmp_path: Path) -> None:
    """The run goes on; the dead latent has no explanation, no score, and is counted."""
    path = saved(tmp_path / "sae")
    record = run(tmp_path, dictionary=str(path), site=("resid.1",), units="all", controls=("shuffled",))
    found = next(c for c in record.conditions if c.name == "sae-latents")
    assert found.numbers["explained"].value == pytest.approx(11 / 12)
    assert record.failures == {"undefined": 1}
    with open_store(tmp_path / "s.sqlite") as store:
        dead = kept_dossiers(record, store)[2]
    assert (dead.density, dead.explanations, dead.scores) == (0.0, (), ())
    assert dead.notes[0].startswith("undefined: resid.1+standard/2 never fires")
    with pytest.raises(SpecError, match=r"is one dictionary, and 2 sites were named; give one site"):
        run(tmp_path, dictionary=str(path), site=("resid",))
    again = shutil.copytree(path, tmp_path / "saes" / "resid.0").parent
    shutil.copytree(path, again / "resid.1")
    both = run(tmp_path, dictionary=str(again), site=("resid",), units="0-1")
    assert [c.name for c in both.conditions][-2:] == ["sae-latents/resid.0", "sae-latents/resid.1"]


def test_models_that_speak_explain_simulate_and_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every word is asked for once: another score asks the judge alone."""
    (tmp_path / "voice.py").write_text(SPEAKER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    speaker = "./voice.py:speaker"
    spoken = {"explainer": speaker, "simulator": speaker, "units": "0-1", "controls": ("shuffled",)}
    first = run(tmp_path, **spoken)
    (explained,) = (c for c in first.conditions if c.name == "neurons")
    assert explained.numbers["explained"].value == 1.0
    with open_store(tmp_path / "s.sqlite") as store:
        dossiers = kept_dossiers(first, store)
    assert all(d.explanations[0].text.startswith("the word ") for d in dossiers)
    assert all(d.explanations[0].source == "language:speaker:" for d in dossiers)
    assert any(any(e.simulated) for e in dossiers[0].excerpts)
    assert number(first, "neurons", "score") > 0.2  # one word of a neuron of the first layer
    judged = run(tmp_path, **spoken, scores=("simulation", "detection", "fuzzing"), judge=speaker)
    numbers = next(c for c in judged.conditions if c.name == "neurons").numbers
    assert numbers["score"] == explained.numbers["score"]
    assert numbers["detection_auprc"].value is not None
    assert numbers["fuzzing_auc_misplaced"].value is not None


def test_other_ways_to_ask_a_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Window by window the speaker says the same as token by token; a local decoder is read in one pass a window."""
    (tmp_path / "voice.py").write_text(SPEAKER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    speaker = "./voice.py:speaker"
    ways = [run(tmp_path, explainer=speaker, simulator=way + speaker, units="0-1") for way in ("", "rewriting:")]
    assert number(ways[1], "neurons", "score") == pytest.approx(number(ways[0], "neurons", "score"))
    network().save_pretrained(tmp_path / "decoder")
    tokenizer().save_pretrained(tmp_path / "decoder")
    local = run(tmp_path, explainer=speaker, simulator=f"all-at-once:{tmp_path / 'decoder'}", units="0-1")
    assert abs(number(local, "neurons", "score")) < 0.5  # random weights know nothing, and are asked
    with pytest.raises(
        ModelError, match=r"the prompt begins with 96 tokens and .* takes 32; give a template with fewer"
    ):
        run(tmp_path, explainer=speaker, simulator=f"all-at-once:{hf_tiny.folder('llama')}", units="0-1")


def test_a_refusal_is_no_explanation_and_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "voice.py").write_text(SPEAKER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    record = run(tmp_path, explainer="./voice.py:speaker:silent", simulator="scripted:0", units="0-1")
    (found,) = record.conditions
    assert found.numbers["explained"].value == 0.0
    assert found.numbers["score"].value is None
    assert found.numbers["score"].reason == "undefined: the unit is not explained"
    assert record.failures == {"refused": 2}


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"site": ("mpl.0",)}, ModelError, r"mpl\.0.*did you mean 'mlp\.0'"),
        ({"site": ("mlp.7",)}, ModelError, r"mlp\.7"),
        ({"units": "30-40"}, SpecError, r"there is no unit mlp\.0/32: mlp\.0 has 32 units, 0 to 31"),
        ({"width": 64, "context": 64}, ModelError, r"a context of 64 tokens does not fit .*, which takes 32"),
        ({"text": "none.txt"}, TaskError, r"there is no text none\.txt; give a \.txt or \.jsonl file"),
        ({"text": "sample:4x16"}, ModelError, r"has no start token to sample after; give it a text to read"),
        ({"explainer": "scripted:x"}, SpecError, r"programs simulate predicates alone; name a simulator .* --simulator scripted:x"),
        ({"explainer": "skripted:x", "simulator": "scripted:x"}, UserError, r"no model is named 'skripted'; did you mean 'scripted'"),
        ({"dictionary": "train:topk:latens=4:k=2"}, SpecError, r"no option 'latens'; did you mean 'latents'"),
        ({"dictionary": "train:topk:latents=4"}, SpecError, r"lacks k=; write train:topk:latents=512:k=16"),
        ({"dictionary": "train:topk:latents=many:k=2"}, SpecError, r"latents is 'many' in place of a whole number"),
        ({"dictionary": "train:topq:latents=4:k=2"}, SpecError, r"no dictionary of kind 'topq' is trained"),
        ({"dictionary": "./nowhere"}, ModelError, r"there is no nowhere; give a folder or file with sae\.safetensors"),
    ],
)  # fmt: skip
def test_a_mistake_says_what_was_there(tmp_path: Path, changes: dict[str, Any], kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        run(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": None}, r"a model needs a text: --text FILE"),
        ({"world": "planted"}, r"give either a world \(planted, compiled\) or a model with a text"),
        ({"model": None, "text": None}, r"give either a world"),
        ({"scores": ("simulation", "fuzing")}, r"'fuzing' is not known; did you mean 'fuzzing'"),
        ({"controls": ("shufled",)}, r"'shufled' is not known; did you mean 'shuffled'"),
        ({"scores": ("detection",)}, r"the score 'detection' needs a model: --judge"),
        ({"scores": ("embedding",)}, r"the score 'embedding' needs a model: --embedder"),
        ({"seeds": (0, 1)}, r"a model is studied with one seed"),
        ({"units": "1-"}, r"units"),
        ({"site": ("mlp", "mlp")}, r"'mlp' is given twice"),
    ],
)
def test_a_spec_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(tmp_path, **changes)


def test_a_world_takes_nothing_of_a_model() -> None:
    for name, value in (("dictionary", "./sae"), ("explainer", "api:x"), ("units", "3"), ("signs", True)):
        with pytest.raises(SpecError, match=f"takes no '{name}'; leave it out, or give a model"):
            validate(Interp, {"world": "planted", name: value})


def test_texts_that_are_too_short_or_too_few(tmp_path: Path) -> None:
    short = words(tmp_path / "short.jsonl", 40, 5)
    with pytest.raises(TaskError, match=r"the longest document has 5 tokens, a window needs 8"):
        run(tmp_path, text=short)
    few = words(tmp_path / "few.jsonl", 3)
    with pytest.raises(TaskError, match=r"3 documents leave no new window for the split '\w+'; splits go by document"):
        run(tmp_path, text=few)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = shutil.copytree(hf_tiny.folder("llama"), tmp_path / "mixed")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"more{k}" for k in range(20)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(
        ModelError, match=r"the tokenizer has 38 tokens and the model 18 embeddings; they belong to diff"
    ):
        run(tmp_path, model=str(folder))


def test_damaged_units_are_told(tmp_path: Path) -> None:
    record = run(tmp_path, units="0-1")
    damage(str(tmp_path / "s.sqlite"), record.artifacts["units/mlp.0"])
    with (
        open_store(tmp_path / "s.sqlite") as store,
        pytest.raises(SpecError, match=r"are damaged in the store; run its"),
    ):
        kept_dossiers(record, store)
    run(tmp_path, units="0-1")
    with open_store(tmp_path / "s.sqlite") as store:
        assert len(kept_dossiers(record, store)) == 2
        with pytest.raises(SpecError, match=r"holds no units; `superalign interp` makes records that do"):
            kept_dossiers(record.model_copy(update={"artifacts": {}}), store)


def test_a_plan_says_what_is_there(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.sqlite") as store:
        plan = prepare(spec(tmp_path), store).plan()
        assert [(s.name, s.known) for s in plan.steps] == [("text", False)]
        assert plan.remarks == (f"{hf_tiny.folder('llama').name}: mlp.0; units 0-5, explained by predicates",)
        interp(spec(tmp_path), store)
        assert prepare(spec(tmp_path), store).plan().steps[0].known


def test_the_compiled_transformer(tmp_path: Path) -> None:
    """Features that are coordinates are found as neurons, rotated ones are not; the ablation score knows the truth."""
    with open_store(tmp_path / "s.sqlite") as store:
        record = interp(validate(Interp, {"world": "compiled", "seeds": [0], "tokens": 8000}), store)
    assert len(record.conditions) == 9
    for basis in ("aligned", "rotated"):
        true = f"true-directions/{basis}"
        assert number(record, true, "recall") >= 0.78
        assert number(record, true, "ablation") >= 0.99
        assert abs(number(record, true, "ablation_shuffled")) <= 0.06
    assert number(record, "neurons/aligned", "recall") >= 0.78
    assert number(record, "neurons/rotated", "recall") <= 0.1
    assert number(record, "random-directions/rotated", "recall") <= 0.15
    assert number(record, "true-directions/compressed", "ablation") < 0.95
    assert len(record.tables["seeds"].rows) == 9
