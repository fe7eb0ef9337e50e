"""`superalign preferences` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROWS = [{"prompt": f"q{k}", "responses": ["a", "bb", "ccc"], "scores": [1, 2, 2 + k % 2]} for k in range(20)]


@pytest.fixture
def rankings(tmp_path: Path) -> str:
    (tmp_path / "rankings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return "rankings.jsonl"


def test_from_a_file_to_its_checks_and_to_another_form(superalign: Any, rankings: str, tmp_path: Path) -> None:
    command = ["preferences", rankings, "--format", "rankings", "--store", "s.sqlite"]
    code, out, err = superalign(*command, "--to", "pairs.jsonl", "--as", "pairs")
    assert code == 0, err
    assert "50 of 60 pairs (20 prompts) can be learnt from." in out
    assert "50 lines in pairs.jsonl" in out
    written = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {"prompt": "q0", "chosen": "bb", "rejected": "a"} in written
    assert all(set(row) == {"prompt", "chosen", "rejected"} for row in written)
    code, out, err = superalign(*command, "--json", "--report", "r.html", "--to", "votes.jsonl", "--as", "votes")
    assert code == 0, err
    found = {c["name"]: c["numbers"] for c in json.loads(out)["conditions"]}
    assert found["ties"]["count"]["value"] == 10
    assert found["longer wins"]["share"]["value"] == 1
    assert "60 lines in votes.jsonl" in err
    assert "Checks of the preferences" in (tmp_path / "r.html").read_text(encoding="utf-8")
    code, out, _ = superalign("preferences", "votes.jsonl", "--format", "votes", "--store", "s.sqlite")
    assert code == 0
    assert "50 of 60 pairs (20 prompts) can be learnt from." in out


def test_a_dry_run_writes_nothing(superalign: Any, rankings: str, tmp_path: Path) -> None:
    code, out, _ = superalign("preferences", rankings, "--format", "rankings", "--to", "x.jsonl", "--dry-run",
                              "--store", "s.sqlite")  # fmt: skip
    assert code == 0
    assert "20 comparisons" in out
    assert not (tmp_path / "x.jsonl").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--format", "ranking"], "did you mean 'rankings'"),
        (["--format", "hh"], "has no column 'chosen'"),
        (
            ["--to", "x.jsonl", "--as", "pair"],
            "no form of preference data to write is named 'pair' (--as); did you mean",
        ),
        (
            ["--format", "rankings", "--to", "rankings.jsonl"],
            "'rankings.jsonl' is there already; name a new file (--to)",
        ),
    ],
)
def test_a_mistake_says_what_to_type(superalign: Any, rankings: str, arguments: list[str], words: str) -> None:
    code, _, err = superalign("preferences", rankings, *arguments, "--store", "s.sqlite")
    assert code == 2
    assert words in " ".join(err.split()).replace("│ ", "")
