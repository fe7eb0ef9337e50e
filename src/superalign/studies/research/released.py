"""Results that others released, judged again as a campaign: a condition per claim, and what so few seeds can show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from superalign.core.ports import Progress, Store, silent
from superalign.core.spec import Condition, Number, Record, Spec
from superalign.core.study import Plan, Study, circumstances
from superalign.report import charts
from superalign.research.released import Against, Released, read
from superalign.research.verdicts import Verdict


class ReleasedResults(Spec):
    """The per-seed results of the automated weak-to-strong researcher: the archive, the smallest effect of interest,
    and the level over all comparisons."""

    study: Literal["released"] = "released"
    results: str = Field(min_length=1)
    sesoi: float = Field(default=0.02, gt=0)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)


@dataclass(frozen=True)
class Prepared:
    """An archive that was read."""

    spec: ReleasedResults
    released: Released

    def plan(self) -> Plan:
        sets = ", ".join(f"{s.name} ({s.items:,} items)" for s in self.released.sets)
        return Plan((), (f"results on {sets}, every method against vanilla",))

    def run(self, progress: Progress = silent) -> Record:
        """Every method against vanilla on the items it was scored on; what would hold on new items is in the table."""
        found = self.released.against(self.spec.sesoi, self.spec.alpha)
        statement = self.released.statement()
        rows = [
            {"name": f"{a.method} on {a.testset}", "value": c.estimate, "low": c.low, "high": c.high, "n": c.seeds}
            for a in found
            if (c := a.here.comparison) is not None
        ]
        return Record(
            id=f"released-{self.spec.digest[:8]}",
            title="Released results of an automated researcher, judged again",
            **circumstances(self.spec),
            conditions=tuple(_condition(a) for a in found),
            charts={
                "effects": charts.bars_with_intervals(
                    rows, "Each method less vanilla, on the released items", x="difference in PGR",
                    references=[("no difference", 0.0)],
                )
            },
            tables={"findings": self.released.as_findings()},
            notes=(" ".join(statement[:2]), *statement[2:]),
        )  # fmt: skip


def _condition(against: Against) -> Condition:
    here, anew = against.here, against.anew
    return Condition(
        name=f"{against.testset}/{against.method}",
        numbers={
            "effect": _effect(here), "p_adjusted": _p(here), "mde": _sees(here),
            "effect_on_new_items": _effect(anew), "p_adjusted_on_new_items": _p(anew), "mde_on_new_items": _sees(anew),
        },
        labels={"verdict": here.word, "verdict_on_new_items": anew.word, "qualifiers": ", ".join(here.qualifiers)},
    )  # fmt: skip


def _effect(verdict: Verdict) -> Number:
    found = verdict.comparison
    return found.number if found is not None else Number(value=None, reason="undefined: nothing was compared")


def _p(verdict: Verdict) -> Number:
    return Number(value=verdict.p_adjusted)


def _sees(verdict: Verdict) -> Number:
    return Number(value=verdict.comparison.mde if verdict.comparison is not None else None, reason=None)


def prepare(spec: ReleasedResults, store: Store) -> Prepared:
    """The archive, read in memory. Raises TaskError for one that is not such results."""
    return Prepared(spec, read(Path(spec.results).expanduser()))


study = Study("released", ReleasedResults, prepare)
