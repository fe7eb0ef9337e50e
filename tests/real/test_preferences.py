"""The examination of public preference sets: what is known of them is what it finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from superalign.core.spec import Number, Record
from superalign.studies.preferences import Preferences, preferences
from superalign.tasks.preferences.reading import load
from superalign.tasks.preferences.writing import write
from tests.datafolder import data


def examined(name: str, form: str) -> Record:
    return preferences(Preferences(data=str(data(name)), form=form))


def count(record: Record, check: str) -> float | None:
    return record.condition(check).numbers["count"].value


def share(record: Record, check: str) -> Number:
    return record.condition(check).numbers["share"]


def test_hh_harmless_prefers_the_shorter_reply() -> None:
    record = examined("hh_harmless_test/test.jsonl.gz", "hh")
    assert (count(record, "pairs"), count(record, "usable"), count(record, "empty")) == (2312, 2308, 4)
    assert (count(record, "copies"), count(record, "contradictions")) == (0, 0)
    longer = share(record, "longer wins")
    assert (count(record, "longer wins"), longer.n) == (1025, 2301)
    assert longer.value == pytest.approx(0.4455, abs=1e-4)
    assert (longer.low or 0) > 0.42
    assert (longer.high or 1) < 0.48
    assert float(record.condition("longer wins").labels["p"]) < 1e-5
    assert 'has to beat 0.555, which "prefer the shorter" reaches' in record.notes[1]
    assert "lists the preferred response first" in (share(record, "first wins").reason or "")


@pytest.mark.parametrize(
    ("name", "first", "longer", "n"), [("Natural", 42, 56, 100), ("Adversarial/GPTInst", 45, 12, 92)]
)
def test_llmbar_balances_its_places(name: str, first: int, longer: int, n: int) -> None:
    """And its adversarial part is written so that the worse output is the longer one."""
    record = examined(f"llmbar/LLMBar/{name}/dataset.json", "llmbar")
    assert (count(record, "usable"), count(record, "first wins"), count(record, "longer wins")) == (n, first, longer)
    balance = share(record, "first wins")
    assert (balance.low or 1) < 0.5 < (balance.high or 0)
    assert float(record.condition("first wins").labels["p"]) > 0.1


def test_alpaca_eval_shows_one_model_on_one_side() -> None:
    record = examined("alpaca_eval/claude-2/alpaca_eval_gpt4/annotations.json", "alpaca-eval")
    assert (count(record, "pairs"), count(record, "ties"), count(record, "equal")) == (804, 1, 1)
    assert "is always first and claude-2 second" in (share(record, "first wins").reason or "")
    assert (share(record, "longer wins").value or 0) > 0.9


def test_best_of_n_is_written_as_rankings_and_read_again(tmp_path: Path) -> None:
    whole = load(str(data("rewardbench_bon/bon16_tulu2_13b.jsonl.gz")), "best-of-n")
    few = whole[:60]
    assert write(few, tmp_path / "rankings.jsonl", "rankings") == 60
    made = preferences(Preferences(data=str(tmp_path / "rankings.jsonl"), form="rankings"))
    assert count(made, "prompts") == 60
    assert count(made, "pairs") == sum(len(c.responses) * (len(c.responses) - 1) // 2 for c in few)
    assert share(made, "longer wins").n is not None
    decided = sum(len(c.pairs()) for c in few)
    assert write(few, tmp_path / "pairs.jsonl", "pairs") == decided
    assert len(load(str(tmp_path / "pairs.jsonl"))) == decided
