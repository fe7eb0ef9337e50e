"""Lists of games, the course of beliefs, and transcripts of games that are no debates."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from superalign.core.driver import play
from superalign.core.spec import Record
from superalign.core.types import Item, Reply, Seat
from superalign.models.players.programs import programs_judge, programs_player
from superalign.models.players.sums import sums_overseer
from superalign.models.scripted import Scripted
from superalign.protocols.amplification import amplification
from superalign.protocols.bisection import bisection
from superalign.protocols.played import Played, Turn, played
from superalign.protocols.prover_verifier import prover_verifier
from superalign.protocols.recorded import recorded
from superalign.report import transcript
from superalign.report.games.beliefs import chart, courses
from superalign.report.games.script import name_of, script
from superalign.report.view import absolute
from superalign.report.views import games as views
from superalign.report.views.games import Around, FoundGames
from superalign.tasks.games.programs import programs
from superalign.tasks.games.sums import sums
from tests.report import game_examples as examples
from tests.report.test_page import Page

DOOR = examples.archives()["debate"].items["door"]
SEAT = Seat(1)


def a_record(**fields: Any) -> Record:
    empty: dict[str, Any] = {"conditions": (), "versions": {}, "machine": {}, "spec": {}, "spec_hash": "0"}
    return Record(**{"id": "run-1", "study": "oversee", "title": "Doors", "created": "now", **empty, **fields})


def test_a_line_says_what_came_of_a_game() -> None:
    line = views.line(examples.debate("d0", (1, 0), right=0.0), DOOR)
    assert (line.id, line.verdict, line.answer, line.grade) == ("d0", "B (0.90)", "green", "wrong")
    assert (line.judge, line.person, line.seat) == ("bow", False, "seed 3, answers swapped")
    assert 'aria-label="A 0.10, B 0.90"' in line.bar
    told = views.line(examples.consultancy(), DOOR)
    assert (told.grade, told.bar, told.seat) == ("", "", "seed 0, assigned red")


def test_a_person_is_marked() -> None:
    game = examples.debate()
    human = replace(game, turns=tuple(replace(t, model="human:ada") if t.choices else t for t in game.turns))
    assert views.line(human, DOOR).person
    assert "Verdict by a person" in Page(transcript.html(human, DOOR)).text
    assert "a person" not in Page(transcript.html(game, DOOR)).text


def test_views_and_their_twins() -> None:
    bad, item = examples.hostile()
    lines = [views.line(bad, item), views.line(examples.debate(), DOOR)]
    found = FoundGames(lines, 120, 2, 3, {"q": examples.HARM}, (examples.HARM,), (0, 1))
    view = views.games(a_record(title=examples.HARM), found, absolute)
    one = views.game(a_record(), bad, item, Around(2, 3, "d0", "a/b", {"wrong": "1"}, lines, 5), absolute)
    for each in (view, one):
        json.dumps(each.data, allow_nan=False)
        seen = Page(f"<html><body>{each.body}</body></html>")
        assert not {"script", "img", "iframe"} & {tag for tag, _ in seen.tags}
        assert not any(name.startswith(("on", "style")) for _, given in seen.tags for name in given)
        assert not set("\u202e\u200b\ufeff") & set(each.body)
    assert "/runs/run-1/games/d0?wrong=1" in one.body
    assert "5 more games" in one.body


def test_the_course_of_beliefs_is_drawn() -> None:
    shown = script(examples.debate(), DOOR)
    assert [x for x, _ in courses(shown)["Judge"]] == [0, 1, 2]
    drawn = chart(shown)
    assert drawn.count("<polyline") == 2
    assert 'aria-label="Judge: A from 0.40 to 0.10, B from 0.60 to 0.90"' in drawn
    assert chart(script(examples.consultancy(), DOOR)) == ""
    assert "What the judge believed, from round to round" in Page(transcript.html(examples.debate(), DOOR)).text


def game(protocol: Any, cast: Any, item: Item, seat: Seat = SEAT) -> Played:
    names = {role: model.name for role, model in cast.items()}
    return played("c", item, play(protocol, cast, [(item, seat)])[0], names, None, None)


def test_amplification_is_told_by_question() -> None:
    item = sums(terms=8, n=1).pool.items[0]
    made = game(amplification(), {"overseer": sums_overseer("", inputs=None, steps=None, choices=())}, item)
    shown = script(made, item)
    (only,) = shown.rounds
    groups = {those[0].about: [h.text for h in those] for those in only.decisions}
    numbers = [int(x) for x in item.prompt.removesuffix("?").partition(": ")[2].split(", ")]
    assert groups["The question itself"][-1] == str(sum(numbers))
    pair = f"What is the sum of: {numbers[0]}, {numbers[1]}?"
    assert groups[pair][-1] == str(numbers[0] + numbers[1])


def test_bisection_stands_side_by_side_and_says_which_step() -> None:
    item = programs(steps=16, n=1).pool.items[0]
    cast = {
        "prover": programs_player("", inputs=None, steps=None, choices=()),
        "judge": programs_judge("", inputs=None, steps=None, choices=()),
    }
    shown = script(game(bisection(), cast, item), item)
    assert shown.paired
    assert shown.rounds_are == "Step"
    assert shown.rounds[0].said[0].about == "the state after step 8"
    assert [len(r.said) for r in shown.rounds] == [2, 2, 2, 2]
    assert len(shown.rounds[-1].decisions) == 1
    assert "from the one both agree on" in shown.rounds[-1].held[0].about


def test_a_recorded_debate_shows_what_was_said() -> None:
    spoken = [{"round": r, "side": s, "text": f"speech {r}{s}", "alone": True} for r in (1, 2) for s in (0, 1)]
    item = replace(DOOR, info={**DOOR.info, "speeches": spoken})
    beliefs = iter((0.5, 0.6, 0.8))
    judge = Scripted("judge", lambda ask: Reply(probs=((p := next(beliefs)), 1 - p)))
    shown = script(game(recorded(), {"judge": judge}, item), item)
    assert [(r.number, [s.pieces[0].text for s in r.said], len(r.held)) for r in shown.rounds] == [
        (0, [], 1), (1, ["speech 10", "speech 11"], 1), (2, ["speech 20", "speech 21"], 1),
    ]  # fmt: skip


def test_provers_have_the_side_that_they_were_given() -> None:
    cast = {"prover": Scripted("p", lambda a: "So."), "verifier": Scripted("v", lambda a: Reply("", (0.3, 0.7)))}
    shown = script(game(prover_verifier(prover="sneaky"), cast, DOOR, Seat(1, (), "green")), DOOR)
    said = shown.rounds[0].said[0]
    assert (said.side, shown.name(said)) == (1, "Sneaky prover")
    bar = transcript.bar(shown, shown.rounds[0].held[0])
    assert "var(--series-6)" in bar  # accepting is neither answer's colour
    assert "var(--series-1)" not in bar


@pytest.mark.parametrize(
    "role, name", [("debater/a", "Debater A"), ("judge/2", "Judge 2"), ("cross-examiner", "Cross examiner")]
)
def test_roles_have_names(role: str, name: str) -> None:
    assert name_of(role) == name


def test_a_monitor_shows_its_score_and_a_mode_is_no_argument() -> None:
    turns = (
        Turn("untrusted", "u", "7", tuple("0123456789"), tuple([0.0] * 7 + [1.0] + [0.0] * 2)),
        Turn("trusted", "t", score=0.25),
    )
    item = Item("i", "Which digit?\n0 1\n2 3", tuple("0123456789"))
    text = Page(
        transcript.html(Played("g", "c", "i", Seat(assigned="attack"), turns, examples.debate().verdict), item)
    ).text
    for words in ("score 0.25", "Played in the mode attack", "H 1.00", "What was decided"):
        assert words in text, words
    assert "A 0.00" not in text
    assert transcript.heading(item.prompt) == ("Which digit?", "0 1\n2 3")
    assert transcript.heading("x " * 200)[0].endswith("…")
