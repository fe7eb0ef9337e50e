"""The leaderboard as a user meets it: files of votes in, a record out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core import records
from superalign.core.errors import Degenerate, SpecError, TaskError
from superalign.core.spec import Record, validate
from superalign.core.steps import encode
from superalign.store import open_store
from superalign.studies.rate import Rate, rate
from superalign.studies.rate.votes import load


def write(path: Path, header: str, lines: list[tuple[object, ...]]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header.split(","), *lines])
    return str(path)


def votes(path: Path, n: int = 3000, seed: int = 0) -> str:
    """Four competitors of known order; the left side has an advantage; two categories."""
    rng = np.random.default_rng(seed)
    names, theta = ("best", "good", "fair", "poor"), np.asarray([0.9, 0.3, -0.3, -0.9])
    lines: list[tuple[object, ...]] = []
    for k in range(n):
        a, b = rng.choice(4, 2, replace=False)
        p = 1 / (1 + np.exp(theta[b] - theta[a] - 0.3))
        won = "tie" if rng.random() < 0.1 else "model_a" if rng.random() < p else "model_b"
        lines.append(
            (
                names[a],
                names[b],
                won,
                f"rater {k % 40}",
                f"p{k}",
                "en" if k % 2 else "de",
                rng.integers(50, 200),
                rng.integers(50, 200),
            )
        )
    return write(path, "model_a,model_b,winner,judge,question_id,language,length_a,length_b", lines)


def run(spec: dict[str, object], tmp_path: Path) -> Record:
    with open_store(str(tmp_path / "s.sqlite")) as store:
        return rate(validate(Rate, spec), store)


def test_a_board_from_a_file(tmp_path):
    record = run({"votes": votes(tmp_path / "votes.csv")}, tmp_path)
    assert [c.name for c in record.conditions] == ["best", "good", "fair", "poor"]
    first = record.condition("best").numbers
    assert first["rating"].low < first["rating"].value < first["rating"].high
    assert (first["rank"].value, first["tested_rank"].value) == (1, 1)
    assert first["rating"].value - record.condition("poor").numbers["rating"].value == pytest.approx(
        265, abs=45
    )  # 313 less what a tenth of ties takes
    assert sum(c.numbers["votes"].value for c in record.conditions) == 6000
    checks = {row[0]: row[1] for row in record.tables["checks"].rows}
    assert checks["advantage of the left side, points"] == pytest.approx(52, abs=20)
    assert "best leads" in record.notes[0]
    assert "clustered" in " ".join(record.notes)
    assert set(record.charts) == {"all votes"}


def test_options_change_what_they_say(tmp_path):
    path = votes(tmp_path / "votes.csv")
    plain = run({"votes": path}, tmp_path)
    boot = run({"votes": path, "bootstrap": 60}, tmp_path)
    widths = [c.numbers["rating"].high - c.numbers["rating"].low for r in (plain, boot) for c in (r.condition("good"),)]
    assert 0.6 < widths[1] / widths[0] < 1.6
    fixed = run({"votes": path, "anchor": "poor", "at": 800}, tmp_path)
    assert fixed.condition("poor").numbers["rating"].value == 800
    by_language = run({"votes": path, "columns": {"category": "language"}}, tmp_path)
    assert {"en/best", "de/poor"} <= {c.name for c in by_language.conditions}
    styled = run({"votes": path, "style": ["length"], "position": True}, tmp_path)
    assert any("length" in str(row[0]) for row in styled.tables["checks"].rows)
    again = run({"votes": path}, tmp_path)
    assert again.conditions == plain.conditions


def test_votes_left_out_are_counted(tmp_path):
    lines = [
        ("a", "b", "left", "r1", "p1"), ("a", "b", "left", "r1", "p1"), ("b", "a", "left", "r1", "p1"),
        ("a", "a", "tie", "r1", "p2"), ("a", "b", "skip", "r2", "p1"), ("b", "a", "b", "r2", "p3"),
    ]  # fmt: skip
    got = load(write(tmp_path / "v.csv", "left,right,winner,rater,prompt", lines))
    assert len(got) == 2
    assert got.notes[-1] == (
        "left out: 2 repeated by the same rater on the same prompt and pair, "
        "1 the same competitor on both sides, 1 skipped"
    )


@pytest.mark.parametrize(
    "header, line, match",
    [
        ("x,y,winner", ("a", "b", "left"), "needs two columns of competitors, such as left and right"),
        ("left,right,who", ("a", "b", "left"), r"needs a column of winners; it has left, right, who \(--winner NAME\)"),
        ("left,right,winner", ("a", "b", "maybe"), "line 2: the winner is 'maybe'; write left, right or tie"),
        ("left,right,winner", ("a", "b", "skip"), r"holds no vote that counts \(1 skipped\)"),
    ],
)
def test_files_that_are_no_votes_are_named(tmp_path, header, line, match):
    with pytest.raises(TaskError, match=match):
        load(write(tmp_path / "v.csv", header, [line]))


def test_errors_say_what_to_type(tmp_path):
    path = votes(tmp_path / "votes.csv", 200)
    with pytest.raises(SpecError, match=r"no competitor is named 'bets' \(--anchor\); did you mean 'best'"):
        run({"votes": path, "anchor": "bets"}, tmp_path)
    with pytest.raises(TaskError, match="no column 'rador' for --rater"):
        run({"votes": path, "columns": {"rater": "rador"}}, tmp_path)
    with pytest.raises(TaskError, match="no column headers_a for --style headers"):
        run({"votes": path, "style": ["headers"]}, tmp_path)
    with pytest.raises(TaskError, match="leaves 0 competitors; a board needs two"):
        run({"votes": path, "minimum": 1000}, tmp_path)
    with pytest.raises(TaskError, match="'nothing' is neither a file of votes nor a record"):
        run({"votes": "nothing"}, tmp_path)
    with pytest.raises(SpecError, match="no column is called 'lft'"):
        validate(Rate, {"votes": path, "columns": {"lft": "x"}})
    won = write(tmp_path / "w.csv", "left,right,winner", [("a", "b", "left"), ("a", "c", "left"), ("b", "c", "tie")])
    with pytest.raises(Degenerate, match="undefeated: a"):
        run({"votes": won}, tmp_path)
    assert "ridge" in " ".join(run({"votes": won, "ridge": 0.1}, tmp_path).notes)


def kept(store: Any, study: str, artifacts: dict[str, bytes]) -> None:
    keys = {name: f"test/{name}" for name in artifacts}
    for name, data in artifacts.items():
        store.put(keys[name], data)
    records.save(
        store,
        Record(
            id=f"{study}-1", study=study, title="a record", spec={"study": study}, spec_hash="0", created="2026-01-01",
            versions={}, machine={}, conditions=(), artifacts=keys,
        ),
    )  # fmt: skip


def test_policies_of_a_record_meet_on_their_prompts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0, 1, 200)
    gold = {"ppo": base + 1, "dpo": base + rng.normal(0.5, 1, 200), "best-of-n": rng.normal(0, 1, 40)}
    with open_store(str(tmp_path / "s.sqlite")) as store:
        kept(store, "rlhf", {f"{arm}/seed 0": encode({"final/gold": values}) for arm, values in gold.items()})
        record = rate(validate(Rate, {"votes": "last"}), store)
    assert [c.name for c in record.conditions] == ["ppo", "dpo"]
    assert record.condition("ppo").numbers["votes"].value == 200
    assert "200 items of rlhf-1" in " ".join(record.notes)
    # the first competitor always stands on the left, so a side's advantage cannot be told from it
    assert "the side only repeats who competes" in str(record.tables["checks"].rows[0])


def test_a_record_without_games_or_policies_is_named(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "s.sqlite")) as store:
        kept(store, "w2s", {})
        with pytest.raises(TaskError, match="w2s-1 has 0 conditions with graded games or policies"):
            rate(validate(Rate, {"votes": "w2s-1"}), store)
