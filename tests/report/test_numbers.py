"""How numbers read, and where they come from."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.spec import Audit, Condition, Number
from superalign.report import numbers
from tests.report.examples import study


def test_the_house_form() -> None:
    pgr = Number(value=0.4312, low=0.312, high=0.551, n=1000, seeds=5)
    assert numbers.house(pgr, "PGR", "7f3a90c1") == "PGR 0.43 [0.31, 0.55], 5 seeds, n=1,000, spec 7f3a"
    assert numbers.format_number(pgr) == "0.43 [0.31, 0.55]"


def test_undefined_says_why() -> None:
    assert numbers.format_number(Number(value=None, reason="no gap"), "PGR") == "PGR undefined: no gap"
    assert numbers.format_number(Number(value=None, reason="undefined: no gap")) == "undefined: no gap"
    assert numbers.format_number(Number(value=None)) == f"undefined: {numbers.NO_REASON}"
    assert numbers.format_number(Number(value=math.nan, low=0.0, high=1.0)) == "undefined: the computation gave nan"
    assert numbers.format_number(Number(value=math.inf)) == "undefined: the computation gave inf"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Number(value=0.8123, low=0.8011, high=0.8235), "0.812 [0.801, 0.824]"),
        (Number(value=0.8123, low=0.8118, high=0.8128), "0.81230 [0.81180, 0.81280]"),
        (Number(value=5.0, low=1.0, high=9.0), "5.00 [1.00, 9.00]"),
        (Number(value=1234.5, low=1200.0, high=1269.0), "1,234 [1,200, 1,269]"),
        (Number(value=0.7), "0.700"),
        (Number(value=3.0), "3"),
        (Number(value=12345.0), "12,345"),
        (Number(value=-0.00001, low=-0.02, high=0.02), "0.000 [-0.020, 0.020]"),
        (Number(value=-0.0), "0"),
        (Number(value=0.5, low=0.5, high=0.5), "0.500 [0.500, 0.500]"),
        (Number(value=0.5, low=0.4, high=math.inf), "0.500"),
    ],
)
def test_decimals_follow_the_interval(number: Number, text: str) -> None:
    assert numbers.format_number(number) == text


@given(st.floats(-1e6, 1e6), st.floats(1e-4, 1e3))
def test_a_printed_number_is_the_number(value: float, half: float) -> None:
    number = Number(value=value, low=value - half, high=value + half)
    shown = float(numbers.format_value(number).replace(",", ""))
    assert abs(shown - value) <= max(0.5, half) * 1.0001
    if abs(value) < 100:
        assert abs(shown - value) <= max(half, 1e-4) / 10
    assert not numbers.format_value(number).startswith("-0.0000000")


def test_rows_share_the_decimals_of_their_column() -> None:
    record = study()
    names = numbers.columns(record)
    assert names == ["accuracy", "PGR", "effect", "error_imitation", "ece"]
    cells = dict(numbers.rows(record))
    assert cells["weak"] == ["0.624 [0.612, 0.636]", "", "", "", "0.041 [0.035, 0.047]"]
    assert cells["product"][1].startswith("undefined: the gap between weak and ceiling is within noise")


def test_the_heading_of_a_column_has_the_usual_support() -> None:
    assert numbers.usual_support(numbers.column(study(), "PGR")) == "5 seeds, n=1,000"
    assert numbers.format_support(Number(value=1.0, seeds=1, n=2)) == "1 seed, n=2"
    assert numbers.usual_support([]) == ""


def test_the_answer_is_a_label_or_the_first_note() -> None:
    record = study()
    assert numbers.answer(record).startswith("Weak labels elicit about half")
    assert numbers.remarks(record) == record.notes
    bare = record.model_copy(update={"conditions": (Condition(name="a"),)})
    assert numbers.answer(bare) == record.notes[0]
    assert numbers.remarks(bare) == record.notes[1:]
    silent = bare.model_copy(update={"notes": ()})
    assert numbers.answer(silent) == ""
    assert "answer" not in numbers.labels(record.conditions[0])


def test_the_audit_names_leaks() -> None:
    record = study()
    assert numbers.audit_sentence(record).startswith("Oracle-free")
    leak = Audit(door="truth", split="validation", purpose="oracle: best epoch", n=200)
    leaking = record.model_copy(update={"audit": (*record.audit, leak)})
    assert numbers.audit_sentence(leaking) == (
        "1 leak: truth informed a choice. oracle: best epoch (validation, 200 items)."
    )
    unlogged = record.model_copy(update={"audit": ()})
    assert "cannot say" in numbers.audit_sentence(unlogged)


def test_artifacts_go_to_the_condition_with_the_longest_name() -> None:
    record = study().model_copy(
        update={
            "conditions": (Condition(name="xent"), Condition(name="xent hard")),
            "artifacts": {"xent/0": "a", "xent hard/0": "b", "xenturion": "c", "xent": "d"},
        }
    )
    own, shared = numbers.artifacts_of(record)
    assert own == {"xent": {"xent/0": "a", "xent": "d"}, "xent hard": {"xent hard/0": "b"}}
    assert shared == {"xenturion": "c"}
