"""From an idea to a claim, for a researcher at the other end of a wire: propose, pre-register, have it confirmed.

The researcher chooses the method and the words. Against what it is compared, on which problems, and with how many, is
not theirs to choose: every baseline, tuned with as many evaluations as their search used, and as many problems as power
asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from superalign.core.digest import digest
from superalign.core.errors import SpecError
from superalign.core.spec import Value
from superalign.research import care
from superalign.research.inference import power_of, problems_needed
from superalign.research.ledger import Entry
from superalign.research.mcp.access import Access
from superalign.research.proposers import propose as proposing
from superalign.research.proposers.ideas import check_code
from superalign.research.proposers.propose import Proposal
from superalign.research.running import commit, development
from superalign.research.values import Code, PreRegistration, Typed, typed

ENOUGH = 0.8
"""Power below which a registration has to say why it is made."""


class Propose(Value):
    """Either `values`, a point of the space, or `code`."""

    values: dict[str, str | int | float] | None = Field(None, description="axis: value; axes left out are neutral")
    code: str | None = Field(None, max_length=50_000, description="a Python file that defines method(public, seed)")
    function: str = Field("method", pattern=r"^[A-Za-z_]\w{0,99}$")
    rationale: str = Field("", max_length=2000)
    parent: int | None = Field(None, description="the entry of the proposal that this one changes")

    @model_validator(mode="after")
    def _one(self) -> Propose:
        if (self.values is None) == (self.code is None):
            raise ValueError("give either values or code")
        return self


class Register(Value):
    """A claim about a proposal."""

    claim: str = Field(min_length=1, max_length=2000)
    proposal: int = Field(description="the entry of a proposal that ran")
    seeds: int = Field(1, ge=1, le=20, description="training seeds on each problem")
    tasks: int | None = Field(None, ge=2, le=1000, description="problems of each family; by default what power needs")
    exploratory: bool = Field(False, description="against published settings instead of tuned ones")
    override: str | None = Field(None, max_length=500, description="why it is registered in spite of a power below 0.8")


class Confirm(Value):
    """A registration by its id."""

    registration: Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")]


@dataclass(frozen=True)
class Claims:
    """The three tools that write to the ledger what a campaign is about."""

    access: Access

    def propose(self, asked: Propose) -> dict[str, Any]:
        """Commit a method and score it on the development problems, once."""
        access, (method, idea) = self.access, self._method(asked)
        same = {e.number for e in access.ledger.of("propose") if _committed(e) == method}
        ended = [e for e in access.ledger.of("run_end") if e.payload["proposal"] in same]
        known = [e for e in ended if len(e.payload["problems"]) >= access.fidelity]
        if known:
            return _fate(known[0], access.used())
        self._afford(access.fidelity)
        waiting = same - {e.payload["proposal"] for e in ended}  # what a server that was killed had begun
        number = min(waiting) if waiting else self._write(asked, method, idea)
        return _fate(access.write("run_end", {"proposal": number, **self._score(method)}, "worker"), access.used())

    def _write(self, asked: Propose, method: Typed | Code, idea: Any) -> int:
        access = self.access
        parent = access.entry(asked.parent, "propose").payload["id"] if asked.parent is not None else None
        proposal = Proposal(access.actor, idea, access.fidelity, asked.rationale, parent)
        return access.write("propose", {
            "id": proposal.id, "proposer": access.actor, "method": method.model_dump(mode="json"),
            "rationale": asked.rationale, "parent": parent, "fidelity": access.fidelity,
        }).number  # fmt: skip

    def _method(self, asked: Propose) -> tuple[Typed | Code, Any]:
        if asked.values is not None:
            space = self.access.testbed.space
            point = space.check({**space.neutral, **asked.values})
            return typed(point), point
        assert asked.code is not None
        check_code(asked.code, asked.function)
        return commit(self.access.store, asked.code, asked.function), proposing.Code(asked.code, asked.function)

    def _afford(self, evaluations: int) -> None:
        used, most = self.access.used(), self.access.evaluations
        if most is not None and used + evaluations > most:
            why = (
                f"{used} of {most} evaluations are used, and one method takes {evaluations}; pre-register what you have"
            )
            self.access.write("refuse", {"what": "a proposal", "why": why})
            raise SpecError(why)

    def _score(self, method: Typed | Code) -> dict[str, Any]:
        access = self.access
        problems, before = development(access.testbed, access.fidelity), dict(access.workers.usage)
        (scores,) = access.workers.scores([method], problems)
        ok = bool(np.isfinite(scores).all())
        said = "" if ok else access.workers.failures.get(digest(method), "failed: it failed in an earlier run")
        return {
            "status": "ok" if ok else said.partition(":")[0], "scores": [float(s) for s in scores] if ok else [],
            "said": said, "problems": [list(p) for p in problems],
            "usage": {k: v - before.get(k, 0.0) for k, v in access.workers.usage.items() if k != "peak_bytes"},
        }  # fmt: skip

    # -- claims

    def preregister(self, asked: Register) -> dict[str, Any]:
        """Write a claim down before it is tested: the method against every baseline."""
        access = self.access
        method = self._ran(asked.proposal)
        baselines = self._published() if asked.exploratory else self._tuned()
        families = (*access.testbed.families, *access.testbed.unseen)
        genesis = access.ledger.of("genesis")[0].payload
        alpha, sesoi = float(genesis.get("alpha", 0.05)), float(genesis.get("sesoi", 0.02))
        sd = self._spread(method, baselines)
        needed = -(-problems_needed(sesoi, sd) // len(families)) if sd > 0 else 2
        tasks = asked.tasks or max(2, min(needed, -(-access.most // len(families))))
        if tasks * len(families) > access.most + len(families):
            raise SpecError(
                f"{tasks} problems of {len(families)} families are more than {access.most}; ask for fewer tasks"
            )
        power = power_of(sesoi, sd, tasks * len(families), level=alpha)
        if power < ENOUGH and not asked.override:
            raise SpecError(
                f"with {tasks} problems of each family an effect of {sesoi:g} is seen with power {power:.2f}; {needed} of "
                f"each would do, {access.most} in all are allowed. Say in `override` why it is registered all the same"
            )
        claim = PreRegistration(
            claim=asked.claim, method=method, baselines={n: typed(b) for n, b in baselines.items()},
            care={e.payload["baseline"]: int(e.payload["evaluations"]) for e in access.ledger.of("care")},
            families=families, tasks=tasks, seeds=asked.seeds, alpha=alpha, sesoi=sesoi, power=round(power, 4),
            override=asked.override, exploratory=asked.exploratory, head=access.ledger.head,
        )  # fmt: skip
        entry = access.write("prereg", {"registration": claim.id, **claim.model_dump(mode="json")})
        return {"registration": claim.id, "entry": entry.number, **_summary(claim)}

    def _ran(self, number: int) -> Typed | Code:
        entry = self.access.entry(number, "propose")
        ended = [e for e in self.access.ledger.of("run_end") if e.payload["proposal"] == number]
        if not ended or ended[-1].payload["status"] != "ok":
            raise SpecError(f"the proposal in entry {number} did not run; register one that did")
        return _committed(entry)

    def _published(self) -> dict[str, Mapping[str, Any]]:
        testbed = self.access.testbed
        return {b.name: testbed.space.method(**b.settings) for b in testbed.baselines}

    def _tuned(self) -> dict[str, Mapping[str, Any]]:
        """Tuned settings of every baseline; tuned anew where the search has used more evaluations since."""
        access, tuned = self.access, {e.payload["baseline"]: e.payload for e in self.access.ledger.of("care")}
        budget = max(access.used(), access.care)
        for baseline in access.testbed.baselines:
            known = tuned.get(baseline.name)
            if known is None or known["evaluations"] < min(budget, known["grid"] * access.fidelity):
                tuned[baseline.name] = self._tune(baseline, budget)
        return {b.name: tuned[b.name]["tuned"] for b in access.testbed.baselines}

    def _tune(self, baseline: Any, budget: int) -> Mapping[str, Any]:
        access = self.access
        problems = development(access.testbed, access.fidelity)

        def evaluate(methods: Any, where: Any) -> Any:
            return access.workers.scores([typed(m) for m in methods], where)

        found = care.tune(access.testbed.space, baseline, evaluate, problems, budget, access.seed)
        return access.write("care", {
            "baseline": baseline.name, "source": baseline.source, "default": dict(found.default),
            "tuned": dict(found.tuned), "default_score": float(np.mean(found.default_scores)),
            "tuned_score": float(np.mean(found.tuned_scores)), "evaluations": found.spent, "grid": found.grid,
            "tried": found.tried, "search_evaluations": budget, "equal": found.equals(budget),
        }, "campaign").payload  # fmt: skip

    def _spread(self, method: Typed | Code, baselines: Mapping[str, Mapping[str, Any]]) -> float:
        """The largest standard deviation of the method's difference to a baseline over development problems."""
        problems = development(self.access.testbed, self.access.fidelity)
        table = self.access.workers.scores([method, *(typed(b) for b in baselines.values())], problems)
        apart = (table[:1] - table[1:]).std(1, ddof=1)
        return float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0

    # -- confirmation

    def confirm(self, asked: Confirm) -> dict[str, Any]:
        """Ask for a confirmation, and at the second request, if it is approved, have it made."""
        access, which = self.access, asked.registration
        access.check_open()
        found = [e for e in access.ledger.of("prereg") if e.payload["registration"] == which]
        if not found:
            raise SpecError(f"{which!r} is not pre-registered; call preregister first")
        claim = PreRegistration.model_validate({k: v for k, v in found[0].payload.items() if k != "registration"})
        if claim.id != which:
            raise SpecError(f"the pre-registration {which!r} is not what its id says; register it again")
        if not any(e.payload["registration"] == which for e in access.ledger.of("confirm")):
            decision = access.gate.request(claim)
            if decision is None:
                said = "it can be confirmed once and counts for good; call request_confirm again to go through with it"
                return {"status": "requested", "says": said, **_summary(claim)}
            if decision.word != "approved":
                return {"status": decision.word, "says": decision.why}
            access.ask("confirm", registration=which)
        access.ask("judge")
        return {"status": "confirmed", "row": standing(access, which)}


def _committed(entry: Entry) -> Typed | Code:
    given = entry.payload["method"]
    return (Code if given["kind"] == "code" else Typed).model_validate(given)


def _fate(entry: Entry, used: int) -> dict[str, Any]:
    held = entry.payload
    scores = [round(s, 4) for s in held["scores"]]
    return {
        "proposal": held["proposal"], "status": held["status"], "said": held["said"], "dev_scores": scores,
        "dev_score": round(float(np.mean(held["scores"])), 4) if scores else None, "evaluations_used": used,
    }  # fmt: skip


def _summary(claim: PreRegistration) -> dict[str, Any]:
    return {
        "claim": claim.claim, "baselines": {n: m.model_dump(mode="json") for n, m in claim.baselines.items()},
        "families": list(claim.families), "tasks": claim.tasks, "seeds": claim.seeds, "power": claim.power,
        "sesoi": claim.sesoi, "exploratory": claim.exploratory,
    }  # fmt: skip


def card(access: Access, method: Mapping[str, Any]) -> dict[str, Any]:
    """A method in short: what is not neutral, or the hash of its file."""
    if method["kind"] == "code":
        return {"code": method["sha256"], "function": method["function"]}
    neutral = access.testbed.space.neutral
    return {name: value for name, value in method["values"].items() if neutral.get(name) != value}


def standing(access: Access, which: str) -> dict[str, Any]:
    """A registration's row: its verdict where it has one."""
    claim = next(e for e in access.ledger.of("prereg") if e.payload["registration"] == which).payload
    verdicts = [e for e in access.ledger.of("verdict") if e.payload["registration"] == which]
    row = {"registration": which, "claim": claim["claim"], "method": card(access, claim["method"]),
           "exploratory": claim["exploratory"]}  # fmt: skip
    if not verdicts:
        return {**row, "verdict": None}
    held = verdicts[-1].payload
    numbers = {k: held.get(k) for k in ("estimate", "low", "high", "p_adjusted", "n", "deciding", "qualifiers")}
    return {**row, "verdict": held["word"], **numbers, "entry": verdicts[-1].number}
