"""Ranking: the order of the seat is mapped back, replies are read by a fixed grammar, ties stay ties."""

from __future__ import annotations

import json
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.driver import play
from superalign.core.errors import ProtocolError
from superalign.core.types import Ask, Item, Judgment, Protocol, Reply, Seat
from superalign.models.scripted import Scripted
from superalign.protocols.rank import faults, listen, preferred, rank, ranks
from superalign.protocols.room import letter
from superalign.testing.protocol import ProtocolContract

THREE = Item("i", "Say it", ("good", "fair", "poor"), {"source": "SECRET"})
WORTH = {"good": 2, "fair": 1, "poor": 1}


class TestRank(ProtocolContract):
    roles = ("labeller",)
    blind = ("labeller",)

    def protocol(self) -> Protocol:
        return rank()


def ranked(reply: Reply | str, order: tuple[int, ...] = (), item: Item = THREE) -> Judgment:
    model = Scripted("labeller", lambda ask: reply if isinstance(reply, Reply) else Reply(reply))
    return play(rank(), {"labeller": model}, [(item, Seat(order=order))])[0]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_whatever_the_order_the_ranking_is_the_items_own(order: tuple[int, ...]) -> None:
    def says(ask: Ask) -> Reply:
        values = [WORTH[c] for c in ask.choices]
        return Reply(json.dumps({"ranks": [sorted(set(values), reverse=True).index(v) + 1 for v in values]}))

    def words(ask: Ask) -> Reply:
        letters = {c: letter(k) for k, c in enumerate(ask.choices)}
        return Reply(f"{letters['good']} > {letters['poor']} = {letters['fair']}")

    for script in (says, words, lambda ask: Reply(probs=tuple(WORTH[c] / 4 for c in ask.choices))):
        (judgment,) = play(rank(), {"labeller": Scripted("x", script)}, [(THREE, Seat(order=order))])
        assert judgment.verdict.ranking == (0, 1, 2), "who ties stands in the item's own order"
        assert judgment.verdict.answer == 0
        (own,) = ranks(judgment)
        assert own[0] < own[1] == own[2]
        assert len(judgment.calls) == 1
        assert "SECRET" not in repr(judgment.calls)


def test_probabilities_are_passed_on_and_a_tie_of_two_is_even() -> None:
    two = Item("i", "x", ("a", "b"))
    assert ranked(Reply(probs=(0.3, 0.7)), (1, 0), two).verdict.probs == (0.7, 0.3)
    assert ranked("A = B", (1, 0), two).verdict.probs == (0.5, 0.5)
    assert ranked("A > B", (1, 0), two).verdict.ranking == (1, 0)
    assert ranked("A > B", (1, 0), two).verdict.probs == ()
    assert ranked("A = B = C").verdict.probs == ()


def test_what_several_people_said() -> None:
    body = {"ranks": [1.5, 1.5, 3], "each": [[1, 2, 3], [2, 1, 3]], "ratings": [5, 5, 1]}
    judgment = ranked(json.dumps(body), (2, 1, 0))
    assert ranks(judgment) == ((3, 2, 1), (3, 1, 2))
    assert judgment.verdict.ranking == (1, 2, 0)
    opinions = ranks(judgment)
    assert [preferred(opinions, *pair) for pair in ((1, 2), (2, 1), (1, 0))] == [0.5, 0.5, 1.0]
    assert preferred([(1, 1)], 0, 1) == 0.5


@pytest.mark.parametrize(
    "text",
    ["B > A = C", "B>A=C", "**B > A = C**", "Ranking: (B) > (A) = (C).", "<thinking>C > B</thinking> B > A = C",
     '```json\n{"ranks": [2, 1, 2]}\n```', "My final ranking: `B > A = C`"],
)  # fmt: skip
def test_what_can_be_read(text: str) -> None:
    assert listen(Reply(text), 3).opinions == ((2, 1, 2),)


@pytest.mark.parametrize(
    "text, fault",
    [
        ("", "empty"),
        ("I think B is best, then A", "no ranking"),
        ("B", "bad ranks"),
        ("B > A", "bad ranks"),
        ("B > A > C > D", "bad ranks"),
        ("B > A > A", "bad ranks"),
        ("B >> A > C", "no ranking"),
        ("A > B > C or B > A > C", "no ranking"),
        ("A > B > C\nB > A > C", "no ranking"),
        ("I cannot rank these responses", "refusal"),
        ('{"ranks": [1, 2]}', "bad ranks"),
        ('{"ranks": [1, "2", 3]}', "bad ranks"),
        ('{"ranks": [1, NaN, 3]}', "bad ranks"),
        ('{"each": []}', "bad ranks"),
        ('{"order": "BAC"}', "bad ranks"),
    ],
)
def test_what_cannot_be_read_is_asked_for_once_more_and_never_guessed(text: str, fault: str) -> None:
    judgment = ranked(text)
    assert judgment.verdict.answer is None
    assert judgment.verdict.abstained == f"unparsed: {fault}"
    assert [len(ask.messages) for ask, _ in judgment.calls] == [1, 3]
    assert f"cannot be read as a ranking ({fault})" in judgment.calls[1][0].messages[-1].content
    assert faults(judgment) == {fault: 2}
    assert ranks(judgment) == ()


def test_a_correction_helps() -> None:
    model = Scripted("x", lambda ask: "B is best" if len(ask.messages) == 1 else "B > C > A")
    (judgment,) = play(rank(), {"labeller": model}, [(THREE, Seat())])
    assert judgment.verdict.ranking == (1, 2, 0)
    assert faults(judgment) == {"no ranking": 1}


@given(st.lists(st.integers(1, 5), min_size=2, max_size=8))
def test_words_and_forms_say_the_same(values: list[int]) -> None:
    """Any ranks, written as a line of letters."""
    by_rank = sorted(range(len(values)), key=lambda k: values[k])
    line = letter(by_rank[0])
    for before, after in pairwise(by_rank):
        line += (" = " if values[before] == values[after] else " > ") + letter(after)
    (said,) = listen(Reply(line), len(values)).opinions
    (form,) = listen(Reply(json.dumps({"ranks": values})), len(values)).opinions
    for a, b in permutations(range(len(values)), 2):
        assert preferred([said], a, b) == preferred([form], a, b)


@given(st.text(alphabet="ABCabc>=* .:{}[]\"'\n1234567890", max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    heard = listen(Reply(text), 3)
    assert bool(heard.opinions) != bool(heard.fault)
    assert all(len(o) == 3 for o in heard.opinions)


def test_it_says_how_many_it_takes() -> None:
    for count in (1, 27):
        item = Item("many", "x", tuple(f"r{k}" for k in range(count)))
        with pytest.raises(ProtocolError, match=f"item 'many' has {count} responses; 2 to 26 can be ranked"):
            ranked("A", item=item)
