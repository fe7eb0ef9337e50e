"""A study that is small enough for a test: narrow policies, few iterations. Its numbers mean nothing; its parts are whole."""

from __future__ import annotations

from typing import Any

from superalign.core.spec import validate
from superalign.studies.rlhf import RLHF

SETTINGS: dict[str, Any] = {
    "policy.width": 16, "policy.layers": 1, "corpus": 256, "sft.steps": 6, "sft.batch": 32, "rm.epochs": 2,
    "ppo.iterations": 4, "ppo.batch": 16, "ppo.epochs": 1, "grpo.iterations": 3, "grpo.batch": 16, "rloo.iterations": 3,
    "rloo.batch": 16, "dpo.steps": 4, "dpo.batch": 16, "rejection.rounds": 1, "rejection.n": 2, "rejection.tuning.steps": 2, "best-of-n.n": 8,
    "best-of-n.prompts": 8, "evaluation.prompts": 16, "evaluation.each": 2, "evaluation.slow": 2, "evaluation.final": 16,
    "evaluation.reference": 32, "train_prompts": 32,
}  # fmt: skip


def spec(**changes: Any) -> RLHF:
    values: dict[str, Any] = {"algorithms": ["ppo"], "rm_prompts": [8], "settings": SETTINGS}
    return validate(RLHF, values | changes)
