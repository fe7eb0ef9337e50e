"""Fuzzing: partners whose marks tell nothing, and classifiers that show it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.core.types import Ask, Reply
from superalign.interp.layout import bright
from superalign.interp.scorers.fuzzing import Fuzzing, paired, tells
from superalign.interp.scorers.judged import Sampling
from superalign.interp.units import Explanation
from superalign.models.scripted import Scripted
from tests.interp.spoken import CAT, RED, WORDS, certain, corpus, described, evidence, named

SMALL = Sampling(bins=5, each=4)


def reader(ask: Ask) -> Reply:
    """Says yes where all that is marked is a word of the description."""
    description, text = described(ask)
    content = ask.messages[1].content
    match = re.search(r"stands between (\S+) and (\S+)\. Is", content)
    assert match is not None
    marked = re.findall(re.escape(match[1]) + "(.*?)" + re.escape(match[2]), text, re.DOTALL)
    return certain(all(part.split() and set(part.split()) <= set(description.split()) for part in marked))


def test_wrong_marks_in_an_active_window_are_told_by_a_true_explanation_alone() -> None:
    pairs = [(Explanation("cat"), evidence()), (Explanation("house"), evidence(index=1))]
    right, wrong = Fuzzing(Scripted("reader", reader), sampling=SMALL).score(pairs)
    assert named(right)["fuzzing:balanced-accuracy:misplaced"].number.value == 1.0
    assert named(wrong)["fuzzing:balanced-accuracy:misplaced"].number.value == pytest.approx(0.5, abs=0.1)
    silent = Fuzzing(Scripted("reader", reader), sampling=SMALL, sources=("uniform",)).score(pairs)[0]
    assert named(silent)["fuzzing:f1"].number.value == 1.0


@pytest.mark.parametrize("source", ["misplaced", "uniform"])
def test_neither_positions_nor_counts_tell_pooled_over_units(source: str) -> None:
    """The defect of marking one fixed position, or the mean number of non-zero tokens, is found by these classifiers."""
    samples = [paired(evidence(t, index=t), source, SMALL) for t in range(len(WORDS))]
    marks = [m for s in samples for m in s.marks]
    positive = np.concatenate([s.positive for s in samples])
    assert len(marks) > 400
    for value in tells(marks, positive).values():
        assert 0.48 <= value.value <= 0.52
    fixed = [m if p else np.array([12]) for m, p in zip(marks, positive, strict=True)]
    assert tells(fixed, positive)["position-only"].value > 0.9
    more = [m if p else np.arange(len(m) + 1) for m, p in zip(marks, positive, strict=True)]
    assert tells(more, positive)["count-only"].value > 0.7


@pytest.mark.parametrize("source", ["misplaced", "uniform"])
def test_partners_are_silent_where_they_are_marked_and_come_once(source: str) -> None:
    e = evidence(RED)
    chosen = paired(e, source, SMALL)
    half = len(chosen.index) // 2
    assert chosen.positive.tolist() == [True] * half + [False] * half
    assert len(set(chosen.index[half:].tolist())) == half
    edges = corpus().windows
    for k, (window, marks) in enumerate(zip(chosen.index, chosen.marks, strict=True)):
        values = e.at(np.arange(edges[window], edges[window + 1]))
        if k < half:
            assert marks.tolist() == np.flatnonzero(bright(values)).tolist()
            assert marks.tolist() == chosen.marks[k + half].tolist()
        else:
            assert not values[marks].any()
            assert values.any() == (source == "misplaced")


def test_scores_carry_the_classifiers_that_know_nothing() -> None:
    found = Fuzzing(Scripted("reader", reader), sampling=SMALL).score([(Explanation("the word cat"), evidence(CAT))])[0]
    controls = named(found)["fuzzing:auc:misplaced"].controls
    assert controls["position-only"].value == controls["count-only"].value == 0.5
    assert controls["yes to all"].value == 0.5


def test_a_unit_without_partners_is_undefined() -> None:
    dense = evidence(every=True)
    found = Fuzzing(Scripted("reader", reader), sampling=SMALL).score(
        [(Explanation("cat"), dense), (Explanation("cat"), evidence())]
    )
    assert [row[0].status for row in found] == ["undefined", "ok"]
    assert "has a partner" in str(found[0][0].number.reason)
    assert Fuzzing(Scripted("reader", reader)).score([]) == []


def test_partners_from_nowhere_are_refused() -> None:
    with pytest.raises(SpecError, match="no partners come from 'random'"):
        Fuzzing(Scripted("reader", reader), sources=("random",))
