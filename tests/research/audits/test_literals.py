"""Self-reported numbers: scores without their entry are found, references and accidents are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.research.audits.literals import LONGEST, Said, self_reported
from superalign.research.ledger import Entry
from tests.research.audits.conftest import entry

LEDGER: list[Entry] = [
    entry(4, "run_end", {"scores": [0.1937482, 0.2211873], "status": "ok"}),
    entry(6, "care", {"default_score": 0.0713, "tuned_score": 0.23418}),
    entry(7, "score", {"best": 0.7821}),
    entry(9, "verdict", {"estimate": -0.0091, "low": -0.0242, "high": None}),
    entry(10, "score", {"best": 1}),
]
CODE = "def method(public, seed):\n    keep, l2 = 0.6, 300.0\n    return 0.25 * public['train_p'] + 1e-6 + .125\n"


def status(text: str, *, evidence: tuple[int, ...] = (), code: bool = False) -> str:
    return self_reported([Said("e12", text, frozenset(evidence), code)], LEDGER).status


@pytest.mark.parametrize(
    "text",
    ["It reaches 0.7821 of the items.", "the tuned one is at .234", "we see 23.42 % PGR", "it lost 0.0091",
     "a mean of 0.2075 (two problems)", "-0.0242 at worst", "on one problem 0.1937482"],
)  # fmt: skip
def test_a_finding_that_repeats_a_score_fails(text: str) -> None:
    expected = "pass" if text == "it lost 0.0091" else "fail"  # a sign is part of a number
    assert status(text) == expected


@pytest.mark.parametrize(
    "text",
    ["e7.best is 0.7821", "0.7821 (e7)", "keep 0.6 and l2 300", "version 0.7821.3 and 10.7821e3", "about a fifth",
     "it is right on 0.7 of them", "PGR 0.999"],
)  # fmt: skip
def test_references_and_other_numbers_pass(text: str) -> None:
    assert status(text) == "pass"


def test_evidence_is_a_reference_to_its_own_entry_alone() -> None:
    assert status("0.7821", evidence=(7,)) == "pass"
    assert status("0.7821", evidence=(6,)) == "fail"


def test_a_score_written_into_code_fails_and_honest_code_passes() -> None:
    assert status(CODE, code=True) == "pass"
    assert status(CODE + "PGR = 0.23418  # e6\n", code=True) == "fail"
    found = self_reported([Said("ab12", CODE + "PGR = 0.1937482", code=True)], LEDGER)
    assert found.evidence == ("ab12: 0.1937482 = e4",)


def test_with_many_scores_short_numbers_say_nothing() -> None:
    many = [entry(k, "run_end", {"scores": [k / 700, k / 700]}) for k in range(1, 700)]
    assert self_reported([Said("e1", "it is 0.234", frozenset())], many).status == "pass"
    assert self_reported([Said("e1", f"it is {300 / 700:.7f}", frozenset())], many).status == "fail"
    assert self_reported([Said("e1", "it is 0.234", frozenset())], []).status == "pass"


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert status(text, code=True) in ("pass", "fail")


def test_long_texts_are_read_in_time_and_up_to_a_bound() -> None:
    for hostile in ("9" * LONGEST, ".1" * (LONGEST // 2), "0.123 " * (LONGEST // 6), "0.12" + "a." * (LONGEST // 3)):
        assert status(hostile, code=True) == "pass"
    assert status(" " * LONGEST + "0.23418", code=True) == "pass"
