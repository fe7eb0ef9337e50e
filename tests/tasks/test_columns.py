"""Columns to questions: what is found by name, what is refused, and where the right answer stands."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import TaskError
from superalign.tasks.columns import Question, cell, plan, question
from superalign.tasks.read import Row, Table
from superalign.tasks.source import Source


def table(*rows: dict[str, Any]) -> Table:
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table("t.csv", columns, tuple(Row(f"line {k + 2}", row) for k, row in enumerate(rows)))


def ask(row: dict[str, Any], **options: Any) -> Question:
    made, source = table(row), Source(task="t.csv", **options)
    answer = question(plan(made, source), made, made.rows[0], source)
    assert isinstance(answer, Question), answer
    return answer


@pytest.mark.parametrize(
    "row, prompt, answer",
    [
        ({"id": 3, "sentence": " A b. ", "label": 1}, "A b.", "1"),
        ({"Text": "A", "Label": "x"}, "A", "x"),
        ({"question": "q?", "title": "T", "answer": True, "passage": "p"}, "p\n\nq?", "true"),
        ({"premise": "p", "hypothesis": "h", "label": 2.0}, "p\n\nh", "2"),
        ({"sentence1": "a", "sentence2": "b", "gold": "x", "target": "y"}, "a\n\nb", "y"),
        ({"context": "", "question": "q?", "label": "x"}, "q?", "x"),
    ],
)
def test_class_columns_found_by_name(row: dict[str, Any], prompt: str, answer: str) -> None:
    asked = ask(row)
    assert (asked.prompt, asked.choices, asked.answer) == (prompt, (), answer)


def test_named_columns_templates_ids_and_groups() -> None:
    row = {"a": "one", "b": "two", "c": "yes", "n": 7, "g": "x"}
    assert ask(row, prompt="a", label="c").prompt == "one"
    assert ask(row, prompt="b, a", label="c").prompt == "two\n\none"
    assert ask(row, prompt="Is {a} {b}? {a}!", label="c").prompt == "Is one two? one!"
    named = ask(row, prompt="a", label="c", id="n", group="g")
    assert (named.id, named.group, named.where) == ("7", "x", "t.csv, line 2")
    assert ask({"x, y": "whole", "c": "yes"}, prompt="x, y", label="c").prompt == "whole"


def test_multiple_choice() -> None:
    row = {"question": "q?", "correct_answer": "r", "distractor1": "a", "distractor2": "b", "support": "s"}
    asked = ask(row)
    assert asked.prompt == "s\n\nq?"
    assert sorted(asked.choices) == ["a", "b", "r"]
    assert asked.answer == "r"
    other = ask({"q": "q?", "ok": "r", "no": "a"}, prompt="q", answer="ok", distractors=("no",))
    assert sorted(other.choices) == ["a", "r"]


def test_preferences() -> None:
    start = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: why?\n\nAssistant:"
    asked = ask({"chosen": start + " So it is.", "rejected": start + " So what."})
    assert asked.prompt == start.strip()
    assert sorted(asked.choices) == ["So it is.", "So what."]
    assert asked.answer == "So it is."
    given_prompt = ask({"prompt": "p", "chosen": "good", "rejected": "bad"})
    assert (given_prompt.prompt, given_prompt.answer) == ("p", "good")
    named = ask({"x": "p", "win": "good", "lose": "bad", "label": 1}, chosen="win", rejected="lose", prompt="x")
    assert named.answer == "good"
    judged = {"input": "p", "output_1": "first", "output_2": "second"}
    assert ask({**judged, "label": 1}).answer == "first"
    assert ask({**judged, "label": 2}).answer == "second"
    assert ask({**judged, "label": 2}, choices=("1", "2")).choices == ()  # named classes make a class task


def test_the_position_of_the_right_answer_is_a_fair_draw_that_does_not_know_it() -> None:
    places = Counter()
    for k in range(600):
        row = {"question": f"q {k}?", "correct_answer": f"r {k}", "distractor1": "a", "distractor2": "b"}
        asked = ask(row)
        places[asked.choices.index(asked.answer)] += 1
        swapped = {**row, "correct_answer": "a", "distractor1": f"r {k}"}
        assert ask(swapped).choices == asked.choices
    assert all(150 < places[place] < 250 for place in range(3))


@pytest.mark.parametrize(
    "row, reason",
    [
        ({"text": " ", "label": 1}, "text or answer is empty"),
        ({"text": "a", "label": None}, "text or answer is empty"),
        ({"text": "a", "label": float("nan")}, "text or answer is empty"),
        ({"question": "", "passage": "p", "answer": True}, "text or answer is empty"),
        ({"chosen": "no dialogue", "rejected": "at all"}, "text or answer is empty"),
        (
            {"prompt": "p", "chosen": "same", "rejected": "same"},
            "choices repeat, so the answer is not one of them alone",
        ),
        ({"question": "q", "correct_answer": "r", "distractor1": "a", "distractor2": "a "}, "choices repeat"),
    ],
)
def test_rows_that_are_no_questions_say_why(row: dict[str, Any], reason: str) -> None:
    made, source = table(row), Source(task="t.csv")
    answer = question(plan(made, source), made, made.rows[0], source)
    assert isinstance(answer, str)
    assert answer.startswith(reason)


ROW = {"text": "a", "label": "x", "chosen": "c", "rejected": "r", "n": "3"}


@pytest.mark.parametrize(
    "row, options, message",
    [
        (ROW, {"label": "lable"}, r"'t.csv' has no column 'lable'; did you mean 'label'\? columns: text, label"),
        (ROW, {"label": "zzz"}, "'t.csv' has no column 'zzz'; there is: chosen, label, n, rejected, text"),
        (ROW, {"prompt": "text,body"}, "'t.csv' has no column 'body'"),
        (ROW, {"prompt": "{body}?", "label": "label"}, "'t.csv' has no column 'body'"),
        (ROW, {"prompt": "{}", "label": "label"}, r"the prompt template '\{\}' names no column; write \{text\}"),
        (ROW, {"chosen": "chosen"}, "a preference needs both columns: set chosen and rejected"),
        (ROW, {"answer": "label"}, r"multiple choice needs both: set answer \(one column\) and distractors"),
        (ROW, {"label": "label", "chosen": "chosen", "rejected": "rejected"}, "label and chosen are different forms"),
        (
            ROW,
            {"chosen": "chosen", "rejected": "rejected", "choices": ("a", "b")},
            "choices are the classes of a label",
        ),
        (
            ROW,
            {"prompt": "{text} {label}", "label": "label"},
            "'t.csv': the prompt holds 'label', a column of the answer",
        ),
        (ROW, {"id": "key", "label": "label"}, "'t.csv' has no column 'key'"),
        ({"n": 1, "m": 2}, {}, r"cannot tell which column is the label; set label to one of: n, m \(or answer and"),
        ({"n": 1, "label": 2}, {}, "cannot tell which column is the prompt; set prompt to one of: n, label"),
        ({"text": ["a"], "label": 1}, {}, "t.csv, line 2: column 'text' holds a list, not text; choose another column"),
        ({"text": "a", "label": 1, "n": ""}, {"id": "n"}, "t.csv, line 2: the id in column 'n' is empty"),
        ({"input": "a", "output_1": "b", "output_2": "c", "label": 3}, {}, "line 2: the label '3' is neither 1 nor 2"),
    ],
)
def test_faults_are_named(row: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        ask(row, **options)


def test_templates_reach_columns_only() -> None:
    assert ask({"a": "{b.__class__} {0}", "c": "x"}, prompt="<{a}>", label="c").prompt == "<{b.__class__} {0}>"
    with pytest.raises(TaskError, match=r"no column 'a.__class__'"):
        ask({"a": "one", "c": "x"}, prompt="{a.__class__}", label="c")


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text())
def test_any_plain_cell_is_text_that_can_be_written(value: Any) -> None:
    text = cell(value, "c", "line 1")
    assert text == text.strip()
    text.encode()
