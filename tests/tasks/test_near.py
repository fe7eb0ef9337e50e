"""Near-duplicates: equal to brute force, quick exits, and what is told about them."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

from superalign.core.task import Task
from superalign.core.types import Item
from superalign.tasks import near
from superalign.tasks.near import near_duplicates

CHOICES = ("no", "yes")


def task(*splits: list[str]) -> Task:
    made = {
        f"s{k}": [Item(f"{k}-{j}", text, CHOICES) for j, text in enumerate(texts)] for k, texts in enumerate(splits)
    }
    key = {item.id: 0 for items in made.values() for item in items}
    return Task("t", made, key, choices=CHOICES)


def runs(text: str) -> set[tuple[str, ...]]:
    tokens = re.findall(r"\w+", text.lower())
    return {tuple(tokens[k : k + 5]) for k in range(max(1, len(tokens) - 4))} if tokens else set()


def noisy_copies() -> Task:
    """120 random texts, some of which share long stretches."""
    rng = np.random.default_rng(5)
    words = np.array([f"w{k}" for k in range(60)])
    base = [list(rng.choice(words, rng.integers(3, 25))) for _ in range(30)]
    texts = []
    for _ in range(120):
        text = list(base[rng.integers(30)])
        for _ in range(rng.integers(0, 3)):
            text[rng.integers(len(text))] = str(rng.choice(words))
        texts.append(" ".join(text))
    return task(texts[:40], texts[40:80], texts[80:])


@pytest.mark.parametrize("threshold", [0.3, 0.7, 1.0])
def test_equals_brute_force(threshold: float) -> None:
    made = noisy_copies()
    report = near_duplicates(made, threshold)
    assert report.complete
    assert report.pairs > 10
    for overlap in report.overlaps:
        pairs = {}
        for a in made.items(overlap.first):
            for b in made.items(overlap.second):
                x, y = runs(a.prompt), runs(b.prompt)
                if x & y and len(x & y) / len(x | y) >= threshold - 1e-12:
                    pairs[a.id, b.id] = len(x & y) / len(x | y)
        assert overlap.pairs == len(pairs)
        assert overlap.items_first == len({a for a, _ in pairs})
        assert overlap.items_second == len({b for _, b in pairs})
        for a_id, b_id, similarity in overlap.examples:
            assert similarity == pytest.approx(pairs[a_id, b_id])
    assert [(o.first, o.second) for o in report.overlaps] == list(combinations(("s0", "s1", "s2"), 2))


def test_case_and_marks_do_not_hide_a_copy_and_the_closest_pair_is_shown_first() -> None:
    text = "The quick brown fox jumps over the lazy dog near the old mill"
    report = near_duplicates(task([text, "nothing like it"], [text + " today", text.upper() + "!!", "???"]))
    (overlap,) = report.overlaps
    assert (overlap.pairs, overlap.items_first, overlap.items_second) == (2, 1, 2)
    assert overlap.examples[0] == ("0-0", "1-1", 1.0)
    assert overlap.examples[1] == ("0-0", "1-0", pytest.approx(9 / 10))


def test_texts_without_words_match_nothing() -> None:
    assert near_duplicates(task(["!!", ""], ["!!", "?"])).pairs == 0


def test_texts_of_the_items_own_choices_count() -> None:
    choices = ("one long answer that says the same thing", "another long answer that says the same thing")
    made = {"a": [Item("1", "why?", choices)], "b": [Item("2", "why?", choices[::-1])]}
    assert near_duplicates(Task("t", made, {"1": 0, "2": 0})).pairs == 1


def test_vectors_have_no_texts() -> None:
    made = {"a": [Item("1", "point", CHOICES)], "b": [Item("2", "point", CHOICES)]}
    vectors = Task("t", made, {"1": 0, "2": 0}, choices=CHOICES, inputs=lambda ids: np.zeros((len(ids), 1)))
    assert near_duplicates(vectors).overlaps == ()


def test_too_much_boilerplate_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    same = "this exact sentence stands in every single text of the set"
    made = task([same] * 20, [same] * 20)
    assert near_duplicates(made).pairs == 400
    monkeypatch.setattr(near, "BUDGET", 100)
    report = near_duplicates(made)
    assert not report.complete
    assert report.pairs < 400


def test_a_threshold_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"threshold must be above 0 and at most 1, got 0"):
        near_duplicates(task(["a"], ["b"]), 0)
