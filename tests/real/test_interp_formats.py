"""Files that others made: SAEDashboard's features of GPT-2 small, and people's labels of features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superalign.interp.formats import dashboard, labels, neuronpedia
from superalign.interp.units import Explanation, Unit
from superalign.report.units import single, write
from tests.datafolder import data


def test_a_dump_of_gpt2_small_reads_and_writes(tmp_path: Path) -> None:
    folder = data("saedashboard")
    found = dashboard.read(folder)
    assert (found.model, found.layer, found.dictionary, found.skipped) == ("gpt2-small", "0", "res-jb", ())
    assert [d.unit for d in found.dossiers] == [Unit("resid.0+res-jb", k, "latent") for k in range(4)]
    assert [(d.rows, d.density, d.peak, len(d.excerpts)) for d in found.dossiers] == [
        (640_000, 0.0002, 2.214, 38), (640_000, 0.0, 0.0, 35), (640_000, 0.00035999999999999997, 0.8, 52),
        (640_000, 0.00023, 3.429, 44),
    ]  # fmt: skip
    for dossier in found.dossiers:  # the bars of the histogram hold about the tokens on which it fires
        assert sum(dossier.histogram[1]) == pytest.approx(dossier.density * dossier.rows, rel=0.1, abs=5)
    assert [sum(e.stratum == "top" for e in d.excerpts) for d in found.dossiers] == [30, 30, 30, 30]
    dashboard.write(found, tmp_path, batch=2)
    for name in ("batch-0.json", "batch-1.json", "skipped_indexes.json"):
        before, after = (json.loads((place / name).read_text()) for place in (folder, tmp_path))
        assert after == before  # to the last of its three decimals
        assert list(after) == list(before)


def test_the_dump_makes_pages_and_records(tmp_path: Path) -> None:
    found = dashboard.read(data("saedashboard")).dossiers
    write("Features of GPT-2 small", found, tmp_path)
    page = (tmp_path / "units" / "resid.0-res-jb-0.html").read_text()
    assert "Strongest windows" in page
    assert "Between 1.771 and 2.214" in page
    assert "brigade" in page
    assert len(single("Features of GPT-2 small", found)) < 200_000
    again = neuronpedia.read(neuronpedia.write(found, tmp_path / "records.jsonl.gz", "gpt2-small"))
    assert [d.unit for d in again] == [d.unit for d in found]
    assert [d.excerpts for d in again] == [d.excerpts for d in found]


COUNTS = {
    "pythia-70m-deduped": {"lines": 278, "headings": 1, "without a label": 0, "said before": 1, "units": 276, "units with several labels": 0},
    "gemma-2-2b": {"lines": 470, "headings": 1, "without a label": 33, "said before": 194, "units": 225, "units with several labels": 26},
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_people_s_labels(name: str) -> None:
    found = labels.read(data(f"feature_circuits/{name}.jsonl"), name)
    assert found.counts == COUNTS[name]
    assert all(u.site.endswith(f"+{name}") for u in found.of)


def test_the_labels_of_one_model_by_hand() -> None:
    found = labels.read(data("feature_circuits/pythia-70m-deduped.jsonl"))
    assert found.of[Unit("resid.5", 3036, "latent")][0].text == "promotes singular verb forms"
    assert found.of[Unit("attn.0", 23752, "latent")][0].text == "capitalized words, especially pronouns"
    assert found.of[Unit("mlp_out.3", 6782, "latent")][0].text == "relative pronouns"  # its layer is a number
    assert found.notes[Unit("resid.5", 3036, "latent")] == ('Active on "that" and "and"',)


def test_people_agree_with_each_other_about_a_feature() -> None:
    """Of the features that got two different labels, one label is closer to the other than other features' are."""
    found = labels.read(data("feature_circuits/gemma-2-2b.jsonl")).of
    twice = {u: said for u, said in found.items() if len(said) > 1}
    first = {u: said[:1] for u, said in found.items()}
    second = {u: Explanation(said[1].text) for u, said in twice.items()}
    close = labels.agreement(first, second)
    assert close.similarity.n == 26
    assert close.unmatched == 210 - 26
    assert close.gap.low is not None
    assert close.gap.low > 0.05
    assert close.rank.low is not None
    assert close.rank.low > 0.5
