"""RLHF on a transformer of one's own, with a program as the reward."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.core.errors import SpecError
from superalign.core.spec import validate
from superalign.studies.rlhf import RLHF, prepare, rlhf

pytest.importorskip("transformers")
from tests.models.hf_tiny import KIND, network, tokenizer

SETTINGS: dict[str, Any] = {
    "tokens": 4, "grpo.iterations": 12, "grpo.batch": 32, "grpo.group": 8, "grpo.lr": 3e-3, "rm.epochs": 2, "sft.steps": 4,
    "sft.batch": 4, "corpus": 8, "ppo.iterations": 1, "ppo.batch": 8, "evaluation.prompts": 8, "evaluation.each": 6,
    "evaluation.final": 64, "evaluation.reference": 32, "train_prompts": 16,
}  # fmt: skip
MINE = f"""
def kind(prompts, completions):
    return [sum(word in {KIND!r} for word in c.split()) for c in completions]

def echo(prompts, completions):
    return [sum(w == p.split()[-1] for w in c.split()) for p, c in zip(prompts, completions)]

def stance(texts):
    return [("yes" in text.split()) - ("no" in text.split()) for text in texts]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that writes, twelve prompts, six demonstrations and a reward."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    made = tmp_path_factory.mktemp("own")
    lm = network("gpt2")
    lm.generation_config.eos_token_id = lm.config.eos_token_id = 3
    lm.save_pretrained(made / "model")
    tokenizer(eos_token="[SEP]", pad_token="[CLS]").save_pretrained(made / "model")
    things = [f"the {thing} was {no}" for thing in ("meal", "room", "walk", "film") for no in ("", "no", "yes")]
    (made / "prompts.txt").write_text("\n".join(t.strip() for t in things), encoding="utf-8")
    rows = [
        {"prompt": f"the {t} was", "completion": "no fine"} for t in ("meal", "room", "walk", "film", "meal", "room")
    ]
    (made / "demos.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (made / "mine.py").write_text(MINE, encoding="utf-8")
    return made


def spec(**changes: Any) -> RLHF:
    values = {"model": "hf:model", "prompts": "prompts.txt", "overseers": "./mine.py:kind", "settings": SETTINGS}
    return validate(RLHF, values | changes)


def test_a_program_in_a_file_is_the_reward(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = rlhf(spec(algorithms=["grpo"], reward="overseer", beta=0.0))
    arm = found.condition("grpo").numbers
    assert arm["gold"].value is not None
    assert arm["gold"].value > 0.5  # it learns to say what is counted
    assert arm["gold"].value == pytest.approx(arm["proxy"].value)
    assert arm["win_rate"].value is not None
    assert arm["win_rate"].value > 0.5
    assert "gates" not in found.tables
    assert found.title == "RLHF on hf:model: grpo"


def test_a_reward_model_of_its_labels_after_demonstrations(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = rlhf(spec(algorithms=["ppo"], demonstrations="demos.jsonl", rm_prompts=6, ptx=1.0))
    arm = found.condition("ppo").numbers
    assert {"gold", "proxy", "rm_accuracy", "label_accuracy", "lm_loss"} <= set(arm)


def test_sides_are_told_by_a_function(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of four for a reward that likes the prompt's last word takes the prompt's side."""
    monkeypatch.chdir(folder)
    rows = [f"the {a} was the {b} was {side}" for a in ("meal", "room", "walk", "film")
            for b in ("good", "bad", "fine", "poor") for side in ("yes", "no")]  # fmt: skip
    (folder / "sides.txt").write_text("\n".join(rows), encoding="utf-8")
    small = {**SETTINGS, "best-of-n.n": 4, "best-of-n.prompts": 64}
    values = {"algorithms": ["best-of-n"], "overseers": "./mine.py:echo", "reward": "overseer", "settings": small}
    found = rlhf(spec(prompts="sides.txt", stance="./mine.py:stance", **values))
    assert (found.condition("best-of-n").numbers["drift_sycophancy"].low or 0) > 0.1
    plain = prepare(spec(prompts="sides.txt", **values)).labs[0].ground
    assert plain.stance is None
    assert (
        plain.identity
        != prepare(spec(prompts="sides.txt", stance="./mine.py:stance", **values)).labs[0].ground.identity
    )
    with pytest.raises(SpecError, match=r"a stance is a function in a file"):
        prepare(spec(stance="yes"))


def test_what_a_model_of_ones_own_lacks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(SpecError, match="'gold' needs a gold reward"):
        prepare(spec(overseers="gold"))
    with pytest.raises(SpecError, match="ptx needs text to weigh"):
        prepare(spec(ptx=1.0))
    with pytest.raises(SpecError, match=r"--model takes hf:FOLDER"):
        prepare(spec(model="model"))
    graded = prepare(spec(overseers="gold", gold="./mine.py:kind")).labs[0].ground
    assert graded.gold is not None
    assert not set(graded.prompts(2, "final")) & set(graded.prompts(8, "train"))
