"""Labels from files: what is read, what is answered, and every way a file can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import ModelError
from superalign.core.steps import Steps
from superalign.core.types import Ask, Item, Message, Reply
from superalign.models.labels import Labels, labels

CHOICES = ("no", "yes")


def read(path: Path, text: str, choices: tuple[str, ...] = CHOICES, name: str = "people.csv", **options: Any) -> Labels:
    file = path / name
    file.write_text(text, encoding="utf-8")
    return labels(str(file), inputs=None, steps=Steps(), choices=choices, **options)


def says(model: Labels, item_id: str, prompt: str = "", choices: tuple[str, ...] = CHOICES) -> Reply:
    return dict(model.answer([Ask("judge", (), choices, Item(item_id, prompt, choices))]))[0]


def test_labels_by_id(tmp_path: Path) -> None:
    model = read(tmp_path, "id,label\na,yes\nb,no\nc,\n")
    assert says(model, "a") == Reply(text="yes", probs=(0.0, 1.0))
    assert says(model, "a", choices=("yes", "no")) == Reply(text="yes", probs=(1.0, 0.0))
    assert says(model, "c") == says(model, "d") == Reply(failure="no label")


def test_probabilities_by_column(tmp_path: Path) -> None:
    model = read(tmp_path, "id,yes,no\na,.8,.2\nb,,\n")
    assert says(model, "a") == Reply(text="yes", probs=(0.2, 0.8))
    assert says(model, "b").failure == "no label"


def test_json_lines_with_both_forms(tmp_path: Path) -> None:
    rows = [{"id": 7, "label": "yes"}, {"id": "b", "probs": {"no": 0.3, "yes": 0.7}}]
    model = read(tmp_path, "\n".join(map(json.dumps, rows)) + "\n\n", name="people.jsonl")
    assert says(model, "7").probs == (0.0, 1.0)
    assert says(model, "b").probs == pytest.approx((0.3, 0.7))


def test_labels_by_exact_prompt(tmp_path: Path) -> None:
    model = read(tmp_path, 'prompt,label\n"Is 7, or 9, prime?",yes\n')
    assert says(model, "any", "Is 7, or 9, prime?").text == "yes"
    assert says(model, "any", "Is 7 prime?").failure == "no label"
    asked = Ask("judge", (Message("user", "Is 7, or 9, prime?"),), CHOICES)
    assert dict(model.answer([asked]))[0].text == "yes"


def test_another_column_may_hold_the_label(tmp_path: Path) -> None:
    text = "id,label,rater_3\na,yes,no\n"
    assert says(read(tmp_path, text), "a").text == "yes"
    assert says(read(tmp_path, text, column="rater_3"), "a").text == "no"


def test_labels_of_items_with_their_own_choices(tmp_path: Path) -> None:
    model = read(tmp_path, "id,label\na,the second text\n", choices=())
    assert says(model, "a", choices=("the first text", "the second text")).probs == (0.0, 1.0)
    with pytest.raises(ModelError, match="'a' is labelled 'the second text'; there is: one, two"):
        says(model, "a", choices=("one", "two"))


def test_the_name_follows_the_content(tmp_path: Path) -> None:
    one = read(tmp_path, "id,label\na,yes\n")
    other = read(tmp_path, "id,label\na,no\n")
    assert one.name.startswith("labels:people.csv#")
    assert one.name != other.name
    assert one.identity != other.identity


def test_an_ask_without_an_item_is_refused(tmp_path: Path) -> None:
    model = read(tmp_path, "id,label\na,yes\n")
    with pytest.raises(ModelError, match="knows items by id, and the ask for 'judge' carries no item"):
        list(model.answer([Ask("judge", (Message("user", "well?"),), CHOICES)]))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "holds no labels; it needs a header with id"),
        ("id,label\n", "holds no labels; it needs a header with id"),
        ("id,label\na,yes\na,no\n", "line 3: id 'a' is labelled again \\(first on line 2\\); keep one of them"),
        ("id,label\na,maybe\n", "line 2: the label 'maybe' is not a choice; there is: no, yes"),
        ("id,label\na,Yes\n", "line 2: the label 'Yes' is not a choice; did you mean 'yes'?"),
        (
            "id,answer\na,yes\n",
            "line 2: no 'label' and no probabilities; the row has id, answer. It needs 'label', or the",
        ),
        ("name,label\na,yes\n", "line 2: no id and no prompt; the row has name, label"),
        ("id,label\n,yes\n", "line 2: no id and no prompt"),
        ("id,label\na,yes,really\n", "line 2: more cells than the header has columns; quote texts that hold commas"),
        ("id,no,yes\na,.5,.6\n", "line 2: probabilities must be 0 or more and sum to 1; .* sum to 1.1"),
        ("id,no,yes\na,1.5,-.5\n", "line 2: probabilities must be 0 or more and sum to 1"),
        ("id,no,yes\na,nan,1\n", "line 2: probabilities must be 0 or more and sum to 1; .* sum to nan"),
        ("id,no,yes\na,high,low\n", "line 2: the probabilities .* are not all numbers"),
    ],
)
def test_a_wrong_file_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{id: 1}\n", r"line 1: not JSON \(.*\); each line is one object"),
        ('["a", "yes"]\n', r"line 1: '\[\"a\", \"yes\"\]' is not a JSON object"),
        ('\n{"id": "a", "probs": {"perhaps": 1}}\n', "line 2: 'perhaps' is not a choice; there is: no, yes"),
        ('{"id": "a", "probs": [0.5, 0.5]}\n', "line 1: no 'label' and no probabilities"),
    ],
)
def test_wrong_json_lines_are_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(tmp_path, text, name="people.jsonl")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(
        ModelError, match=r"no file of labels 'nowhere.csv'; write labels:path/to/file.csv \(or .jsonl\)"
    ):
        labels("nowhere.csv", inputs=None, steps=Steps(), choices=CHOICES)


@given(st.dictionaries(st.text(min_size=1), st.sampled_from(CHOICES), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_ids_come_back_from_json_lines(tmp_path_factory: pytest.TempPathFactory, table: dict[str, str]) -> None:
    text = "".join(json.dumps({"id": key, "label": label}) + "\n" for key, label in table.items())
    model = read(tmp_path_factory.mktemp("labels"), text, name="people.jsonl")
    assert {key: says(model, key).text for key in table} == table
