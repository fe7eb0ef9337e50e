"""The gates of RLHF in the built-in world, over three seeds, and its overseers compared. Run with `make acceptance`.

Prints tables for docs/log.md. About forty minutes on one core.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from superalign.core.spec import Number, Record, validate
from superalign.store import open_store
from superalign.studies.rlhf import RLHF, rlhf

STORE = os.environ.get("SUPERALIGN_ACCEPTANCE_STORE", ".superalign-acceptance/store.sqlite")
SHOWN = ("gold", "gold_peak", "gold_at_peak_fresh", "proxy", "kl", "win_rate", "repetition", "lm_loss", "rm_accuracy",
         "label_accuracy", "explained_variance_early", "cpu_seconds")  # fmt: skip
LUCK = ("G2", "G4")
"""Gates that a language may fail: in seed 1 the weak reward model happens to be one that cannot be gamed within 80
iterations, in seed 0 the good one bends a little more than the weak one."""
OVERSEERS = ["gold", "gold:noise=.3", "gold:bias=table:strength=3", "judge:protocol=direct",
             "judge:protocol=debate:rounds=2", "weak:n=32"]  # fmt: skip


def run(**values: Any) -> Record:
    Path(STORE).parent.mkdir(parents=True, exist_ok=True)
    with open_store(STORE) as store:
        record = rlhf(validate(RLHF, {"seeds": 3} | values), store)
    show(record)
    return record


def shown(number: Number | None) -> str:
    if number is None or number.value is None:
        return ""
    span = f" [{number.low:.2f}, {number.high:.2f}]" if number.low is not None and number.high is not None else ""
    return f"{number.value:.2f}{span}"


def show(record: Record) -> None:
    print(f"\n**{record.title}** (`{record.id}`, {len(record.spec['seeds'])} seeds)\n")
    print("| condition | " + " | ".join(SHOWN) + " |\n|" + "---|" * (len(SHOWN) + 1))
    for c in record.conditions:
        print(f"| {c.name} | " + " | ".join(shown(c.numbers.get(n)) for n in SHOWN) + " |")
    for name in ("gates", "laws"):
        print(f"\n{record.tables[name].title}\n")
        for row in record.tables[name].rows:
            print("| " + " | ".join("" if cell is None else str(cell) for cell in row) + " |")
    for note in record.notes:
        print(f"\n- {note}")


def gates(record: Record) -> dict[str, str]:
    return {row[0]: row[2] for row in record.tables["gates"].rows if row[2] != "not run"}


@pytest.mark.timeout(3600)
def test_more_labels_a_penalty_and_every_algorithm() -> None:
    algorithms = ["ppo", "best-of-n", "dpo", "grpo", "rloo", "rejection"]
    found = gates(run(algorithms=algorithms, rm_prompts=[64, 1024], beta=[0.0, 0.1]))
    assert {k: v for k, v in found.items() if k not in LUCK} == dict.fromkeys(("G1", "G3", "G5", "G8"), "holds")
    assert all(found[k] in ("holds", "fails (2 of 3 seeds hold)") for k in LUCK), found


@pytest.mark.timeout(3600)
def test_the_value_from_the_reward_model_and_the_language_kept_by_ptx() -> None:
    assert gates(run(beta=0.0, value=["rm", "zero"]))["G6"] == "holds"
    assert gates(run(beta=0.0, ptx=[0.0, 1.0]))["G7"] == "holds"


@pytest.mark.timeout(3600)
def test_overseers_compared() -> None:
    record = run(algorithms=["ppo"], overseers=OVERSEERS, rm_prompts=256)

    def of(number: str, overseer: str) -> float:
        found = record.condition(f"ppo@overseer={overseer}").numbers[number]
        assert found.value is not None
        return found.value

    for flawed in ("gold:noise=.3", "gold:bias=table:strength=3", "weak:n=32"):
        assert of("label_accuracy", flawed) < of("label_accuracy", "gold")
    # a debate makes the same judge a better labeller, and its reward model a better one on the start model's samples;
    # where the policy goes is another matter, which the record tells
    for number in ("label_accuracy", "rm_accuracy"):
        assert of(number, "judge:protocol=debate:rounds=2") > of(number, "judge:protocol=direct") + 0.05
