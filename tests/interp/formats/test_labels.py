"""Labels by people, and how close explanations come to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import TaskError
from superalign.interp.formats.labels import agreement, by_embedding, overlap, placed, read
from superalign.interp.units import Explanation, Unit

LINES: tuple[dict[str, Any], ...] = (
    {"Component": "resid", "Layer": "5", "Feature": "30", "Name": "resid_5/30", "Annotation": "plural nouns", "Notes": ""},
    {"Component": "mlp", "Layer": 3, "Feature": "7", "Name": "mlp_3/7", "Annotation": " pronouns ", "notes": "mostly she"},
    {"Component": "Component", "Layer": "", "Feature": "", "Name": "Name", "Annotation": "Annotation", "Notes": "Notes"},
    {"Component": "embed", "Layer": "", "Feature": "9", "Name": "embed/9", "Annotation": "0"},
    {"Component": "embed", "Feature": "11", "Name": "embed/11"},
    {"Name": "resid_5/30", "Annotation": "plural nouns"},
    {"Name": "resid_5/30", "Annotation": "tokens that end in s"},
    {"Name": "attn_0/2", "Annotation": "'he'"},
)  # fmt: skip


def file(folder: Path, *lines: Any) -> Path:
    path = folder / "labels.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_what_is_read(tmp_path: Path) -> None:
    found = read(file(tmp_path, *LINES))
    texts = {u.name: [e.text for e in said] for u, said in found.of.items()}
    assert texts == {
        "resid.5/30": ["plural nouns", "tokens that end in s"],
        "mlp_out.3/7": ["pronouns"],
        "attn.0/2": ["'he'"],
    }
    assert all(e.source == "person" for said in found.of.values() for e in said)
    assert {u.kind for u in found.of} == {"latent"}
    assert {u.name: n for u, n in found.notes.items()} == {"mlp_out.3/7": ("mostly she",)}
    assert found.counts == {
        "lines": 8, "headings": 1, "without a label": 2, "said before": 1, "units": 5, "units with several labels": 1,
    }  # fmt: skip
    assert {u.site for u in read(file(tmp_path, *LINES), "pythia").of} == {
        "resid.5+pythia", "mlp_out.3+pythia", "attn.0+pythia",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "{",
            r"labels\.jsonl, line 2: not JSON \(.*\); expected an object with Name \(resid_5/3036, mlp\.0/17\) and Annotation",
        ),
        ("3", r"labels\.jsonl, line 2: 3 in place of an object with Name"),
        ({"Annotation": "x"}, r"labels\.jsonl, line 2: 'Name' is nothing in place of a text"),
        (
            {"Name": "resid-5/3"},
            r"line 2: 'resid-5/3' names no feature; expected one such as resid_5/3036 or embed/293",
        ),
        ({"Name": "mlp.0"}, r"line 2: 'mlp\.0' names no unit; write site/index, such as mlp\.0/17"),
        ({"Name": "embed/3", "Annotation": ["x"]}, r"line 2: 'Annotation' is a list in place of a text"),
    ],
)
def test_other_forms_are_refused(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        read(file(tmp_path, LINES[0], line))
    with pytest.raises(TaskError, match=r"cannot read '.*none\.jsonl'"):
        read(tmp_path / "none.jsonl")


def test_labels_are_placed_on_units_of_any_dictionary(tmp_path: Path) -> None:
    """A label that names no dictionary is of whichever there is; one that names it is of that alone."""
    lines = [{"Name": "resid_5/30", "Annotation": "plurals"}, {"Name": "mlp.0/17-", "Annotation": "verbs"},
             {"Name": "resid.5+topk/31", "Annotation": "names"}]  # fmt: skip
    found = read(file(tmp_path, *lines)).of
    neuron, negative = Unit("mlp.0", 17), Unit("mlp.0", 17, "neuron", -1)
    topk, other, named = (Unit(f"resid.5+{name}", k, "latent") for name, k in (("topk", 30), ("other", 31), ("topk", 31)))  # fmt: skip
    labels = {
        unit: [e.text for e in own] for unit, own in placed(found, [neuron, negative, topk, other, named]).items()
    }
    assert labels == {negative: ["verbs"], topk: ["plurals"], named: ["names"]}


def said(*texts: str) -> dict[Unit, tuple[Explanation, ...]]:
    return {Unit("resid.0", k): (Explanation(t),) for k, t in enumerate(texts)}


def one(*texts: str) -> dict[Unit, Explanation]:
    return {Unit("resid.0", k): Explanation(t) for k, t in enumerate(texts)}


THEMES = [
    f"{kind} {thing}" for kind in ("plural", "singular", "capital") for thing in ("nouns", "verbs", "names", "cities")
]


def test_true_explanations_agree_and_shuffled_ones_do_not() -> None:
    labels = said(*THEMES)
    true = agreement(labels, one(*(f"fires on {t.removesuffix('s')}" for t in THEMES)))
    assert true.rank.value == 1.0
    assert true.similarity.value is not None
    assert true.shuffled.value is not None
    assert true.similarity.value > true.shuffled.value + 0.3
    assert true.gap.low is not None
    assert true.gap.low > 0.3
    assert (true.similarity.n, true.unmatched) == (12, 0)
    moved = agreement(labels, one(*np.roll(THEMES, 5).tolist()))
    assert moved.rank.value is not None
    assert moved.rank.value < 0.5
    assert moved.gap.value is not None
    assert moved.gap.value < 0
    assert list(true.by_unit) == list(labels)


def test_the_closest_of_several_labels_counts() -> None:
    labels = {**said("plural nouns", "verbs"), Unit("resid.0", 2): (Explanation("odd"), Explanation("the word cat"))}
    found = agreement(labels, one("plural nouns", "verbs", "the word cat"))
    assert list(found.by_unit.values()) == [1.0, 1.0, 1.0]
    assert found.shuffled.value == 0.0


def test_units_without_a_counterpart_are_counted() -> None:
    found = agreement(said("a", "b", "c") | {Unit("x", 1): ()}, one("a", "b") | {Unit("y", 1): Explanation("z")})
    assert (found.similarity.n, found.unmatched) == (2, 3)
    lonely = agreement(said("a"), one("a", "b"))
    assert lonely.similarity.value is None
    assert lonely.rank.reason == "fewer than two units have both a label and an explanation"
    assert lonely.unmatched == 1


def test_overlap_counts_words() -> None:
    table = overlap(["plural nouns", "the bus", ""], ["Plural noun", "glass of the class", ""])
    assert table[0, 0] == 1.0  # case and plural endings do not count
    assert table[1, 1] == pytest.approx(2 * 1 / (2 + 4))
    assert table[0, 1] == table[2, 2] == 0.0


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_overlap_is_a_symmetric_share(texts: list[str], others: list[str]) -> None:
    table = overlap(texts, others)
    assert table.shape == (len(texts), len(others))
    assert ((table >= 0) & (table <= 1)).all()
    np.testing.assert_allclose(table, overlap(others, texts).T)


def test_an_encoder_can_judge() -> None:
    vectors = {"a": [1.0, 0.0], "b": [0.0, 2.0], "c": [1.0, 1.0], "": [0.0, 0.0]}
    close = by_embedding(lambda texts: np.array([vectors[t] for t in texts]))
    np.testing.assert_allclose(close(["a", "b", ""], ["a", "c"]), [[1, 0.5**0.5], [0, 0.5**0.5], [0, 0]])
    assert agreement(said("a", "b"), one("a", "c"), close).rank.value == 0.75  # a tie counts half
