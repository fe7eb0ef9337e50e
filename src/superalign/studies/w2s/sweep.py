"""The sweep of a weak-to-strong study: its cells, their jobs, and the record they leave."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from superalign.core import records
from superalign.core.digest import digest
from superalign.core.errors import Degenerate
from superalign.core.ports import Model, Progress, Store, silent
from superalign.core.power import smallest_difference
from superalign.core.registry import build
from superalign.core.spec import Record, Table
from superalign.core.steps import Steps
from superalign.core.study import Plan, Planned, Study, finish
from superalign.learners.method import Method, parse_method
from superalign.studies.w2s.cells import VERSION, Cell, Job
from superalign.studies.w2s.outcome import Outcome, Pair
from superalign.studies.w2s.record import record_of
from superalign.studies.w2s.spec import W2S
from superalign.tasks.load import load
from superalign.tasks.near import near_duplicates
from superalign.tasks.pool import Pool

STUDENTS = 0.93
"""Tetrachoric correlation of two students' errors: students of one seed share labels, initialisation and batch
order. Measured on digits and on SUBJ: correlation of outcomes .70 to .82, which is .90 to .97 here."""


class Sweep:
    """Every cell of a spec: weak x strong x seed, on one pool of data."""

    def __init__(self, spec: W2S, store: Store | None) -> None:
        self.spec = spec
        self.store = store
        self.steps = Steps(store)
        self.methods: tuple[Method, ...] = tuple(parse_method(text) for text in spec.methods)
        self.pool: Pool = load(spec.source)
        self._models: dict[str, Model] = {}
        self._progress: Progress = silent
        # one division per seed, whatever the number of pairs
        tasks = {seed: self.pool.task(seed, spec.sizes, split_seed=spec.split_seed) for seed in spec.seeds}
        self.cells = [
            Cell(tasks[seed], weak, strong, seed, self.model, self.steps, self._report)
            for weak in spec.weak
            for strong in spec.strong
            for seed in spec.seeds
        ]

    @cached_property
    def id(self) -> str:
        """The record's id: the same spec on the same data has the same one."""
        return f"w2s-{digest(self.spec.digest, self.pool.digest)[:10]}"

    def model(self, ref: str) -> Model:
        """A model by its reference; one object per reference, so its features are computed once."""
        if ref not in self._models:
            self._models[ref] = build(
                "models", ref, inputs=self.pool.inputs, steps=self.steps, choices=self.pool.choices
            )
        return self._models[ref]

    def jobs(self, cell: Cell) -> Iterator[Job]:
        """The jobs of a cell, in the order in which they need each other."""
        yield cell.weak_job()
        yield cell.ceiling_job()
        yield cell.zero_shot_job()
        yield cell.expansion_job()
        for method in self.methods:
            if method.teacher_text:
                yield cell.weak_job(method)
            yield cell.student_job(method)
        if self.spec.controls:
            yield from cell.control_jobs()

    def plan(self) -> Plan:
        """Every job with its key, and whether the store holds it; nothing runs."""
        planned = tuple(
            Planned(
                f"{job.name} (seed {cell.seed}, {cell.weak_ref} > {cell.strong_ref})",
                job.key(self.steps),
                job.known(self.steps),
            )
            for cell in self.cells
            for job in self.jobs(cell)
        )
        return Plan(planned, (*self.pool.notes, self._visible(), *self._cost(planned)))

    def run(self, progress: Progress = silent) -> Record:
        """Run what is not in the store and put the record together."""
        self._progress = progress
        self.steps.progress = progress
        work = [(cell, job) for cell in self.cells for job in self.jobs(cell)]
        pairs: dict[tuple[str, str], Pair] = {}
        for done, (cell, job) in enumerate(work):
            progress("jobs", done, len(work))
            pair = pairs.setdefault((cell.weak_ref, cell.strong_ref), Pair(cell.weak_ref, cell.strong_ref))
            try:
                pair.add(job, cell, Outcome.of(job.run(self.steps), job.key(self.steps), cell.task))
            except Degenerate as reason:
                pair.fail(job, str(reason))
        progress("jobs", len(work), len(work))
        return record_of(self, list(pairs.values()))

    def near_duplicates(self) -> Table | None:
        """Items of different splits whose texts nearly agree, in the first seed's split; None where there is none."""
        task = self.cells[0].task

        def compute() -> dict[str, Any]:
            found = near_duplicates(task)
            text = {i.id: i.prompt[:120] for split in task.splits for i in task.items(split)}
            overlaps = [o for o in found.overlaps if o.pairs]
            rows = [[f"{o.first} and {o.second}", o.pairs, *(text[i] for i in o.examples[0][:2])] for o in overlaps]
            return {"rows": rows, "complete": found.complete}

        value = self.steps.run("w2s-near-duplicates", VERSION, task.digests, compute)
        if not value["rows"]:
            return None
        note = "Texts that share most of their runs of five words. Group what belongs together with --group."
        note += "" if value["complete"] else " Much of the text is boilerplate, so the search is not complete."
        columns = ("splits", "pairs", "for example", "and")
        return Table(
            title="Near-duplicates across splits", columns=columns, rows=tuple(map(tuple, value["rows"])), note=note
        )

    def _report(self, name: str, done: int, total: int) -> None:
        self._progress(name, done, total)

    def _visible(self) -> str:
        seeds, items = len(self.spec.seeds), len(self.cells[0].task.items("test"))
        if seeds < 2:
            return "With one seed no difference between methods can be told from training noise; use --seeds 5 or more."
        smallest = smallest_difference(seeds, items, correlation=STUDENTS)
        return (
            f"With {seeds} seeds and {items:,} test items, a difference in PGR below about {smallest:.2f} cannot be seen "
            "(80 % power at .05, paired, for a weak-strong gap of .10)."
        )

    def _cost(self, planned: tuple[Planned, ...]) -> tuple[str, ...]:
        left = sum(not p.known for p in planned)
        if not left:
            return (f"All {len(planned)} steps are in the store.",)
        texts = {i.id for cell in self.cells for split in cell.task.splits for i in cell.task.items(split)}
        known = [r for r in records.load_all(self.store) if r.study == "w2s"] if self.store is not None else []
        past = [r.costs["seconds_per_step"] for r in known if r.costs.get("seconds_per_step")]
        guess = f", about {left * sorted(past)[len(past) // 2]:.0f} s at this store's usual pace" if past else ""
        return (
            f"{left} of {len(planned)} steps to run on {len(texts):,} items{guess}; no endpoint is called (0 USD).",
        )


def prepare(spec: W2S, store: Store | None = None) -> Sweep:
    """Load the data, find the models and lay out the sweep; nothing runs yet."""
    return Sweep(spec, store)


def w2s(spec: W2S, store: Store | None = None, progress: Progress = silent) -> Record:
    """Run a weak-to-strong study and return its record.

    Without a store everything is computed in memory; with one, what it holds is not computed again.
    """
    return finish(prepare(spec, store), store, progress)


study = Study("w2s", W2S, prepare)
