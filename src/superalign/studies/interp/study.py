"""Prepares and runs interpretability studies: a world with planted truth, or a model with a text."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.core.ports import Progress, Store, silent
from superalign.core.spec import Record
from superalign.core.steps import Steps
from superalign.core.study import Plan, Study
from superalign.core.study import Prepared as Ready
from superalign.report.numbers import counted
from superalign.studies.interp.spec import Interp


def interp(spec: Interp, store: Store) -> Record:
    """The record of a study: a condition per kind of unit, and the controls."""
    return prepare(spec, store).run()


def prepare(spec: Interp, store: Store) -> Ready:
    """The world, or the model with its sites. Raises ModelError for a model or a site that is not there."""
    if spec.world is not None:
        return Planted(spec, store)
    from superalign.interp.sites import expand, sites_of
    from superalign.interp.subject import subject
    from superalign.studies.interp.model import Prepared

    assert spec.model is not None
    found = subject(spec.model)
    return Prepared(spec, store, found, expand(spec.site, sites_of(found.model)), Steps(store))


@dataclass(frozen=True)
class Planted:
    """A world whose truth is known, once per seed."""

    spec: Interp
    store: Store

    def plan(self) -> Plan:
        return Plan(
            (),
            (f"the world {self.spec.world!r} in {counted(len(self.spec.seeds), 'seed')}, about 20 s of one core each",),
        )

    def run(self, progress: Progress = silent) -> Record:
        from superalign.studies.interp import compiled, planted
        from superalign.studies.interp.dossiers import keep
        from superalign.studies.interp.record import compiled_record, planted_record

        studied = planted.studied if self.spec.world == "planted" else compiled.studied
        record_of = planted_record if self.spec.world == "planted" else compiled_record

        seen, artifacts, steps = [], {}, Steps(self.store)
        for done, seed in enumerate(self.spec.seeds):
            progress("worlds", done, len(self.spec.seeds))
            found, shown = studied(seed, steps, tokens=self.spec.tokens, progress=progress)
            seen.append(found)
            if done == 0:  # pages show one world; the numbers are of all
                artifacts = keep(self.store, "planted", shown)
        progress("worlds", len(self.spec.seeds), len(self.spec.seeds))
        return record_of(self.spec, seen, artifacts)


study = Study("interp", Interp, prepare)
