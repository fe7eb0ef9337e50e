"""An oversight study laid out: its conditions, what they would cost, and the record they leave."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from superalign.core.digest import digest
from superalign.core.errors import Degenerate, ModelError, SpecError
from superalign.core.ports import Model, Progress, Store, silent
from superalign.core.registry import Ref, build, sources
from superalign.core.spec import Audit, Record
from superalign.core.steps import Steps, decode, encode
from superalign.core.study import Plan, Planned, Study, finish
from superalign.core.transcript import Transcript
from superalign.models.budgeted import Budgeted, Purse, budgeted
from superalign.models.flawed import Flawed
from superalign.studies.oversee import control, gaps
from superalign.studies.oversee.cast import speaker, takes
from superalign.studies.oversee.conditions import CEILING, Casting, Contest, contests, pairs
from superalign.studies.oversee.feedback import PURPOSE, Feedback, is_person, with_people
from superalign.studies.oversee.parked import Parked
from superalign.studies.oversee.play import Finished, Table, finished, run
from superalign.studies.oversee.rehearsal import Recorded, Tally, rehearse
from superalign.studies.oversee.setting import SPLIT, prepared
from superalign.studies.oversee.spec import Oversee

if TYPE_CHECKING:
    from superalign.studies.oversee.record import Results

VERSION = 1  # of a condition's value; bump it when what is computed from its games changes
STEP = "oversee-games"
REHEARSED = 12
"""Items that a plan plays with understudies; what they ask is scaled up to all."""


class Sweep:
    """Every condition of a spec, on one task."""

    def __init__(self, spec: Oversee, store: Store | None) -> None:
        self.spec, self.store = spec, store
        self.steps = Steps(store)
        self.purse = None if spec.max_usd is None else Purse(spec.max_usd)
        self.setting = prepared(spec)
        self._models: dict[str, Model] = {}
        self.casting = Casting(self.setting, self.model)
        self.contests: list[Contest] = []
        self.tournament: dict[str, list[Contest]] = {}
        self.gaps: list[Contest] = []
        if self.setting.control:
            self.contests = control.contests(spec, self.setting, self.casting)
        else:
            self.contests = contests(spec, self.setting, self.casting)
            self.tournament = pairs(spec, self.contests, self.setting, self.casting) if spec.tournament else {}
            self.gaps = gaps.contests(self.setting, self.casting) if spec.gaps else []
        self.referee = self.model(speaker(spec.concession)) if spec.concession else None
        if self.referee is not None and is_person(self.referee):
            raise SpecError(f"--concession {spec.concession}: a referee reads every speech of every game; name a model")
        people = [contest for contest in self.everything() if with_people(contest)]
        self.feedback = Feedback(self.setting.task, people, spec.seeds, spec.swap)
        self.parked = Parked([item.id for item in self.setting.items])
        self._last: tuple[dict[str, str], Record] | None = None

    @cached_property
    def id(self) -> str:
        """The record's id: the same spec on the same items has the same one."""
        return f"oversee-{digest(self.spec.digest, self.setting.digest)[:10]}"

    @property
    def asked(self) -> bool:
        """Whether anything had to be played in this run."""
        return "transcript" in self.__dict__

    @cached_property
    def transcript(self) -> Transcript:
        """Every reply that was ever given about this task, read when it is first needed."""
        return Transcript(self.store, f"calls/{self.setting.task.digest[:16]}")

    def model(self, ref: Ref) -> Model:
        """A model by its reference; one object per reference."""
        if self.spec.prices and takes("models", ref, "prices") and "prices" not in ref.options:
            ref = replace(ref, options={**ref.options, "prices": self.spec.prices})
        name = str(ref)
        if name not in self._models:
            made: Model = build("models", ref, inputs=self.setting.inputs, steps=self.steps, choices=())
            self._models[name] = made if self.purse is None else budgeted(made, self.purse)
        return self._models[name]

    def everything(self) -> Iterator[Contest]:
        """All conditions, cross-play and gaps included, in the order in which they are played."""
        yield from self.contests
        for games in self.tournament.values():
            yield from games
        yield from self.gaps

    def recipe(self, contest: Contest) -> dict[str, Any]:
        """All that a condition's games depend on."""
        found: dict[str, Any] = {
            "name": contest.name,  # games are kept under it
            "protocol": contest.protocol,
            "template": contest.rules.template,
            "cast": contest.chairs.names,
            "items": self.setting.digest,
            "seeds": list(self.spec.seeds),
            "swap": self.spec.swap,
        }
        if self.referee is not None:
            found["referee"] = self.referee.name
        if files := sources(contest.protocol, *(str(r) for r in self._refs())):
            found["files"] = files
        return found

    def outcome(self, contest: Contest, progress: Progress = silent) -> tuple[Finished, str]:
        """A condition's games and the key of its archive: from the store where they are finished, else played.

        Raises Degenerate where games wait for a reply.
        """
        recipe = self.recipe(contest)
        if self.steps.known(STEP, VERSION, recipe):
            value = self.steps.run(STEP, VERSION, recipe, dict)
            if self.store is None or self.store.get(value["archive"]) is not None:
                return finished(value), value["archive"]
        start = time.perf_counter()
        task, held = self.setting.task, self.feedback.games(contest)
        table = Table(
            task, self.spec.seeds, self.spec.swap, self.transcript, self.referee, held, self.parked.idle
        )  # fmt: skip
        value, archive, final = run(contest, table, progress)
        value |= {"archive": f"games/{digest(archive)[:32]}", "seconds": time.perf_counter() - start}
        if self.store is not None:
            self.store.put(value["archive"], archive, {"condition": contest.name})
        kept = self.steps.run(STEP, VERSION, recipe, lambda: value) if final else decode(encode(value))
        return finished(kept), value["archive"]

    def plan(self) -> Plan:
        """Every condition with its key, and whether the store holds it; nothing is asked."""
        todo = list(self.everything())
        steps = tuple(
            Planned(
                c.name, self.steps.key(STEP, VERSION, self.recipe(c)), self.steps.known(STEP, VERSION, self.recipe(c))
            )
            for c in todo
        )
        left = [c for c, step in zip(todo, steps, strict=True) if not step.known]
        return Plan(steps, (*self.setting.notes, *self._cost(left, len(todo))))

    def run(self, progress: Progress = silent) -> Record:
        """Play what is not in the store and put the record together.

        While people are waited for, a record of the same finished conditions is not put together again: its intervals
        take 1.5 s for 300 items, which the next turn of a debate would wait for.
        """
        from superalign.studies.oversee.record import record_of

        with self.parked.run():
            played = self._played(progress)
        if not (self.parked.waiting and self._last is not None and self._last[0] == played.archives):
            self._last = (played.archives, record_of(self, played))
        return self._with_feedback(self._last[1])

    def _played(self, progress: Progress) -> Results:
        """Every condition's games, or why there are none."""
        from superalign.studies.oversee.record import Results

        todo = list(self.everything())
        played = Results()
        for done, contest in enumerate(todo):
            progress("conditions", done, len(todo))
            try:
                played.add(contest, *self.outcome(contest, progress))
            except Degenerate as reason:
                played.failures[contest.name] = str(reason)
            except ModelError as reason:
                if contest.kind not in ("ceiling", "gaps") or CEILING in self.spec.protocols or self.purse is not None:
                    raise
                played.failures[contest.name] = str(reason)  # nobody asked for it: without it PGR is undefined
        progress("conditions", len(todo), len(todo))
        return played

    def _with_feedback(self, record: Record) -> Record:
        """The record, after judges were told what was right about the items that are through."""
        if self.feedback.contests:
            self.feedback.give(self.transcript)
        if not self.feedback.given:
            return record
        told = Audit(door="truth", split=SPLIT, purpose=PURPOSE, n=len(self.feedback.given))
        return record.model_copy(update={"audit": (*record.audit, told)})

    def _refs(self) -> list[Ref]:
        return [self.setting.judge, self.setting.agent, *self.setting.named.values()]

    def _cost(self, left: list[Contest], total: int) -> tuple[str, ...]:
        """What is left to ask, rehearsed on a few items and scaled up."""
        if not left:
            return (f"All {total} conditions are in the store.",)
        some = self.setting.items[:REHEARSED]
        times = len(self.setting.items) / len(some)
        recorded, tallies, models, games = Recorded(self.transcript), dict[str, Tally](), dict[str, Model](), 0
        for contest in left:
            few = list(contest.games(some, self.spec.seeds, self.spec.swap))
            games += round(len(few) * times)
            found, _ = rehearse(contest.rules, contest.chairs, few, recorded)
            for name, tally in found.items():
                tallies.setdefault(name, Tally()).add(tally)
            models |= {model.name: unwrapped(model) for model in contest.chairs.values()}
        remarks, dollars = [f"{len(left)} of {total} conditions to play: about {games:,} games."], 0.0
        for name, tally in tallies.items():
            asks = ", ".join(f"{round(n * times):,} as {role}" for role, n in tally.asks.most_common())
            held = round(len(recorded.found.get(name, ())) * times)
            if not asks and not held:
                continue
            price = getattr(models[name], "price", None)
            dollars += 0.0 if price is None else times * price.usd(int(tally.tokens_in), int(tally.tokens_out))
            remarks.append(
                f"{name}: {asks or 'nothing'} to ask, about {times * tally.tokens_in / 1000:,.0f}k tokens to read and"
                f" {times * tally.tokens_out / 1000:,.0f}k to write"
                + (f"; {held:,} replies are in the store." if held else ".")
            )
            if asks and (unpriced := getattr(models[name], "unpriced", "")):
                remarks.append(unpriced)
        bound = f" of {self.spec.max_usd:g} allowed" if self.spec.max_usd is not None else ""
        return (*dict.fromkeys(remarks), f"About {dollars:.2f} USD{bound}.")


def unwrapped(model: Model) -> Model:
    """The model itself, under its flaws and its purse."""
    while isinstance(model, Flawed | Budgeted):
        model = model.model
    return model


def prepare(spec: Oversee, store: Store | None = None) -> Sweep:
    """Load the task, find the players and lay out the conditions; nothing is asked yet."""
    return Sweep(spec, store)


def oversee(spec: Oversee, store: Store | None = None, progress: Progress = silent) -> Record:
    """Run an oversight study and return its record.

    Without a store everything is computed in memory; with one, no reply is ever asked for twice.
    """
    return finish(prepare(spec, store), store, progress)


study = Study("oversee", Oversee, prepare)
