"""Scores of methods on development problems: once each, on as many processes as there are.

A score is a row of a table in the store, by testbed, method and problem; what is there is never computed again, by this
campaign or another, and a killed one loses at most what was being computed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.digest import digest
from superalign.core.ports import Progress, Store, silent
from superalign.core.registry import sources
from superalign.core.steps import Steps
from superalign.research.running import Bench, scored, testbed_named
from superalign.research.space import Method
from superalign.research.testbed import Testbed
from superalign.research.values import Code, Typed, typed

if TYPE_CHECKING:
    from superalign.core.ports import Floats

Where = tuple[str, int]
"""A development problem: family and number."""

FAILED = float("nan")


@dataclass
class Workers:
    """Runs methods on the development problems of a testbed. `count` processes; with one, in this process.

    `failures` says by method why it has no score, `denials` what of others it reached for, `usage` sums what was used.
    """

    reference: str
    testbed: Testbed
    store: Store
    count: int = 1
    progress: Progress = silent
    failures: dict[str, str] = field(default_factory=dict)
    usage: dict[str, float] = field(default_factory=dict)
    denials: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._steps = Steps(self.store)
        self._pool: ProcessPoolExecutor | None = None
        self._bench = Bench(self.testbed, self.store)
        axes = [[a.name, list(a.values)] for a in self.testbed.space.axes]
        self._identity = [self.reference, self.testbed.card, axes, sources(self.reference)]

    def scores(self, methods: Sequence[Typed | Code], problems: Sequence[Where]) -> Floats:
        """PGR (methods, problems); a row of NaN for a method that failed on one of them."""
        ids = [f"{digest(m)[:24]}/{f}/{n}" for m in methods for f, n in problems]

        def compute(missing: Sequence[int]) -> Iterator[tuple[Sequence[int], Floats]]:
            by_method: dict[int, list[int]] = {}
            for position in missing:
                by_method.setdefault(position // len(problems), []).append(position)
            jobs = [(methods[m], [problems[p % len(problems)] for p in places]) for m, places in by_method.items()]
            for k, payload in self._run(jobs):
                places = list(by_method.values())[k]
                self._note(methods[list(by_method)[k]], payload)
                found = payload["scores"] if payload["status"] == "ok" else [FAILED] * len(places)
                yield places, np.asarray(found, np.float64)[:, None]

        rows = self._steps.rows("research/scores", 1, self._identity, ids, compute)
        table: Floats = rows.reshape(len(methods), len(problems)).astype(np.float64)
        table[~np.isfinite(table).all(1)] = FAILED
        return table

    def evaluate(self, methods: Sequence[Method], problems: Sequence[Where]) -> Floats:
        """`scores` of points of the space."""
        return self.scores([typed(m) for m in methods], problems)

    def _note(self, method: Typed | Code, payload: dict[str, Any]) -> None:
        if payload["denials"]:
            self.denials.setdefault(digest(method), []).extend(payload["denials"])
        if payload["status"] != "ok":
            self.failures[digest(method)] = f"{payload['status']}: {payload['said']}"
        for name, value in payload["usage"].items():
            self.usage[name] = max(self.usage.get(name, 0.0), value) if name == "peak_bytes" else (
                self.usage.get(name, 0.0) + value)  # fmt: skip

    def _run(self, jobs: Sequence[tuple[Typed | Code, list[Where]]]) -> Iterator[tuple[int, dict[str, Any]]]:
        """(job, payload) in order of readiness."""
        if self.count == 1:
            for k, (method, problems) in enumerate(jobs):
                yield k, scored(self._bench, method, problems, "dev")
            return
        if self._pool is None:
            url: str = getattr(self.store, "url", "")
            self._pool = ProcessPoolExecutor(
                self.count, get_context("spawn"), initializer=_begin, initargs=(self.reference, url)
            )
        futures: dict[Future[dict[str, Any]], int] = {
            self._pool.submit(_work, method, problems): k for k, (method, problems) in enumerate(jobs)
        }
        for future in as_completed(futures):
            yield futures[future], future.result()

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


_OWN: list[Bench] = []


def _begin(reference: str, url: str) -> None:
    """What a process does first: one thread each, its own testbed and store."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    from threadpoolctl import threadpool_limits

    from superalign.store import open_store

    threadpool_limits(1)
    store = open_store(url)
    _OWN.append(Bench(testbed_named(reference, store), store))


def _work(method: Typed | Code, problems: list[Where]) -> dict[str, Any]:
    return scored(_OWN[0], method, problems, "dev")
