"""`superalign transcript`, `superalign export` of games and `superalign debates`, as a user meets them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from superalign.cli import debates, export, transcript
from superalign.core import records
from superalign.core.errors import StoreError, UserError
from superalign.core.spec import Record
from superalign.protocols.played import pack
from superalign.report.games import jsonl, parquet
from superalign.store import open_store
from tests.report import game_examples as examples
from tests.tasks.debate_examples import corpus


def record_of(name: str, games: dict[str, Any], store: Any) -> Record:
    artifacts = {f"games/{condition}": f"games/{name}-{condition}" for condition in games}
    for condition, archive in games.items():
        store.put(artifacts[f"games/{condition}"], pack(archive))
    empty: dict[str, Any] = {"conditions": (), "versions": {}, "machine": {}, "spec": {}, "spec_hash": "0"}
    record = Record(id=name, study="debates", title=name, created="now", artifacts=artifacts, **empty)
    records.save(store, record)
    return record


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with an older and a newer record of games, and one without."""
    path = str(tmp_path_factory.mktemp("store") / "s.sqlite")
    with open_store(path) as store:
        games = examples.archives()
        old = {
            "debate": replace(games["debate"], games=(replace(examples.debate(), right=0.0), examples.debate("old")))
        }
        record_of("run-old", old, store)
        record_of("run-new", games, store)
        record_of("w2s-1", {}, store)
    return path


@pytest.fixture
def superalign(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command: its output; errors of the user are raised."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    for module in (transcript, export, debates):
        module.add(app)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, "--store", place])
        if done.exception is not None:
            raise done.exception
        return done.stdout

    return run


def test_a_game_is_read_from_the_newest_record(superalign: Any) -> None:
    out = superalign("transcript", "d0")
    lines = out.splitlines()
    assert lines[:4] == ["What colour was the door?", "  A red", "  B green", "debate, game d0, Moon"]
    assert "Debater A (parrot)" in lines
    assert "[thinks] I must lie." in lines
    assert "It was red: “the red door”." in lines
    assert "“Bo painted the very old door green” [near]" in " ".join(lines)
    assert "“the door was never ever red at all” [not in the source]" in " ".join(" ".join(lines).split())
    assert "A 0.40, B 0.60" in out
    assert "██████████░░░░░░░░░░░░░░ A 0.40, B 0.60" in out
    assert lines[-1] == "Verdict: B (0.90), right"
    assert "game old" in superalign("transcript", "ol")


def test_a_record_lists_its_games(superalign: Any) -> None:
    out = superalign("transcript", "run-new")
    assert [line.split()[0] for line in out.splitlines() if line.strip()][2:] == ["d0", "d1", "d2", "f0", "c0", "n0"]
    rows = json.loads(superalign("transcript", "run-new", "--wrong", "--json"))
    assert [(r["id"], r["condition"], r["verdict"], r["right"]) for r in rows] == [
        ("d1", "debate", "B (0.90)", "wrong"), ("d2", "debate", "A (0.90)", "0.5 right"),
    ]  # fmt: skip
    assert len(json.loads(superalign("transcript", "run-new", "--condition", "consultancy", "--json"))) == 2
    assert "2 of 6 games; --limit 6 lists all" in superalign("transcript", "run-new", "--limit", "2")


def test_for_judges_hides_what_would_tell(superalign: Any) -> None:
    out = superalign("transcript", "d0", "--for-judges")
    for hidden in ("Verdict", "0.40", "right", "parrot", "I must lie", examples.CANARY, "debate,"):
        assert hidden not in out, hidden
    assert "It was red: “the red door”." in out
    body = json.loads(superalign("transcript", "d0", "--for-judges", "--json"))
    assert "source" not in body["item"]["info"]
    assert body["verdict"]["abstained"] == "hidden"
    assert json.loads(superalign("transcript", "d0", "--json"))["right"] == 1.0


def test_a_page_is_written(superalign: Any, tmp_path: Path) -> None:
    assert superalign("transcript", "d0", "--html", "pages/d0.html").strip() == "pages/d0.html"
    assert "Verdict: B (0.90)" in (tmp_path / "pages" / "d0.html").read_text()
    superalign("transcript", "d0", "--html", "judges.html", "--for-judges")
    assert "Verdict" not in (tmp_path / "judges.html").read_text().partition("<body>")[2]


def test_hostile_text_cannot_steer_a_terminal(superalign: Any, place: str, tmp_path: Path) -> None:
    game, item = examples.hostile()
    attack = replace(game, id="evil", turns=tuple(replace(t, text=f"\x1b[2J{t.text}") for t in game.turns))
    with open_store(str(tmp_path / "evil.sqlite")) as store:
        record_of("run-evil", {"x": examples.Archive({item.id: item}, (attack,))}, store)
        record_of("run-later", {}, store)
    app = typer.Typer()
    transcript.add(app)
    out = CliRunner().invoke(app, ["evil", "--store", str(tmp_path / "evil.sqlite")]).stdout
    assert "[bold]" not in out
    assert not set("\x1b\u202e\u200b") & set(out)
    assert "<script>alert(1)</script>" in out


BAD = [
    (("transcript", "d"), "3 games of run-new start with 'd': d0, d1, d2; type more of one"),
    (("transcript", "old1"), "no game and no record is called 'old1'; did you mean 'old'"),
    (("transcript", "d0", "--html", "x.pdf"), "a transcript is written as .html, got 'x.pdf'"),
    (("transcript", "run-new", "--html", "x.html"), "run-new is a record; name one of its games"),
    (("transcript", "run-new", "--condition", "debat"), "no games of 'debat'; did you mean 'debate'"),
    (("transcript", "last"), "w2s-1 has no games; studies of judges and debates keep theirs"),
    (("export", "run-new", "debate", "out", "--format", "csv"), "no format 'csv' for games; there is: inspect, jsonl"),
    (("export", "run-new", "debate", "out"), "games are written to .jsonl, .parquet or .eval, got 'out'"),
    (("export", "run-new", "all", "out"), "games are written to .jsonl, .parquet or .eval"),
    (("export", "run-new", "debates", "x.jsonl"), "no games of 'debates'; did you mean 'debate'"),
    (("debates", "nowhere"), "no debates in 'nowhere'; name the folder"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_mistakes_say_what_to_type(superalign: Any, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError) as told:
        superalign(*arguments)
    assert message in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_games_says_where_they_come_from(tmp_path: Path) -> None:
    app = typer.Typer()
    transcript.add(app)
    done = CliRunner().invoke(app, ["d0", "--store", str(tmp_path / "new.sqlite")])
    assert isinstance(done.exception, StoreError)
    assert "this store holds no games" in str(done.exception)


def test_games_are_exported(superalign: Any, tmp_path: Path) -> None:
    games = examples.archives()
    assert superalign("export", "run-new", "all", "g.jsonl").strip() == "g.jsonl"
    assert jsonl.read((tmp_path / "g.jsonl").read_bytes()) == games
    superalign("export", "run-new", "debate", "sub/g.parquet")
    assert parquet.read((tmp_path / "sub" / "g.parquet").read_bytes()) == {"debate": games["debate"]}
    superalign("export", "run-new", "all", "games", "--format", "jsonl", "--for-judges")
    text = (tmp_path / "games").read_text()
    assert text.count("\n") == 6
    assert not any(hidden in text for hidden in (examples.CANARY, "parrot", "nobody knew", '"right": 1'))


def test_a_corpus_from_the_command_to_its_games(superalign: Any, tmp_path: Path) -> None:
    folder = str(corpus(tmp_path))
    plan = json.loads(superalign("debates", folder, "--dry-run", "--json"))
    assert not plan["steps"][0]["known"]
    done = json.loads(superalign("debates", folder, "--settings", "human-debate", "--json"))
    assert [c["name"] for c in done["conditions"]] == ["human-debate", "human-debate-stepped", "human-debate-timed"]
    assert "no side, counted as wrong" in superalign("debates", folder, "--report", "r.html")
    assert "Accuracy of the judges" in (tmp_path / "r.html").read_text()
    assert "moon-1" in superalign("transcript", "last", "--wrong")
    assert "Verdict: undecided, wrong" in superalign("transcript", "moon-1")
