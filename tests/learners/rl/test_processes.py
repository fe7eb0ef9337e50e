"""Several processes train what one trains: real ones, on CPUs, started by torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.learners.rl.overseers import program
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.rloo import RLOO, rloo
from superalign.models.hf.ranks import Ranks
from superalign.store import open_store
from tests.learners.rl import several
from tests.learners.rl.small import PROMPTS, gpt, likes_c

ROOT = Path(__file__).parents[3]


@cache
def launched() -> tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]:
    """The folder, the weights and the reports of two processes that ran every case."""
    folder = Path(mkdtemp(prefix="several-"))
    command = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "tests.learners.rl.several"]
    done = subprocess.run(
        [sys.executable, "-m", *command, str(folder)], capture_output=True, text=True, cwd=ROOT, timeout=200, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    weights = [dict(np.load(folder / f"{rank}.npz")) for rank in (0, 1)]
    return folder, weights, [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("case", several.CASES)
def test_two_processes_give_what_one_gives(case: str) -> None:
    """15 rows do not divide evenly, some have no score, and the smallest minibatches leave a process without a row."""
    _, weights, reports = launched()
    watching = Watching()
    alone = several.run(case, watching)
    for name, value in alone.items():
        assert np.array_equal(*(w[f"{case}/{name}"] for w in weights))
        assert np.abs(weights[0][f"{case}/{name}"] - value).max() < 2e-5
    start = gpt().state()
    assert max(np.abs(start[name] - value).max() for name, value in alone.items()) > 5e-3
    for ours, theirs in zip(watching.history(), reports[0][case]["events"], strict=True):
        assert ours["samples"] == theirs["samples"]
        assert {k: v for k, v in theirs.items() if isinstance(v, float)} == pytest.approx(
            {k: v for k, v in ours.items() if isinstance(v, float)}, abs=2e-5
        )
    assert sum(e["abstained"] for e in watching.history()) > 0
    assert [report[case]["heard"] > 0 for report in reports] == [True, False]  # the first process alone is heard


def test_where_one_process_fails_all_stop_and_the_run_goes_on_from_there() -> None:
    folder, _, reports = launched()
    said = [report["interrupted"] for report in reports]
    assert (
        "the overseer failed in iteration 2 of 3, in another process; the state is kept as rl/checkpoint/1/" in said[0]
    )
    assert "in iteration 2 of 3: OSError: the line is dead; the state is kept as rl/checkpoint/1/" in said[1]
    with open_store(folder / "store.sqlite") as store:
        watching = Watching(store=store)
        trained = several.by_grpo(watching, program(several.opinions))
        kinds = [event.body["kind"] for event in store.read("rl")]
    alone = several.run("grpo", Watching())
    assert all(np.abs(trained.state()[name] - value).max() < 2e-5 for name, value in alone.items())
    assert kinds == ["started", "iteration", "checkpoint", "iteration", "iteration"]  # once, and from where it stopped


def test_every_process_needs_a_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("superalign.learners.rl.learning.ranks", lambda device: Ranks(0, 3))
    with pytest.raises(SpecError, match=r"batch=8 has 2 prompts for 3 processes; each needs one"):
        rloo(gpt(), gpt(), PROMPTS, likes_c, RLOO(batch=8, group=4), Watching())
