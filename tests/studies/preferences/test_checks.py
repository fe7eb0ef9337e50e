"""The checks of preference data, on data whose faults are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from superalign.core.errors import SpecError, TaskError
from superalign.core.spec import Record, validate
from superalign.core.study import spec_of
from superalign.store import open_store
from superalign.studies.preferences import Preferences, preferences
from superalign.studies.preferences.checks import Check, checks, even_odds
from superalign.tasks.preferences import Comparison


def by_name(comparisons: list[Comparison], form: str = "votes") -> dict[str, Check]:
    return {check.name: check for check in checks(comparisons, form)}


def votes(n: int, first: float, longer: float, seed: int = 0) -> list[Comparison]:
    """Votes of judges who, with these shares, take the first response, else the longer one with its share."""
    draws, made = np.random.default_rng(seed), []
    for k in range(n):
        sizes = draws.permutation([3, 8])
        pair = tuple(f"{k} " + "x" * size for size in sizes)
        takes = draws.random() < first or (sizes[0] > sizes[1]) == (draws.random() < longer)
        made.append(Comparison(f"question {k}", (pair[0], pair[1]), p=float(takes)))
    return made


def test_places_and_lengths_that_decide_are_found() -> None:
    fair = by_name(votes(600, 0.0, 0.5))
    for check in (fair["first wins"], fair["longer wins"]):
        assert check.share is not None
        assert check.p is not None
        assert (check.share.low or 1) < 0.5 < (check.share.high or 0)
        assert check.p > 0.01
    unfair = by_name(votes(600, 0.4, 0.9))
    first, longer = unfair["first wins"], unfair["longer wins"]
    assert first.p is not None
    assert longer.p is not None
    assert first.p < 1e-6
    assert longer.p < 1e-6
    assert first.share is not None
    assert longer.share is not None
    assert first.share.value == pytest.approx(0.7, abs=0.06)
    assert longer.share.value == pytest.approx(0.74, abs=0.06)
    assert (first.share.low or 0) > 0.5


def test_what_cannot_be_learnt_from_is_counted() -> None:
    rows = [
        Comparison("q", ("a", "bb"), p=1.0), Comparison("q", ("bb", "a"), p=1.0), Comparison("r", ("a", "bb"), p=0.5),
        Comparison("s", ("", "bb"), p=0.0), Comparison("t", ("a", "a"), p=1.0), Comparison("u", ("a", "bb"), p=0.9),
        Comparison("u", ("a", "bb"), p=0.7), Comparison("v", ("a", "bb", "ccc"), (3.0, 2.0, 1.0)),
    ]  # fmt: skip
    found = by_name(rows)
    counts = {name: check.count for name, check in found.items()}
    assert counts["pairs"] == 10
    assert counts["usable"] == 4  # of u once, and of v three
    assert (counts["ties"], counts["empty"], counts["equal"]) == (1, 1, 1)
    assert (counts["copies"], counts["contradictions"]) == (1, 1)
    assert counts["prompts"] == 6
    assert found["ties"].share is not None
    assert found["ties"].share.value == pytest.approx(0.1)
    nothing = by_name([Comparison("r", ("a", "b"), p=0.5)])
    assert nothing["usable"].count == 0
    assert nothing["longer wins"].share is not None
    assert nothing["longer wins"].share.reason == "undefined: no pair is decided"


def test_agreement_of_pairs_that_were_judged_twice() -> None:
    """Six of eight pairs of verdicts agree; 60 % of verdicts are for one response: alpha by hand."""
    said = [(1, 1)] * 4 + [(0, 0)] * 2 + [(1, 0)] * 2
    twice = [Comparison(f"q{k}", ("a", "b"), p=float(p)) for k, both in enumerate(said) for p in both]
    turned = [c if k % 2 else Comparison(c.prompt, ("b", "a"), p=1 - (c.p or 0)) for k, c in enumerate(twice)]
    found = by_name(turned)
    share, alpha = found["agreement"].share, found["Krippendorff's alpha"].alpha
    assert share is not None
    assert alpha is not None
    assert (share.value, share.n) == (0.75, 8)
    assert (share.low or 1) < 0.75 < (share.high or 0)
    expected = 2 * 10 * 6 / (16 * 15)
    assert alpha.value == pytest.approx(1 - (2 / 8) / expected)
    assert alpha.low is not None
    once = by_name(votes(10, 0.0, 0.5))
    assert once["agreement"].share is not None
    assert once["agreement"].share.reason == "undefined: no pair was judged twice"


def test_a_place_that_means_something_else_is_not_called_a_bias() -> None:
    found = by_name([Comparison("q", ("a", "b"), (1.0, 0.0))], "pairs")["first wins"]
    assert found.share is not None
    assert found.share.reason == "undefined: the form 'pairs' lists the preferred response first"
    info = {"generator_1": "old", "generator_2": "new"}
    found = by_name([Comparison(f"q{k}", ("a", "bb"), p=0.0, info=info) for k in range(9)], "alpaca-eval")["first wins"]
    assert found.share is not None
    assert found.share.reason == "undefined: old is always first and new second"
    assert found.p is None


@given(st.integers(0, 60), st.integers(0, 60))
def test_even_odds_of_single_pairs_are_the_binomial_test(won: int, lost: int) -> None:
    nets = np.array([1] * won + [-1] * lost)
    expected = binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert even_odds(nets) == pytest.approx(expected, rel=1e-6)


def test_pairs_of_one_prompt_are_not_independent() -> None:
    alone, grouped = np.ones(12, int), np.array([6, 6])
    assert even_odds(alone) == pytest.approx(2**-11)
    assert even_odds(grouped) == 0.5
    many = np.random.default_rng(0).choice([-2, -1, 1, 2], 999, p=[0.25, 0.23, 0.27, 0.25])
    wide = np.concatenate([many, np.zeros(50, int)])
    assert even_odds(wide) == even_odds(many)  # groups that are even say nothing
    more = np.concatenate([many, [2, -2]])  # one more than the exact test takes
    assert 1e-3 < even_odds(many) < 0.5
    assert even_odds(more) == pytest.approx(even_odds(many), rel=0.1)


def file(tmp_path: Path, comparisons: list[Comparison]) -> str:
    rows = [{"prompt": c.prompt, "response_a": c.responses[0], "response_b": c.responses[1], "winner": c.p}
            for c in comparisons]  # fmt: skip
    path = tmp_path / "votes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "winner": None}]), encoding="utf-8")
    return str(path)


def test_a_record_says_what_to_do(tmp_path: Path) -> None:
    rows = votes(200, 0.5, 1.0)
    rows += [Comparison(c.prompt, c.responses, p=1 - (c.p or 0)) for c in rows[:30]]
    spec = validate(Preferences, {"data": file(tmp_path, rows), "form": "votes"})
    with open_store(tmp_path / "s.sqlite") as store:
        record = preferences(spec, store)
    assert record.title == "Preferences of votes.jsonl"
    assert record.condition("contradictions").numbers["count"].value == 30
    assert float(record.condition("longer wins").labels["p"]) < 1e-3
    said = " ".join(record.notes)
    assert "170 of 230 pairs (200 prompts) can be learnt from." in record.notes[0]
    assert "The response listed first wins" in said
    assert '"prefer the longer" reaches' in said
    assert "30 distinct pairs were decided both ways" in said
    assert "below 0.667, where he advises to draw no conclusion" in said
    assert "1 rows left out because nobody voted" in said
    assert [row[0] for row in record.tables["checks"].rows] == [c.name for c in record.conditions]
    assert set(record.charts) == {"balance"}
    again = preferences(spec)
    assert Record.model_validate(record.model_dump()).id == again.id
    assert validate(Preferences, {"data": "x"}).form == "pairs"


def test_a_form_that_is_none_and_a_file_that_is_another(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no form of preference data is named 'hhh'; did you mean 'hh'"):
        validate(Preferences, {"data": "x", "form": "hhh"})
    spec = validate(Preferences, {"data": file(tmp_path, votes(3, 0, 0.5)), "form": "hh"})
    with pytest.raises(TaskError, match=r"has no column 'chosen'"):
        preferences(spec)


def test_a_spec_by_its_name() -> None:
    assert isinstance(spec_of({"study": "preferences", "data": "votes.jsonl", "form": "votes"}), Preferences)
