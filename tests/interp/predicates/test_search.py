"""The search: closed forms against all subsets, factors against the programs that they stand for, planted programs
found, and nothing read that must not be."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import SpecError
from superalign.interp.corpus import Corpus, build
from superalign.interp.evidence import Evidence
from superalign.interp.predicates.atoms import Look, Program
from superalign.interp.predicates.factors import SUPPORT, Ground, ground, token_tests
from superalign.interp.predicates.language import parse
from superalign.interp.predicates.search import Predicates, best_set, whole
from superalign.interp.predicates.tokens import Ends, Is, Stem
from superalign.interp.units import Explanation, Failed, Unit
from superalign.interp.worlds.recovery import evidence_of
from tests.interp.predicates.texts import STRINGS


@cache
def text() -> Corpus:
    rng = np.random.default_rng(5)
    return build(rng.integers(0, len(STRINGS), (300, 40)).tolist(), STRINGS, width=8, context=24)


@cache
def stage() -> Ground:
    return ground(text())


def planted(program: str, noise: float = 0.1, seed: int = 0) -> Evidence:
    """A unit that is active where a program is true."""
    mask = parse(program).on(text(), np.arange(len(text())))
    size = np.random.default_rng(seed).lognormal(0, 0.2, len(mask)) * mask
    stray = np.random.default_rng(seed + 1).random(len(mask)) < noise * mask.mean()
    return evidence_of(text(), np.where(stray, 1.0, size)[:, None], "planted", seed=seed)[0]


def found(program: str, **options: object) -> Explanation:
    made = Predicates(**options).explain([planted(program)])[0]  # type: ignore[arg-type]
    assert isinstance(made, Explanation), made
    return made


levels = st.lists(
    st.tuples(st.integers(1, 6), st.floats(0, 3, allow_nan=False)), min_size=2, max_size=7
)  # rows and mean activation of each level


@settings(deadline=None)
@given(levels, st.integers(0, 2))
def test_no_set_is_better_than_the_closed_form(drawn: list[tuple[int, float]], given_levels: int) -> None:
    """Against all subsets, also where some levels are in the set anyhow."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(len(drawn)), [n for n, _ in drawn])
    values = np.array([m for n, m in drawn for _ in range(n)]) * rng.lognormal(0, 0.3, len(codes))
    of = whole(values)
    if of.squares < 1e-6:
        return
    count, total = np.bincount(codes), np.bincount(codes, values)
    fixed = np.isin(codes, np.arange(min(given_levels, len(drawn) - 1)))
    free = ~np.isin(np.arange(len(drawn)), codes[fixed])
    chosen, gain = best_set(count * free, total * free, of, given=(fixed.sum(), values[fixed].sum()))
    best = -np.inf
    for subset in range(1, 2 ** len(drawn)):
        inside = fixed | ((subset >> codes) & 1).astype(bool)
        if (subset & int(sum(1 << k for k in np.flatnonzero(~free)))) == 0 and not inside.all():
            best = max(best, np.corrcoef(inside, values)[0, 1])
    assert gain == pytest.approx(best, abs=1e-9) or best <= 0
    assert gain <= best + 1e-9
    mask = fixed | np.isin(codes, chosen)
    if not mask.all():
        assert np.corrcoef(mask, values)[0, 1] == pytest.approx(gain, abs=1e-9)


def test_a_price_keeps_a_set_short_and_shrinkage_puts_what_is_rare_last() -> None:
    count, total = np.array([50.0, 50, 2, 900]), np.array([50.0, 35, 2.1, 0])
    of = whole(np.repeat([1.0, 0.7, 1.05, 0.0], [50, 50, 2, 900]))
    assert best_set(count, total, of)[0].tolist() == [2, 0, 1]  # the rare level has the largest mean
    assert best_set(count, total, of, shrink=2.0)[0].tolist() == [0, 1, 2]
    assert best_set(count, total, of, shrink=2.0, price=0.02)[0].tolist() == [0, 1]
    assert best_set(np.zeros(4), np.zeros(4), of)[0].tolist() == []


def test_factors_stand_for_their_programs() -> None:
    """Every atom of every factor is true at exactly the rows whose level is in its set."""
    reading = stage().explain
    names = [factor.name for factor in stage().factors]
    assert sorted(set(names)) == ["pair", "previous", "since", "state", "token"]
    checked = 0
    for factor in stage().factors:
        assert 0 <= factor.codes.min() <= factor.codes.max() < factor.levels
        for k, program in enumerate(factor.programs):
            by_level = factor.sets.toarray()[k][factor.codes] > 0
            assert np.array_equal(by_level, program.at(reading)), program
            checked += 1
        if factor.learn is not None:
            some = np.arange(0, factor.nameable, 3)
            assert np.array_equal(np.isin(factor.codes, some), factor.learn(some).at(reading))
    assert checked > 60


def test_events_sum_over_what_has_been_seen() -> None:
    reading = stage().explain
    values = np.random.default_rng(0).random(len(reading))
    for events in stage().events:
        sums = events.sums(values)
        for level in (0, 5, len(events.strings) - 1):
            mask = events.program(level).at(reading)
            assert mask.any()
            assert events.count[level] == mask.sum()
            assert sums[level] == pytest.approx(values[mask].sum())


def test_of_tests_for_the_same_strings_one_is_tried() -> None:
    strings = (" walk", " walked", " walks", " jumped", "7", "42", ".")
    tests = token_tests(strings, np.full(7, 50))
    held = [tuple(levels.tolist()) for _, levels in tests]
    assert len(set(held)) == len(held)
    chosen = dict(zip(held, [test for test, _ in tests], strict=True))
    assert chosen[4, 5] == Is("number")
    assert chosen[0, 1, 2] == Stem("walk")
    assert chosen[1, 3] == Ends("ed")  # neither "d", which is as true, nor one of four letters, which is not
    rare = token_tests(strings, np.full(7, SUPPORT // 3))
    assert (4, 5) not in [tuple(levels.tolist()) for _, levels in rare]


PLANTED = [
    'token in {" 7", "(", ")"}',
    'token ends "ed"',
    'token stem "walk"',
    "token is punctuation",
    'previous in {" cat", "."}',
    "place < 3",
    "repeated",
    "inside quotes",
    'token in {" walk", "."} and previous in {" cat", "ing", "(", "\\n"}',
    'token in {" cat", "."} and inside quotes',
    'token ends "ing" and within 3 is number',
    'token in {" cat"} or previous in {"("}',
    'not token in {" walk"} and place < 6',
    'before in {"[("}',
    'within 4 in {"42"} and token is blank',
]


@pytest.mark.parametrize("program", PLANTED)
def test_a_planted_program_is_found(program: str) -> None:
    """The same claim, in whatever words: true at the same rows of the split that the search never read."""
    explanation = found(program)
    rows = text().rows("test")
    said, true = parse(explanation.program or "").on(text(), rows), parse(program).on(text(), rows)
    assert (said & true).sum() / (said | true).sum() >= 0.97, explanation
    assert explanation.source == "predicates"
    assert explanation.text.startswith("Active where ")
    assert parse(explanation.program or "").size() <= parse(program).size() + 0.5, explanation


def test_a_third_atom_needs_depth_three() -> None:
    program = 'token in {" cat", ".", "(", "ing"} and within 4 is number and inside quotes'
    rows = text().rows("test")
    true = parse(program).on(text(), rows)
    overlap = []
    for depth in (1, 2, 3):
        said = parse(found(program, depth=depth).program or "").on(text(), rows)
        overlap.append((said & true).sum() / (said | true).sum())
    assert overlap[0] < overlap[1] < 0.9 < overlap[2]


def test_a_higher_penalty_gives_a_shorter_program() -> None:
    program = 'token in {" walk", "."} and previous in {" cat", "ing", "(", "\\n"}'
    sizes = [parse(found(program, penalty=penalty).program or "").size() for penalty in (0.0, 0.01, 0.5)]
    assert sizes[0] >= sizes[1] > sizes[2]


def looks(program: Program) -> set[str]:
    return {program.where} if isinstance(program, Look) else set().union(*map(looks, getattr(program, "parts", ())))


def test_families_limit_what_is_tried() -> None:
    program = 'token in {" walk", "."} and previous in {" cat", "ing", "(", "\\n"}'
    alone = parse(found(program, depth=1, families=("token",)).program or "")
    assert isinstance(alone, Look)
    assert looks(alone) == {"token"}
    assert "previous" not in looks(parse(found(program, families=("token", "state", "since", "seen")).program or ""))


def test_only_explain_and_validate_are_read_and_units_do_not_matter_to_each_other() -> None:
    units = [planted(program, seed=k) for k, program in enumerate(PLANTED[:4])]
    whole_text = Predicates().explain(units)
    read = np.concatenate([text().rows("explain"), text().rows("validate")])
    cut = []
    for unit in units:
        kept = np.isin(unit.rows, read)
        assert not kept.all()
        cut.append(replace(unit, rows=unit.rows[kept], values=unit.values[kept]))
    assert Predicates().explain(cut) == whole_text
    one = Predicates()
    assert [one.explain([unit])[0] for unit in reversed(units)] == whole_text[::-1]


def test_a_unit_that_is_silent_on_the_validate_split_is_still_explained() -> None:
    unit = planted('token stem "walk"')
    kept = ~np.isin(unit.rows, text().rows("validate"))
    made = Predicates().explain([replace(unit, rows=unit.rows[kept], values=unit.values[kept])])[0]
    assert isinstance(made, Explanation)
    assert made.program == 'token stem "walk"'


def test_what_cannot_be_explained_fails_with_its_reason() -> None:
    rows = text().rows("explain")
    every = np.arange(len(text()))

    def unit(at: np.ndarray) -> Evidence:  # type: ignore[type-arg]
        return Evidence(Unit("mlp.0", 3), text(), at, np.ones(len(at), np.float32))

    never, seldom, always = Predicates().explain([unit(every[:0]), unit(rows[:29]), unit(every)])
    assert never == Failed("undefined", "mlp.0/3 never fires")
    assert seldom == Failed("undefined", "mlp.0/3 fires at only 29 rows of the explain split; 30 are needed")
    assert always == Failed("undefined", "mlp.0/3 has the same activation at every row of the explain split")
    assert isinstance(Predicates().explain([unit(rows[:30])])[0], Explanation)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"families": ("tokens",)}, "no family of atoms is called 'tokens'; did you mean 'token'"),
        ({"families": ()}, "depth 2 and penalty 0.01 with 0 families; a depth is at least 1"),
        ({"depth": 0}, "depth 0 and penalty 0.01 with 6 families"),
        ({"penalty": -1}, "depth 2 and penalty -1 with 6 families"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Predicates(**options)  # type: ignore[arg-type]
