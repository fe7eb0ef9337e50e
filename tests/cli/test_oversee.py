"""`superalign oversee` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SMALL = ["oversee", "--task", "evidence", "--items", "12", "--protocols", "direct,debate"]


def test_a_study_from_the_plan_to_the_report(superalign: Any, tmp_path: Path) -> None:
    small = [*SMALL, "--strength", "1,4", "--store", "s.sqlite"]
    code, out, _ = superalign(*small, "--dry-run")
    assert code == 0
    assert "debate@4" in out
    assert "to run" in out
    assert "as debater/a" in out
    assert "USD" in out
    code, out, err = superalign(*small, "--json", "--report", "r.md")
    assert code == 0
    assert "conditions to play" in err
    summary = json.loads(out)
    assert summary["study"] == "oversee"
    assert [c["name"] for c in summary["conditions"]] == ["direct", "expert", "debate@1", "debate@4"]
    assert {"accuracy", "pgr", "asd", "flip_rate", "judge_tokens"} <= set(summary["conditions"][2]["numbers"])
    page = (tmp_path / "r.md").read_text()
    assert "debate@4" in page
    assert "Against the floor" in page
    plan = json.loads(superalign(*small, "--dry-run", "--json")[1])
    assert all(step["known"] for step in plan["steps"])
    shown = superalign("show", "last", "--store", "s.sqlite")[1]
    assert "Accuracy of the judge: debate" in shown
    assert "Oracle-free" in shown
    toml = superalign("report", "last", "--spec", "--store", "s.sqlite")[1]
    (tmp_path / "study.toml").write_text(toml)
    again = json.loads(superalign("run", "study.toml", "--store", "s.sqlite", "--json")[1])
    assert again == summary


def test_options_reach_the_spec(superalign: Any) -> None:
    more = ["--rounds", "1,2", "--flaw", "noise=1", "--flaw", "budget=80", "--seeds", "0,5", "--no-swap", "--cast",
            "debater=evidence-player:quotes=2", "--unparsed", "wrong", "--max-usd", "1"]  # fmt: skip
    code, out, _ = superalign(*SMALL, *more, "--dry-run", "--json")
    assert code == 0
    plan = json.loads(out)
    names = [step["name"] for step in plan["steps"]]
    assert "debate:rounds=2/budget=80" in names
    assert len(names) == 3 * 4
    assert any("evidence-player:quotes=2" in remark for remark in plan["remarks"])
    assert any("1 allowed" in remark for remark in plan["remarks"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocols", "debat"], "did you mean 'debate'"),
        (["--strength", "one"], "--strength takes whole numbers"),
        (["--audits", "much"], "--audits takes shares"),
        (["--cast", "critic"], "--cast takes role=MODEL"),
        (["--flaw", "nois=1"], "did you mean 'noise'"),
        (["--unparsed", "drop"], "unparsed"),
    ],
)
def test_mistakes_are_explained(superalign: Any, arguments: list[str], message: str) -> None:
    code, _, err = superalign("oversee", "--task", "evidence", "--items", "4", *arguments)
    assert code == 2
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


def test_help_shows_examples(superalign: Any) -> None:
    code, out, _ = superalign("oversee", "--help")
    assert code == 0
    assert "superalign oversee --task digits" in out
