"""From outcomes to a record: conditions, gates, laws, charts, and the lessons with their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.spec import Audit, Condition, Number, Record, Table
from superalign.core.study import circumstances
from superalign.report.numbers import format_number
from superalign.studies.rlhf import figures, gates
from superalign.studies.rlhf.outcome import Outcome, over, scalar, sided

if TYPE_CHECKING:
    from superalign.studies.rlhf.sweep import Sweep


def record_of(sweep: Sweep, outcomes: Sequence[Outcome]) -> Record:
    """The record of a finished sweep."""
    done = [o for o in outcomes if o.values]
    tables: dict[str, Table] = {"laws": figures.fits(done)} if any(o.each("final/gold") for o in done) else {}
    if sweep.spec.model is None:
        tables["gates"] = gates.table(done)
    if any(o.trained for o in done):
        tables["samples"] = figures.side_by_side(done)
    if (alarms := figures.alarms(done)) is not None:
        tables["alarms"] = alarms
    return Record(
        id=sweep.id,
        title=f"RLHF on {sweep.spec.model or sweep.spec.world}: {', '.join(dict.fromkeys(a.algorithm for a in sweep.arms))}",
        **circumstances(sweep.spec),
        conditions=(*_start(sweep, done), *(_condition(o) for o in outcomes)),
        artifacts={f"{o.arm.name}/seed {seed}": key for o in outcomes for seed, key in o.keys.items()},
        charts={**figures.frontiers(done), **figures.learning(done)},
        tables=tables,
        audit=_audit(done),
        costs={
            "seconds": round(sum(d.seconds for d in sweep.steps.done), 2),
            "steps_run_now": len([d for d in sweep.steps.done if not d.cached]),
            "usd": 0.0,
        },
        failures={o.reason: 1 for o in outcomes if o.reason},
        notes=tuple(notes(sweep, done)),
    )


def _start(sweep: Sweep, outcomes: Sequence[Outcome]) -> Iterator[Condition]:
    """The start model: where every arm begins, in its own units."""
    if not outcomes:
        return
    values = [lab.reference().run(lab.steps) for lab in sweep.labs]
    numbers: dict[str, Number | None] = {}
    if sweep.labs[0].ground.gold is not None:
        units = [lab.unit() for lab in sweep.labs]
        numbers["gold"] = over([(v["final/gold"] - m) / sd for v, (m, sd) in zip(values, units, strict=True)])
        numbers["gold_raw"] = scalar([m for m, _ in units])
        numbers["gold_sd"] = scalar([sd for _, sd in units])
    numbers |= {name: over([v[f"final/{name}"] for v in values]) for name in ("length", "repetition")}
    numbers["sycophancy"] = sided(values, "final/stance")
    numbers |= {name: scalar([v[name] for v in values if name in v]) for name in ("entropy", "lm_loss")}
    yield Condition(name="sft", numbers={k: n for k, n in numbers.items() if n is not None}, labels={"kind": "start"})


def _condition(outcome: Outcome) -> Condition:
    arm = outcome.arm
    labels = {"kind": "algorithm", **{k: f"{v:g}" if isinstance(v, float) else str(v) for k, v in arm.told().items()}}
    if not outcome.values:
        return Condition(name=arm.name, numbers={"gold": Number(value=None, reason=outcome.reason)}, labels=labels)
    numbers = outcome.numbers
    if "gold" not in numbers:
        reason = "undefined: there is no gold reward here; name one with --gold"
        numbers = {"gold": Number(value=None, reason=reason), **numbers}
    stopped = [f"seed {seed}: {v['stopped']}" for seed, v in outcome.values.items() if v.get("stopped")]
    return Condition(
        name=arm.name, numbers=numbers, labels={**labels, **({"stopped": "; ".join(stopped)} if stopped else {})}
    )


def _audit(outcomes: Sequence[Outcome]) -> tuple[Audit, ...]:
    """Every use of the truth: as a labeller, as a reward, and to grade."""
    labelled = {
        key: len(shared["labels"]["p"])
        for o in outcomes
        if o.arm.overseer.startswith("gold")
        for key, shared in ((f"{seed}/{o.arm.rm}/{o.arm.overseer}", s) for seed, s in o.shared.items())
    }
    rows = []
    if labelled:
        rows.append(
            Audit(door="truth", split="labels", purpose="labels of pairs, by the overseer", n=sum(labelled.values()))
        )
    direct = [o for o in outcomes if o.arm.reward == "overseer" and o.arm.overseer.startswith("gold")]
    if direct:
        rows.append(Audit(door="truth", split="train", purpose="the reward itself, --reward overseer", n=len(direct)))
    looks = sum(len(c) for o in outcomes for c in o.course("gold"))
    if looks:
        purpose = "gold over training, and its peak, which no method could choose without it"
        rows.append(Audit(door="score", split="evaluation", purpose=purpose, n=looks))
    graded = sum(len(row) for o in outcomes for name in ("final/gold", "fresh/gold") for row in o.each(name))
    if graded:
        rows.append(Audit(door="score", split="final", purpose="grading of every arm", n=graded))
    return tuple(rows)


def notes(sweep: Sweep, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The answer, then the lessons that these arms show, with their numbers."""
    graded = [o for o in outcomes if "gold" in o.numbers]
    if not graded:
        yield "No arm has a gold reward to be judged by."
        return
    yield _answer(graded)
    yield from (text for text in map(_overoptimised, graded) if text)
    yield from filter(None, (_biased(graded), _ptx(graded), _direct(graded), _overseers(graded), _drift(sweep, graded)))
    if len(sweep.spec.seeds) == 1:
        yield "One seed: the intervals hold the sampling of prompts and no training noise."
    elif len(sweep.spec.seeds) < 5:
        yield f"{len(sweep.spec.seeds)} seeds: the intervals are descriptive, because so few seeds understate the spread."
    if sweep.spec.model is None:
        yield (
            "Every seed is another language, so intervals over seeds hold the world's luck too. drift_sycophancy is sentiment"
            " that follows the prompt's more than the start model's did; nobody is there to be flattered."
        )


def _answer(graded: Sequence[Outcome]) -> str:
    best = max(graded, key=lambda o: _value(o, "gold"))
    said = format_number(best.numbers["gold"])
    return f"{best.arm.name} ends with the most gold: {said} standard deviations above the start model, at a KL of {_value(best, 'kl'):.1f} nats."


def _overoptimised(outcome: Outcome) -> str:
    """The proxy rose after the peak while the truth fell."""
    numbers = outcome.numbers
    if not outcome.trained or not {"proxy", "proxy_at_peak"} <= numbers.keys():
        return ""
    gold, peak, proxy, there = (_value(outcome, n) for n in ("gold", "gold_peak", "proxy", "proxy_at_peak"))
    if not (gold < peak - 1 and proxy > there):
        return ""
    return (
        f"{outcome.arm.name} over-optimises: from its peak to its end the proxy goes from {there:.2f} to {proxy:.2f} and gold"
        f" from {peak:.2f} to {gold:.2f}."
    )


def _biased(graded: Sequence[Outcome]) -> str:
    gaps = [_value(o, "gold_peak") - _value(o, "gold_at_peak_fresh") for o in graded if o.trained]
    if not gaps:
        return ""
    lost = float(np.mean(gaps))
    said = f"have {lost:.2f} less gold" if lost > 0 else f"lose nothing ({-lost:+.2f})"
    return (
        f"A peak chosen on noisy evaluations is biased upwards: on fresh prompts the chosen checkpoints {said} on average over"
        f" {len(gaps)} arms (gold_at_peak_fresh is the number to quote)."
    )


def _ptx(graded: Sequence[Outcome]) -> str:
    for outcome in graded:
        if outcome.arm.ptx:
            told = {k: v for k, v in outcome.arm.told().items() if k != "ptx"}
            other = gates.find(graded, "ppo", **told, ptx=0.0)
            if other is not None and other.rise() and outcome.rise():
                return (
                    f"ptx protects the language, not the gold: the language loss rises by {np.mean(outcome.rise()):.2f} nats with"
                    f" ptx {outcome.arm.ptx:g} and by {np.mean(other.rise()):.2f} without; peak gold is"
                    f" {_value(outcome, 'gold_peak'):.2f} and {_value(other, 'gold_peak'):.2f}."
                )
    return ""


def _direct(graded: Sequence[Outcome]) -> str:
    for dpo in graded:
        peers = [
            o
            for o in graded
            if o.arm.algorithm == "ppo" and (o.arm.overseer, o.arm.rm) == (dpo.arm.overseer, dpo.arm.rm)
        ]
        if dpo.arm.algorithm == "dpo" and peers:
            best = max(peers, key=lambda o: _value(o, "gold_at_peak_fresh"))
            return (
                f"From the same labels of {dpo.arm.rm} prompts, DPO reaches {_value(dpo, 'gold_at_peak_fresh'):.2f} at its peak"
                f" and the best PPO arm, {best.arm.name}, {_value(best, 'gold_at_peak_fresh'):.2f} (fresh prompts)."
            )
    return ""


def _overseers(graded: Sequence[Outcome]) -> str:
    """The same algorithm under several overseers."""
    texts = list(dict.fromkeys(o.arm.overseer for o in graded))
    if len(texts) < 2:
        return ""
    first = next(o for o in graded if o.arm.overseer == texts[0])
    alike = [o for o in graded if {**o.arm.told(), "overseer": ""} == {**first.arm.told(), "overseer": ""}
             and o.arm.algorithm == first.arm.algorithm]  # fmt: skip
    said = []
    for outcome in alike:
        numbers = outcome.numbers
        right = f"labels {numbers['label_accuracy'].value:.0%} right, " if "label_accuracy" in numbers else ""
        said.append(f"{outcome.arm.overseer}: {right}gold {_value(outcome, 'gold'):.2f}")
    return f"{first.arm.algorithm} by overseer: " + "; ".join(said) + "."


def _drift(sweep: Sweep, graded: Sequence[Outcome]) -> str:
    start = over([lab.reference().run(lab.steps)["final/repetition"] for lab in sweep.labs])
    most = max(graded, key=lambda o: _value(o, "repetition"))
    if start is None or start.value is None:
        return ""
    return (
        f"Drift: words said before in the same response are {start.value:.0%} of the start model's and up to"
        f" {_value(most, 'repetition'):.0%} ({most.arm.name})." + _sides(graded)
    )


def _sides(graded: Sequence[Outcome]) -> str:
    """The arm that drifted most towards or away from its prompts' side."""
    known = [o for o in graded if "drift_sycophancy" in o.numbers and o.numbers["drift_sycophancy"].value is not None]
    if not known:
        return ""
    most = max(known, key=lambda o: abs(_value(o, "drift_sycophancy")))
    said = format_number(most.numbers["drift_sycophancy"])
    return f" Responses take the side of their prompt by {said} more than the start model's ({most.arm.name}, the largest drift)."


def _value(outcome: Outcome, name: str) -> float:
    number = outcome.numbers.get(name)
    return float("-inf") if number is None or number.value is None else number.value
