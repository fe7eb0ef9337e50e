"""The long experiments: what is published, and whether it holds at this scale. Run with `make acceptance`.

Each prints a table for docs/log.md. Needs the data folder (SUPERALIGN_TEST_DATA) and MiniLM (extra [demo]).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core.spec import Number, Record, validate
from superalign.store import open_store
from superalign.studies.w2s import W2S, w2s
from tests.datafolder import data

STORE = os.environ.get("SUPERALIGN_ACCEPTANCE_STORE", ".superalign-acceptance/store.sqlite")
METHODS = ["xent", "hard+xent", "logconf", "confident", "xent+early"]


def run(**values: Any) -> Record:
    Path(STORE).parent.mkdir(parents=True, exist_ok=True)
    with open_store(STORE) as store:
        record = w2s(validate(W2S, values), store)
    show(record)
    return record


def shown(number: Number | None) -> str:
    if number is None:
        return ""
    if number.value is None:
        return "undefined"
    span = f" [{number.low:.2f}, {number.high:.2f}]" if number.low is not None and number.high is not None else ""
    return f"{number.value:.3f}{span}"


def show(record: Record) -> None:
    print(f"\n**{record.title}** (`{record.id}`, {len(record.spec['seeds'])} seeds)\n")
    print("| condition | accuracy | PGR | imitation | chosen |\n|---|---|---|---|---|")
    for c in record.conditions:
        cells = [shown(c.numbers.get(n)) for n in ("accuracy", "pgr", "imitation")]
        print(f"| {c.name} | " + " | ".join(cells) + f" | {c.labels.get('chosen', '')} |")
    undefined = {n.reason for c in record.conditions for n in c.numbers.values() if n.reason}
    for reason in sorted(undefined):
        print(f"\n- {reason}")


def value(record: Record, name: str, number: str = "pgr") -> float:
    found = record.condition(name).numbers[number]
    assert found.value is not None, found.reason
    return found.value


def test_subjectivity_is_mostly_recovered() -> None:
    record = run(
        source={"task": str(data("sent_conv/subj.all"))},
        weak="bow",
        strong="minilm",
        methods=METHODS,
        seeds=5,
        controls=True,
    )
    pgr = record.condition("xent").numbers["pgr"]
    assert pgr.low is not None
    assert pgr.high is not None
    assert pgr.low > 0.3
    assert pgr.high < 1.0


def test_sentiment_is_recovered_little() -> None:
    files = {k: str(data(f"sent_conv/stsa.binary.{k}")) for k in ("train", "dev", "test")}
    source = {"task": files["train"], "validation": files["dev"], "test": files["test"]}
    record = run(source=source, weak="bow", strong="minilm", methods=METHODS, seeds=5)
    assert -0.2 < value(record, "xent") < 0.6


def test_trec_six_classes() -> None:
    source = {"task": str(data("sent_conv/TREC.train")), "test": str(data("sent_conv/TREC.test")), "format": "trec"}
    record = run(source=source, weak="bow", strong="minilm", methods=METHODS, seeds=5)
    assert record.condition("ceiling").numbers["gap"].value is not None


@pytest.mark.parametrize("name", ["sciq", "creak", "boolq"])
def test_the_guard_decides_on_knowledge_tasks(name: str) -> None:
    """A bag-of-words pair knows next to nothing of these; the guard must say so rather than divide noise."""
    sources: dict[str, dict[str, Any]] = {
        "sciq": {"task": f"{data('sciq/SciQ.zip')}!SciQ dataset-2 3/train.json", "prompt": "question", "answer": "correct_answer",
                 "distractors": ["distractor1", "distractor2", "distractor3"]},
        "creak": {"task": str(data("creak/train.json")), "prompt": "sentence", "label": "label"},
        "boolq": {"task": str(data("boolq_dev/dev.jsonl")), "prompt": "passage,question", "label": "answer", "group": "passage"},
    }  # fmt: skip
    record = run(
        source=sources[name], weak="bow", strong="ngram", methods=["xent", "logconf"], seeds=5,
        sizes={"weak_train": 1000, "transfer": 900, "validation": 300, "test": 1000},
    )  # fmt: skip
    pgr = record.condition("xent").numbers["pgr"]
    assert pgr.value is not None or "undefined" in str(pgr.reason)


@pytest.mark.parametrize(
    "task", ["digits:unseen=true", "digits:unseen=true:target=ge5", "digits:unseen=true:target=loop"]
)
def test_digits_with_a_pretrained_student(task: str) -> None:
    run(
        source={"task": task}, weak="linear:pool=2:C=1", strong="pretrained-digits", methods=METHODS, seeds=5,
        sizes={"weak_train": 100, "transfer": 500, "validation": 150, "test": 400},
    )  # fmt: skip


@pytest.mark.parametrize(("task", "weak", "strong"), [
    ("random-features", "random-features:width=40", "random-features:width=1500"),
    ("hidden-manifold", "mlp:width=32:epochs=20", "manifold-mlp"),
])  # fmt: skip
def test_synthetic_worlds(task: str, weak: str, strong: str) -> None:
    run(source={"task": task}, weak=weak, strong=strong, methods=METHODS, seeds=5)


def test_systematic_errors_are_imitated_and_random_ones_are_not() -> None:
    """The dial of the review world: the more misleading sentences, the less is recovered."""
    found = {}
    for share in (0.1, 0.2, 0.4, 0.65):
        record = run(
            source={"task": f"reviews:contrastive={share}"}, weak="bow:words=400:C=3", strong="minilm", methods=["xent"], seeds=5, controls=True,
            sizes={"weak_train": 500, "transfer": 1200, "validation": 300, "test": 1000},
        )  # fmt: skip
        found[share] = record
    assert value(found[0.1], "xent") > value(found[0.65], "xent") + 0.2
    assert value(found[0.1], "xent", "imitation") < value(found[0.65], "xent", "imitation")
    for share, record in found.items():
        assert value(record, "xent", "imitation") > value(record, "random-errors", "imitation") + 0.15, share
    for share in (0.1, 0.2):  # beyond that the weak model errs on so many that random errors leave little to learn
        assert value(found[share], "random-errors") > value(found[share], "xent")


def test_the_misfit_identity_holds_where_its_conditions_do() -> None:
    """Charikar et al. (2024), theorem 1, on the random-features world: equality for unregularised least squares."""
    from superalign.core.random import stream

    rows = []
    for seed in range(5):
        rng = stream(seed, "misfit world")
        x = rng.normal(size=(1500, 32))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        wide = np.maximum(x @ rng.normal(size=(32, 300)) / np.sqrt(32), 0)
        target = wide @ rng.normal(size=300) / np.sqrt(300)
        narrow = np.maximum(x @ rng.normal(size=(32, 12)) / np.sqrt(32), 0)
        weak = narrow @ np.linalg.lstsq(narrow[:200], target[:200], rcond=None)[0]
        student = wide @ np.linalg.lstsq(wide, weak, rcond=None)[0]
        gain = np.mean((weak - target) ** 2) - np.mean((student - target) ** 2)
        misfit = np.mean((student - weak) ** 2)
        ridge = wide @ np.linalg.solve(wide.T @ wide + 3.0 * np.eye(300), wide.T @ weak)
        slack = np.mean((weak - target) ** 2) - np.mean((ridge - target) ** 2) - np.mean((ridge - weak) ** 2)
        rows.append((gain, misfit, slack))
        assert gain == pytest.approx(misfit, rel=1e-6)
    print("\n| seed | gain | misfit | gain - misfit under ridge |\n|---|---|---|---|")
    for seed, (gain, misfit, slack) in enumerate(rows):
        print(f"| {seed} | {gain:.5f} | {misfit:.5f} | {slack:+.5f} |")
