"""The compiled transformer: does it compute what its features say?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from superalign.core.errors import SpecError
from superalign.interp.predicates.language import parse, render
from superalign.interp.sites import reading, sites_of
from superalign.interp.units import Explanation
from superalign.interp.worlds.compiled import (
    BASES,
    EXACT,
    FEATURES,
    PROGRAMS,
    SITES,
    TEXTS,
    TOKENS,
    Compiled,
    Oracle,
    compiled,
)

WORLDS: dict[tuple[int, str], Compiled] = {}


def world(seed: int, basis: Any) -> Compiled:
    if (seed, basis) not in WORLDS:
        WORLDS[seed, basis] = compiled(seed, basis=basis, documents=400)
    return WORLDS[seed, basis]


def correlations(columns: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(n, m) between columns (T, n) and truth (T, m)."""
    both = [values - values.mean(0) for values in (columns.astype(float), truth.astype(float))]
    norms = [np.sqrt((values**2).sum(0)) + 1e-12 for values in both]
    return np.asarray(both[0].T @ both[1] / norms[0][:, None] / norms[1])


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("basis", ["aligned", "rotated"])
def test_the_network_computes_every_feature_exactly(seed: int, basis: str) -> None:
    found = world(seed, basis)
    assert np.abs(found.x @ found.directions.T - found.acts).max() < EXACT
    for feature in range(len(FEATURES)):
        evidence = found.evidence(feature)
        assert np.array_equal(evidence.rows, np.flatnonzero(found.labels[:, feature]))
        assert evidence.unit.site == SITES[feature]


def test_a_feature_is_there_at_its_own_site() -> None:
    found = world(0, "aligned")
    rows = found.corpus.tokens.reshape(-1, 24)
    held: dict[str, torch.Tensor] = {}
    with reading(found.subject.model, ["resid.0", "resid.1"], lambda site, x: held.__setitem__(site, x)):
        found.subject.model(torch.from_numpy(np.pad(rows, ((0, 0), (1, 0)), constant_values=found.subject.start)))
    for feature, site in enumerate(SITES):
        unit = found.evidence(feature).unit
        column = held[site][:, 1:, unit.index].flatten().numpy()
        assert np.abs(column - found.acts[:, feature]).max() < EXACT
    assert not held["resid.0"][..., found.evidence(13).unit.index].any()  # the second block has not spoken yet


def test_features_are_what_their_texts_say() -> None:
    """By reading one document as a person would."""
    found = world(0, "aligned")
    documents = ["".join(found.corpus.strings[t] for t in row) for row in found.corpus.tokens.reshape(-1, 24)]
    acts = found.acts.reshape(-1, 24, len(FEATURES))
    for text, values in zip(documents, acts, strict=True):
        for place, token in enumerate(text):
            before = text[: place + 1]
            opened = max(before.count("(") - before.count(")"), 0)
            expected = [float(place > 0 and text[place - 1] == sign) for sign in TOKENS]
            expected += ["A" in before, opened, token == "B" and "A" in before, token == ")" and opened >= 2]
            assert values[place].tolist() == expected
    assert (found.labels.mean(0) > 0.005).all()


def test_programs_are_true_where_their_feature_is() -> None:
    found = world(1, "aligned")
    rows = np.arange(len(found.corpus))
    for feature, program in enumerate(PROGRAMS):
        if program is not None:
            assert np.array_equal(parse(program).on(found.corpus, rows), found.labels[:, feature]), program
            assert render(parse(program)) == program
    assert sum(program is not None for program in PROGRAMS) == 12


def test_a_rotation_changes_no_output_and_leaves_no_neuron_a_feature() -> None:
    aligned, rotated = world(0, "aligned"), world(0, "rotated")
    ids = torch.randint(0, 10, (20, 24), generator=torch.Generator().manual_seed(0))
    said, same = (each.subject.model(ids).logits for each in (aligned, rotated))
    assert torch.allclose(said, same, atol=1e-3)
    assert said.std() > 1
    assert correlations(aligned.x, aligned.acts).max(0).min() > 0.999
    sides = np.abs(correlations(rotated.x, rotated.acts)).max(0)
    assert np.median(sides) < 0.7
    along = np.diag(correlations(rotated.x @ rotated.directions.T, rotated.acts))
    assert along.min() > 0.999


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_compression_blurs_every_feature_but_directions_beat_neurons(seed: int) -> None:
    found = world(seed, "compressed")
    shared = found.x[:, -10:]
    assert found.directions.shape[1] == sites_of(found.subject.model)["resid.1"]
    assert np.linalg.matrix_rank(found.directions) == 10
    cosines = found.directions @ found.directions.T
    assert np.diag(cosines) == pytest.approx(np.ones(14))
    assert (cosines**2).sum() == pytest.approx(14 * 14 / 10, rel=1e-3)  # the least there can be (Welch 1974)
    along = np.diag(correlations(np.maximum(found.x @ found.directions.T, 0), found.acts))
    neurons = np.maximum(*(correlations(np.maximum(side, 0), found.acts).max(0) for side in (shared, -shared)))
    assert along.max() < 0.999
    assert along.mean() > 0.7  # .81 to .87; the best of ten neurons .54 to .62
    assert along.mean() - neurons.mean() > 0.1


def test_a_world_is_a_function_of_its_seed() -> None:
    again = compiled(1, basis="rotated", documents=400)
    assert np.array_equal(again.x, world(1, "rotated").x)
    assert again.subject.identity == world(1, "rotated").subject.identity
    assert again.corpus.identity != world(2, "rotated").corpus.identity
    with pytest.raises(SpecError, match="no basis is called 'rotatd'; did you mean 'rotated'"):
        compiled(0, basis="rotatd")  # type: ignore[arg-type]
    assert BASES == ("aligned", "rotated", "compressed")


def test_an_oracle_says_what_it_was_told() -> None:
    found = world(0, "aligned")
    oracle = Oracle({text: found.acts[:, k] for k, text in enumerate(TEXTS)})
    windows = found.corpus.pick("validate")
    (answer,) = oracle.simulate([(Explanation(TEXTS[11]), windows)])
    assert np.array_equal(answer.values, found.acts[windows.rows, 11])
    with pytest.raises(SpecError, match="the oracle knows no 'the nuber of brackets that are open'; did you mean"):
        oracle.simulate([(Explanation("the nuber of brackets that are open"), windows)])
