"""What an arm came to, seed by seed, and its numbers with their doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core import measure
from superalign.core.spec import Number
from superalign.studies.rlhf.arms import Arm
from superalign.studies.rlhf.sycophancy import taken

if TYPE_CHECKING:
    from superalign.core.resample import Floats
    from superalign.studies.rlhf.lab import Lab, Stage

EARLY = 5
"""Iterations over which early explained variance is averaged."""


@dataclass(eq=False)
class Outcome:
    """The values that an arm's stage left, by seed, with those of the stages it stands on."""

    arm: Arm
    values: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    start: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    shared: dict[int, dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    keys: dict[int, str] = field(default_factory=dict)
    reason: str | None = None

    def add(self, lab: Lab, stage: Stage) -> None:
        """Run the stage, or find its value. Raises Degenerate where the method is undefined on these data."""
        value = stage.run(lab.steps)
        self.values[lab.seed], self.keys[lab.seed] = value, stage.key(lab.steps)
        self.start[lab.seed] = lab.reference().run(lab.steps)
        if self.arm.rm is not None:
            labels, rm = lab.labels(self.arm.overseer, self.arm.rm), lab.rm(self.arm.overseer, self.arm.rm)
            self.shared[lab.seed] = {"labels": labels.run(lab.steps), "rm": rm.run(lab.steps)}

    def fail(self, reason: str) -> None:
        """Remember why there is no value."""
        self.reason = self.reason or f"undefined: {reason}"

    @property
    def trained(self) -> bool:
        """Whether there was a training run (best-of-n has none)."""
        return self.arm.algorithm != "best-of-n"

    def each(self, name: str) -> list[Floats]:
        """An array of every seed's value."""
        return [np.asarray(v[name], np.float64) for v in self.values.values() if name in v]

    def course(self, name: str, kind: str = "evaluations") -> list[Floats]:
        """A column of every seed's events, (points,) each; NaN where it was not told or not finite."""
        found = (v.get(kind, {}).get(name) for v in self.values.values())
        return [np.array([np.nan if x is None else x for x in column], np.float64) for column in found if column]

    def at_peak(self, name: str) -> list[float]:
        """A column of the evaluations where the peak is, for every seed."""
        found = []
        for value in self.values.values():
            if self.trained:
                place = value["evaluations"]["iteration"].index(value["peak"])
                column = value["evaluations"].get(name)
                found.append(float("nan") if column is None or column[place] is None else float(column[place]))
            elif f"curve/{name}" in value:
                curve = np.asarray(value[f"curve/{name}"], np.float64)
                found.append(float(curve[..., value["peak"]].mean()))
        return found

    def early(self) -> list[float]:
        """Explained variance over the first iterations, for every seed."""
        return [float(np.nanmean(c[:EARLY])) for c in self.course("explained_variance", "iterations")]

    def rise(self) -> list[float]:
        """By how much the language loss on held-out text rose, nats per token, for every seed."""
        ends = [c[-1] for c in self.course("lm_loss")]
        return [float(e - s["lm_loss"]) for e, s in zip(ends, self.start.values(), strict=False) if "lm_loss" in s]

    @cached_property
    def numbers(self) -> dict[str, Number]:
        """The numbers of its condition, once all seeds are in; those that mean nothing here are left out."""
        told = {
            "gold": over(self.each("final/gold")), "gold_peak": scalar(self.at_peak("gold")),
            "proxy": over(self.each("final/proxy")), "kl": over(self.each("final/kl")),
            "win_rate": over(self.each("final/won")), "gold_at_peak_fresh": over(self.each("fresh/gold")),
            "proxy_at_peak": scalar(self.at_peak("proxy")), "kl_at_peak": scalar(self.at_peak("kl")),
            "length": over(self.each("final/length")), "repetition": over(self.each("final/repetition")),
            "drift_sycophancy": sided(list(self.values.values()), "final/leant"),
            "entropy": scalar([c[-1] for c in self.course("entropy")]),
            "lm_loss": scalar([c[-1] for c in self.course("lm_loss")]),
            "rm_accuracy": over(self._shared("rm")), "label_accuracy": over(self._shared("labels")),
            "explained_variance_early": scalar(self.early()),
            "explained_variance": scalar([c[-1] for c in self.course("explained_variance", "iterations")]),
        }  # fmt: skip
        found = {name: number for name, number in told.items() if number is not None}
        if self.trained:
            found["alarms"] = Number(value=sum(len(v["alarms"]) for v in self.values.values()), seeds=len(self.values))
        for name, key in (("seconds", "seconds"), ("cpu_seconds", "cpu")):
            spent = [float(v[key]) for v in self.values.values()]
            found[name] = Number(value=round(sum(spent) / len(spent), 2), seeds=len(spent))
        return found

    def _shared(self, stage: str) -> list[Floats]:
        return [np.asarray(s[stage]["agree"], np.float64) for s in self.shared.values() if "agree" in s[stage]]


def over(rows: Sequence[Floats]) -> Number | None:
    """The mean over seeds and prompts, its interval resampling both; rows of different lengths are cut to the
    shortest. None where there is nothing."""
    known = [row[np.isfinite(row)] for row in rows]
    if not known or not min(map(len, known)):
        return None
    shortest = min(map(len, known))
    return measure.mean(np.stack([row[:shortest] for row in known]))


def sided(values: Sequence[Mapping[str, Any]], name: str) -> Number | None:
    """Side-taking of what is under `name`, over seeds and prompts; None where no stance is known."""
    known = [v for v in values if name in v]
    if not known:
        return None
    rows = [taken(np.asarray(v[name], np.float64), np.asarray(v["final/side"], np.float64)) for v in known]
    told = [row for row in rows if row is not None]
    if len(told) < len(rows):
        return Number(value=None, reason="undefined: fewer than two prompts take one of the sides; add prompts")
    return over(told)


def scalar(values: Sequence[float]) -> Number | None:
    """The mean of one number per seed; None where there is none."""
    known = [v for v in values if np.isfinite(v)]
    return measure.mean(np.array(known)[:, None]) if known else None
