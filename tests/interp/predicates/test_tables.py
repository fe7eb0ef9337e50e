"""Tables by token and by pair, against loops over the explain split."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.interp.predicates.tables import Tables
from superalign.interp.worlds.recovery import evidence_of
from tests.interp.predicates.texts import STRINGS, corpus


def test_tables_are_means_of_the_explain_split() -> None:
    text = corpus(documents=60)
    column = np.random.default_rng(0).random(len(text)).astype(np.float32) * (np.arange(len(text)) % 3 > 0)
    unit = evidence_of(text, column[:, None], "x")[0]
    explain, asked = text.rows("explain"), text.rows("test")
    by_token: dict[int, list[float]] = {}
    by_pair: dict[tuple[int, int], list[float]] = {}

    def pair(row: int) -> tuple[int, int]:
        return (int(text.tokens[row - 1]) if text.place[row] else -1, int(text.tokens[row]))

    for row in explain.tolist():
        by_token.setdefault(pair(row)[1], []).append(float(column[row]))
        by_pair.setdefault(pair(row), []).append(float(column[row]))
    means = {token: np.mean(values) for token, values in by_token.items()}
    expected = []
    for row in asked.tolist():
        prior = means[pair(row)[1]]
        values = by_pair.get(pair(row), [])
        expected.append((sum(values) + 2 * prior) / (len(values) + 2))
    tables = Tables(text, asked)
    assert tables.predict(unit, "token") == pytest.approx([means[int(text.tokens[row])] for row in asked], rel=1e-5)
    assert tables.predict(unit, "pair") == pytest.approx(expected, rel=1e-5)
    assert {pair(row) for row in asked.tolist()} - set(by_pair), "some pairs are new"


def test_a_token_that_was_never_explained_gets_the_mean() -> None:
    text = corpus()
    unit = evidence_of(text, np.arange(len(text), dtype=np.float32)[:, None], "x")[0]
    rows = text.rows("test")
    strange = text.tokens.copy()
    strange[rows[-1]] = len(STRINGS) - 1
    strange[text.rows("explain")[strange[text.rows("explain")] == len(STRINGS) - 1]] = 0
    object.__setattr__(text, "tokens", strange)
    for by in ("token", "pair"):
        found = Tables(text, rows).predict(unit, by)  # type: ignore[arg-type]
        assert found[-1] == pytest.approx(unit.at(text.rows("explain")).mean())


def test_a_table_bounds_what_a_token_can_tell() -> None:
    """A unit of the token is told by it exactly, one of the pair only by the pair."""
    text = corpus(documents=400)
    walk = np.char.startswith(np.array(STRINGS)[text.tokens], " walk")
    before = np.concatenate([[False], walk[:-1]]) & (text.place > 0)
    first, second = evidence_of(text, np.stack([walk, walk & before], axis=1).astype(np.float32), "x")
    rows = text.rows("test")
    tables = Tables(text, rows)

    def rho(unit, by) -> float:  # type: ignore[no-untyped-def]
        return float(np.corrcoef(unit.at(rows), tables.predict(unit, by))[0, 1])

    assert rho(first, "token") > 0.999
    assert rho(second, "token") < 0.6
    assert rho(second, "pair") > 0.95
