"""Loading: parts, classes, copies, contradictions, ids, limits and clear refusals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from superalign.core.errors import PluginError, TaskError
from superalign.tasks.divide import SPLITS, Sizes
from superalign.tasks.load import load
from superalign.tasks.pool import Pool
from superalign.tasks.source import Source


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(name: str, rows: Sequence[tuple[Any, ...]], columns: Sequence[str] = ("text", "label")) -> str:
        path = tmp_path / name
        path.write_text("\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows))
        return str(path)

    return write


def answers(pool: Pool) -> dict[str, str]:
    return {item.prompt: item.choices[pool.key[item.id]] for item in pool.items}


def test_classes_in_order(write: Any) -> None:
    assert load(Source(task=write("a.jsonl", [("a", 10), ("b", 9), ("c", -1)]))).choices == ("-1", "9", "10")
    assert load(Source(task=write("a.jsonl", [("a", True), ("b", False)]))).choices == ("false", "true")
    assert load(Source(task=write("a.jsonl", [("a", "x"), ("b", "10"), ("c", "9")]))).choices == ("10", "9", "x")
    path = write("a.jsonl", [("a", "no"), ("b", "yes"), ("c", "no")])
    assert load(Source(task=path, choices=("yes", "no"))).choices == ("yes", "no")
    pool = load(Source(task=write("b.jsonl", [("a", 1), ("b", 0)]), choices=("objective", "subjective")))
    assert answers(pool) == {"a": "subjective", "b": "objective"}


def test_items_carry_no_answer_and_notes_say_which_columns(write: Any) -> None:
    path = write("a.jsonl", [("a", "x", "because x", "g1"), ("b", "y", "so", "g2")], ("text", "label", "why", "topic"))
    pool = load(Source(task=path, group="topic"))
    assert [dict(item.info) for item in pool.items] == [{"group": "g1"}, {"group": "g2"}]
    assert pool.notes == ("prompt from text; label from label",)
    assert pool.name == "a.jsonl"


def test_copies_and_contradictions(write: Any) -> None:
    rows = [("a", 0), ("a", 0), ("a ", 0), ("b", 1), ("c", 0), ("c", 1), ("c", 0), ("d", 1), ("", 1)]
    pool = load(Source(task=write("a.jsonl", rows)))
    assert answers(pool) == {"a": "0", "b": "1", "d": "1"}
    assert pool.notes[1:] == (
        "a.jsonl: 1 rows dropped because their text or answer is empty",
        "2 exact copies dropped",
        "3 rows dropped because their copies have different answers",
    )


def test_given_parts_keep_their_rows(write: Any) -> None:
    main = write("main.jsonl", [("a", 0), ("b", 1), ("c", 0), ("e", 1)])
    test = write("test.jsonl", [("b", 1), ("x", 0), ("x", 0)])
    valid = write("valid.jsonl", [("c", 0), ("x", 0), ("y", 1)])
    pool = load(Source(task=main, validation=valid, test=test))
    prompts = {item.id: item.prompt for item in pool.items}
    assert {part: {prompts[i] for i in ids} for part, ids in pool.fixed.items()} == {
        "test": {"b", "x"},
        "validation": {"c", "y"},
    }
    assert set(prompts.values()) == {"a", "b", "c", "e", "x", "y"}
    assert pool.notes[1:] == (
        "test: 1 exact copies dropped",
        "validation: 1 rows dropped because they are in a given test or validation part",
        "2 rows dropped because they are in a given test or validation part",
    )


def test_a_swapped_preference_is_a_contradiction(write: Any) -> None:
    rows = [("p", "one", "two"), ("p", "two", "one"), ("p", "one", "three")]
    pool = load(Source(task=write("a.jsonl", rows, ("prompt", "chosen", "rejected"))))
    assert pool.choices == ()
    assert list(answers(pool).values()) == ["one"]
    assert "2 rows dropped because their copies have different answers" in pool.notes


def test_ids_are_content_or_the_users_own(write: Any) -> None:
    rows = [(f"t{k}", k % 2, f"row{k}") for k in range(6)]
    path, turned = (
        write("a.jsonl", rows, ("text", "label", "name")),
        write("b.jsonl", rows[::-1], ("text", "label", "name")),
    )
    first, second = load(Source(task=path)), load(Source(task=turned))
    assert {i.id: i.prompt for i in first.items} == {i.id: i.prompt for i in second.items}
    assert all(len(i.id) == 16 for i in first.items)
    assert {i.id for i in load(Source(task=path, id="name")).items} == {f"row{k}" for k in range(6)}


def test_repeated_ids_are_refused_with_both_lines(write: Any) -> None:
    path = write("a.jsonl", [("a", 0, "n1"), ("b", 1, "n2"), ("c", 1, "n1")], ("text", "label", "name"))
    with pytest.raises(
        TaskError, match=r"the id 'n1' is at a.jsonl, line 1 and again at a.jsonl, line 3; ids must differ"
    ):
        load(Source(task=path, id="name"))
    other = write("b.jsonl", [("x", 0, "n2")], ("text", "label", "name"))
    good = write("a2.jsonl", [("a", 0, "n1"), ("b", 1, "n2")], ("text", "label", "name"))
    with pytest.raises(TaskError, match=r"the id '.*' is at a2.jsonl, line 2 and again at b.jsonl, line 1"):
        load(Source(task=good, test=other, id="name"))


def test_limit_draws_and_does_not_cut(write: Any) -> None:
    """Defect 12 of the methods page: half of a file sorted by class must hold both classes."""
    rows = [(f"t{k}", int(k >= 200)) for k in range(400)]
    path = write("a.jsonl", rows)
    pool = load(Source(task=path, limit=200))
    assert len(pool.items) == 200
    assert 70 < sum(pool.key.values()) < 130
    turned = load(Source(task=write("a.jsonl", rows[::-1]), limit=200))
    assert {i.id for i in turned.items} == {i.id for i in pool.items}
    given_test = load(Source(task=path, test=write("test.jsonl", [(f"x{k}", k % 2) for k in range(30)]), limit=100))
    assert len(given_test.fixed["test"]) == 30
    assert len(given_test.items) == 130
    assert len(load(Source(task=path, limit=9999)).items) == 400


def test_a_loaded_task_divides(write: Any) -> None:
    pool = load(Source(task=write("a.jsonl", [(f"t{k}", int(k >= 200)) for k in range(400)])))
    task = pool.task(0, Sizes(weak_train=50, transfer=100, validation=30, test=100))
    assert [len(task.items(s)) for s in SPLITS] == [50, 100, 30, 100]
    assert task.notes == pool.notes


@pytest.mark.parametrize(
    "rows, options, message",
    [
        ([("a", "x"), ("b", "x")], {}, r"every row has the label 'x' \(column 'label'\); a task needs two classes"),
        (
            [(f"t{k}", f"l{k}") for k in range(101)],
            {},
            "column 'label' holds 101 different values .* not classes; set label",
        ),
        (
            [("a", "x"), ("b", "y")],
            {"choices": ("x", "z")},
            "a.jsonl, line 2: the label 'y' is not among the choices x, z",
        ),
        ([("a", 0), ("b", 2)], {"choices": ("no", "yes")}, "a.jsonl, line 2: the label '2' is not among the choices"),
        ([("a", 0), ("b", 1)], {"choices": ("1", "2")}, "a.jsonl, line 1: the label '0' is not among the choices 1, 2"),
        ([("a", "x"), ("b", "y")], {"choices": ("x", "x")}, "choices must be two or more different classes, got x, x"),
        (
            [("", "x"), ("b", "")],
            {},
            "no row can be used; a.jsonl: 2 rows dropped because their text or answer is empty",
        ),
    ],
)
def test_rows_that_make_no_task_are_refused(write: Any, rows: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        load(Source(task=write("a.jsonl", rows), **options))


def test_a_given_part_needs_the_same_columns(write: Any) -> None:
    main, test = write("a.jsonl", [("a", 0), ("b", 1)]), write("test.jsonl", [("x", 0)], ("text", "klass"))
    with pytest.raises(TaskError, match=r"'test.jsonl' has no column 'label'; there is: klass, text"):
        load(Source(task=main, test=test))


def test_unknown_names_and_worlds(tmp_path: Path, write: Any) -> None:
    with pytest.raises(
        TaskError, match=r"no task is named 'reveiws:n=3' and there is no such file; did you mean 'reviews'\?"
    ):
        load(Source(task="reveiws:n=3"))
    with pytest.raises(TaskError, match=r"no file 'data/a.csv': there is no folder 'data'"):
        load(Source(task="data/a.csv"))
    with pytest.raises(
        TaskError, match=r"label is for files, not for the world 'reviews'; write options as reviews:key=value"
    ):
        load(Source(task="reviews", label="x"))
    assert load(Source.model_validate(Source(task="reviews:n=60").model_dump(mode="json"))).name == "reviews"


def test_a_world_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from superalign.core.types import Item\n"
        "from superalign.tasks.pool import Pool\n"
        "def world(*, n=4):\n"
        "    items = tuple(Item(str(k), f'is {k} odd?', ('no', 'yes')) for k in range(n))\n"
        "    return Pool('odd', items, {i.id: int(i.id) % 2 for i in items}, ('no', 'yes'))\n"
        "def nothing():\n"
        "    return 3\n"
    )
    assert len(load(Source(task=f"{path}:world:n=6")).items) == 6
    with pytest.raises(TaskError, match=r"'.*mine.py:nothing' returned a int, not a superalign.tasks.pool.Pool"):
        load(Source(task=f"{path}:nothing"))
    with pytest.raises(PluginError, match=r"has no 'wrld'; did you mean 'world'\?"):
        load(Source(task=f"{path}:wrld"))


def test_a_source_refuses_unknown_fields_and_formats() -> None:
    for fault in (
        {"task": ""},
        {"task": "a", "format": "xml"},
        {"task": "a", "limit": 0},
        {"task": "a", "labels": "x"},
    ):
        with pytest.raises(ValueError, match=r"1 validation error"):
            Source.model_validate(fault)


def test_a_passage_is_for_speakers_and_never_in_the_prompt(tmp_path: Path) -> None:
    rows = [{"passage": f"story {k}", "question": f"q {k}?", "good": f"yes {k}", "bad": f"no {k}"} for k in range(4)]
    path = tmp_path / "quiz.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    form = {"task": str(path), "answer": "good", "distractors": ("bad",)}
    kept = load(Source(**form, passage="passage")).items  # type: ignore[arg-type]
    assert [(i.prompt, dict(i.info)) for i in kept] == [(f"q {k}?", {"source": f"story {k}"}) for k in range(4)]
    assert load(Source(**form)).items[0].prompt == "story 0\n\nq 0?"  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="the prompt holds 'passage', the passage that a judge may not read"):
        load(Source(**form, passage="passage", prompt="passage,question"))  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="no column 'stroy'"):
        load(Source(**form, passage="stroy"))  # type: ignore[arg-type]
