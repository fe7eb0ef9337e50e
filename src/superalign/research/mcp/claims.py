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

from superalign.core.errors import SpecError
from superalign.core.spec import Value
from superalign.research.claiming import ENOUGH, committed, design, ended, proposed, published, spread, tune, used
from superalign.research.ledger import Entry
from superalign.research.mcp.access import Access
from superalign.research.proposers import propose as proposing
from superalign.research.proposers.ideas import check_code
from superalign.research.proposers.propose import Proposal
from superalign.research.running import development
from superalign.research.space import Method
from superalign.research.values import Code, PreRegistration, Typed, method_of, registered
from superalign.research.workers import Where


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
        access, idea = self.access, self._idea(asked)
        method = committed(access.store, idea)
        same = {e.number for e in access.ledger.of("propose") if method_of(e.payload["method"]) == method}
        runs = [e for e in access.ledger.of("run_end") if e.payload["proposal"] in same]
        known = [e for e in runs if len(e.payload["problems"]) >= access.fidelity]
        if known:
            return _fate(known[0], used(access.ledger))
        self._afford(access.fidelity)
        waiting = same - {e.payload["proposal"] for e in runs}  # what a server that was killed had begun
        number = min(waiting) if waiting else self._write(asked, idea, method)
        (end,) = ended(access.workers, [method], self._problems())
        return _fate(access.write("run_end", {"proposal": number, **end}, "worker"), used(access.ledger))

    def _write(self, asked: Propose, idea: Method | proposing.Code, method: Typed | Code) -> int:
        access = self.access
        parent = access.entry(asked.parent, "propose").payload["id"] if asked.parent is not None else None
        proposal = Proposal(access.actor, idea, access.fidelity, asked.rationale, parent)
        return access.write("propose", proposed(proposal, method)).number

    def _idea(self, asked: Propose) -> Method | proposing.Code:
        if asked.values is not None:
            space = self.access.testbed.space
            return space.check({**space.neutral, **asked.values})
        assert asked.code is not None
        check_code(asked.code, asked.function)
        return proposing.Code(asked.code, asked.function)

    def _afford(self, evaluations: int) -> None:
        so_far, most = used(self.access.ledger), self.access.evaluations
        if most is not None and so_far + evaluations > most:
            why = f"{so_far} of {most} evaluations are used, and one method takes {evaluations}; pre-register what you have"
            self.access.write("refuse", {"what": "a proposal", "why": why})
            raise SpecError(why)

    def _problems(self) -> list[Where]:
        return development(self.access.testbed, self.access.fidelity)

    # -- claims

    def preregister(self, asked: Register) -> dict[str, Any]:
        """Write a claim down before it is tested: the method against every baseline."""
        access = self.access
        method = self._ran(asked.proposal)
        baselines = published(access.testbed) if asked.exploratory else self._tuned()
        genesis = access.ledger.of("genesis")[0].payload
        found = design(
            access.testbed, spread(access.workers, method, baselines, self._problems()), most=access.most,
            alpha=float(genesis.get("alpha", 0.05)), sesoi=float(genesis.get("sesoi", 0.02)), tasks=asked.tasks,
        )  # fmt: skip
        if found.power < ENOUGH and not asked.override:
            raise SpecError(
                f"with {found.tasks} problems of each family an effect of {found.sesoi:g} is seen with power "
                f"{found.power:.2f}; {-(-found.needed // len(found.families))} of each would do, {access.most} in all are "
                "allowed. Say in `override` why it is registered all the same"
            )
        claim = found.claim(
            access.ledger, asked.claim, method, baselines, seeds=asked.seeds, exploratory=asked.exploratory,
            override=asked.override,
        )  # fmt: skip
        entry = access.write("prereg", claim.payload)
        return {"registration": claim.id, "entry": entry.number, **_summary(claim)}

    def _ran(self, number: int) -> Typed | Code:
        entry = self.access.entry(number, "propose")
        runs = [e for e in self.access.ledger.of("run_end") if e.payload["proposal"] == number]
        if not runs or runs[-1].payload["status"] != "ok":
            raise SpecError(f"the proposal in entry {number} did not run; register one that did")
        return method_of(entry.payload["method"])

    def _tuned(self) -> dict[str, Method]:
        """Tuned settings of every baseline; tuned anew where the search has used more evaluations since."""
        access, tuned = self.access, {e.payload["baseline"]: e.payload for e in self.access.ledger.of("care")}
        budget = max(used(access.ledger), access.care)
        for baseline in access.testbed.baselines:
            known = tuned.get(baseline.name)
            if known is None or known["evaluations"] < min(budget, known["grid"] * access.fidelity):
                found = tune(access.workers, baseline, self._problems(), budget, access.seed)
                tuned[baseline.name] = access.write("care", found, "campaign").payload
        return {b.name: tuned[b.name]["tuned"] for b in access.testbed.baselines}

    # -- confirmation

    def confirm(self, asked: Confirm) -> dict[str, Any]:
        """Ask for a confirmation, and at the second request, if it is approved, have it made."""
        access, which = self.access, asked.registration
        access.check_open()
        claim = registered(access.ledger, which)
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


def _fate(entry: Entry, evaluations: int) -> dict[str, Any]:
    held = entry.payload
    scores = [round(s, 4) for s in held["scores"]]
    return {
        "proposal": held["proposal"], "status": held["status"], "said": held["said"], "dev_scores": scores,
        "dev_score": round(float(np.mean(held["scores"])), 4) if scores else None, "evaluations_used": evaluations,
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
