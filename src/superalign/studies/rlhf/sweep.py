"""The sweep of an RLHF study: a lab for every seed, a trial for every arm, and the record they leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from superalign.compute.runs import announce
from superalign.core.digest import digest
from superalign.core.errors import Degenerate, SpecError
from superalign.core.ports import Progress, Store, silent
from superalign.core.registry import sources
from superalign.core.spec import Record
from superalign.core.steps import Steps
from superalign.core.study import Plan, Planned, Study, finish
from superalign.studies.rlhf import labellers
from superalign.studies.rlhf.arms import Arm, arms
from superalign.studies.rlhf.ground import Ground, given, world
from superalign.studies.rlhf.lab import Lab
from superalign.studies.rlhf.outcome import Outcome
from superalign.studies.rlhf.record import record_of
from superalign.studies.rlhf.settings import Settings
from superalign.studies.rlhf.spec import RLHF
from superalign.studies.rlhf.sycophancy import of_program
from superalign.studies.rlhf.trials import Trial


class Sweep:
    """Every arm of a spec, for every seed."""

    def __init__(self, spec: RLHF, store: Store | None) -> None:
        self.spec, self.store = spec, store
        self.steps = Steps(store)
        self.settings = Settings.of(spec.settings)
        self.arms: list[Arm] = arms(spec)
        self._progress: Progress = silent
        ground = self._grounds()
        self.labs = [Lab(ground(seed), self.settings, seed, spec.cast, self.steps, self._report) for seed in spec.seeds]
        for text in spec.overseers:
            if labellers.checked(text, self.labs[0].ground.gold is not None).name in labellers.RANKED:
                self.labs[0].labeller(text)  # a mistake shows before anything runs
        if any(arm.ptx for arm in self.arms) and self.labs[0].ground.demonstrations is None:
            raise SpecError("ptx needs text to weigh; name demonstrations (--demonstrations FILE), or leave --ptx at 0")

    @cached_property
    def id(self) -> str:
        """The record's id: the same spec on the same ground has the same one."""
        return f"rlhf-{digest(self.spec.digest, [dict(lab.ground.identity) for lab in self.labs])[:10]}"

    def plan(self) -> Plan:
        """Every stage and arm with its key, and whether the store holds it; nothing runs."""
        planned: dict[str, Planned] = {}
        for lab in self.labs:
            trials = [Trial(arm, lab) for arm in self.arms]
            for stage in [*(s for t in trials for s in t.needs()), *(t.stage() for t in trials)]:
                key = stage.key(self.steps)
                planned.setdefault(key, Planned(f"{stage.name} (seed {lab.seed})", key, stage.known(self.steps)))
        left = sum(not step.known for step in planned.values())
        todo = f"{left} of {len(planned)} steps to run" if left else f"All {len(planned)} steps are in the store"
        return Plan(
            tuple(planned.values()), (f"{todo}; no endpoint is called unless an overseer does.", *self._remarks())
        )

    def run(self, progress: Progress = silent) -> Record:
        """Run what is not in the store and put the record together."""
        self._progress = progress
        self.steps.progress = progress
        outcomes = {arm.name: Outcome(arm) for arm in self.arms}
        total = len(self.labs) * len(self.arms)
        for place, lab in enumerate(self.labs):
            for done, arm in enumerate(self.arms):
                progress("arms", place * len(self.arms) + done, total)
                trial = Trial(arm, lab)
                try:
                    for stage in trial.needs():  # before the arm, whose seconds are its own
                        stage.run(self.steps)
                    announce(f"{arm.name}, seed {lab.seed}", trial.stage().key(self.steps))
                    outcomes[arm.name].add(lab, trial.stage())
                except Degenerate as reason:
                    outcomes[arm.name].fail(str(reason))
        progress("arms", total, total)
        return record_of(self, list(outcomes.values()))

    def _grounds(self) -> Callable[[int], Ground]:
        spec = self.spec
        if spec.model is None:
            name = spec.world or "sentiment-markov"
            return lambda seed: world(name, seed)
        assert spec.prompts is not None
        ground = given(spec.model, spec.prompts, spec.demonstrations, self.settings.tokens)
        truth = spec.gold or next((text for text in spec.overseers if ".py:" in text), None)
        gold = None if truth is None else labellers.own(labellers.checked(truth, True))
        stance = None if spec.stance is None else of_program(spec.stance)
        named = {k: v for k, v in {"gold": truth, "stance": spec.stance}.items() if v is not None}
        extra: dict[str, Any] = {**named, "files": sources(*named.values())} if named else {}

        def graded(seed: int) -> Ground:
            made = ground(seed)
            return replace(made, gold=gold, stance=stance, identity={**made.identity, **extra})

        return graded

    def _report(self, name: str, done: int, total: int) -> None:
        self._progress(name, done, total)

    def _remarks(self) -> tuple[str, ...]:
        if len(self.spec.seeds) > 1:
            return ()
        return ("With one seed no difference between arms can be told from training noise; use --seeds 3 or more.",)


def prepare(spec: RLHF, store: Store | None = None) -> Sweep:
    """Find the policy, the prompts and the overseers, and lay out the arms; nothing runs yet."""
    return Sweep(spec, store)


def rlhf(spec: RLHF, store: Store | None = None, progress: Progress = silent) -> Record:
    """Run an RLHF study and return its record.

    Without a store everything is computed in memory; with one, what it holds is not computed again.
    """
    return finish(prepare(spec, store), store, progress)


study = Study("rlhf", RLHF, prepare)
