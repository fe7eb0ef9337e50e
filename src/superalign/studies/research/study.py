"""Prepares and runs a campaign, and reads its record off the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from superalign.compute.threads import cores
from superalign.core.errors import SpecError
from superalign.core.ports import Progress, Store, silent
from superalign.core.registry import build, find, options_of, parse
from superalign.core.spec import Record
from superalign.core.study import Plan, Study, versions
from superalign.research.campaign import Campaign
from superalign.research.ledger import Ledger
from superalign.research.proposers.propose import Proposer
from superalign.research.running import testbed_named
from superalign.research.scorer.client import Scorer
from superalign.research.testbed import Testbed
from superalign.research.workers import Workers
from superalign.store import beside
from superalign.studies.research.record import record_of
from superalign.studies.research.spec import Research


def research(spec: Research, store: Store) -> Record:
    """The record of a campaign: a condition per claim that was confirmed."""
    return prepare(spec, store).run()


def prepare(spec: Research, store: Store) -> Prepared:
    """The testbed and the proposer. Raises PluginError for names that are none, SpecError for a store in memory."""
    if getattr(store, "url", None) is None:
        raise SpecError("a campaign needs a store that other processes can open: the scorer is one")
    testbed = testbed_named(spec.testbed, store)
    reference = parse(spec.proposer)
    offered = {
        "space": testbed.space, "seed": spec.seed, "store": store, "card": testbed.card,
        "ledger": Ledger(store, spec.campaign),
    }  # fmt: skip
    taken = options_of(find("proposers", reference.name))  # a proposer that searches by numbers needs no card
    given = {k: v for k, v in offered.items() if taken is None or k in taken}
    proposer: Proposer = build("proposers", reference, **given)
    return Prepared(spec, store, testbed, proposer)


@dataclass(frozen=True)
class Prepared:
    """A campaign ready to run, or to go on."""

    spec: Research
    store: Store
    testbed: Testbed
    proposer: Proposer
    workers: int = field(default_factory=cores)

    def plan(self) -> Plan:
        spec, names = self.spec, ", ".join(b.name for b in self.testbed.baselines)
        entries = len(Ledger(self.store, spec.campaign).entries())
        amount = f"{spec.evaluations:,} evaluations" if spec.evaluations else f"{spec.budget} in all"
        goes_on = f"; it goes on after {entries} entries of its ledger" if entries else ""
        return Plan((), (
            f"{spec.campaign}: {spec.proposer} searches {self.testbed.space.size:,} methods on {self.testbed.name} with "
            f"{amount}; {names} are tuned with the same care{goes_on}",
        ))  # fmt: skip

    def run(self, progress: Progress = silent) -> Record:
        """Run what the ledger lacks."""
        spec = self.spec
        workers = Workers(spec.testbed, self.testbed, self.store, self.workers, progress)
        home = beside(self.store, "research")
        try:
            with Scorer(self.store.url, spec.campaign, home, self.genesis()) as scorer:  # type: ignore[attr-defined]
                Campaign(
                    spec.campaign, self.testbed, self.proposer, self.store, workers, scorer,
                    seconds=spec.seconds, evaluations=spec.evaluations, fidelity=spec.fidelity, alpha=spec.alpha,
                    sesoi=spec.sesoi, seeds=spec.seeds, most=spec.problems, seed=spec.seed, pairs=spec.pairs,
                    progress=progress,
                ).run()  # fmt: skip
        finally:
            workers.close()
        return record_of(spec, Ledger(self.store, spec.campaign), self.testbed)

    def genesis(self) -> dict[str, Any]:
        """What the first entry freezes."""
        return genesis(self.spec, self.testbed)


def genesis(spec: Research, testbed: Testbed) -> dict[str, Any]:
    """The first entry of a campaign: its question, frozen."""
    return {
        "campaign": spec.campaign, "question": spec.question, "testbed": spec.testbed, "card": testbed.card,
        "proposer": spec.proposer, "budget": spec.budget, "alpha": spec.alpha, "sesoi": spec.sesoi,
        "seed": spec.seed, "public": [f"{family}/0" for family in testbed.families],
        "submissions": spec.submissions, "spec": spec.digest, "versions": versions(),
    }  # fmt: skip


study = Study("research", Research, prepare)
