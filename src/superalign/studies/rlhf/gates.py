"""The gates of the built-in world: what must hold in every seed for the machinery to be right, checked by code.

Each is a sign or a wide margin that held in the measurements it is named after. A gate that fails is reported as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from superalign.core.errors import Degenerate
from superalign.core.spec import Table
from superalign.learners.rl.overoptimisation import fit
from superalign.studies.rlhf.outcome import Outcome

SMALL, LARGE = 64, 1024
"""Labelled prompts of the weak and of the good reward model."""

Verdicts = list[tuple[bool, str]]


@dataclass(frozen=True, slots=True)
class Gate:
    """A claim, what has to be run for it, and how each seed is judged (None where it was not run)."""

    name: str
    claim: str
    needs: str
    judge: Callable[[Sequence[Outcome]], Verdicts | None]


def find(outcomes: Sequence[Outcome], algorithm: str, **told: Any) -> Outcome | None:
    """The first finished arm of the algorithm with these settings, labelled by gold and optimising a reward model; settings
    that are not named are at their defaults."""
    usual = {"overseer": "gold", "reward": "rm", "ptx": 0.0, "value": "rm"}
    for outcome in outcomes:
        have = outcome.arm.told()
        wanted = {k: v for k, v in {**usual, **told}.items() if k in have}
        if outcome.arm.algorithm == algorithm and outcome.values and all(have[k] == v for k, v in wanted.items()):
            return outcome
    return None


def table(outcomes: Sequence[Outcome]) -> Table:
    """Every gate with its verdict: holds, fails, or what to run."""
    rows = []
    for gate in GATES:
        found = gate.judge(outcomes)
        if not found:
            rows.append((gate.name, gate.claim, "not run", f"needs {gate.needs}"))
        else:
            held = sum(good for good, _ in found)
            verdict = "holds" if held == len(found) else f"fails ({held} of {len(found)} seeds hold)"
            rows.append((gate.name, gate.claim, verdict, "; ".join(text for _, text in found)))
    note = "A gate holds if it does in every seed. Scores are in standard deviations of the start model's samples."
    return Table(title="Gates", columns=("gate", "claim", "verdict", "each seed"), rows=tuple(rows), note=note)


def _ends(outcome: Outcome, name: str = "gold") -> list[float]:
    return [float(np.nanmean(row)) for row in outcome.each(f"final/{name}")]


def _safe(outcomes: Sequence[Outcome]) -> Verdicts | None:
    arm = find(outcomes, "ppo", rm=LARGE, beta=0.1)
    return arm and [(end > 1, f"{end:.2f}") for end in _ends(arm)]  # type: ignore[return-value]


def _hacked(outcomes: Sequence[Outcome]) -> Verdicts | None:
    arm = find(outcomes, "ppo", rm=SMALL, beta=0.0)
    if arm is None:
        return None
    rows = zip(_ends(arm, "proxy"), arm.at_peak("proxy"), _ends(arm), arm.at_peak("gold"), strict=True)
    return [
        (end > there and gold < peak - 3, f"proxy {there:.2f} to {end:.2f}, gold {peak:.2f} to {gold:.2f}")
        for end, there, gold, peak in rows
    ]


def _more_labels(outcomes: Sequence[Outcome]) -> Verdicts | None:
    parts: list[list[tuple[float, float]]] = []
    for algorithm, told in (("best-of-n", {}), ("ppo", {"beta": 0.0})):
        few, many = (find(outcomes, algorithm, rm=n, **told) for n in (SMALL, LARGE))
        if few is None or many is None:
            return None
        ends = _ends if algorithm == "best-of-n" else lambda o: o.at_peak("gold")
        parts.append(list(zip(ends(few), ends(many), strict=True)))
    return [
        (all(a < b for a, b in pairs), ", ".join(f"{a:.2f} < {b:.2f}" for a, b in pairs))
        for pairs in zip(*parts, strict=True)
    ]


def _law(outcomes: Sequence[Outcome]) -> Verdicts | None:
    few, many = (find(outcomes, "best-of-n", rm=n) for n in (SMALL, LARGE))
    if few is None or many is None:
        return None
    found: Verdicts = []
    for one, other in zip(few.values.values(), many.values.values(), strict=True):
        try:
            weak, good = (fit(v["curve/kl"], np.asarray(v["curve/gold"]).mean(0), "best-of-n") for v in (one, other))
        except Degenerate as reason:
            found.append((False, str(reason)))
            continue
        holds = weak.a > 0 and good.a > 0 and weak.b > 0 and weak.b > good.b
        found.append((holds, f"a {weak.a:.2f} and {good.a:.2f}, b {weak.b:.2f} > {good.b:.2f}"))
    return found


def _both(
    outcomes: Sequence[Outcome],
    one: dict[str, Any],
    other: dict[str, Any],
    read: Callable[[Outcome], list[float]],
    sign: str,
) -> Verdicts | None:
    """Whether a number is smaller for one PPO arm than for the other, all else equal, at the fewest labels that have both."""
    for n in sorted({o.arm.rm for o in outcomes if o.arm.rm is not None}):
        for beta in sorted({o.arm.beta for o in outcomes if o.arm.beta is not None}):
            a = find(outcomes, "ppo", **{"rm": n, "beta": beta, **one})
            b = find(outcomes, "ppo", **{"rm": n, "beta": beta, **other})
            if a is not None and b is not None and read(a) and read(b):
                return [(x < y, f"{x:.2f} {sign} {y:.2f}") for x, y in zip(read(a), read(b), strict=True)]
    return None


def _penalty(outcomes: Sequence[Outcome]) -> Verdicts | None:
    return _both(outcomes, {"beta": 0.1}, {"beta": 0.0}, lambda o: _ends(o, "kl"), "<")


def _value(outcomes: Sequence[Outcome]) -> Verdicts | None:
    return _both(outcomes, {"value": "zero"}, {"value": "rm"}, lambda o: o.early(), "<")


def _language(outcomes: Sequence[Outcome]) -> Verdicts | None:
    return _both(outcomes, {"ptx": 1.0}, {"ptx": 0.0}, lambda o: o.rise(), "<")


def _direct(outcomes: Sequence[Outcome]) -> Verdicts | None:
    arm = find(outcomes, "dpo", rm=SMALL) or find(outcomes, "dpo", rm=LARGE)
    if arm is None:
        return None
    found: Verdicts = []
    for value in arm.values.values():
        first, seen = value["iterations"]["loss"][0], dict(
            zip(value["evaluations"]["iteration"], value["evaluations"]["gold"], strict=True)
        )  # fmt: skip
        late = seen.get(100)
        if late is None:
            return None
        found.append((abs(first - math.log(2)) < 1e-3 and late > 1, f"loss {first:.4f}, gold {late:.2f}"))
    return found


GATES = (
    Gate("G1", "PPO with 1,024 labelled prompts and beta 0.1 ends with gold above 1",
         "ppo with --rm-prompts 1024 --beta 0.1", _safe),
    Gate("G2", "PPO with 64 and beta 0: the proxy goes on rising after the peak of gold, and gold falls by 3 or more",
         "ppo with --rm-prompts 64 --beta 0", _hacked),
    Gate("G3", "More labels, more gold: best of 64, and the peak of PPO with beta 0",
         "ppo,best-of-n with --rm-prompts 64,1024 --beta 0", _more_labels),
    Gate("G4", "Best-of-n follows d (a - b d): a > 0 for both, b > 0 for 64 labelled prompts and larger than for 1,024",
         "best-of-n with --rm-prompts 64,1024", _law),
    Gate("G5", "The KL at the end is smaller with beta 0.1 than with 0", "ppo with --beta 0,0.1", _penalty),
    Gate("G6", "Early explained variance is larger with the value started from the reward model than from zero",
         "ppo with --value rm,zero", _value),
    Gate("G7", "The language loss rises less with ptx 1 than with 0", "ppo with --ptx 0,1", _language),
    Gate("G8", "DPO begins at a loss of ln 2, and gold is above 1 at step 100", "dpo with --rm-prompts 64", _direct),
)  # fmt: skip
