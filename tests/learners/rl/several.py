"""Runs for several processes: `torchrun -m tests.learners.rl.several FOLDER` leaves the result of each process there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core.errors import ModelError
from superalign.core.types import Overseer
from superalign.learners.rl.grpo import GRPO, grpo
from superalign.learners.rl.overseers import program
from superalign.learners.rl.ppo import PPO, Value, ppo
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.rloo import RLOO, rloo
from superalign.learners.rl.rollouts import packed
from superalign.models.policy import Policy
from superalign.store import open_store
from tests.learners.rl.small import PROMPTS, TINY, gpt

COMMON = {**TINY, "iterations": 3}
TEXT = packed(gpt(), ["a"] * 4, ["b c d", "c d e", "d e", "e f g"])


def opinions(prompts: Sequence[str], completions: Sequence[str]) -> list[float | None]:
    """Likes c, and has no opinion on what ends with a."""
    return [None if c.endswith("a") else float(c.count("c")) for c in completions]


def by_ppo(watching: Watching, overseer: Overseer, **changes: Any) -> Policy:
    options = PPO(**{**COMMON, "batch": 15, "epochs": 2, "average": 0.9, "kl_target": 0.5, **changes})
    value = Value.from_zero(gpt(), shared=bool(options.entropy_weight))
    return ppo(gpt(), gpt(1), PROMPTS, overseer, options, watching, value=value, pretrain=TEXT)


def by_grpo(watching: Watching, overseer: Overseer, **changes: Any) -> Policy:
    return grpo(gpt(), gpt(1), PROMPTS, overseer, GRPO(**COMMON, group=4, **changes), watching)


def by_rloo(watching: Watching, overseer: Overseer, **changes: Any) -> Policy:
    return rloo(gpt(), gpt(1), PROMPTS, overseer, RLOO(**COMMON, group=2, **changes), watching)


CASES: dict[str, tuple[Callable[..., Policy], dict[str, Any]]] = {
    "ppo": (by_ppo, {"minibatches": 2, "pretrain": 1.0, "pretrain_batch": 3}),
    "ppo, a shared body": (by_ppo, {"minibatches": 14, "entropy_weight": 0.1, "whiten_rewards": True}),
    "grpo": (by_grpo, {}),
    "grpo, several passes": (by_grpo, {"epochs": 2, "minibatches": 3, "normaliser": "tokens"}),
    "rloo": (by_rloo, {}),
    "rloo, several passes": (by_rloo, {"epochs": 2, "loss": "ratio"}),
}


def run(case: str, watching: Watching) -> dict[str, np.ndarray[Any, Any]]:
    """The weights that a case ends with."""
    method, changes = CASES[case]
    return method(watching, program(opinions), **changes).state()


def interrupted(folder: Path, rank: str) -> str:
    """What a run says whose overseer fails in the second process, in its second iteration."""
    batches = count()

    def moody(prompts: Sequence[str], completions: Sequence[str]) -> list[float | None]:
        if next(batches) == 1 and rank == "1":
            raise OSError("the line is dead")
        return opinions(prompts, completions)

    with open_store(folder / "store.sqlite") as store, pytest.raises(ModelError) as error:
        by_grpo(Watching(store=store), program(moody))
    return str(error.value)


def main(folder: Path) -> None:
    rank = os.environ["RANK"]
    heard: dict[str, Any] = {}
    weights = {}
    for case in CASES:
        told: list[Any] = []
        watching = Watching(listen=told.append)
        weights |= {f"{case}/{name}": value for name, value in run(case, watching).items()}
        heard[case] = {"heard": len(told), "events": watching.history()}
    heard["interrupted"] = interrupted(folder, rank)
    np.savez(folder / f"{rank}.npz", **weights)
    (folder / f"{rank}.json").write_text(json.dumps(heard), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
