"""The options that on-policy methods share, and how options are read from names and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from superalign.core.errors import SpecError, nearest
from superalign.learners.rl import maths
from superalign.learners.rl.rollouts import Ending
from superalign.models.policy import Sampling

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPolicy:
    """Options that every on-policy method has; defaults are those of the tiny world.

    `iterations` of `batch` responses each. Responses have at most `tokens` tokens, drawn at `temperature`, no EOS before
    `least` tokens (equal to `tokens`: fixed length). They are cut after the first token `stop` (EOS unless given) at
    position `stop_start` or later; without one the score is kept, replaced by `missing_score` or it is added (`missing`).
    `beta` weighs the KL to the reference, estimated by `kl`.
    AdamW with `lr`, `betas`, `weight_decay` and `adam_eps`, which stands before the bias correction if `eps_first`
    (TensorFlow 1; torch has it after). `schedule` of the rate over iterations: constant, linear to 0, cosine to 10 %,
    after `warm_up` iterations from a tenth. The policy's gradient is cut to norm `clip_gradient`.
    `average` is the decay of the average of the weights that is returned, per optimiser step; 0 is off.
    `most_kl` (nats per response) and `least_entropy` (nats per token) stop the run, `alarm_kl` (nats per token, approximate
    KL of one iteration's updates) raises an alarm.
    """

    iterations: int = 80
    batch: int = 64
    tokens: int = 16
    temperature: float = 1.0
    least: int = 0
    stop: int | None = None
    stop_start: int = 0
    missing: Literal["keep", "replace", "add"] = "keep"
    missing_score: float = -1.0
    beta: float = 0.1
    kl: maths.KL = "k1"
    lr: float = 1e-4
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warm_up: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    adam_eps: float = 1e-5
    eps_first: bool = False
    weight_decay: float = 0.0
    clip_gradient: float = 1.0
    average: float = 0.0
    most_kl: float = 200.0
    least_entropy: float = 1e-3
    alarm_kl: float = 0.1

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("iterations", "batch", "tokens", "temperature", "lr"):
            require(getattr(self, name) > 0, f"{name} is {getattr(self, name)}; it must be positive")
        require(0 <= self.average < 1, f"average is {self.average}; a decay lies in [0, 1)")
        require(self.beta >= 0, f"beta is {self.beta}; a KL weight is 0 or more")
        require(
            self.missing == "keep" or self.least < self.tokens,
            f"missing={self.missing!r} punishes responses without EOS, but least={self.least} bans EOS from all of them",
        )

    @property
    def sampling(self) -> Sampling:
        """How responses are drawn."""
        return Sampling(self.tokens, self.temperature, self.least)

    @property
    def ending(self) -> Ending:
        """How responses are cut and what a missing end costs."""
        return Ending(self.stop, self.stop_start, self.missing, self.missing_score)


def require(holds: bool, message: str) -> None:
    """Raise SpecError unless it holds."""
    if not holds:
        raise SpecError(message)


def check_choices(options: Any) -> None:
    """Raise SpecError where an option that has a few named values has another one."""
    for name, kind in get_type_hints(type(options)).items():
        value = getattr(options, name)
        if get_origin(kind) is Literal and value not in get_args(kind):
            raise SpecError(f"{name} is {value!r}; {nearest(str(value), map(str, get_args(kind)))}")


def options_from(kind: type[Kind], given: Mapping[str, Any]) -> Kind:
    """Options of a method from names and values, JSON lists as tuples; SpecError for a name that is none of them."""
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            raise SpecError(f"{kind.__name__} has no option {name!r}; {nearest(name, known)}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})
