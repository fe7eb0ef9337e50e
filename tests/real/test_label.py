"""Programs label public preference sets: what is known of length in them is what a rater by length finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.core.spec import Record
from superalign.store import open_store
from superalign.studies.label import Label, label
from superalign.studies.label.writing import write_labels
from superalign.tasks.preferences.reading import load
from tests.datafolder import data
from tests.studies.label_raters import rater


@pytest.mark.parametrize(
    ("name", "right", "decided"), [("Natural", 56, 100), ("Adversarial/GPTInst", 12, 92)]
)  # counted apart by `superalign preferences`
def test_the_longer_output_of_llmbar(name: str, right: int, decided: int, tmp_path: Path) -> None:
    place = str(data(f"llmbar/LLMBar/{name}/dataset.json"))
    spec = Label(data=place, form="llmbar", raters=(rater("longest"), rater("first")))
    with open_store(tmp_path / "s.sqlite") as store:
        record = label(spec, store)
        written = write_labels(label(spec.model_copy(update={"raters": spec.raters[:1]}), store), store, tmp_path / "l")
    agrees = record.condition("longest").numbers["agreement"]
    even = sum(len(c.responses[0]) == len(c.responses[1]) for c in load(place, "llmbar"))  # a rater by length guesses
    assert agrees.n == decided
    assert right <= round((agrees.value or 0) * decided) <= right + even <= right + 2
    assert _around(record, "longest", "first_shown", 0.5)
    assert _around(record, "first", "longer", 0.5)
    assert _around(record, "first", "agreement", 0.5)
    assert abs(record.condition("all raters").numbers["alpha"].value or 0) < 0.25
    assert (written.lines, written.ties) == (decided, 0)
    assert all(len(c.responses[0]) >= len(c.responses[1]) for c in load(str(tmp_path / "l"), "pairs"))


def test_four_of_sixteen_samples_are_ranked(tmp_path: Path) -> None:
    """And say of length and gold reward what all sixteen say."""
    place = str(data("rewardbench_bon/bon16_tulu2_13b.jsonl.gz"))
    few = Label(data=place, form="best-of-n", raters=(rater("longest"),), responses=4, items=60)
    every = few.model_copy(update={"responses": None, "items": 100})
    with open_store(tmp_path / "s.sqlite") as store:
        record, whole = label(few, store), label(every, store)
    assert (record.condition("longest").numbers["labels"].value, record.condition("longest").numbers["ties"].n) == (
        60,
        360,
    )
    known = whole.condition("longest").numbers["agreement"]
    assert _around(record, "longest", "agreement", known.value or 0)


def _around(record: Record, rater_: str, name: str, at: float) -> bool:
    number = record.condition(rater_).numbers[name]
    return (number.low or 1) < at < (number.high or 0)
