"""Simulators over any model: token by token, and rewriting."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.transcript import Transcript
from superalign.core.types import Ask, Message, Reply
from superalign.interp.asking import Unreadable
from superalign.interp.corpus import Windows
from superalign.interp.layout import escaped
from superalign.interp.simulators.rewriting import Rewriting, read_levels
from superalign.interp.simulators.token_by_token import TokenByToken
from superalign.interp.units import Explanation
from superalign.models.scripted import Scripted
from tests.interp.spoken import CAT, corpus, evidence

CATS = Explanation("the word cat")


def windows(count: int = 3) -> Windows:
    return evidence().top("test", count)


def last(ask: Ask) -> str:
    """The token that is asked about."""
    content = ask.messages[-1].content
    match = re.search(r"stands between (\S+) and (\S+)\?", content)
    assert match is not None
    return content.split(match[1])[1].split(match[2])[0]


def test_each_token_is_asked_about_with_the_text_before_it_alone() -> None:
    asks: list[Ask] = []

    def say(ask: Ask) -> Reply:
        asks.append(ask)
        return Reply("10" if last(ask) == " cat" else "0")

    shown = windows(1)
    found = TokenByToken(Scripted("model", say)).simulate([(CATS, shown)])[0]
    tokens = shown.texts()[0]
    assert found.values.tolist() == [10.0 * (t == " cat") for t in tokens]
    assert not found.failed.any()
    assert found.status == "ok"
    assert [last(a) for a in asks] == tokens
    assert asks[4].choices == tuple(str(n) for n in range(11))
    for k, ask in enumerate(asks):
        text = ask.messages[-1].content.split("Text: ")[1].split("\n\nHow strongly")[0]
        assert text == "".join(tokens[:k]) + f"<<{tokens[k]}>>"


def test_probabilities_become_their_mean() -> None:
    weights = np.arange(1, 12) / 66

    def say(ask: Ask) -> Reply:
        return Reply("3", tuple(weights.tolist())) if last(ask) == " cat" else Reply("(C) 2")

    shown = windows(2)
    found = TokenByToken(Scripted("model", say)).simulate([(CATS, shown)])[0]
    expected = np.where(shown.tokens == CAT, np.arange(11) @ weights, 2.0)
    assert found.values == pytest.approx(expected)


def test_positions_without_a_value_are_missing_and_counted() -> None:
    """A failed call is no zero."""

    def say(ask: Ask) -> Reply:
        return Reply(failure="timeout") if last(ask) == " cat" else Reply("0")

    shown = windows(2)
    found = TokenByToken(Scripted("model", say)).simulate([(CATS, shown)])[0]
    assert found.failed.tolist() == (shown.tokens == CAT).tolist()
    assert np.isnan(found.values[found.failed]).all()
    assert found.status == "ok"
    assert f"{found.failed.sum()} of 32 positions have no value: {found.failed.sum()} failed" in found.reason


@pytest.mark.parametrize(
    "said, status",
    [(Reply("I cannot say."), "refused"), (Reply("hm"), "parse_failed"), (Reply(failure="x"), "undefined")],
)
def test_a_simulation_with_nothing_in_it_says_why(said: Reply, status: str) -> None:
    found = TokenByToken(Scripted("model", lambda ask: said)).simulate([(CATS, windows(1))])[0]
    assert found.status == status
    assert found.failed.all()


def rewrite(ask: Ask) -> str:
    """The lines asked about with 10 beside cats."""
    lines = ask.messages[1].content.split("\n\n", 1)[1].split("\n")
    return "\n".join(line.replace("\t?", "\t10" if line.startswith(" cat\t") else "\t0") for line in lines)


def test_rewritten_lines_are_the_values() -> None:
    shown, other = windows(3), evidence().quiet("test", 2)
    found = Rewriting(Scripted("model", rewrite)).simulate([(CATS, shown), (CATS, other)])
    assert found[0].values.tolist() == (10.0 * (shown.tokens == CAT)).tolist()
    assert found[1].values.tolist() == [0.0] * 32
    assert not found[0].failed.any()


def test_a_mismatch_is_counted_and_never_a_zero() -> None:
    """A line that is lost shifts all values after it; public code takes the window for silent."""
    seen: list[tuple[Message, ...]] = []

    def say(ask: Ask) -> str:
        seen.append(ask.messages)
        lines = rewrite(ask).split("\n")
        return "\n".join(lines[1:] if len(seen) <= 2 else lines)

    shown = windows(1)
    lost = Rewriting(Scripted("model", say)).simulate([(CATS, shown)])[0]
    assert (lost.status, lost.failed.all(), np.isnan(lost.values).all()) == ("mismatch", True, True)
    assert "1 of 1 windows have no values: 1 mismatch" in lost.reason
    assert [m.role for m in seen[1]] == ["system", "user", "assistant", "user"]

    def half(ask: Ask) -> str:
        return rewrite(ask) if "\n cat" in ask.messages[1].content else "0"

    mixed = Windows(corpus(), np.concatenate([shown.index, evidence().quiet("test", 1).index]))
    found = Rewriting(Scripted("model", half)).simulate([(CATS, mixed)])[0]
    assert found.status == "ok"
    assert found.failed.tolist() == [False] * 16 + [True] * 16


def test_lines_are_read_by_the_tokens_they_hold() -> None:
    tokens = (" a", "\n", "\t", " ", "1")
    good = "\n".join(f"{escaped(t)}\t{n}" for n, t in enumerate(tokens))
    assert read_levels(good, tokens).tolist() == [0, 1, 2, 3, 4]
    assert read_levels("Here:\n" + good.replace(" a", "a"), tokens).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(Unreadable, match="line 1 is"):
        read_levels(good.replace(" a", " b"), tokens)
    with pytest.raises(Unreadable, match="above 10"):
        read_levels("a\t11", ("a",))
    with pytest.raises(Unreadable, match="no line is a token"):
        read_levels("all of them are 0", tokens)
    with pytest.raises(Unreadable, match="no line is a token"):
        read_levels("a\t" + "9" * 10_000, ("a",))


@given(st.lists(st.tuples(st.text(max_size=6), st.integers(0, 10)), min_size=1, max_size=12))
def test_any_tokens_come_back_with_their_levels(rows: list[tuple[str, int]]) -> None:
    said = "\n".join(f"{escaped(token)}\t{level}" for token, level in rows)
    assert read_levels(said, tuple(token for token, _ in rows)).tolist() == [level for _, level in rows]


def test_a_kept_reply_is_not_asked_for_again() -> None:
    transcript = Transcript()
    first = Rewriting(Scripted("model", rewrite), transcript).simulate([(CATS, windows())])[0]
    second = Rewriting(Scripted("model", {}), transcript).simulate([(CATS, windows())])[0]
    assert first.values.tolist() == second.values.tolist()
    assert transcript.asked == 3
