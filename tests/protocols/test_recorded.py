"""Recorded debates are judged again with no call to any debater."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superalign.core.driver import play
from superalign.core.errors import ProtocolError
from superalign.core.types import Ask, Item, Reply, Seat
from superalign.models.scripted import Scripted
from superalign.protocols.recorded import recorded
from superalign.testing.protocol import ProtocolContract

SOURCE = "The moon was cold. Bo painted the door green in May."


def held(name: str, *, alone: bool = True) -> Item:
    said = ["I saw it. <quote>Bo painted the door green</quote>", "Debater B errs: <quote>the door was red</quote>"]
    speeches = [{"round": n, "side": n % 2, "text": t, "alone": alone} for n, t in enumerate(said * 2, start=1)]
    return Item(name, "Is the door green?", ("no", "yes"), {"source": SOURCE, "speeches": speeches})


class TestRecorded(ProtocolContract):
    items = tuple(held(f"item-{k}") for k in range(4))

    def protocol(self):  # type: ignore[no-untyped-def]
        return recorded()


def asked(stepped: bool, seat: Seat, item: Item) -> list[Ask]:
    seen: list[Ask] = []

    def judge(ask: Ask) -> Reply:
        seen.append(ask)
        return Reply(probs=(0.3, 0.7))

    (judgment,) = play(recorded(stepped=stepped), {"judge": Scripted("notes", judge)}, [(item, seat)])
    assert judgment.verdict.probs == ((0.3, 0.7) if seat.order in ((), (0, 1)) else (0.7, 0.3))
    return seen


def test_a_judge_decides_before_the_first_speech_and_after_every_round() -> None:
    steps = asked(True, Seat(), held("x"))
    counts = [a.messages[-1].content.count("speaker for answer") for a in steps]
    assert counts == [0, 1, 2, 3, 4]
    (whole,) = asked(False, Seat(), held("x"))
    assert whole.messages == steps[-1].messages
    assert "<verified>Bo painted the door green</verified>" in whole.messages[-1].content
    assert "<unverified>the door was red</unverified>" in whole.messages[-1].content


def test_judges_see_the_transcript_alone() -> None:
    for ask in asked(True, Seat(), held("x")):
        assert ask.role == "judge"
        assert ask.item is not None
        assert not {"source", "speeches"} & set(ask.item.info)
        assert "The moon was cold" not in ask.messages[-1].content


def test_one_sided_and_simultaneous_speeches_are_shown_in_either_order() -> None:
    (own,) = asked(False, Seat(order=(0, 1)), held("x"))
    (other,) = asked(False, Seat(order=(1, 0)), held("x"))
    assert other.choices == ("yes", "no")
    assert "speaker for answer B: Debater B errs" not in own.messages[-1].content
    assert "Round 2, speaker for answer B: Debater A errs" in other.messages[-1].content


def test_what_was_said_in_turn_keeps_its_order() -> None:
    with pytest.raises(ProtocolError, match=r"'x' was debated in turn.*play it in its own order"):
        asked(True, Seat(order=(1, 0)), held("x", alone=False))
    assert len(asked(True, Seat(order=(0, 1)), held("x", alone=False))) == 5


def test_an_item_without_speeches_is_refused() -> None:
    with pytest.raises(ProtocolError, match="has no recorded speeches; `recorded` is for tasks of recorded debates"):
        asked(True, Seat(), replace(held("x"), info={}))
