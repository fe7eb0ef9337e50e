"""The command line as a user meets it: what it prints, what it refuses, what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from superalign.core.registry import KINDS
from tests.studies.test_w2s import kept, same

SMALL = [
    "w2s", "--task", "digits", "--weak", "linear:pool=2:C=1", "--strong", "random-features:width=200:C=.3",
    "--methods", "xent,hard+xent", "--seeds", "2", "--sizes", "weak_train=60,transfer=200,validation=60,test=200",
]  # fmt: skip
TINY = [*SMALL[:7], "--methods", "xent", "--seeds", "1", "--sizes", SMALL[-1]]


def test_help_of_every_command_has_an_example(superalign: Any) -> None:
    code, out, _ = superalign("--help")
    assert code == 0
    commands = ["w2s", "run", "runs", "show", "compare", "report", "list", "export", "demo"]
    for command in commands:
        assert command in out
        code, shown, _ = superalign(command, "--help")
        assert code == 0
        assert "Example" in shown, command
        assert f"superalign {command}" in shown, command
    assert superalign("--version")[1].startswith("superalign 0.")


def test_a_study_from_the_first_call_to_the_report(superalign: Any, tmp_path: Path) -> None:
    code, out, err = superalign(*SMALL, "--store", "s.sqlite", "--dry-run")
    assert code == 0
    assert "to run" in out
    assert "a difference in PGR below about" in out
    code, out, err = superalign(*SMALL, "--store", "s.sqlite", "--json")
    assert code == 0
    assert "a difference in PGR below about" in err
    summary = json.loads(out)
    assert summary["study"] == "w2s"
    assert [c["name"] for c in summary["conditions"]] == ["weak", "ceiling", "zero-shot", "xent", "hard+xent"]
    for condition in summary["conditions"]:
        assert set(condition) == {"name", "numbers", "labels"}
        for number in condition["numbers"].values():
            assert set(number) == {"value", "low", "high", "n", "seeds", "reason"}
            assert (number["value"] is None) == (number["reason"] is not None)
    code, out, _ = superalign(*SMALL, "--store", "s.sqlite", "--dry-run", "--json")
    plan = json.loads(out)
    assert all(step["known"] for step in plan["steps"])
    record = summary["record"]
    assert record in superalign("runs", "--store", "s.sqlite")[1]
    assert json.loads(superalign("runs", "--store", "s.sqlite", "--json")[1])[0]["id"] == record
    assert json.loads(superalign("show", record[:8], "--store", "s.sqlite", "--json")[1]) == summary
    assert "Oracle-free" in superalign("show", "--store", "s.sqlite")[1]
    code, out, _ = superalign("compare", "--store", "s.sqlite")
    assert code == 0
    assert "hard+xent" in out
    assert len(json.loads(superalign("compare", "--store", "s.sqlite", "--json")[1])["differences"]) == 1
    assert superalign("report", "--store", "s.sqlite", "--out", "r.html")[0] == 0
    assert "<svg" in (tmp_path / "r.html").read_text()
    assert superalign("report", "--store", "s.sqlite", "--out", "r.md")[0] == 0
    assert "hard+xent" in (tmp_path / "r.md").read_text()
    code, spec, _ = superalign("report", "--store", "s.sqlite", "--spec")
    (tmp_path / "spec.toml").write_text(spec)
    code, out, err = superalign("run", "spec.toml", "--store", "s.sqlite", "--json")
    assert code == 0
    assert json.loads(out) == summary
    assert "in the store" in err


def test_the_default_store_is_the_projects_folder(superalign: Any, tmp_path: Path) -> None:
    (tmp_path / ".superalign").mkdir()
    assert superalign(*TINY, "--json")[0] == 0
    assert (tmp_path / ".superalign" / "store.sqlite").is_file()
    assert len(json.loads(superalign("runs", "--json")[1])) == 1


def test_the_demo_plans_its_studies(superalign: Any) -> None:
    code, out, _ = superalign("demo", "--dry-run", "--json", "--seeds", "2", "--store", "s.sqlite")
    assert code == 0
    digits, reviews, debate, units = json.loads(out)
    assert "planted" in units["remarks"][0]
    assert len(debate["steps"]) == 10
    for plan in (digits, reviews):
        assert len(plan["steps"]) == 2 * 9
        assert not any(step["known"] for step in plan["steps"])


def test_list_shows_every_kind(superalign: Any) -> None:
    code, out, _ = superalign("list", "--json")
    assert code == 0
    rows = json.loads(out)
    assert {r["kind"] for r in rows} == set(KINDS)
    assert all(r["summary"] or r["kind"] == "studies" for r in rows)
    assert "warmup" in next(r["options"] for r in rows if r["name"] == "logconf")
    assert superalign("list", "lossy")[0] == 2


ROWS = "text,label\n" + "".join(f"sentence number {k} is {'good' if k % 2 else 'bad'},{k % 2}\n" for k in range(200))
BAD: list[tuple[str, dict[str, str], list[str], str]] = [
    ("missing file", {}, ["--task", "absent.csv"], "absent.csv"),
    ("near file", {"present.csv": ROWS}, ["--task", "presnt.csv"], "present.csv"),
    ("missing column", {"a.csv": ROWS}, ["--task", "a.csv", "--label", "lable"], "label"),
    ("empty file", {"a.csv": ""}, ["--task", "a.csv"], "empty"),
    ("one class", {"a.csv": "text,label\n" + "".join(f"row {k},1\n" for k in range(200))}, ["--task", "a.csv"], "class"),
    ("label outside", {"a.csv": ROWS}, ["--task", "a.csv", "--choices", "1,2"], "line 2"),
    ("broken JSON", {"a.jsonl": '{"text": "x", "label": 1}\n{"text": \n'}, ["--task", "a.jsonl"], "line 2"),
    ("duplicate ids", {"a.csv": "id,text,label\n" + "".join(f"{k // 2},t {k},{k % 2}\n" for k in range(200))}, ["--task", "a.csv", "--id", "id"], "line"),
    ("too few items", {"a.csv": "text,label\n" + "".join(f"row {k},{k % 2}\n" for k in range(12))}, ["--task", "a.csv"], "fewer"),
    ("unknown model", {"a.csv": ROWS}, ["--task", "a.csv", "--weak", "bwo"], "did you mean 'bow'"),
    ("unknown method", {"a.csv": ROWS}, ["--task", "a.csv", "--methods", "logcnf"], "did you mean 'logconf'"),
    ("unknown option", {"a.csv": ROWS}, ["--task", "a.csv", "--methods", "logconf:alhpa=1"], "did you mean 'alpha'"),
    ("unknown world", {}, ["--task", "digit"], "digits"),
    ("hub name, no network", {}, ["--task", "hf:nobody/nothing"], "hf:nobody/nothing"),
    ("hub model, no network", {"a.csv": ROWS}, ["--task", "a.csv", "--strong", "hf:nobody/nothing"], "nobody/nothing"),
    ("store below a file", {"a.csv": ROWS}, ["--task", "a.csv", "--store", "a.csv/s.sqlite"], "--store"),
    ("store is no database", {"a.csv": ROWS}, ["--task", "a.csv", "--store", "a.csv"], "a.csv"),
    ("report suffix", {"a.csv": ROWS}, ["--task", "a.csv", "--report", "r.pdf"], ".html or .md"),
    ("sizes", {"a.csv": ROWS}, ["--task", "a.csv", "--sizes", "tset=5"], "did you mean 'test'"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "arguments", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_gets_a_message_and_exit_code_2(
    superalign: Any, tmp_path: Path, files: dict[str, str], arguments: list[str], message: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    given = arguments if "--strong" in arguments else [*arguments, "--strong", "ngram"]
    given = given if "--store" in given else [*given, "--store", "s.sqlite"]
    code, out, err = superalign("w2s", *given)
    assert code == 2, (out, err)
    assert message in err
    assert "Traceback" not in err
    assert out == ""
    left = {p.name for p in tmp_path.iterdir()} - set(files) - {"s.sqlite", "s.sqlite-wal", "s.sqlite-shm"}
    assert not left
    if "s.sqlite" in {p.name for p in tmp_path.iterdir()}:
        assert json.loads(superalign("runs", "--store", "s.sqlite", "--json")[1]) == []


def test_out_of_memory_says_what_to_lower(superalign: Any, tmp_path: Path) -> None:
    (tmp_path / "hungry.py").write_text("def hungry(*, inputs, steps, choices):\n    raise MemoryError\n")
    code, _, err = superalign(*SMALL[:5], "--strong", "./hungry.py:hungry", *SMALL[7:], "--store", "s.sqlite")
    assert code == 2
    assert "out of memory; lower the sizes" in err


def test_a_report_on_a_full_disk_leaves_nothing_half_written(superalign: Any, tmp_path: Path) -> None:
    assert superalign(*TINY, "--store", "s.sqlite", "--json")[0] == 0
    code, _, err = superalign("report", "--store", "s.sqlite", "--out", "s.sqlite/r.html")
    assert code == 2
    assert "s.sqlite" in err


def test_a_newer_store_is_refused(superalign: Any, tmp_path: Path) -> None:
    import sqlite3

    superalign("runs", "--store", "s.sqlite")
    with sqlite3.connect(tmp_path / "s.sqlite") as connection:
        connection.execute("UPDATE superalign_schema SET number = 99")
    connection.close()
    code, _, err = superalign("runs", "--store", "s.sqlite")
    assert code == 2
    assert "99" in err
    assert "upgrade" in err


def test_ctrl_c_leaves_a_run_that_goes_on(superalign: Any, tmp_path: Path) -> None:
    """SIGINT in the middle: exit code 130, a word on how to go on, and the same numbers in the end."""
    # workers of a parallel test run ignore SIGINT, and what they start inherits that
    script = (
        "import signal as s; s.signal(s.SIGINT, s.default_int_handler); from superalign.cli.main import main; main()"
    )
    command = [sys.executable, "-c", script, *SMALL, "--store", "s.sqlite", "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while kept(tmp_path / "s.sqlite") < 3 and process.poll() is None:  # until the run is in its middle
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "The same command goes on from here" in err
    assert "Traceback" not in err
    done, whole = (superalign(*SMALL, "--store", store, "--json") for store in ("s.sqlite", "t.sqlite"))
    assert "of 12 steps to run" in done[2]
    assert same(json.loads(done[1]), json.loads(whole[1]))
