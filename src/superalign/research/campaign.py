"""A campaign: search on development problems, then claims, each confirmed once on problems that nobody saw.

    search      a proposer proposes, workers score exactly; these scores are never reported
    publish     the best one goes to the scorer's public problems, which answer in steps
    naive       a claim against the published settings of the baselines, marked exploratory
    care        every baseline is tuned with at least as many evaluations as the search used
    claim       the claim that counts: against the tuned baselines
    check       a method against itself, and the audits
    judge       verdicts, corrected over everything that was confirmed

Every step looks at the ledger first, so that a campaign that is stopped or killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from superalign.compute.budget import Account
from superalign.compute.usage import Meter
from superalign.core.errors import Degenerate
from superalign.core.ports import Progress, Store, silent
from superalign.research.claiming import ENOUGH, committed, design, ended, proposed, published, spread, tune, used
from superalign.research.ledger import Entry, Ledger
from superalign.research.proposers import propose as proposing
from superalign.research.proposers.history import simplest
from superalign.research.proposers.propose import Proposal, Proposer, Told
from superalign.research.running import development, source
from superalign.research.scorer.client import Scorer
from superalign.research.space import Method
from superalign.research.testbed import Testbed
from superalign.research.values import Code, Typed, method_of
from superalign.research.workers import Workers

BATCH = 8
"""Proposals at a time, whatever the number of workers: what is proposed next must not depend on the machine."""
SEARCH = 0.2
"""The share of a budget in seconds that the search gets: as much again goes to each of three baselines."""
PACE = 0.05
"""Seconds that an evaluation is thought to take before any was made."""


@dataclass
class Campaign:
    """One campaign on one store. `seconds` or `evaluations` bound the search; `most` the problems of a claim."""

    name: str
    testbed: Testbed
    proposer: Proposer
    store: Store
    workers: Workers
    scorer: Scorer
    seconds: float | None = None
    evaluations: int | None = None
    fidelity: int = 12
    alpha: float = 0.05
    sesoi: float = 0.02
    seeds: int = 1
    most: int = 60
    seed: int = 0
    pairs: int = 40
    progress: Progress = silent

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.store, self.name)
        cap = (
            {"evaluations": float(self.evaluations or 0)}
            if self.seconds is None
            else {"seconds": SEARCH * self.seconds}
        )
        self.account = Account(self.store, f"budget/{self.name}/search", cap)
        self._told: dict[str, Told] = {}

    def run(self) -> None:
        """All steps; raises Degenerate where the search found nothing that runs."""
        self.search()
        found = self.best()
        self.publish(found)
        self.claim("published", found, published(self.testbed), exploratory=True)
        tuned = self.care()
        which = self.claim("tuned", found, tuned, exploratory=False)
        for done, check in enumerate(("same", "audit", "attack")):
            self.progress("checks", done, 3)
            self.scorer.ask(check, registration=which, **({"pairs": self.pairs} if check == "same" else {}))
        self.progress("checks", 3, 3)
        self.scorer.ask("judge")

    # -- search

    def search(self) -> None:
        """Propose and score until the budget is spent or the proposer has nothing more."""
        waiting = self._recall()
        while True:
            if waiting:
                self._score(waiting)
            if not all(amount > 0 for amount in self.account.left().values()):
                return  # before a proposer is asked: its calls may cost money
            waiting = [(self._write(p), p) for p in self._affordable(self.proposer.propose(BATCH))]
            if not waiting:
                return

    def _affordable(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """As many of the proposals, in order, as the budget still holds; the first that it does not is noted, once."""
        left = self.account.left()
        found: list[Proposal] = []
        for proposal in proposals:
            wanted = self._amount([*found, proposal])
            if any(amount > left.get(name, 0.0) for name, amount in wanted.items()):
                if not self.ledger.of("refuse"):
                    why = f"the search's budget holds {left} and the next batch needs {wanted}"
                    self.ledger.write("refuse", "campaign", {"what": "proposals", "why": why})
                break
            found.append(proposal)
        return found

    def _amount(self, proposals: Sequence[Proposal]) -> dict[str, float]:
        """What proposals will use: evaluations, or seconds at the pace so far."""
        count = sum(p.fidelity for p in proposals)
        if self.seconds is None:
            return {"evaluations": count}
        ends = self.ledger.of("settle")
        seconds = sum(float(e.payload["used"]["seconds"]) for e in ends)
        done = sum(int(e.payload["evaluations"]) for e in ends)
        return {"seconds": max(count, 1) * (seconds / done if done else PACE)}

    def _recall(self) -> list[tuple[int, Proposal]]:
        """Tell the proposer what the ledger holds; returns what was proposed and never ran."""
        waiting = {e.number: self._proposal(e) for e in self.ledger.of("propose")}
        for entry in self.ledger.of("run_end"):
            proposal = waiting.pop(int(entry.payload["proposal"]), None)
            if proposal is not None:
                self._tell(proposal, entry.payload)
        return list(waiting.items())

    def _write(self, proposal: Proposal) -> int:
        payload = proposed(proposal, committed(self.store, proposal.method))
        return self.ledger.write("propose", proposal.proposer, payload).number

    def _score(self, waiting: Sequence[tuple[int, Proposal]]) -> None:
        """Reserve, run, settle, and only then write the ends: a kill in between charges nothing twice."""
        for fidelity in sorted({p.fidelity for _, p in waiting}):
            those = [(n, p) for n, p in waiting if p.fidelity == fidelity]
            problems, count = development(self.testbed, fidelity), fidelity * len(those)
            methods, hold = [committed(self.store, p.method) for _, p in those], f"e{those[0][0]}"
            held = self.account.reserve(hold, self._amount([p for _, p in those]), "search")
            self._once(
                "reserve", hold, {"account": self.account.stream, "amount": dict(held.amount), "purpose": "search"}
            )
            with Meter() as meter:
                ends = ended(self.workers, methods, problems)
            spent = {"seconds": meter.usage.wall_s} if self.seconds is not None else {"evaluations": count}
            settled = self.account.settle(hold, spent)
            self._once("settle", hold, {"account": self.account.stream, "used": spent, "evaluations": count,
                                        "charged": dict(settled.charged), "overrun": dict(settled.overrun)})  # fmt: skip
            for (number, proposal), end in zip(those, ends, strict=True):
                self.ledger.write("run_end", "worker", {"proposal": number, **end})
                self._tell(proposal, end)
        self.progress("search", used(self.ledger), self.evaluations or 0)

    def _once(self, kind: Literal["reserve", "settle"], hold: str, payload: dict[str, Any]) -> None:
        if not any(e.payload["hold"] == hold for e in self.ledger.of(kind)):
            self.ledger.write(kind, "campaign", {"hold": hold, **payload})

    def _tell(self, proposal: Proposal, payload: Any) -> None:
        ok = payload["status"] == "ok"
        told = Told(proposal, tuple(payload["scores"]) if ok else (), None if ok else str(payload["said"]))
        self._told[proposal.id] = told
        self.proposer.tell(told)

    def _proposal(self, entry: Entry) -> Proposal:
        held = entry.payload
        given = method_of(held["method"])
        method: Method | proposing.Code
        if isinstance(given, Code):
            method = proposing.Code(source(self.store, given), given.function)
        else:
            method = self.testbed.space.check(given.values)
        return Proposal(held["proposer"], method, int(held["fidelity"]), held["rationale"], held["parent"])

    def best(self) -> Typed | Code:
        """The simplest within one standard error of the best mean on all development problems that were used.

        Raises Degenerate where no method ran.
        """
        told = [t for t in self._told.values() if t.failure is None]
        if not told:
            raise Degenerate(f"none of {len(self._told)} proposals ran; `superalign research log {self.name}` says why")
        most = max(t.proposal.fidelity for t in told)
        whole = [t for t in told if t.proposal.fidelity == most]
        points = [t for t in whole if not isinstance(t.proposal.method, proposing.Code)]
        top = max(whole, key=lambda t: (float(np.mean(t.scores)), t.proposal.id))
        if isinstance(top.proposal.method, proposing.Code) or not points:
            return committed(self.store, top.proposal.method)
        scores = np.array([t.scores for t in points])
        chosen = simplest(self.testbed.space, [t.proposal.method for t in points], scores)  # type: ignore[misc]
        return committed(self.store, points[chosen].proposal.method)

    # -- claims

    def publish(self, method: Typed | Code) -> None:
        """Have the scorer run the method on every public problem, once."""
        done = {e.payload["dataset"] for e in self.ledger.of("score")}
        for dataset in self.scorer.ask("status")["datasets"]:
            if dataset not in done:
                self.scorer.ask("evaluate", dataset=dataset, run="best", method=method.model_dump(mode="json"))

    def care(self) -> dict[str, dict[str, Any]]:
        """Tune every baseline with at least the evaluations of the search, on the same problems."""
        done = {e.payload["baseline"]: e.payload["tuned"] for e in self.ledger.of("care")}
        problems, budget = development(self.testbed, self.fidelity), max(used(self.ledger), self.fidelity)
        for k, baseline in enumerate(self.testbed.baselines):
            self.progress("care", k, len(self.testbed.baselines))
            if baseline.name not in done:
                payload = tune(self.workers, baseline, problems, budget, self.seed)
                self.ledger.write("care", "campaign", payload)
                done[baseline.name] = payload["tuned"]
        return done

    def claim(self, kind: str, method: Typed | Code, baselines: Mapping[str, Method], *, exploratory: bool) -> str:
        """Pre-register that the method beats the baselines, and have it confirmed. Returns the registration's id."""
        for entry in self.ledger.of("prereg"):
            if bool(entry.payload["exploratory"]) == exploratory:
                which = str(entry.payload["registration"])
                break
        else:
            which = self._register(kind, method, baselines, exploratory)
        self.progress("confirm", 0, 1)
        self.scorer.ask("confirm", registration=which)
        self.progress("confirm", 1, 1)
        return which

    def _register(self, kind: str, method: Typed | Code, baselines: Mapping[str, Method], exploratory: bool) -> str:
        sd = spread(self.workers, method, baselines, development(self.testbed, self.fidelity))
        found = design(self.testbed, sd, alpha=self.alpha, sesoi=self.sesoi, most=self.most)
        says = f"the method improves on the {kind} settings of {', '.join(baselines)} on {self.testbed.name}"
        why = f"{found.needed} problems are needed for power {ENOUGH}, the most is {self.most}"
        claim = found.claim(
            self.ledger, says, method, baselines, seeds=self.seeds, exploratory=exploratory,
            override=None if found.power >= ENOUGH else why,
        )  # fmt: skip
        self.ledger.write("prereg", "campaign", claim.payload)
        return claim.id
