"""Which arms a spec comes to, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from superalign.core.errors import SpecError
from superalign.core.spec import validate
from superalign.studies.rlhf import RLHF
from superalign.studies.rlhf.arms import arms
from superalign.studies.rlhf.settings import Settings


def names(**values: Any) -> list[str]:
    return [arm.name for arm in arms(validate(RLHF, values))]


def test_a_name_shows_what_the_study_varies() -> None:
    assert names() == ["ppo"]
    assert names(algorithms=["ppo", "dpo", "best-of-n"], beta=0.0) == ["ppo", "dpo", "best-of-n"]
    assert names(rm_prompts=[64, 1024], beta=[0, 0.1], algorithms=["ppo", "dpo"]) == [
        "ppo@rm=64,beta=0", "ppo@rm=64,beta=0.1", "ppo@rm=1024,beta=0", "ppo@rm=1024,beta=0.1", "dpo@rm=64", "dpo@rm=1024",
    ]  # fmt: skip


def test_settings_that_an_algorithm_does_not_have_make_no_arms() -> None:
    assert names(algorithms=["grpo", "best-of-n"], ptx=[0, 1], value=["rm", "zero"]) == ["grpo", "best-of-n"]
    assert names(reward=["rm", "overseer"], rm_prompts=[8, 16], value=["rm", "zero"]) == [
        "ppo@reward=rm,rm=8,value=rm", "ppo@reward=rm,rm=8,value=zero", "ppo@reward=rm,rm=16,value=rm",
        "ppo@reward=rm,rm=16,value=zero", "ppo@reward=overseer",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "values, words",
    [
        ({"algorithms": ["ppo", "ppo"]}, "'ppo' is given twice"),
        ({"algorithms": ["ppoo"]}, "algorithms"),
        ({"rm_prompts": [0]}, "0 is less than 1"),
        ({"beta": [-1.0]}, "-1.0 is less than 0"),
        ({"prompts": "p.txt"}, "prompts is for a model of your own"),
        ({"model": "hf:./m"}, "needs prompts"),
        ({"model": "hf:./m", "prompts": "p.txt", "world": "sentiment-markov"}, "not both"),
        ({"overseers": []}, "name at least one"),
    ],
)
def test_specs_that_do_not_fit(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        validate(RLHF, values)


def test_settings_reach_the_part_they_name() -> None:
    made = Settings.of({"ppo.lr": 1, "sft.steps": 7, "best-of-n.n": 8, "corpus": 100, "labels.soft": True,
                        "rejection.tuning.steps": 3})  # fmt: skip
    assert made.rejection.tuning.steps == 3
    assert (made.ppo.lr, made.sft.steps, made.best_of_n.n, made.corpus, made.labels.soft) == (1.0, 7, 8, 100, True)
    assert made.ppo.iterations == Settings().ppo.iterations
    assert made.sft.prompts_too


@pytest.mark.parametrize(
    "given, words",
    [
        ({"ppoo.lr": 1.0}, "no part of the study is called 'ppoo'; did you mean 'ppo'"),
        ({"ppo.lrr": 1.0}, "ppo has no option 'lrr'; did you mean 'lr'"),
        ({"ppo": 1}, "ppo has options; write ppo.iterations"),
        ({"corpus.n": 1}, "corpus is a count; write corpus=1000"),
        ({"corpus": 0}, "corpus is a count"),
        ({"ppo.iterations": "many"}, "ppo.iterations takes int values such as 80, got 'many'"),
        ({"rejection.tuning.step": 1}, "rejection.tuning has no option 'step'; did you mean 'steps'"),
        ({"ppo.lr.x": 1}, "ppo.lr has no options"),
        ({"labels.samples": 1}, "labels.samples=1 is below 2"),
        ({"evaluation.each": 0}, "must be positive"),
        ({"best-of-n.n": 1}, "must be 2 or more"),
    ],
)
def test_settings_that_do_not_fit(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Settings.of(given)
