"""`superalign label` as a user meets it, with a person at the desk meanwhile."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from superalign.compute.runs import Watch
from superalign.people.desk import SETTLES
from superalign.store import open_store
from tests.studies.label_examples import answer_all, longer, pairs
from tests.studies.label_raters import rater


def test_from_a_file_to_labels_for_training(superalign: Any, tmp_path: Path) -> None:
    pairs(tmp_path)
    command = ["label", "pairs.jsonl", "--rater", rater("longest"), "--store", "s.sqlite", "--items", "12"]
    code, out, err = superalign(*command, "--dry-run")
    assert code == 0, err
    assert "longest: 12 of 12 to ask" in out
    code, out, err = superalign(*command, "--out", "l.jsonl", "--report", "r.html")
    assert code == 0, err
    assert "longest agrees with the file on" in out
    assert "12 lines in l.jsonl" in out
    rows = [json.loads(line) for line in (tmp_path / "l.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(set(row) == {"prompt", "chosen", "rejected"} and "long" in row["chosen"] for row in rows)
    assert "Whether the response shown first wins" in (tmp_path / "r.html").read_text(encoding="utf-8")
    code, out, err = superalign(*command, "--json", "--out", "again.jsonl")
    assert code == 0, err
    assert json.loads(out)["conditions"][0]["numbers"]["labels"]["value"] == 12
    assert "12 lines in again.jsonl" in err


def test_the_command_waits_for_people_and_goes_on(
    superalign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTLES, "rank", 0.0)  # type: ignore[misc]
    pairs(tmp_path)

    def answers() -> None:
        with open_store(tmp_path / "s.sqlite") as store:
            while not any(run.state == "waiting" for run in Watch(store).going()):
                time.sleep(0.02)
            answer_all(store, "ann", longer, "team-a")

    person = threading.Thread(target=answers)
    person.start()
    code, out, err = superalign("label", "pairs.jsonl", "--rater", "human:team-a", "--rater", rater("longest"),
                                "--items", "4", "--store", "s.sqlite", "--out", "l.jsonl")  # fmt: skip
    person.join()
    assert code == 0, err
    assert "4 answers wanted at the desk team-a" in err
    assert "human:team-a agrees with the file on" in out
    assert "4 lines in l.jsonl" in out


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["x.jsonl", "--rater", "human"], "no file 'x.jsonl'"),
        (["pairs.jsonl"], "Missing option '--rater'"),
        (["pairs.jsonl", "--rater", "humn"], "no model is named 'humn'; did you mean 'human'"),
        (["pairs.jsonl", "--rater", "human:people=0"], "1 or more; got people=0"),
        (["pairs.jsonl", "--rater", "human", "--format", "pair"], "did you mean 'pairs'"),
        (["pairs.jsonl", "--rater", "human", "--what", "units"], "'preferences', 'critiques' or 'explanations'"),
        (["pairs.jsonl", "--rater", "human", "--out", "pairs.jsonl"], "'pairs.jsonl' is there already; name a new"),
    ],
)
def test_a_mistake_says_what_to_type(superalign: Any, tmp_path: Path, arguments: list[str], words: str) -> None:
    pairs(tmp_path)
    code, _, err = superalign("label", *arguments, "--store", "s.sqlite")
    assert code == 2
    assert words in " ".join(err.split()).replace("│ ", "")


def test_labels_in_a_file_are_waited_for_over_several_runs(superalign: Any, tmp_path: Path) -> None:
    """People who answer in a file: the first run says what waits, the next one finds it."""
    pairs(tmp_path)
    command = ["label", "pairs.jsonl", "--rater", "human:said.jsonl", "--items", "3", "--store", "s.sqlite"]
    code, out, err = superalign(*command, "--out", "l.jsonl")
    assert code == 2
    assert "Labels are waited for: human:said.jsonl (3 of 3)" in out
    assert "holds no labels: labels are waited for; type the same command again" in err
    asked = (tmp_path / "said.questions.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "said.jsonl").write_text(
        "".join(json.dumps({"call": json.loads(line)["call"], "text": "A > B"}) + "\n" for line in asked),
        encoding="utf-8",
    )
    code, out, err = superalign(*command, "--out", "l.jsonl")
    assert code == 0, err
    assert "3 lines in l.jsonl" in out
