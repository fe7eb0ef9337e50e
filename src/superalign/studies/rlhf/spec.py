"""The spec of an RLHF study."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from superalign.core.spec import Seeds, Spec, distinct

ALGORITHMS = ("ppo", "grpo", "rloo", "dpo", "rejection", "best-of-n")
Algorithm = Literal["ppo", "grpo", "rloo", "dpo", "rejection", "best-of-n"]


class RLHF(Spec):
    """Which algorithms optimise which overseer's preferences, on what policy, over which seeds.

    The policy is that of a `world` whose truth is known (the default, `sentiment-markov`), or a `model` (`hf:FOLDER`)
    with a file of `prompts`; `demonstrations` (prompt, completion) are then what it is first fine-tuned on. `gold` is
    what its responses are graded by: an overseer that scores, the first of `overseers` unless given. `stance`
    (`./mine.py:stance`, texts to numbers) tells which side a text takes, for the drift of sycophancy.

    An arm is an algorithm with one value of every setting that it has. `overseers` label pairs of samples of the start
    model; `reward` says what is optimised: a reward model trained on these labels (`rm`), or the overseer itself
    (`overseer`). `rm_prompts` counts labelled prompts, `beta` weighs the KL to the start model, `ptx` the language loss
    on the corpus, `value` is where PPO's value network starts (`rm` or `zero`). `cast` names models for the chairs of an
    overseer that holds debates. `settings` are options of stages and algorithms by dotted name (`ppo.lr`, `sft.steps`).
    """

    study: Literal["rlhf"] = "rlhf"
    world: str | None = None
    model: str | None = None
    prompts: str | None = None
    demonstrations: str | None = None
    gold: str | None = None
    stance: str | None = None
    algorithms: tuple[Algorithm, ...] = ("ppo",)
    overseers: tuple[str, ...] = ("gold",)
    reward: tuple[Literal["rm", "overseer"], ...] = ("rm",)
    rm_prompts: tuple[int, ...] = (64,)
    beta: tuple[float, ...] = (0.1,)
    ptx: tuple[float, ...] = (0.0,)
    value: tuple[Literal["rm", "zero"], ...] = ("rm",)
    cast: dict[str, str] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    seeds: Seeds = (0,)

    @field_validator("algorithms", "overseers", "reward", "rm_prompts", "beta", "ptx", "value", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | int | float) else value

    @field_validator("algorithms", "overseers", "reward", "rm_prompts", "beta", "ptx", "value", "seeds")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value:
            raise ValueError("name at least one")
        return distinct(value)

    @field_validator("rm_prompts", "beta", "ptx")
    @classmethod
    def _sane(cls, value: tuple[float, ...], info: Any) -> tuple[float, ...]:
        least = 1 if info.field_name == "rm_prompts" else 0
        low = [v for v in value if not v >= least]
        if low:
            raise ValueError(f"{low[0]} is less than {least}")
        return value

    @model_validator(mode="after")
    def _people(self) -> Self:
        """People label; they do not score every sample of a training run."""
        asked = [t for t in self.overseers if t.startswith("human")]
        if any(t.startswith(("judge", "labeller")) for t in self.overseers):
            asked += [t for t in self.cast.values() if t.startswith("human")]
        if asked and "overseer" in self.reward:
            raise ValueError(
                f"{asked[0]} cannot be the reward itself: training asks for the score of every sample; type --reward rm,"
                " and a reward model learns from people's labels"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _where(cls, values: Any) -> Any:
        """A world unless a model is named; a model has prompts."""
        if not isinstance(values, dict):
            return values
        if values.get("model") is None:
            for name in ("prompts", "demonstrations", "gold", "stance"):
                if values.get(name) is not None:
                    raise ValueError(f"{name} is for a model of your own; name it with --model hf:FOLDER")
            return {**values, "world": values.get("world") or "sentiment-markov"}
        if values.get("world") is not None:
            raise ValueError("give a world or a model, not both")
        if values.get("prompts") is None:
            raise ValueError(f"the model {values['model']!r} needs prompts; name a file of them with --prompts FILE")
        return values
