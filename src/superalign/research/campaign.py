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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from superalign.compute.budget import Account
from superalign.compute.usage import Meter
from superalign.core.digest import digest
from superalign.core.errors import Degenerate
from superalign.core.ports import Progress, Store, silent
from superalign.research import care
from superalign.research.inference import power_of, problems_needed
from superalign.research.ledger import Entry, Ledger
from superalign.research.proposers import propose as proposing
from superalign.research.proposers.history import simplest
from superalign.research.proposers.propose import Proposal, Proposer, Told
from superalign.research.running import commit, development
from superalign.research.scorer.client import Scorer
from superalign.research.space import Method
from superalign.research.testbed import Testbed
from superalign.research.values import Code, PreRegistration, Typed, typed
from superalign.research.workers import Where, Workers

BATCH = 8
"""Proposals at a time, whatever the number of workers: what is proposed next must not depend on the machine."""
SEARCH = 0.2
"""The share of a budget in seconds that the search gets: as much again goes to each of three baselines."""
LEAST = 8
"""Problems of a claim, at least: sign flips of fewer than seven can never be significant among two claims."""
PACE = 0.05
"""Seconds that an evaluation is thought to take before any was made."""
ENOUGH = 0.8
"""Power below which a registration says why it was made."""


@dataclass
class Campaign:
    """One campaign on one store. `seconds` or `evaluations` bound the search; `most` the problems of a claim."""

    name: str
    question: str
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
        defaults = {b.name: self.testbed.space.method(**b.settings) for b in self.testbed.baselines}
        self.claim("published", found, defaults, exploratory=True)
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
        proposed = {e.number: self._proposal(e) for e in self.ledger.of("propose")}
        for entry in self.ledger.of("run_end"):
            proposal = proposed.pop(int(entry.payload["proposal"]), None)
            if proposal is not None:
                self._tell(proposal, entry.payload)
        return list(proposed.items())

    def _write(self, proposal: Proposal) -> int:
        method = self._committed(proposal)
        return self.ledger.write("propose", proposal.proposer, {
            "id": proposal.id, "proposer": proposal.proposer, "method": method.model_dump(mode="json"),
            "rationale": proposal.rationale[:2000], "parent": proposal.parent, "fidelity": proposal.fidelity,
        }).number  # fmt: skip

    def _score(self, waiting: Sequence[tuple[int, Proposal]]) -> None:
        """Reserve, run, settle, and only then write the ends: a kill in between charges nothing twice."""
        for fidelity in sorted({p.fidelity for _, p in waiting}):
            those = [(n, p) for n, p in waiting if p.fidelity == fidelity]
            problems, count = development(self.testbed, fidelity), fidelity * len(those)
            methods, hold = [self._committed(p) for _, p in those], f"e{those[0][0]}"
            held = self.account.reserve(hold, self._amount([p for _, p in those]), "search")
            self._once(
                "reserve", hold, {"account": self.account.stream, "amount": dict(held.amount), "purpose": "search"}
            )
            before = dict(self.workers.usage)
            with Meter() as meter:
                table = self.workers.scores(methods, problems)
            used = {"seconds": meter.usage.wall_s} if self.seconds is not None else {"evaluations": count}
            settled = self.account.settle(hold, used)
            self._once("settle", hold, {"account": self.account.stream, "used": used, "evaluations": count,
                                        "charged": dict(settled.charged), "overrun": dict(settled.overrun)})  # fmt: skip
            run = {k: round(v - before.get(k, 0.0), 4) for k, v in self.workers.usage.items() if k != "peak_bytes"}
            for k, (number, proposal) in enumerate(those):
                payload = self._payload(number, methods[k], table[k])
                share = {name: value / len(those) for name, value in run.items()}
                self.ledger.write(
                    "run_end", "worker", {**payload, "problems": [list(p) for p in problems], "usage": share}
                )
                self._tell(proposal, payload)
        self.progress("search", self.used(), self.evaluations or 0)

    def _once(self, kind: Literal["reserve", "settle"], hold: str, payload: dict[str, Any]) -> None:
        if not any(e.payload["hold"] == hold for e in self.ledger.of(kind)):
            self.ledger.write(kind, "campaign", {"hold": hold, **payload})

    def _payload(self, number: int, method: Typed | Code, scores: Any) -> dict[str, Any]:
        denials = {"denials": self.workers.denials[digest(method)]} if digest(method) in self.workers.denials else {}
        if np.isfinite(scores).all():
            return {"proposal": number, "status": "ok", "scores": [float(s) for s in scores], "said": "", **denials}
        said = self.workers.failures.get(digest(method), "failed: it failed in an earlier run")
        return {"proposal": number, "status": said.partition(":")[0], "scores": [], "said": said, **denials}

    def _tell(self, proposal: Proposal, payload: Any) -> None:
        ok = payload["status"] == "ok"
        told = Told(proposal, tuple(payload["scores"]) if ok else (), None if ok else str(payload["said"]))
        self._told[proposal.id] = told
        self.proposer.tell(told)

    def _committed(self, proposal: Proposal) -> Typed | Code:
        if isinstance(proposal.method, proposing.Code):
            return commit(self.store, proposal.method.text, proposal.method.function)
        return typed(proposal.method)

    def _proposal(self, entry: Entry) -> Proposal:
        from superalign.research.running import source

        held = entry.payload
        method: Method | proposing.Code
        if held["method"]["kind"] == "code":
            code = Code.model_validate(held["method"])
            method = proposing.Code(source(self.store, code), code.function)
        else:
            method = self.testbed.space.check(held["method"]["values"])
        return Proposal(held["proposer"], method, int(held["fidelity"]), held["rationale"], held["parent"])

    def used(self) -> int:
        """Evaluations of the search so far: a method on a problem, failures counted."""
        return care.evaluations(self._told.values())

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
            return self._committed(top.proposal)
        scores = np.array([t.scores for t in points])
        chosen = simplest(self.testbed.space, [t.proposal.method for t in points], scores)  # type: ignore[misc]
        return self._committed(points[chosen].proposal)

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
        problems = development(self.testbed, self.fidelity)
        budget = max(self.used(), self.fidelity)
        for k, baseline in enumerate(self.testbed.baselines):
            self.progress("care", k, len(self.testbed.baselines))
            if baseline.name in done:
                continue
            found = care.tune(self.testbed.space, baseline, self._evaluate, problems, budget, self.seed)
            self.ledger.write("care", "campaign", {
                "baseline": baseline.name, "source": baseline.source, "default": dict(found.default),
                "tuned": dict(found.tuned), "default_score": float(np.mean(found.default_scores)),
                "tuned_score": float(np.mean(found.tuned_scores)), "evaluations": found.spent, "grid": found.grid,
                "tried": found.tried, "search_evaluations": budget, "equal": found.equals(budget),
            })  # fmt: skip
            done[baseline.name] = dict(found.tuned)
        return done

    def _evaluate(self, methods: Sequence[Method], problems: Sequence[Where]) -> Any:
        return self.workers.scores([typed(m) for m in methods], problems)

    def claim(self, kind: str, method: Typed | Code, baselines: dict[str, dict[str, Any]], *, exploratory: bool) -> str:
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

    def _register(
        self, kind: str, method: Typed | Code, baselines: dict[str, dict[str, Any]], exploratory: bool
    ) -> str:
        families = (*self.testbed.families, *self.testbed.unseen)
        sd = self._spread(method, list(baselines.values()))
        needed = problems_needed(self.sesoi, sd) if sd > 0 else 2 * len(families)
        tasks = max(2, -(-LEAST // len(families)), min(-(-needed // len(families)), -(-self.most // len(families))))
        power = power_of(self.sesoi, sd, tasks * len(families), level=self.alpha)
        claim = PreRegistration(
            claim=f"the method improves on the {kind} settings of {', '.join(baselines)} on {self.testbed.name}",
            method=method, baselines={n: typed(b) for n, b in baselines.items()},
            care={e.payload["baseline"]: int(e.payload["evaluations"]) for e in self.ledger.of("care")},
            families=families, tasks=tasks, seeds=self.seeds, alpha=self.alpha, sesoi=self.sesoi, power=round(power, 4),
            override=None if power >= ENOUGH else f"{needed} problems are needed for power 0.8, the most is {self.most}",
            exploratory=exploratory, head=self.ledger.head,
        )  # fmt: skip
        payload = {"registration": claim.id, **claim.model_dump(mode="json")}
        self.ledger.write("prereg", "campaign", payload)
        return claim.id

    def _spread(self, method: Typed | Code, baselines: Sequence[dict[str, Any]]) -> float:
        """The largest standard deviation of the method's difference to a baseline over development problems."""
        problems = development(self.testbed, self.fidelity)
        table = self.workers.scores([method, *(typed(b) for b in baselines)], problems)
        apart = (table[:1] - table[1:]).std(1, ddof=1)
        return float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0
