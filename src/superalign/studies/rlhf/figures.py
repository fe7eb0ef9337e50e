"""Tables and charts of an RLHF record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from superalign.core import measure
from superalign.core.errors import Degenerate
from superalign.core.spec import Number, Table
from superalign.learners.rl.overoptimisation import Fit, Form, fit
from superalign.report import charts as draw
from superalign.studies.rlhf.outcome import Outcome

Rows = list[dict[str, Any]]
LEARNING = (
    ("gold", "evaluations", "gold, standard deviations"), ("proxy", "evaluations", "proxy, standard deviations"),
    ("kl", "evaluations", "KL to the start model, nats"), ("entropy", "evaluations", "entropy, nats per token"),
    ("explained_variance", "iterations", "explained variance of the value"),
)  # fmt: skip
LINES = 6
FITS = 0.5
"""A law that explains less of the variance than this is reported and not drawn."""
POINTS = 40
"""Points of a drawn fit."""


def frontiers(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Gold and proxy against the square root of KL: a chart for every trained arm, best-of-n and the fit over it."""
    found = {}
    for outcome in outcomes:
        if outcome.trained and outcome.course("proxy"):
            rows = [*path(outcome), *(r for o in outcomes if _overlays(o, outcome) for r in path(o))]
            law = fitted(outcome)
            note = "" if law is None else f"law of gold: {words(law)}"
            if law is not None and law.r2 >= FITS:
                rows += drawn(law, "law of gold")
            title = f"{outcome.arm.name}: proxy and truth against KL"
            found[f"frontier {outcome.arm.name}"] = draw.curves(
                rows, title, x="square root of KL (nats)", y="standard deviations of the start model", note=note
            )
    return found


def path(outcome: Outcome) -> Rows:
    """Gold and proxy along the run, or over n, against the square root of KL: means over seeds with their intervals."""
    rows: Rows = []
    which = "" if outcome.trained else ", best-of-n"
    for name in ("gold", "proxy"):
        kl, _ = points(outcome, name)
        for k, number in zip(kl, along(outcome, name), strict=False):
            place = {"step": math.sqrt(max(float(k), 0.0)), "series": name + which}
            rows.append({**place, "value": number.value, "low": number.low, "high": number.high})
    return rows


def along(outcome: Outcome, name: str, kind: str = "evaluations") -> list[Number]:
    """A quantity at every point of a run, or for every n. Its interval is over seeds, for one seed over prompts."""
    if not outcome.trained:
        curves = outcome.each(f"curve/{name}")
        return [measure.mean(np.stack([c[:, k] for c in curves])) for k in range(curves[0].shape[1])] if curves else []
    columns, doubt = outcome.course(name, kind), outcome.course(f"{name}_se", kind)
    found = []
    for k in range(min(map(len, columns), default=0)):
        values = np.array([c[k] for c in columns])
        number = measure.mean(values[:, None]) if np.isfinite(values).all() else Number(value=None, reason="undefined")
        if len(values) == 1 and doubt and number.value is not None:
            half = 1.96 * float(doubt[0][k])
            number = number.model_copy(update={"low": number.value - half, "high": number.value + half})
        found.append(number)
    return found


def points(outcome: Outcome, name: str) -> tuple[np.ndarray, np.ndarray]:
    """KL and a score, means over seeds, (points,) each; empty where the score is not known."""
    if outcome.trained:
        kl, values = outcome.course("kl"), outcome.course(name)
    else:
        kl, values = outcome.each("curve/kl"), [c.mean(0) for c in outcome.each(f"curve/{name}")]
    if not values:
        return np.zeros(0), np.zeros(0)
    shortest = min(map(len, (*kl, *values)))
    return np.mean([k[:shortest] for k in kl], 0), np.mean([v[:shortest] for v in values], 0)


def fitted(outcome: Outcome) -> Fit | None:
    """The law of the arm's form on the means over seeds; None where there is too little to fit."""
    try:
        return fit(*points(outcome, "gold"), form_of(outcome))
    except Degenerate:
        return None


def form_of(outcome: Outcome) -> Form:
    """Which law an arm is fitted by."""
    return "rl" if outcome.trained else "best-of-n"


def drawn(law: Fit, name: str) -> Rows:
    """A fit over the range that it was made on."""
    where = np.linspace(*law.span, POINTS)
    return [{"step": float(d), "value": float(y), "series": name} for d, y in zip(where, law(where), strict=True)]


def words(law: Fit) -> str:
    """`d (0.88 - 0.14 d), R² 0.99 on d from 0.6 to 1.8`."""
    bend = "d" if law.form == "best-of-n" else "log d"
    return f"d ({law.a:.2f} - {law.b:.2f} {bend}), R² {law.r2:.2f} on d from {law.span[0]:.1f} to {law.span[1]:.1f}"


def learning(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Curves over training, a chart for every quantity and a line for every arm. Methods that count alike share charts
    until there are more arms than lines that can be told apart."""
    on_policy = [o for o in outcomes if o.arm.algorithm in ("ppo", "grpo", "rloo")]
    apart = len(on_policy) > LINES
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.trained:
            shared = not apart and outcome in on_policy and len({o.arm.algorithm for o in on_policy}) > 1
            groups.setdefault("ppo, grpo, rloo" if shared else outcome.arm.algorithm, []).append(outcome)
    found = {}
    for group, mine in groups.items():
        for name, kind, label in LEARNING:
            rows = [row for o in mine for row in over_time(o, name, kind)]
            if rows:
                what = label.partition(",")[0]
                found[f"{name} over training, {group}"] = draw.curves(
                    rows, f"{what[:1].upper()}{what[1:]} over training ({group})", x="iteration", y=label
                )
    return found


def over_time(outcome: Outcome, name: str, kind: str) -> Rows:
    """A quantity over training as rows of a chart."""
    steps = outcome.course("iteration", kind)
    return [
        {"step": float(step), "value": n.value, "low": n.low, "high": n.high, "series": outcome.arm.name}
        for step, n in zip(steps[0] if steps else (), along(outcome, name, kind), strict=False)
        if n.value is not None
    ]


def fits(outcomes: Sequence[Outcome]) -> Table:
    """The laws of over-optimisation, for every arm and seed."""
    rows: list[tuple[Any, ...]] = []
    for outcome in outcomes:
        for seed, (kl, gold) in zip(outcome.values, seeds(outcome), strict=False):
            try:
                law = fit(kl, gold, form_of(outcome))
            except Degenerate as reason:
                rows.append((outcome.arm.name, seed, form_of(outcome), None, None, None, str(reason), None, None))
                continue
            span = f"{law.span[0]:.2f} to {law.span[1]:.2f}"
            inside = law.peak is not None and law.span[0] <= law.peak <= law.span[1]
            peak = (_few(law.peak), _few(law.top)) if inside else (None, None)
            rows.append((outcome.arm.name, seed, law.form, _few(law.a), _few(law.b), _few(law.r2), span, *peak))
    note = (
        "Gold gained as d (a - b d) for best-of-n, d (a - b log d) for training, d the square root of KL (Gao et al. 2022)."
        " A peak outside of the fitted range is no finding, and is left out."
    )
    columns = ("arm", "seed", "form", "a", "b", "R²", "fitted for d", "peak at d", "gold there")
    return Table(title="Laws of over-optimisation", columns=columns, rows=tuple(rows), note=note)


def seeds(outcome: Outcome) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """KL and gold of every seed."""
    if outcome.trained:
        yield from zip(outcome.course("kl"), outcome.course("gold"), strict=False)
    else:
        yield from zip(outcome.each("curve/kl"), (c.mean(0) for c in outcome.each("curve/gold")), strict=False)


def side_by_side(outcomes: Sequence[Outcome]) -> Table:
    """What the start model and the arms say to the same prompts, first seed."""
    first = next(o for o in outcomes if o.values and o.trained)
    seed = next(iter(first.values))
    rows = []
    for k, (prompt, text) in enumerate(first.start[seed]["shown"]):
        rows.append((prompt, "sft", text))
        rows += [
            (prompt, o.arm.name, o.values[seed]["shown"][k])
            for o in outcomes
            if o.trained and seed in o.values and k < len(o.values[seed]["shown"])
        ]
    return Table(title=f"Samples side by side, seed {seed}", columns=("prompt", "arm", "response"), rows=tuple(rows))


def alarms(outcomes: Sequence[Outcome]) -> Table | None:
    """Alarms by kind, and runs that stopped early; None where there was nothing."""
    rows: list[tuple[Any, ...]] = []
    for outcome in outcomes:
        for seed, value in outcome.values.items():
            kinds = [about for _, about, _ in value.get("alarms", ())]
            for kind in dict.fromkeys(kinds):
                at = [i for i, about, _ in value["alarms"] if about == kind]
                rows.append((outcome.arm.name, seed, kind, len(at), f"iterations {at[0]} to {at[-1]}"))
            if value.get("stopped"):
                rows.append((outcome.arm.name, seed, "stopped", 1, value["stopped"]))
    columns = ("arm", "seed", "alarm", "times", "when")
    return Table(title="Alarms", columns=columns, rows=tuple(rows)) if rows else None


def _overlays(other: Outcome, outcome: Outcome) -> bool:
    """Best-of-n on the same reward."""
    same = all(getattr(other.arm, k) == getattr(outcome.arm, k) for k in ("overseer", "reward", "rm"))
    return same and not other.trained and bool(other.values)


def _few(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 3)
