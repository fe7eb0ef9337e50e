"""The weak-to-strong study end to end, on a small task with a real gap."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core import records
from superalign.core.errors import ModelError, SpecError, StoreError, TaskError, UserError
from superalign.core.spec import Record, validate
from superalign.core.steps import decode
from superalign.store import open_store
from superalign.studies.w2s import W2S, prepare, w2s
from superalign.studies.w2s.compare import compare
from superalign.studies.w2s.export import export

SIZES = {"weak_train": 60, "transfer": 300, "validation": 100, "test": 300}


def spec(**changes: Any) -> W2S:
    values: dict[str, Any] = {
        "source": {"task": "digits"},
        "sizes": SIZES,
        "weak": "linear:pool=2:C=1",
        "strong": "random-features:width=300:C=.3",
        "methods": ["xent", "hard+xent"],
        "seeds": 3,
    }
    return validate(W2S, values | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, str]:
    url = str(tmp_path_factory.mktemp("w2s") / "s.sqlite")
    with open_store(url) as store:
        return w2s(spec(controls=True), store), url


def same(a: Any, b: Any) -> bool:
    """Equal but for rounding: numpy sums in an order that depends on where an array lies in memory."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == pytest.approx(b, rel=1e-9, abs=1e-12)) if isinstance(a, float) else bool(a == b)


def damage(url: str, key: str) -> None:
    """Cut the stored bytes of an artifact short, behind the store's back."""
    with sqlite3.connect(url) as connection:
        connection.execute(
            "UPDATE superalign_chunks SET data = substr(data, 1, 100) "
            "WHERE sha256 = (SELECT sha256 FROM superalign_artifacts WHERE key = ?)",
            (key,),
        )
    connection.close()


def kept(path: Path) -> int:
    """How many artifacts a store holds by now."""
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
            return int(reader.execute("SELECT count(*) FROM superalign_artifacts").fetchone()[0])
    except sqlite3.OperationalError:  # the tables are not there yet
        return 0


def numbers(record: Record) -> dict[str, Any]:
    return record.summary()["conditions"]


def test_the_record_holds_floor_ceiling_students_and_controls(finished: tuple[Record, str]) -> None:
    record, _ = finished
    names = [c.name for c in record.conditions]
    assert names == [
        "weak",
        "ceiling",
        "zero-shot",
        "xent",
        "hard+xent",
        "weak-train-truth",
        "random-errors",
        "weak-student",
    ]
    value = {c.name: c.numbers["accuracy"].value for c in record.conditions}
    assert value["weak"] is not None
    assert value["ceiling"] is not None
    assert value["weak"] + 0.05 < value["ceiling"]
    xent = record.condition("xent").numbers
    assert xent["pgr"].seeds == 3
    assert xent["accuracy"].n == 300
    assert xent["pgr"].low is not None
    assert xent["pgr"].low < xent["pgr"].value < xent["pgr"].high  # type: ignore[operator]
    for name in ("effect", "agreement", "imitation", "corrections", "damage", "misfit", "log", "brier", "ece"):
        assert xent[name].value is not None, name
    assert record.condition("weak").numbers["label_accuracy"].value is not None
    assert record.condition("zero-shot").numbers["pgr"].reason is not None


def test_pgr_is_what_the_accuracies_say(finished: tuple[Record, str]) -> None:
    record, _ = finished
    weak, xent, ceiling = (record.condition(n).numbers["accuracy"].value for n in ("weak", "xent", "ceiling"))
    assert weak is not None
    assert xent is not None
    assert ceiling is not None
    assert record.condition("xent").numbers["pgr"].value == pytest.approx((xent - weak) / (ceiling - weak))


def test_random_errors_are_imitated_less_than_the_weak_models_own(finished: tuple[Record, str]) -> None:
    record, _ = finished
    own, random = (record.condition(n).numbers["accuracy"].value for n in ("xent", "random-errors"))
    assert random is not None
    assert own is not None
    assert random > own


def test_a_student_of_the_weak_kind_gains_nothing_much(finished: tuple[Record, str]) -> None:
    record, _ = finished
    student = record.condition("weak-student").numbers["effect"].value
    gap = record.condition("ceiling").numbers["gap"].value
    assert student is not None
    assert gap is not None
    assert abs(student) < 0.6 * gap


def test_the_audit_lists_every_use_of_the_truth_and_no_method_is_among_them(finished: tuple[Record, str]) -> None:
    """Published student code once trained on the true labels of the transfer half besides the weak ones."""
    record, url = finished
    uses = {(a.door, a.split, a.purpose) for a in record.audit}
    assert ("truth", "weak-train", "weak floor: trained on weak-train") in uses
    assert ("truth", "transfer", "ceiling") in uses
    assert not [a for a in record.audit if a.purpose.startswith("leak")]
    students = [k for n, k in record.artifacts.items() if n.startswith(("xent/", "hard+xent/"))]
    assert len(students) == 6
    with open_store(url) as store:
        artifacts = [store.get(key) for key in students]
    assert all(a is not None and decode(a.data)["reads"] == [] for a in artifacts)


def test_a_second_call_answers_from_the_store_with_the_same_numbers(finished: tuple[Record, str]) -> None:
    record, url = finished
    with open_store(url) as store:
        sweep = prepare(spec(controls=True), store)
        assert all(step.known for step in sweep.plan().steps)
        again = sweep.run()
    assert numbers(again) == numbers(record)
    assert again.id == record.id
    assert again.audit == record.audit
    assert again.costs["steps_run_now"] == 0


def test_adding_a_method_or_a_seed_changes_nothing_else(finished: tuple[Record, str]) -> None:
    _, url = finished
    with open_store(url) as store:
        more = prepare(spec(methods=["xent", "hard+xent", "logconf"], seeds=4), store)
        known = {s.name: s.known for s in more.plan().steps}
    new = [n for n, k in known.items() if not k]
    assert new
    assert all("seed 3" in n or n.startswith("logconf") for n in new)


def test_ceiling_and_students_train_on_the_same_items(finished: tuple[Record, str]) -> None:
    """Published code once trained the ceiling on another half than the student."""
    sweep = prepare(spec())
    cell = sweep.cells[0]
    ceiling, student = cell.ceiling_job(), cell.student_job(sweep.methods[0])
    assert ceiling.recipe["data"] == student.recipe["data"]
    assert set(ceiling.recipe["data"]) == {"transfer", "validation", "test"}


def test_every_part_of_a_recipe_is_in_its_key() -> None:
    def keys(**changes: Any) -> dict[str, str]:
        sweep = prepare(spec(**changes))
        return {job.name: job.key(sweep.steps) for job in sweep.jobs(sweep.cells[0])}

    base = keys()
    for changes in (
        {"weak": "linear:pool=2:C=2"},
        {"seeds": [7]},
        {"split_seed": 1},
        {"source": {"task": "digits:target=loop"}},
    ):
        assert keys(**changes)["xent"] != base["xent"], changes
    assert keys(strong="random-features:width=301:C=.3")["ceiling"] != base["ceiling"]
    assert keys(strong="random-features:width=301:C=.3")["weak"] == base["weak"]
    assert base["xent"] != base["hard+xent"]


def test_an_edited_plugin_file_is_another_method(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    loss = "from superalign.learners.losses import Xent\n\n\ndef mine(*, scale=1):\n    return Xent()\n"
    keys = []
    for text in (loss, loss + "\n# edited\n"):
        file.write_text(text)
        sweep = prepare(spec(methods=[f"{file}:mine:scale=2"], seeds=1))
        keys.append(sweep.cells[0].student_job(sweep.methods[0]).key(sweep.steps))
    assert keys[0] != keys[1]


def test_test_items_are_the_same_for_all_seeds_and_the_rest_is_drawn_again() -> None:
    sweep = prepare(spec())
    first, second = (c.task for c in sweep.cells[:2])
    assert first.items("test") == second.items("test")
    assert {i.id for i in first.items("transfer")} != {i.id for i in second.items("transfer")}


def test_a_sweep_over_models_names_its_pairs() -> None:
    record = w2s(spec(weak=["linear:pool=2:C=1", "linear:pool=2:C=.01"], methods="xent", seeds=2))
    assert "xent@linear:pool=2:C=.01>random-features:width=300:C=.3" in [c.name for c in record.conditions]


def test_a_gap_within_noise_is_undefined_with_its_reason() -> None:
    record = w2s(
        spec(weak="random-features:width=300:C=.3", sizes=SIZES | {"weak_train": 300}, methods="xent", seeds=2)
    )
    pgr = record.condition("xent").numbers["pgr"]
    assert pgr.value is None
    assert pgr.reason is not None
    assert pgr.reason.startswith("undefined: the gap")
    assert record.condition("xent").numbers["effect"].value is not None
    assert "undefined" in record.notes[0]


def test_a_method_that_has_nothing_to_learn_from_is_reported_and_the_rest_goes_on() -> None:
    record = w2s(spec(methods=["xent", "confident:tau=1"], seeds=2))
    failed = record.condition("confident:tau=1").numbers["pgr"]
    assert failed.value is None
    assert failed.reason is not None
    assert "keeps none" in failed.reason
    assert record.condition("xent").numbers["pgr"].value is not None
    assert sum(record.failures.values()) == 1


def test_weak_labels_from_a_file(tmp_path: Path) -> None:
    """Human labels are a weak model that is not trained; their missing rows are dropped."""
    task = prepare(spec(seeds=1)).cells[0].task
    rng = np.random.default_rng(0)
    rows = ["id,label"]
    for split in ("transfer", "validation", "test"):
        for judgment in task.truth(split, "test set-up")(task.items(split)):
            answer = int(judgment.verdict.answer or 0)  # type: ignore[arg-type]
            said = answer if rng.random() > 0.2 else 1 - answer
            if rng.random() > 0.05:
                rows.append(f"{judgment.item},{task.choices[said]}")
    path = tmp_path / "people.csv"
    path.write_text("\n".join(rows) + "\n")
    record = w2s(spec(weak=f"labels:{path}", methods="xent", seeds=1))
    weak = record.condition("weak").numbers["accuracy"].value
    assert weak == pytest.approx(0.78, abs=0.08)
    assert record.condition("xent").numbers["effect"].value is not None
    assert not [a for a in record.audit if a.split == "weak-train"]


def test_damaged_artifacts_are_computed_again(tmp_path: Path) -> None:
    url = str(tmp_path / "s.sqlite")
    with open_store(url) as store:
        first = w2s(spec(methods="xent", seeds=1), store)
        for name in ("weak/seed 0", "xent/seed 0"):
            damage(url, first.artifacts[name])
        assert sum(not s.known for s in prepare(spec(methods="xent", seeds=1), store).plan().steps) == 2
        again = w2s(spec(methods="xent", seeds=1), store)
    assert same(numbers(again), numbers(first))


CODE = """
import sys
from superalign.core.spec import validate
from superalign.store import open_store
from superalign.studies.w2s import W2S, w2s
import json
with open_store(sys.argv[1]) as store:
    w2s(validate(W2S, json.loads(sys.argv[2])), store)
"""


def test_a_killed_run_goes_on_to_the_same_numbers(finished: tuple[Record, str], tmp_path: Path) -> None:
    path, wanted = tmp_path / "killed.sqlite", spec(controls=True)
    command = [sys.executable, "-c", CODE, str(path), wanted.model_dump_json()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment)
    while kept(path) < 8 and process.poll() is None:  # of 30
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with open_store(str(path)) as store:
        left = sum(not step.known for step in prepare(wanted, store).plan().steps)
        resumed = w2s(wanted, store)
    assert 0 < left < 28
    assert same(numbers(resumed), numbers(finished[0]))


def test_compare_ranks_methods_of_several_records(finished: tuple[Record, str]) -> None:
    record, url = finished
    with open_store(url) as store:
        other = w2s(spec(methods=["logconf"]), store)
        ranking = compare([record, other], store)
        assert {r[0] for r in ranking.ranks.rows} == {"xent", "hard+xent", "logconf"}
        assert len(ranking.differences.rows) == 3
        assert "Holm-corrected for 3" in ranking.ranks.note
        with pytest.raises(SpecError, match="hold one method"):
            compare([other], store)
        apart = w2s(spec(methods=["logconf"], split_seed=3, seeds=2), store)
        with pytest.raises(SpecError, match="do not share test items"):
            compare([record, apart], store)
        damage(url, other.artifacts["graded"])
        with pytest.raises(StoreError, match="run its spec again"):
            compare([other], store)


def test_export_refuses_what_has_no_layout(finished: tuple[Record, str], tmp_path: Path) -> None:
    record, url = finished
    with open_store(url) as store:
        with pytest.raises(ModelError, match="no Hugging Face layout"):
            export(record, store, "xent", 0, tmp_path / "out")
        with pytest.raises(SpecError, match="no model 'xnet/seed 0'; did you mean 'xent/seed 0'"):
            export(record, store, "xnet", 0, tmp_path / "out")
        with pytest.raises(UserError, match="exists"):
            export(record, store, "xent", 0, tmp_path)
    assert not (tmp_path / "out").exists()


def test_records_hold_what_is_needed_to_run_again(finished: tuple[Record, str]) -> None:
    record, url = finished
    assert validate(W2S, record.spec) == spec(controls=True)
    assert record.versions["numpy"] == np.__version__
    assert "threads" in record.machine
    with open_store(url) as store:
        graded = store.get(record.artifacts["graded"])
        assert graded is not None
        assert decode(graded.data)["0/xent"].shape == (3, 300)
        assert records.load(store, record.id[:7]).id == record.id


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"methods": ["xnet"]}, UserError, "did you mean 'xent'"),
        ({"weak": "bowl"}, UserError, "did you mean 'bow'"),
        ({"weak": "bow"}, UserError, "vectors"),
        ({"seeds": 0}, SpecError, "seeds"),
        ({"methods": ["xent", "xent"]}, SpecError, "'xent' is given twice"),
        ({"sizes": SIZES | {"test": 10**6}}, TaskError, "fewer"),
        ({"strong": "scripted:yes"}, UserError, "cannot be trained"),
    ],
)
def test_specs_that_cannot_run(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        w2s(spec(**changes))
