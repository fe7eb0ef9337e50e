"""The arms of a study: an algorithm with one value of every setting that it has."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from superalign.studies.rlhf.spec import RLHF

SETTINGS = {
    "ppo": ("overseer", "reward", "rm", "beta", "ptx", "value"),
    "grpo": ("overseer", "reward", "rm", "beta"),
    "rloo": ("overseer", "reward", "rm", "beta"),
    "dpo": ("overseer", "rm"),
    "rejection": ("overseer", "reward", "rm"),
    "best-of-n": ("overseer", "reward", "rm"),
}
"""What each algorithm is told. DPO's own beta is another thing, its setting `dpo.beta`."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One row of the study. What an algorithm is not told is None; `name` shows the settings that the study varies."""

    name: str
    algorithm: str
    overseer: str
    reward: str = "rm"
    rm: int | None = None
    beta: float | None = None
    ptx: float | None = None
    value: str | None = None

    def told(self) -> dict[str, Any]:
        """Its settings by name."""
        found = {name: getattr(self, name) for name in ("overseer", "reward", "rm", "beta", "ptx", "value")}
        return {name: value for name, value in found.items() if value is not None}


def arms(spec: RLHF) -> list[Arm]:
    """Every arm of the spec, in the order in which it names them; arms that come to the same thing once."""
    axes: dict[str, tuple[Any, ...]] = {
        "overseer": spec.overseers, "reward": spec.reward, "rm": spec.rm_prompts, "beta": spec.beta, "ptx": spec.ptx,
        "value": spec.value,
    }  # fmt: skip
    varied = {name for name, values in axes.items() if len(values) > 1}
    found: dict[tuple[Any, ...], Arm] = {}
    for algorithm in spec.algorithms:
        names = SETTINGS[algorithm]
        for values in product(*(axes[name] for name in names)):
            told = dict(zip(names, values, strict=True))
            if told.get("reward") == "overseer":  # nothing is trained on labels, so there is no reward model to vary
                told = {k: v for k, v in told.items() if k not in ("rm", "value")}
            shown = [f"{name}={_short(told[name])}" for name in names if name in told and name in varied]
            arm = Arm(algorithm + ("@" + ",".join(shown) if shown else ""), algorithm, **told)
            found.setdefault((algorithm, *sorted(told.items())), arm)
    return list(found.values())


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
