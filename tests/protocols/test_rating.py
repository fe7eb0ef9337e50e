"""Ratings of critiques and explanations: read by a rule from a form or from words, or a counted fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.driver import play
from superalign.core.errors import ProtocolError, SpecError
from superalign.core.types import Ask, Item, Judgment, Protocol, Reply, Seat
from superalign.models.scripted import Scripted
from superalign.people import forms
from superalign.people.questions import question_of
from superalign.protocols import rating as module
from superalign.protocols.rating import Flaw, Heard, Opinion, excerpts, faults, listen, opinions, rating
from superalign.testing.protocol import ProtocolContract

ANSWER = "Paris is the capital of Spain, a country in Europe."
ITEM = Item("i", "What is Paris?", (), {"answer": ANSWER, "critique": "It is the capital of France.", "key": "SECRET"})
SHOWN = [
    {"tokens": ["the", " cat", " sat"], "values": [0.0, 2.0, 0.1]},
    {"tokens": [" a\n", "\n", " <<dog"], "values": [0.0, 1.0, 0.4]},
]
UNIT = Item("u", "How well?", (), {"explanation": "pets", "excerpts": SHOWN, "unit": "mlp.0/7"})


class TestCritique(ProtocolContract):
    roles = ("critique-rater",)
    blind = roles
    items = tuple(Item(f"i{k}", f"q{k}", ("no", "yes"), {"answer": f"a{k}", "critique": "wrong"}) for k in range(12))

    def protocol(self) -> Protocol:
        return rating()


class TestExplanation(ProtocolContract):
    roles = ("explanation-rater",)
    blind = roles
    items = tuple(
        Item(f"i{k}", "?", ("no", "yes"), {"explanation": f"e{k}", "excerpts": SHOWN[: 1 + k % 2]}) for k in range(12)
    )

    def protocol(self) -> Protocol:
        return rating(what="explanation")


def played(item: Item, replies: Any, what: str = "critique") -> Judgment:
    rules = rating(what=what)
    return play(rules, {module.ROLES[what]: Scripted("r", replies)}, [(item, Seat())])[0]


@pytest.mark.parametrize(
    "text",
    ["5", " 5. ", "**5**", "Rating: 5", "rating = 5/7", "> **Rating:** 5 out of 7", "It is good.\n\nRating: 5",
     "<think>Rating: 2</think>Rating: 5", '{"rating": 5}', '```json\n[{"rating": 5}]\n```', "Rating: 5\nRating: 5.0"],
)  # fmt: skip
def test_a_rating_in_words_is_read(text: str) -> None:
    assert listen(Reply(text), ITEM) == Heard((Opinion(5.0),))


@pytest.mark.parametrize(
    "text, fault",
    [("", "empty"), ("<think>Rating: 5</think>", "empty"), ("good", "no rating"), ("I rate it 5", "no rating"),
     ("I cannot rate this.", "refusal"), ("Rating: 8", "bad rating"), ("Rating: 4.5", "bad rating"),
     ("Rating: 5-6", "bad rating"), ("Rating: 5\nRating: 6", "two ratings"), ("Rating: 5\nRight: maybe", "bad claims"),
     ('{"rating": 9}', "bad rating"), ('{"rating": true}', "bad rating"), ('{"score": 5}', "bad rating"),
     ("[]", "empty"), ("[5]", "bad rating"), ('{"rating": 5, "claims": "perhaps"}', "bad rating"),
     ('{"rating": 5, "flaws": [{"start": 0, "end": 999, "severity": "minor"}]}', "bad rating")],
)  # fmt: skip
def test_what_cannot_be_read_is_a_fault_and_never_a_guess(text: str, fault: str) -> None:
    assert listen(Reply(text), ITEM) == Heard(fault=fault)


@given(st.text() | st.builds(json.dumps, st.recursive(st.none() | st.integers() | st.text(), st.lists)))
def test_any_text_is_read_or_is_a_fault(text: str) -> None:
    heard = listen(Reply(text), ITEM)
    assert bool(heard.opinions) != bool(heard.fault)
    assert all(1 <= o.rating <= 7 for o in heard.opinions)


def test_flaws_are_found_by_their_words() -> None:
    text = 'Rating: 6\nRight: Yes.\nFlaw (major): "capital of Spain" - it is of France\nFlaw (minor): "Rome" - nonsense'
    heard = listen(Reply(text), ITEM)
    at = ANSWER.index("capital of Spain")
    assert heard.opinions == (Opinion(6.0, "yes", (Flaw(at, at + 16, "major", "it is of France"),)),)
    assert heard.lost == 1
    assert faults(played(ITEM, [text])) == {"quote not in the answer": 1}


def test_a_form_is_read_with_every_person_behind_it() -> None:
    """The reply of the page's form, by the very code that makes it."""
    ask = Ask("critique-rater", (), item=ITEM)
    question = question_of("c", ask, 2)
    assert set(question.parts) == {"answer", "critique"}
    flaw = {"start": 0, "end": 5, "severity": "critical", "note": "n"}
    fields = {"rating": ["6"], "claims": ["partly"], "flaws": [json.dumps([flaw])]}
    given = [forms.read(fields, question), forms.read({"rating": ["3"], "claims": ["no"]}, question)]
    judgment = played(ITEM, [forms.reply(given, question)])
    assert judgment.verdict.score == 4.5
    assert opinions(judgment) == (Opinion(6.0, "partly", (Flaw(0, 5, "critical", "n"),)), Opinion(3.0, "no"))
    asked = question_of("u", Ask("explanation-rater", (), item=UNIT))
    assert asked.form == "explanation"
    said = forms.reply([forms.read({"rating": ["2"], "better": ["animals"]}, asked)], asked)
    assert opinions(played(UNIT, [said], "explanation")) == (Opinion(2.0, better="animals"),)
    assert (forms.WORST, forms.BEST, forms.CLAIMS, forms.SEVERITIES) == (
        module.WORST, module.BEST, module.CLAIMS, module.SEVERITIES,
    )  # fmt: skip


def test_a_score_alone_is_a_rating() -> None:
    assert played(ITEM, [Reply(score=4.25)]).verdict.score == 4.25
    assert played(ITEM, [Reply(score=0.4)] * 2).verdict.abstained == "unparsed: bad rating"


def test_a_reply_that_cannot_be_read_is_asked_for_once_more() -> None:
    judgment = played(ITEM, ["quite good", "Rating: 3"])
    assert judgment.verdict.score == 3
    again = judgment.calls[1][0].messages
    assert [m.role for m in again] == ["user", "assistant", "user"]
    assert "cannot be read (no rating)" in again[-1].content
    assert faults(judgment) == {"no rating": 1}
    lost = played(ITEM, ["quite good", "very good"])
    assert lost.verdict.abstained == "unparsed: no rating"
    assert opinions(lost) == ()
    assert len(played(ITEM, [Reply(failure="down")]).calls) == 1


def test_raters_see_what_is_rated_and_nothing_else() -> None:
    ask = played(ITEM, ["5"]).calls[0][0]
    assert ask.item is not None
    assert dict(ask.item.info) == {"answer": ANSWER, "critique": "It is the capital of France."}
    assert "SECRET" not in ask.messages[0].content
    unit = played(UNIT, ["5"], "explanation").calls[0][0]
    assert "mlp.0/7" not in unit.messages[0].content
    assert "1. the <<cat 10>> sat" in unit.messages[0].content
    assert "2. a <<line break 5>> <<< <dog 2>>" in unit.messages[0].content


def test_silent_excerpts_carry_no_marks() -> None:
    assert excerpts([{"tokens": ["a", " b"], "values": [0.0, 0.0]}]) == "1. a b"


def test_mistakes_say_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="rating has no form for 'critiques'; did you mean 'critique'"):
        rating(what="critiques")
    with pytest.raises(ProtocolError, match="'x' has no 'answer' in its info"):
        played(Item("x", "q"), ["5"])
    sheet = tmp_path / "t.txt"
    sheet.write_text("== critique ==\n{answr}\n== explanation ==\n{excerpts}", encoding="utf-8")
    with pytest.raises(SpecError, match="no field \\{answr\\}; did you mean 'answer'"):
        rating(template=str(sheet))
