"""`superalign rlhf` as a user meets it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.studies.rlhf.tiny import SETTINGS

SMALL = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]


def test_from_the_plan_to_the_report(superalign: Any) -> None:
    command = ["rlhf", "--world", "sentiment-markov", "--algo", "ppo,best-of-n", "--beta", "0,.1", "--rm-prompts", "8",
               "--seeds", "0", "--store", "s.sqlite", *SMALL]  # fmt: skip
    code, out, _ = superalign(*command, "--dry-run", "--json")
    assert code == 0
    plan = json.loads(out)
    assert [s["name"] for s in plan["steps"]] == [
        "start model (seed 0)", "samples of the start model (seed 0)", "samples to label, 8 prompts (seed 0)",
        "labels of gold, 8 prompts (seed 0)", "reward model of gold, 8 prompts (seed 0)", "ppo@beta=0 (seed 0)",
        "ppo@beta=0.1 (seed 0)", "best-of-n (seed 0)",
    ]  # fmt: skip
    assert not any(s["known"] for s in plan["steps"])
    code, out, err = superalign(*command, "--json", "--report", "r.md")
    assert code == 0, err
    assert "With one seed no difference between arms" in err
    found = json.loads(out)
    assert found["study"] == "rlhf"
    assert [c["name"] for c in found["conditions"]] == ["sft", "ppo@beta=0", "ppo@beta=0.1", "best-of-n"]
    for condition in found["conditions"][1:]:
        assert {"gold", "gold_peak", "proxy", "kl"} <= set(condition["numbers"])
    code, out, _ = superalign(*command, "--dry-run", "--json")
    assert all(s["known"] for s in json.loads(out)["steps"])
    code, out, _ = superalign("show", "last", "--store", "s.sqlite")
    assert "win rate" in out
    assert "Oracle" in out


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--algo", "ppo,pppo"], "algorithms"),
        (["--overseer", "golden"], "did you mean 'gold'"),
        (["--beta", "low"], "--beta takes numbers such as 0,.1; got 'low'"),
        (["--set", "ppo.lr"], "--set takes part.option=value"),
        (["--set", "ppo.rl=1"], "ppo has no option 'rl'"),
        (["--model", "hf:./none"], "needs prompts"),
        (["--rm-prompts", "0"], "0 is less than 1"),
    ],
)
def test_a_mistake_says_what_to_type(superalign: Any, arguments: list[str], words: str) -> None:
    code, _, err = superalign("rlhf", *arguments, "--store", "s.sqlite", "--dry-run")
    assert code == 2
    assert words in " ".join(err.split()).replace("│ ", "")


def test_help_has_examples(superalign: Any) -> None:
    code, out, _ = superalign("rlhf", "--help")
    assert code == 0
    assert "superalign rlhf --world sentiment-markov --algo ppo,grpo,rloo,dpo,best-of-n,rejection" in out
