"""Waiting for people, as the command does it: stopped and killed in between, by itself, and beside another study."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from superalign.cli.people import to_the_end
from superalign.compute.runs import Watch, live
from superalign.core.ports import Progress, silent
from superalign.core.spec import Record, validate
from superalign.people.desk import Desk
from superalign.store import open_store
from superalign.store.sql import SqlStore
from superalign.studies.oversee import Oversee
from superalign.studies.oversee.sweep import Sweep, prepare
from tests.people.asking import says

STUDY = [
    "oversee",
    "--task",
    "evidence",
    "--protocols",
    "debate:kind=interactive:rounds=2",
    "--items",
    "2",
    "--no-swap",
    "--json",
]
Command = subprocess.Popen[str]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with open_store(tmp_path / "s.sqlite") as opened:
        yield opened


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Command]]:
    """Start the study as a user does; none of those started outlives the test."""
    started: list[Command] = []

    def begin() -> Command:
        words = [*STUDY, "--judge", "human", "--store", "s.sqlite"]
        code = "from superalign.cli.main import main; main()"
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", code, *words], cwd=tmp_path, env=env, stdout=-1, stderr=-1, text=True
            )
        )
        return started[-1]

    yield begin
    for command in started:
        command.kill()
        command.communicate()


def answer(desk: Desk, person: str, command: Command, most: int = 1000) -> int:
    """The person answers until the command ends, or has answered so many questions."""
    given = 0
    while given < most and command.poll() is None:
        question = desk.next(person)
        if question is None:
            time.sleep(0.02)
            continue
        assert desk.answer(person, question.call, says(question, given % 2))
        given += 1
    return given


def test_a_study_with_people_survives_everything(start: Any, store: SqlStore, superalign: Any) -> None:
    """Killed, then stopped by its user, then left to its end."""
    desk = Desk(store)
    killed = start()
    assert answer(desk, "ann", killed, 3) == 3
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    given = desk.counts().answers
    stopped = start()
    assert answer(desk, "ann", stopped, 4) == 4
    said = next(line for line in iter(stopped.stderr.readline, "") if "wanted" in line)
    assert "at the desk people: type `superalign serve` in another terminal and answer there. Ctrl-C leaves it" in said
    until(lambda: desk.ask(lambda queue: not queue.untaken) and any(r.state == "waiting" for r in Watch(store).going()))
    stopped.send_signal(signal.SIGINT)
    out, err = stopped.communicate(timeout=60)
    assert stopped.returncode == 130
    assert "stopped; what was finished is kept. The same command goes on from here." in err
    assert out == ""
    finished = start()
    answer(desk, "ann", finished)
    out, err = finished.communicate(timeout=60)
    assert finished.returncode == 0, err
    summary = json.loads(out)
    counts = Counter(event.body["kind"] for event in store.read("people/people"))
    assert given == 3
    assert counts["question"] == counts["answered"] == counts["taken"] == desk.counts().questions
    model = json.loads(superalign(*STUDY, "--store", "model.sqlite")[1])
    assert [c["name"] for c in summary["conditions"]] == [c["name"] for c in model["conditions"]]
    for ours, theirs in zip(summary["conditions"], model["conditions"], strict=True):
        assert ours["numbers"].keys() == theirs["numbers"].keys()
    assert summary.keys() == model.keys()
    watch = Watch(store)
    assert [run.state for r in watch.all() if (run := watch.run(r.id)) is not None] == ["lost", "stopped", "finished"]


class Counted:
    """A study that counts how often it was run."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.runs = sweep, 0

    def plan(self) -> Any:
        return self.sweep.plan()

    def run(self, progress: Progress = silent) -> Record:
        self.runs += 1
        return self.sweep.run(progress)


def test_two_studies_at_one_desk_leave_each_other_alone(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither spins, nor runs again because of an answer to the other."""
    tasks = ("evidence", "quiz")
    (Path(str(store.file)).parent / "quiz.jsonl").write_text(
        "".join(json.dumps({"question": f"{k}?", "correct": f"yes {k}", "wrong": f"no {k}"}) + "\n" for k in range(3))
    )
    source = {"task": str(Path(str(store.file)).parent / "quiz.jsonl"), "prompt": "question", "answer": "correct",
              "distractors": ["wrong"]}  # fmt: skip
    common = {"judge": "human", "protocols": ["direct"], "swap": False, "items": 3}
    specs = [
        validate(Oversee, {"source": {"task": "evidence"}, **common}),
        validate(Oversee, {"source": source, "agent": "scripted:x", **common}),
    ]
    studies = {name: Counted(prepare(spec, store)) for name, spec in zip(tasks, specs, strict=True)}
    records: dict[str, Record] = {}

    def go(name: str) -> None:
        with live(store, "oversee", name, {}) as run:
            records[name] = to_the_end(studies[name], store, run, run.progress())  # type: ignore[arg-type]

    threads = {name: threading.Thread(target=go, args=(name,)) for name in tasks}
    for thread in threads.values():
        thread.start()
    desk = Desk(store)
    items = {i.id for i in studies["evidence"].sweep.setting.items}
    until(lambda: desk.counts().questions == 3 + 6)
    mine = [c for c, e in desk.ask(lambda queue: dict(queue.entries)).items() if e.item in items]
    assert len(mine) == 6
    until(lambda: all(study.runs == 1 for study in studies.values()))
    for call in mine:
        desk.answer("ann", call, says(desk.question(call), 0))
    threads["evidence"].join(timeout=60)
    assert not records["evidence"].failures
    assert studies["quiz"].runs == 1, "none of its questions was answered"
    assert threads["quiz"].is_alive()
    while (question := desk.next("ann")) is not None:
        desk.answer("ann", question.call, says(question, 0))
    threads["quiz"].join(timeout=60)
    assert records["quiz"].condition("direct").numbers["accuracy"].value is not None
    assert studies["quiz"].runs <= 4
    assert "answers wanted at the desk people" in capsys.readouterr().err


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_plan_leaves_the_desk_alone(superalign: Any, store: SqlStore) -> None:
    code, out, _ = superalign(*STUDY[:-1], "--judge", "human", "--store", "s.sqlite", "--dry-run")
    assert code == 0
    assert "human: " in out
    assert store.streams("people/") == []
    code, _, _ = superalign("rlhf", "--overseer", "human", "--rm-prompts", "8", "--store", "s.sqlite", "--dry-run")
    assert code == 0
    assert store.streams() == []


def test_answers_in_a_file_are_not_waited_for(superalign: Any) -> None:
    code, out, _ = superalign(*STUDY, "--judge", "human:answers.jsonl", "--store", "s.sqlite")
    assert code == 0
    reasons = [str(c["numbers"]["accuracy"]["reason"]) for c in json.loads(out)["conditions"]]
    assert all("waiting: human: " in r and "questions wait in answers.questions.jsonl" in r for r in reasons)


@pytest.mark.parametrize(
    "words, why",
    [
        (
            ["oversee", "--task", "evidence", "--judge", "human:people=0"],
            "people is how many people answer each question",
        ),
        (
            ["oversee", "--task", "evidence", "--judge", "human:checks=no.jsonl"],
            "the checks in 'no.jsonl' cannot be read",
        ),
        (["rlhf", "--overseer", "human", "--reward", "overseer"], "type --reward rm"),
        (["rlhf", "--overseer", "labeller"], "--overseer human for people"),
    ],
)
def test_mistakes_are_explained(superalign: Any, words: list[str], why: str) -> None:
    code, _, err = superalign(*words)
    assert code == 2
    assert why in " ".join(err.split())
    assert "Traceback" not in err


def test_help_says_how_to_ask_people(superalign: Any) -> None:
    for command in ("oversee", "rlhf"):
        code, out, _ = superalign(command, "--help")
        assert code == 0
        assert "human" in out
        assert "superalign serve" in out
