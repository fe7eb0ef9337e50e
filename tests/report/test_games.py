"""Played games as scripts and as files: nothing is lost on the way out and back, and judges are told nothing."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import UserError
from superalign.core.types import Item
from superalign.protocols.played import Archive, Turn, unpack
from superalign.protocols.played import pack as pack_archive
from superalign.report.games import jsonl, parquet, writer
from superalign.report.games.script import heard, script
from tests.report import game_examples as examples

GAMES = examples.archives()
DOOR = GAMES["debate"].items["door"]


def test_a_debate_becomes_rounds() -> None:
    shown = script(examples.debate(), DOOR)
    assert [(r.number, len(r.said), len(r.held)) for r in shown.rounds] == [(0, 0, 1), (1, 2, 1), (2, 2, 1)]
    first, second = shown.rounds[1].said
    assert (shown.name(first), first.side, first.model, first.thought) == ("Debater A", 0, "parrot", "I must lie.")
    assert [(p.text, p.status) for p in first.pieces] == [("It was red: ", ""), ("the red door", "verified"), (".", "")]
    assert examples.STORY[first.pieces[1].start : first.pieces[1].end] == "the red door"
    assert [p.status for p in second.pieces if p.status] == ["verified", "near", "unverified"]
    assert shown.paired
    assert (shown.verdict, shown.grade) == ("B (0.90)", "right")


def test_letters_follow_the_presentation_where_speeches_do() -> None:
    """Made in turn, speeches call the answers as they were shown; made at once, as the item has them."""
    at_once = script(examples.debate("x", (1, 0)), DOOR)
    assert (at_once.order, at_once.verdict) == ((0, 1), "B (0.90)")
    in_turn = script(examples.debate("x", (1, 0), in_turn=True), DOOR)
    assert (in_turn.order, in_turn.verdict) == ((1, 0), "A (0.90)")
    assert [in_turn.name(s) for s in in_turn.rounds[1].said] == ["Debater A", "Debater B"]
    assert [s.side for s in in_turn.rounds[1].said] == [1, 0]
    for shown in (at_once, in_turn):  # probabilities are kept in the item's own order whatever was shown
        assert shown.rounds[-1].held[0].probs == (0.1, 0.9)


def test_one_sided_and_other_games() -> None:
    alone = script(examples.consultancy(), DOOR)
    assert [(r.number, [s.role for s in r.said]) for r in alone.rounds] == [
        (1, ["consultant", "judge"]),
        (2, ["consultant"]),
    ]
    assert (alone.rounds[0].said[0].side, alone.rounds[0].said[1].side, alone.paired) == (0, None, False)
    assert alone.rounds[1].said[0].failure == "timed out"
    assert (alone.verdict, alone.grade) == ("no verdict: failed: consultant", "")
    free = script(GAMES["debate"].games[3], GAMES["debate"].items["bare"])
    assert (free.verdict, free.rounds[0].said[0].role) == ("free text", "assistant")
    assert script(GAMES["consultancy"].games[1], Item("bare", "")).rounds == ()
    assert script(GAMES["debate"].games[2], DOOR).grade == "0.5 right"


def test_drafts_of_one_speech_stay_in_its_round() -> None:
    drafts = tuple(Turn("debater/a", "p", f"draft {k}") for k in range(3))
    rated = Turn("preference", "p", "", ("red", "green"), (0.5, 0.5))
    shown = script(replace(examples.debate(), turns=(*drafts, rated, *drafts)), DOOR)
    assert [len(r.said) for r in shown.rounds] == [3, 3]
    assert [len(r.said) for r in script(replace(examples.debate(), turns=drafts), DOOR).rounds] == [1, 1, 1]


@pytest.mark.parametrize("form", [jsonl, parquet])
def test_a_file_holds_the_games_it_was_made_of(form: Any) -> None:
    assert form.read(form.bytes_of(GAMES)) == GAMES
    some = {"consultancy": GAMES["consultancy"]}
    assert form.read(form.bytes_of(some)) == some
    assert form.read(form.bytes_of({})) == {}


words = st.text(max_size=20)


@given(words, words, st.floats(allow_nan=False), st.lists(words, max_size=3))
def test_any_text_survives_a_file(text: str, model: str, score: float, choices: list[str]) -> None:
    turn = Turn("judge", model, text, tuple(choices), (0.5,) * len(choices), score, text or None)
    game = replace(examples.debate(), turns=(turn,))
    archive = {"debate": Archive({"door": replace(DOOR, prompt=text)}, (game,))}
    assert jsonl.read(jsonl.bytes_of(archive)) == archive
    assert unpack(pack_archive(archive["debate"])) == archive["debate"]


def test_a_line_that_is_no_game_is_named() -> None:
    good = jsonl.bytes_of(GAMES)
    with pytest.raises(UserError, match="line 7 is not a game of superalign: KeyError: 'item'"):
        jsonl.read(good + b"{}\n")


def test_parquet_has_a_row_per_turn() -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(BytesIO(parquet.bytes_of(GAMES)))
    turns = sum(len(g.turns) for a in GAMES.values() for g in a.games)
    assert table.num_rows == turns + 1  # a game without turns has a row too
    assert table.column("role").to_pylist()[:3] == ["judge", "debater/a", "debater/b"]
    assert set(table.column("condition").to_pylist()) == {"debate", "consultancy"}


def read_log(data: bytes, folder: Path) -> Any:
    from inspect_ai.log import read_eval_log

    path = folder / "games.eval"
    path.write_bytes(data)
    return read_eval_log(path)


def test_an_inspect_log_reads_back(tmp_path: Path) -> None:
    pytest.importorskip("inspect_ai")
    log = read_log(writer("inspect")(GAMES), tmp_path)
    assert log.status == "success"
    samples = {s.id: s for s in log.samples}
    assert set(samples) == {"d0", "d1", "d2", "f0", "c0", "n0"}
    game, sample = examples.debate(), samples["d0"]
    assert sample.input == "What colour was the door?\n\n(A) red\n(B) green"
    assert sample.choices == ["red", "green"]
    assert sample.target == "B"
    told = [m for m in sample.messages if m.role == "assistant"]
    assert [(m.metadata["role"], m.metadata["turn"]) for m in told] == [(t.role, k) for k, t in enumerate(game.turns)]
    assert told[1].text == game.turns[1].text
    assert told[-1].metadata["probs"] == [0.1, 0.9]
    score = sample.scores["judge"]
    assert (score.value, score.answer, score.metadata["probs"]) == ("C", "B", [0.1, 0.9])
    assert samples["d1"].scores["judge"].value == "I"
    assert samples["d2"].scores["judge"].value == 0.5
    assert samples["c0"].scores is None
    assert sample.metadata["info"]["source"] == examples.STORY


def unzipped(data: bytes) -> bytes:
    if not data.startswith(b"PK"):
        return data
    with zipfile.ZipFile(BytesIO(data)) as opened:
        return b"".join(opened.read(n) for n in opened.namelist() if n.endswith(".json"))


def revealing(archives: Mapping[str, Archive]) -> Mapping[str, Archive]:
    """The same games with the canary wherever a grade, a decision or a player might carry the key."""
    return {
        name: replace(
            a,
            games=tuple(
                replace(g, turns=(*g.turns, Turn("verifier", examples.CANARY, examples.CANARY, saw=examples.CANARY)))
                for g in a.games
            ),
        )
        for name, a in archives.items()
    }


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "inspect"])
def test_what_is_exported_for_judges_holds_no_key(format_: str, tmp_path: Path) -> None:
    """T6: flipping every grade, verdict and belief changes no byte; no source, no hidden reasoning, no name."""
    if format_ == "inspect":
        pytest.importorskip("inspect_ai")
    flipped = {
        name: replace(
            a,
            games=tuple(
                replace(
                    g, right=None if g.right is None else 1 - g.right, honest=0,
                    verdict=replace(g.verdict, answer=0, probs=(0.9, 0.1), abstained=None, ranking=()),
                    turns=tuple(replace(t, probs=t.probs[::-1], score=None) for t in g.turns),
                )
                for g in a.games
            ),
        )
        for name, a in GAMES.items()
    }  # fmt: skip
    first, second = (
        unzipped(writer(format_)({n: heard(a) for n, a in revealing(archives).items()}))
        for archives in (GAMES, flipped)
    )
    assert first == second
    if format_ == "parquet":
        first = json.dumps([str(a) for a in parquet.read(first).values()]).encode()
    for hidden in (examples.CANARY, "I must lie", "parrot", "nobody knew", "Are you sure"):
        assert hidden.encode() not in first, hidden
    assert b"<verified>the red door</verified>" in first.replace(b"\\u003c", b"<")
    assert b"<unverified>the door was never ever red at all</unverified>" in first


def test_marks_made_for_judges_are_read_again() -> None:
    told = heard(GAMES["debate"])
    shown = script(told.games[0], told.items["door"])
    assert [p.status for s in shown.rounds[0].said for p in s.pieces if p.status] == [
        "verified", "verified", "near", "unverified",
    ]  # fmt: skip
    assert (shown.verdict, shown.grade) == ("", "")


def test_a_thousand_games(tmp_path: Path) -> None:
    archive = Archive({"door": DOOR}, tuple(examples.debate(f"g{k}") for k in range(1000)))
    for form in (jsonl, parquet):
        assert form.read(form.bytes_of({"debate": archive})) == {"debate": archive}


def test_an_unknown_format_says_which_there_are() -> None:
    with pytest.raises(UserError, match="no format 'csv' for games; there is: inspect, jsonl, parquet"):
        writer("csv")
