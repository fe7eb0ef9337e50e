"""The records of interpretability studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from superalign.core.spec import Condition, Number, Record, Table
from superalign.core.study import circumstances
from superalign.interp.controls import gap, mean
from superalign.report import charts
from superalign.studies.interp import planted
from superalign.studies.interp.group import MIXED, PRIMARY, Group
from superalign.studies.interp.spec import Interp

NUMBERS = {
    "score": PRIMARY, "top_and_random": MIXED, "explained_variance": "explained-variance", "auprc": "auprc", "f1": "f1",
    "iou": "iou",
}  # fmt: skip
"""The numbers of a condition, and the scores they are means of."""


def planted_record(spec: Interp, seen: Sequence[dict[str, planted.Seen]], artifacts: Mapping[str, str]) -> Record:
    """The record of the world of planted predicates."""
    conditions = planted.conditions(seen)
    by = {c.name: c.numbers for c in conditions}
    sae = by["sae-latents"]
    points = [{"name": name, "x": numbers["score"].value, "y": numbers["recall"].value} for name, numbers in by.items()]
    return Record(
        id=f"interp-{spec.digest[:8]}",
        title="Planted predicates: what explanations recover",
        **circumstances(spec),
        conditions=conditions,
        artifacts=dict(artifacts),
        charts={
            "recall": charts.bars_with_intervals(
                _rows(by, "recall"), "Planted predicates recalled (IoU of .95 or more)"
            ),
            "truth": charts.bars_with_intervals(
                _truths(by), "Does the score know? Rank correlation with the truth", x="Spearman"
            ),
            "score and recall": charts.scatter(points, "A score says little by itself", x="mean score", y="recall"),
        },
        tables={"seeds": planted.table(seen, spec.seeds)},
        failures=_failures([each.group for one in seen for each in one.values()]),
        notes=(
            f"Recall of planted predicates: true directions {_said(by['true-directions']['recall'])}, latents of a sparse "
            f"autoencoder {_said(sae['recall'])}, neurons {_said(by['neurons']['recall'])}, random directions "
            f"{_said(by['random-directions']['recall'])}.",
            f"Random directions score {_said(by['random-directions']['score'])}: such a correlation says nothing by itself.",
            f"Over the latents the random-only score follows the truth at {_said(sae['score_truth_correlation'])}, "
            f"top-and-random at {_said(sae['top_and_random_truth_correlation'])} (Spearman).",
        ),
    )


def compiled_record(spec: Interp, seen: Sequence[dict[str, planted.Seen]], artifacts: Mapping[str, str]) -> Record:
    """The record of the compiled transformer, in its three bases."""
    conditions = planted.conditions(seen)
    by = {c.name: c.numbers for c in conditions}
    causal = [
        {"name": f"{kind}, {what}", **{k: getattr(n[key], k) for k in ("value", "low", "high", "n")}}
        for kind, n in by.items()
        for key, what in (("ablation", "true label"), ("ablation_shuffled", "another's label"))
        if key in n
    ]
    said = "; ".join(
        f"{basis}: true directions {_said(by[f'true-directions/{basis}']['score'])}, "
        f"neurons {_said(by[f'neurons/{basis}']['score'])}"
        for basis in ("aligned", "rotated", "compressed")
    )
    return Record(
        id=f"interp-{spec.digest[:8]}",
        title="A compiled transformer: what explanations recover in three bases",
        **circumstances(spec),
        conditions=conditions,
        artifacts=dict(artifacts),
        charts={
            "recall": charts.bars_with_intervals(
                _rows(by, "recall"), "Features recalled (12 of 14 can be said)", x="recall"
            ),
            "ablation": charts.bars_with_intervals(causal, "Ablation score of true and of shuffled labels", x="score"),
        },
        tables={"seeds": planted.table(seen, spec.seeds)},
        failures=_failures([each.group for one in seen for each in one.values()]),
        notes=(
            f"Mean correlation of explanations, {said}.",
            "Two of the fourteen features (open brackets) are no predicate of the language, so recall is at most .86.",
        ),
    )


def _rows(by: Mapping[str, Mapping[str, Number]], name: str) -> list[dict[str, Any]]:
    return [
        {"name": kind, "value": n[name].value, "low": n[name].low, "high": n[name].high, "n": n[name].n}
        for kind, n in by.items()
        if n[name].value is not None
    ]


def _truths(by: Mapping[str, Mapping[str, Number]]) -> list[dict[str, Any]]:
    found = []
    for name, series in (
        ("score_truth_correlation", "random-only"),
        ("top_and_random_truth_correlation", "top and random"),
    ):
        found += [{**row, "name": f"{row['name']}, {series}"} for row in _rows(by, name)]
    return found


def _said(number: Number) -> str:
    if number.value is None:
        return number.reason or "undefined"
    interval = f" [{number.low:.2f}, {number.high:.2f}]" if number.low is not None and number.high is not None else ""
    return f"{number.value:.2f}{interval}"


def model_record(
    spec: Interp,
    title: str,
    groups: Mapping[str, Sequence[Group]],
    artifacts: Mapping[str, str],
    notes: Sequence[str],
    dictionaries: Table | None = None,
) -> Record:
    """The record of a model: a condition per kind of unit over all sites, one per site, and the controls.

    `groups` holds the examined groups of each kind, one per site, in the order of the sites.
    """
    main = next(iter(groups))
    conditions = [_condition(kind, found) for kind, found in groups.items()]
    if "shuffled" in spec.controls:
        conditions.insert(1, _shuffled(groups[main]))
    conditions += [_condition(f"{g.name}", [g]) for g in groups[main] if len(groups[main]) > 1]
    return Record(
        id=f"interp-{spec.digest[:8]}",
        title=title,
        **circumstances(spec),
        conditions=tuple(conditions),
        artifacts=dict(artifacts),
        charts=_charts(groups),
        tables={
            "sites": _sites(groups),
            **({"trained less permuted": _less(groups, main)} if "random-weights" in groups else {}),
            **({"dictionaries": dictionaries} if dictionaries is not None else {}),
        },
        failures=_failures([g for found in groups.values() for g in found]),
        notes=(*_answers(groups, main, shuffled="shuffled" in spec.controls), *notes),
    )


def _condition(name: str, groups: Sequence[Group]) -> Condition:
    numbers = {key: _mean(groups, score) for key, score in NUMBERS.items()}
    extra = sorted({s for g in groups for row in g.scores for s in row} - set(NUMBERS.values()))
    numbers |= {score.replace(":", "_").replace("-", "_"): _mean(groups, score) for score in extra}
    for bound in sorted({b for g in groups for b in g.bounds}):
        numbers[bound] = mean([n for g in groups for n in g.each[bound]])
    units = sum(len(g) for g in groups)
    explained = sum(g.explained for g in groups)
    numbers["explained"] = Number(value=explained / units if units else None, n=units,
                                  reason=None if units else "undefined: no units")  # fmt: skip
    return Condition(name=name, numbers=numbers)


def _mean(groups: Sequence[Group], score: str, control: str | None = None) -> Number:
    return mean([n for g in groups for n in g.values(score, control)])


def _shuffled(groups: Sequence[Group]) -> Condition:
    numbers = {key: _mean(groups, score, "shuffled") for key, score in NUMBERS.items()}
    return Condition(name="shuffled", numbers=numbers)


def _sites(groups: Mapping[str, Sequence[Group]]) -> Table:
    bounds = sorted({b for found in groups.values() for g in found for b in g.bounds})
    columns = (
        "kind",
        "site",
        "units",
        "explained",
        "score",
        "top and random",
        "shuffled",
        *(b.replace("_", " ") for b in bounds),
    )
    rows = tuple(
        (kind, g.site, len(g), g.explained, g.mean(PRIMARY).value, g.mean(MIXED).value, g.mean(PRIMARY, "shuffled").value,
         *(g.bounds[b].value if b in g.bounds else None for b in bounds))
        for kind, found in groups.items() for g in found
    )  # fmt: skip
    note = "token table and bigram table bound what the current token, or it and the one before, tell of a unit"
    return Table(title="By site", columns=columns, rows=rows, note=note if bounds else "")


def _less(groups: Mapping[str, Sequence[Group]], main: str) -> Table:
    """How much of a score is there without anything learned: the same pipeline on permuted weights."""
    rows = []
    for trained, permuted in zip(groups[main], groups["random-weights"], strict=True):
        apart = gap(_by_index(trained, PRIMARY), _by_index(permuted, PRIMARY))
        rows.append((trained.site, "score", apart.value, apart.low, apart.high, apart.n))
        for bound in sorted(trained.bounds):
            difference = gap(_by_place(trained.each[bound]), _by_place(permuted.each[bound]))
            rows.append(
                (trained.site, bound.replace("_", " "), difference.value, difference.low, difference.high, difference.n)
            )
    columns = ("site", "of", "trained - permuted", "low", "high", "units")
    return Table(title="Trained less permuted weights", columns=columns, rows=tuple(rows))


def _by_place(numbers: Sequence[Number]) -> dict[str, Number]:
    return {str(k): n for k, n in enumerate(numbers)}


def _by_index(group: Group, score: str) -> dict[str, Number]:
    return {f"{e.unit.index}{e.unit.sign}": n for e, n in zip(group.evidence, group.values(score), strict=True)}


def _charts(groups: Mapping[str, Sequence[Group]]) -> dict[str, dict[str, Any]]:
    rows = []
    for kind, found in groups.items():
        for k, g in enumerate(found):
            number = g.mean(PRIMARY)
            rows.append(
                {
                    "series": kind,
                    "step": k,
                    "value": number.value,
                    "low": number.low,
                    "high": number.high,
                    "n": number.n,
                }
            )
            if kind == next(iter(groups)):
                control = g.mean(PRIMARY, "shuffled")
                rows.append({"series": "shuffled", "step": k, "value": control.value, "low": control.low,
                             "high": control.high, "n": control.n})  # fmt: skip
    kept = [r for r in rows if r["value"] is not None]
    if len({r["step"] for r in kept}) < 2:
        bars = [{"name": r["series"], **{k: r[k] for k in ("value", "low", "high", "n")}} for r in kept]
        return {"scores": charts.bars_with_intervals(bars, "Mean correlation on held-out text")} if bars else {}
    return {"sites": charts.curves(kept, "Mean correlation on held-out text, by site", x="site", y="correlation")}


def _answers(groups: Mapping[str, Sequence[Group]], main: str, *, shuffled: bool) -> list[str]:
    units = sum(len(g) for g in groups[main])
    other = f", another unit's explanation {_said(_mean(groups[main], PRIMARY, 'shuffled'))}"
    said = [
        f"{units:,} {main}: explanations score {_said(_mean(groups[main], PRIMARY))} on held-out text (random-only "
        f"correlation){other if shuffled else ''}."
    ]
    for kind, what in (
        ("random-directions", "random directions"),
        ("random-weights", "the same units with permuted weights"),
    ):
        if kind in groups:
            said.append(f"Beside it: {what} {_said(_mean(groups[kind], PRIMARY))}.")
    return said


def _failures(groups: Sequence[Group]) -> dict[str, int]:
    found: dict[str, int] = {}
    for group in groups:
        for status, count in group.failures.items():
            found[status] = found.get(status, 0) + count
    return found
