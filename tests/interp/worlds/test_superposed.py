"""The world of planted predicates: it is what it says, the search recovers it, and knows nothing where nothing is."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.interp.evidence import Evidence
from superalign.interp.predicates.language import parse, render
from superalign.interp.predicates.programs import Programs
from superalign.interp.predicates.search import Predicates
from superalign.interp.units import Explanation
from superalign.interp.worlds.recovery import Recovery, evidence_of, recover
from superalign.interp.worlds.superposed import STRINGS, Superposed, superposed


@cache
def world() -> Superposed:
    return superposed(0)


def test_the_text_is_the_one_described() -> None:
    corpus = world().corpus
    assert len(STRINGS) == len(set(STRINGS)) == 119
    assert len(corpus) == 1500 * 64
    tokens = corpus.tokens.reshape(1500, 64)
    after = np.zeros((119, 119))
    np.add.at(after, (tokens[:, :-1].ravel(), tokens[:, 1:].ravel()), 1)
    share = np.sort(after / after.sum(1, keepdims=True), axis=1)[:, -3:].sum(1)
    frequent = after.sum(1) > 400
    assert 0.35 < share[frequent].mean() < 0.5  # three followers hold .35, and what falls on them by chance
    counts = np.sort(np.bincount(corpus.tokens, minlength=119))[::-1]
    assert 8 < counts[0] / counts[-1] < 60  # 119^.7 = 28 without followers


def test_labels_are_what_a_reader_of_the_predicates_would_say() -> None:
    """Some predicates in plain words, token by token."""
    made = world()
    strings = np.array(made.corpus.strings)[made.corpus.tokens].reshape(1500, 64)
    bare = np.char.strip(strings)
    quotes = np.cumsum(strings == '"', axis=1)
    open_ = ((quotes - (strings == '"')) % 2 == 1) & (strings != '"')
    ing, ed, digit = np.char.endswith(bare, "ing"), np.char.endswith(bare, "ed"), np.char.isdigit(bare)
    recent = np.zeros_like(digit)
    for back in (1, 2, 3):
        recent[:, back:] |= digit[:, :-back]
    expected = {
        'token ends "ed" and inside quotes': ed & open_,
        'token ends "ing" and within 3 is number': ing & recent,
        "place < 3": np.broadcast_to(np.arange(64) < 3, (1500, 64)),
    }
    for program, label in expected.items():
        assert np.array_equal(made.labels[:, made.programs.index(program)], label.ravel()), program


def test_the_space_is_the_sum_of_the_active_units() -> None:
    made = world()
    assert (made.acts > 0).tolist() == made.labels.tolist()
    assert made.x.shape == (96000, 24)
    assert np.linalg.norm(made.directions, axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    assert (made.x - made.acts @ made.directions).std() == pytest.approx(0.02, rel=0.02)
    assert np.log(made.acts[made.labels]).std() == pytest.approx(0.25, rel=0.02)
    assert 0.04 < made.labels.mean() < 0.065
    assert 1.7 < made.labels.sum(1).mean() < 2.6
    kinds = [render(parse(program)).split()[1] for program in made.programs]
    assert made.programs == tuple(render(parse(p)) for p in made.programs)
    assert len(set(made.programs)) == 40
    assert (kinds.count("ends"), kinds.count("stem")) == (6, 5)


def test_a_seed_is_a_world() -> None:
    small = superposed(3, documents=100)
    assert np.array_equal(small.x, superposed(3, documents=100).x)
    assert small.programs == superposed(3, documents=150).programs
    assert not set(small.programs[:14]) & set(superposed(4, documents=100).programs[:14])


def study(units: list[Evidence]) -> tuple[Recovery, list[float], list[float]]:
    """Recovery, correlation on all test windows, and the correlation with the program five units on."""
    windows = world().corpus.pick("test")
    made = Predicates().explain(units)
    assert all(isinstance(each, Explanation) for each in made)
    masks = np.stack([s.values for s in Programs().simulate([(e, windows) for e in made])]) > 0  # type: ignore[misc]
    acts = np.stack([unit.on(windows) for unit in units])
    rho = [float(np.corrcoef(a, m)[0, 1]) for a, m in zip(acts, masks, strict=True)]
    shuffled = [float(np.corrcoef(a, m)[0, 1]) for a, m in zip(acts, np.roll(masks, 5, axis=0), strict=True)]
    return recover(masks, world().labels[windows.rows]), rho, shuffled


def test_true_directions_are_recovered() -> None:
    recovery, rho, shuffled = study(evidence_of(world().corpus, world().acts, "planted"))
    assert recovery.recall >= 0.85  # 40 of 40 when this was written
    assert recovery.precision >= 0.85
    assert recovery.best.tolist() == list(range(40))
    assert 0.94 < np.mean(rho) < 0.99  # the magnitudes cannot be told from the text
    assert abs(np.mean(shuffled)) <= 0.02


def test_random_directions_recover_nothing_and_still_correlate() -> None:
    """A correlation of .7 by itself says nothing."""
    directions = np.random.default_rng(0).standard_normal((24, 96))
    directions /= np.linalg.norm(directions, axis=0)
    recovery, rho, _ = study(evidence_of(world().corpus, world().x @ directions, "random"))
    assert recovery.recall <= 0.05
    assert 0.6 < np.mean(rho) < 0.78


def test_recovery_counts_overlap() -> None:
    labels = np.zeros((100, 3), bool)
    labels[:20, 0] = labels[20:40, 1] = labels[60:, 2] = True
    masks = np.zeros((4, 100), bool)
    masks[0, :20] = True  # label 0
    masks[1, 20:50] = True  # label 1, too broad: 20 of 30
    masks[2, 1:20] = True  # label 0 again: 19 of 20
    found = recover(masks, labels)
    assert found.overlap.tolist() == pytest.approx([1, 2 / 3, 0.95, 0])
    assert found.best[:3].tolist() == [0, 1, 0]
    assert (found.recall, found.precision) == (pytest.approx(1 / 3), 0.5)
    assert recover(masks, labels, enough=0.6).recall == pytest.approx(2 / 3)
    assert found.agreement([0.9, 0.5, 0.8, 0.1]) == pytest.approx(1.0)
    assert found.agreement([0.9, None, 0.8, 1.0]) == pytest.approx(-0.5)
    assert found.agreement([0.9, None, None, 1.0]) is None
    assert found.agreement([0.9, 0.9, 0.9, 0.9]) is None


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(
        SpecError, match=r"masks \(2, 5\) and labels \(6, 3\); give \(units, rows\) and \(rows, planted\)"
    ):
        recover(np.zeros((2, 5), bool), np.zeros((6, 3), bool))
    with pytest.raises(SpecError, match="7 rows of activations for a corpus of 96000; give one for each token"):
        evidence_of(world().corpus, np.zeros((7, 2)), "x")


def test_evidence_is_the_positive_side_of_a_column() -> None:
    corpus = world().corpus
    column = np.random.default_rng(0).standard_normal((len(corpus), 2))
    first, second = evidence_of(corpus, column, "x", "neuron", seed=4)
    assert (first.unit.name, second.unit.name, first.unit.kind, first.seed) == ("x/0", "x/1", "neuron", 4)
    assert first.at(np.arange(len(corpus))) == pytest.approx(np.maximum(column[:, 0], 0), rel=1e-6)
