"""From a method to a claim: what a campaign that searches by itself and a researcher at the other end of a wire do alike.

What is run and tuned is returned as the payload of its entry; who writes the entry, and when, is the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.digest import digest
from superalign.core.errors import SpecError
from superalign.core.ports import Store
from superalign.research import care
from superalign.research.inference import power_of, problems_needed
from superalign.research.ledger import Ledger
from superalign.research.proposers import propose as proposing
from superalign.research.proposers.propose import Proposal
from superalign.research.running import commit
from superalign.research.space import Method
from superalign.research.testbed import Baseline, Testbed
from superalign.research.values import Code, PreRegistration, Typed, typed
from superalign.research.workers import Where, Workers

if TYPE_CHECKING:
    from superalign.core.ports import Floats

LEAST = 8
"""Problems of a claim, at least: sign flips of fewer than seven can never be significant among two claims."""
ENOUGH = 0.8
"""Power below which a registration says why it is made."""


def committed(store: Store, method: Method | proposing.Code) -> Typed | Code:
    """A proposed method as it is committed to; the text of a program is kept in the store."""
    return commit(store, method.text, method.function) if isinstance(method, proposing.Code) else typed(method)


def proposed(proposal: Proposal, method: Typed | Code) -> dict[str, Any]:
    """The payload of a `propose` entry."""
    return {
        "id": proposal.id, "proposer": proposal.proposer, "method": method.model_dump(mode="json"),
        "rationale": proposal.rationale[:2000], "parent": proposal.parent, "fidelity": proposal.fidelity,
    }  # fmt: skip


def ended(workers: Workers, methods: Sequence[Typed | Code], problems: Sequence[Where]) -> list[dict[str, Any]]:
    """Run methods on development problems. The payloads of their `run_end` entries, which lack the number of the
    `propose` entry; what was used is shared among them equally."""
    before = dict(workers.usage)
    table = workers.scores(methods, problems)
    used = {k: round(v - before.get(k, 0.0), 4) for k, v in workers.usage.items() if k != "peak_bytes"}
    share = {name: value / len(methods) for name, value in used.items()}
    both = zip(methods, table, strict=True)
    return [{**_outcome(workers, m, row), "problems": [list(p) for p in problems], "usage": share} for m, row in both]


def _outcome(workers: Workers, method: Typed | Code, scores: Floats) -> dict[str, Any]:
    which = digest(method)
    denials = {"denials": workers.denials[which]} if which in workers.denials else {}
    if np.isfinite(scores).all():
        return {"status": "ok", "scores": [float(s) for s in scores], "said": "", **denials}
    said = workers.failures.get(which, "failed: it failed in an earlier run")
    return {"status": said.partition(":")[0], "scores": [], "said": said, **denials}


def used(ledger: Ledger) -> int:
    """Evaluations of the search so far: a method on a problem, failures counted."""
    return sum(len(e.payload["problems"]) for e in ledger.of("run_end"))


def published(testbed: Testbed) -> dict[str, Method]:
    """Every baseline with its published settings."""
    return {b.name: testbed.space.method(**b.settings) for b in testbed.baselines}


def tune(workers: Workers, baseline: Baseline, problems: Sequence[Where], budget: int, seed: int) -> dict[str, Any]:
    """Tune a baseline with at least `budget` evaluations, or all there are: the payload of a `care` entry."""
    found = care.tune(workers.testbed.space, baseline, workers.evaluate, problems, budget, seed)
    return {
        "baseline": baseline.name, "source": baseline.source, "default": dict(found.default),
        "tuned": dict(found.tuned), "default_score": float(np.mean(found.default_scores)),
        "tuned_score": float(np.mean(found.tuned_scores)), "evaluations": found.spent, "grid": found.grid,
        "tried": found.tried, "search_evaluations": budget, "equal": found.equals(budget),
    }  # fmt: skip


def spread(workers: Workers, method: Typed | Code, baselines: Mapping[str, Method], problems: Sequence[Where]) -> float:
    """The largest standard deviation of the method's difference to a baseline over development problems."""
    table = workers.scores([method, *map(typed, baselines.values())], problems)
    apart = (table[:1] - table[1:]).std(1, ddof=1)
    return float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0


@dataclass(frozen=True, slots=True)
class Design:
    """A claim is tested on `tasks` problems of each family, which see an effect of `sesoi` with `power`; `needed` in all
    would see it with power 0.8."""

    families: tuple[str, ...]
    tasks: int
    alpha: float
    sesoi: float
    power: float
    needed: int

    def claim(
        self,
        ledger: Ledger,
        says: str,
        method: Typed | Code,
        baselines: Mapping[str, Method],
        *,
        seeds: int,
        exploratory: bool,
        override: str | None,
    ) -> PreRegistration:
        """The claim that the method beats the baselines, at the head of the ledger."""
        return PreRegistration(
            claim=says, method=method, baselines={n: typed(b) for n, b in baselines.items()},
            care={e.payload["baseline"]: int(e.payload["evaluations"]) for e in ledger.of("care")},
            families=self.families, tasks=self.tasks, seeds=seeds, alpha=self.alpha, sesoi=self.sesoi,
            power=round(self.power, 4), override=override, exploratory=exploratory, head=ledger.head,
        )  # fmt: skip


def design(testbed: Testbed, sd: float, *, alpha: float, sesoi: float, most: int, tasks: int | None = None) -> Design:
    """On how many problems a claim is tested, where its difference to a baseline has the standard deviation `sd`.

    By default on as many as are needed, about `most` in all, and no fewer than LEAST. Raises SpecError where `tasks` asks
    for fewer or for more.
    """
    families = (*testbed.families, *testbed.unseen)
    count = len(families)
    least = max(2, -(-LEAST // count))
    needed = problems_needed(sesoi, sd) if sd > 0 else 2 * count
    if tasks is None:
        tasks = max(least, min(-(-needed // count), -(-most // count)))
    elif tasks < least:
        raise SpecError(
            f"{tasks} problems of {count} families are fewer than {LEAST}, on which hardly any claim can be significant; "
            f"ask for {least} tasks or more"
        )
    elif tasks * count > most + count:
        raise SpecError(f"{tasks} problems of {count} families are more than {most}; ask for fewer tasks")
    return Design(families, tasks, alpha, sesoi, power_of(sesoi, sd, tasks * count, level=alpha), needed)
