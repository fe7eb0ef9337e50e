"""A labelling study laid out: who is asked about what, what that would cost, and the record it leaves."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from superalign.core import records
from superalign.core.digest import digest
from superalign.core.driver import play
from superalign.core.errors import SpecError
from superalign.core.ports import Model, Progress, Store, silent
from superalign.core.registry import Ref, build
from superalign.core.spec import Record
from superalign.core.steps import Steps
from superalign.core.study import Plan, Planned, Study, finish
from superalign.core.transcript import Transcript, key_of
from superalign.core.types import Ask, Item, Judgment, Seat
from superalign.models.budgeted import Purse, budgeted
from superalign.studies.label.critiques import critiques, is_file
from superalign.studies.label.explanations import explanations
from superalign.studies.label.preferences import preferences
from superalign.studies.label.record import record_of
from superalign.studies.label.spec import Label
from superalign.studies.label.work import Result, Work
from superalign.studies.oversee.cast import speaker, takes
from superalign.studies.oversee.rehearsal import PER_TOKEN

WORKS: Mapping[str, Callable[[Label, Store], Work]] = {
    "preferences": preferences, "critiques": critiques, "explanations": explanations,
}  # fmt: skip
WAITING = "waiting"
TERSE = 20
"""Tokens of a label, for what a plan says it would cost."""


class Labelling:
    """The raters of a spec at their work. What was said is in the store's transcripts, by model and call: raising
    `items`, or adding a rater, asks nothing twice."""

    def __init__(self, spec: Label, store: Store) -> None:
        self.spec, self.store = named(spec, store), store
        self.work = WORKS[spec.what](self.spec, store)
        self.purse = None if spec.max_usd is None else Purse(spec.max_usd)
        self.refs = [speaker(text) for text in spec.raters]
        self.raters = [self._model(ref) for ref in self.refs]
        self._seated: dict[str, list[tuple[Item, Seat]]] = {}
        self._done: dict[str, Result] = {}
        names = [model.name for model in self.raters]
        if len(set(names)) < len(names):
            raise SpecError(f"{max(names, key=names.count)!r} rates twice; name each rater once (--rater)")

    @cached_property
    def id(self) -> str:
        """The record's id: the same spec on the same things has the same one."""
        return f"label-{digest(self.spec.digest, [i.id for i in self.work.items])[:10]}"

    @cached_property
    def transcript(self) -> Transcript:
        """Every label that was ever given to things of this kind, read when it is first needed."""
        return Transcript(self.store, f"calls/label-{self.spec.what}")

    def plan(self) -> Plan:
        """What is left to ask of each rater; nothing is asked, and nothing put on a desk."""
        steps, remarks = [], [*self.work.notes]
        for ref, model in zip(self.refs, self.raters, strict=True):
            games = self._games(ref, model)
            left = list(self._left(model, games))
            key = digest(model.name, [(i.id, s.order) for i, s in games])
            steps.append(Planned(model.name, f"label/{key}", not left))
            remarks.append(_cost(ref, model, len(games), left))
        return Plan(tuple(steps), tuple(remarks))

    def run(self, progress: Progress = silent) -> Record:
        """Ask what was not asked, people first because they take longest, and put the record together."""
        start, found = time.perf_counter(), {}
        for ref, model in sorted(zip(self.refs, self.raters, strict=True), key=lambda pair: not _person(pair[0])):
            found[model.name] = self._done.get(model.name) or self._asked(ref, model, progress)
        results = [found[model.name] for model in self.raters]
        return record_of(self, results, time.perf_counter() - start)

    def _asked(self, ref: Ref, model: Model, progress: Progress) -> Result:
        """What a rater says. While people are waited for a study runs again and again, so it is held where it is final:
        nobody is waited for, and no call failed."""
        judgments = play(self.work.rules, {self.work.role: model}, self._games(ref, model), self.transcript, progress)
        result = self._result(model.name, judgments)
        if not result.waiting and not any(reply.failure is not None for j in judgments for _, reply in j.calls):
            self._done[model.name] = result
        return result

    def _games(self, ref: Ref, model: Model) -> list[tuple[Item, Seat]]:
        if model.name not in self._seated:
            self._seated[model.name] = [
                (item, seat) for item in self.work.items for seat in self.work.seats(item, model.name, _person(ref))
            ]
        return self._seated[model.name]

    def _left(self, model: Model, games: Sequence[tuple[Item, Seat]]) -> Iterator[Ask]:
        """The next ask of every game that is not over, replayed as far as it went."""
        for item, seat in games:
            moves = self.work.rules(item, seat)
            asks = next(moves)
            while True:
                known = [(ask, self.transcript.find(model, key_of(model.name, ask))) for ask in asks]
                replies = [reply for _, reply in known if reply is not None]
                if len(replies) < len(known):
                    yield from (ask for ask, reply in known if reply is None)
                    break
                try:
                    asks = moves.send(replies)
                except StopIteration:
                    break
            moves.close()

    def _result(self, rater: str, judgments: list[Judgment]) -> Result:
        said = [j.verdict.abstained or "" for j in judgments]
        faults: Counter[str] = Counter()
        for judgment in judgments:
            faults.update(
                {f"malformed: {kind}": n for kind, n in self.work.faults(judgment).items() if kind != "failed"}
            )
        faults.update(why[:80] for why in said if why.startswith("failed"))
        return Result(rater, tuple(judgments), Counter(why for why in said if why.startswith(WAITING)), faults)

    def _model(self, ref: Ref) -> Model:
        if self.spec.prices and takes("models", ref, "prices") and "prices" not in ref.options:
            ref = replace(ref, options={**ref.options, "prices": self.spec.prices})
        made: Model = build("models", ref, inputs=None, steps=Steps(self.store), choices=())
        return made if self.purse is None else budgeted(made, self.purse)


def named(spec: Label, store: Store) -> Label:
    """The spec with the whole id of the record that it names: `last` is the newest that is not of labels, and stays it."""
    if spec.what == "preferences" or is_file(spec.data):
        return spec
    sources = [entry.id for entry in records.entries(store) if entry.study != spec.study]
    last = sources[-1] if spec.data == "last" and sources else spec.data
    return spec.model_copy(update={"data": records.load(store, last).id})


def _person(ref: Ref) -> bool:
    return ref.name == "human"


def _cost(ref: Ref, model: Model, games: int, left: Sequence[Ask]) -> str:
    """What is left to ask of a rater, in a sentence."""
    told = f"{model.name}: {len(left):,} of {games:,} to ask"
    if _person(ref) or not left:
        people = ref.options.get("people", 1)
        return f"{told}, {people} people each." if left and people != 1 else f"{told}."
    tokens = sum(len(m.content) for ask in left for m in ask.messages) / PER_TOKEN
    price = getattr(getattr(model, "model", model), "price", None)  # under its purse, where it has one
    dollars = f", about {price.usd(int(tokens), TERSE * len(left)):.2f} USD" if price is not None else ""
    return f"{told}, about {tokens:,.0f} tokens to read{dollars}."


def prepare(spec: Label, store: Store) -> Labelling:
    """Read what is to be labelled and find the raters; nothing is asked yet."""
    return Labelling(spec, store)


def label(spec: Label, store: Store, progress: Progress = silent) -> Record:
    """Run a labelling study and return its record; where people have not answered, `failures` says what waits."""
    return finish(prepare(spec, store), store, progress)


study = Study("label", Label, prepare)
