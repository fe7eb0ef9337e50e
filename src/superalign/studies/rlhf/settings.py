"""Options of the stages and algorithms, by dotted name: `sft.steps`, `policy.width`, `ppo.lr`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from superalign.core.errors import SpecError, nearest
from superalign.learners.rl.dpo import DPO
from superalign.learners.rl.grpo import GRPO
from superalign.learners.rl.options import options_from, require
from superalign.learners.rl.ppo import PPO
from superalign.learners.rl.rejection import Rejection
from superalign.learners.rl.reward import Reward
from superalign.learners.rl.rloo import RLOO
from superalign.learners.rl.sft import SFT


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The native transformer of a world's policy."""

    layers: int = 2
    width: int = 64
    heads: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """How pairs are labelled: `samples` responses to each prompt, all their pairs. The label of gold and of a program is
    drawn from its probability, as people click; that of a judge or a weak model is its probability, and every label is
    with `soft`. `sharpness`: the odds in nats with which gold prefers a response that is one standard deviation better."""

    samples: int = 4
    soft: bool = False
    sharpness: float = 3.0

    def __post_init__(self) -> None:
        require(
            self.samples >= 2 and self.sharpness > 0,
            f"labels.samples={self.samples} is below 2, or sharpness not positive",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How policies are looked at: `prompts` fresh ones every `each` iterations (every `slow` steps of DPO), `final` ones
    at the end and again at the peak; `reference` samples of the start model set the unit, its standard deviation."""

    prompts: int = 256
    each: int = 5
    slow: int = 20
    final: int = 512
    reference: int = 1024

    def __post_init__(self) -> None:
        require(min(self.prompts, self.each, self.slow) > 0 and min(self.final, self.reference) > 1,
                "evaluation.* must be positive, final and reference 2 or more")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOf:
    """Best-of-n: `n` samples of each of `prompts` fresh prompts."""

    n: int = 64
    prompts: int = 128

    def __post_init__(self) -> None:
        require(self.n > 1 and self.prompts > 1, f"best-of-n.n={self.n} and prompts={self.prompts} must be 2 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All options of a study, one dataclass for each part; defaults are those of the small world. `corpus` counts texts
    to imitate, `train_prompts` prompts to learn on, `tokens` a response of a model of your own."""

    policy: Body = field(default_factory=Body)
    corpus: int = 19_200
    sft: SFT = field(default_factory=lambda: SFT(prompts_too=True))
    labels: Labels = field(default_factory=Labels)
    rm: Reward = field(default_factory=Reward)
    evaluation: Evaluation = field(default_factory=Evaluation)
    ppo: PPO = field(default_factory=PPO)
    grpo: GRPO = field(default_factory=lambda: GRPO(kl="k1", kl_in="reward"))
    rloo: RLOO = field(default_factory=RLOO)
    dpo: DPO = field(default_factory=DPO)
    rejection: Rejection = field(default_factory=Rejection)
    best_of_n: BestOf = field(default_factory=BestOf)
    train_prompts: int = 4096
    tokens: int = 64

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Settings:
        """Defaults with what is given by dotted name. SpecError, with near names, for what is not there."""
        found = cls()
        for name, value in given.items():
            section, _, option = name.replace("-", "_").partition(".")
            known = [f.name for f in fields(cls)]
            if section not in known:
                raise SpecError(f"no part of the study is called {section!r}; {nearest(section, known)}")
            held = getattr(found, section)
            found = replace(found, **{section: _changed(held, section, option, value)})
        return found


def _changed(held: Any, section: str, option: str, value: Any) -> Any:
    """The part with one option changed; an option that has options of its own is reached by another dot."""
    if isinstance(held, int):
        if option or not isinstance(value, int) or value < 1:
            raise SpecError(f"{section} is a count; write {section}=1000")
        return value
    if not option:
        raise SpecError(f"{section} has options; write {section}.{fields(held)[0].name}=...")
    name, _, rest = option.partition(".")
    current = {f.name: getattr(held, f.name) for f in fields(held)}
    if name not in current:
        raise SpecError(f"{section} has no option {name!r}; {nearest(name, current)}")
    where = f"{section}.{name}"
    if is_dataclass(current[name]):
        changed = _changed(current[name], where, rest, value)
    elif rest:
        raise SpecError(f"{where} has no options; write {where}=...")
    else:
        changed = _typed(current[name], value, where)
    return options_from(type(held), {**current, name: changed})


def _typed(current: Any, value: Any, name: str) -> Any:
    """The value in the option's own type, so that 1 and 1.0 are the same setting."""
    kind = type(current)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if current is not None and kind is not tuple and not isinstance(value, kind):
        raise SpecError(f"{name} takes {kind.__name__} values such as {current!r}, got {value!r}")
    return value
