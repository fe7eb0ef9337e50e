"""Runs committed methods on problems: points of the space in this process, files in the sandbox.

A point of the space is our own code with other settings; it is handed the public arrays alone. A file is somebody
else's code: it is fetched by its hash and runs where it can see nothing else. Neither is ever handed a key.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from superalign.core.errors import Degenerate, SpecError, StoreError, SuperalignError
from superalign.core.ports import Store
from superalign.core.registry import build, find, options_of, parse
from superalign.core.steps import Steps
from superalign.research.testbed import Problem, Testbed, Tier, answers, recovered
from superalign.research.values import Code, Typed

if TYPE_CHECKING:
    import numpy as np

    from superalign.core.ports import Ints
    from superalign.research.sandbox.limits import Limits
    from superalign.research.sandbox.runner import Sandbox

TRAINING = 1_000_003
"""Training seeds of development runs begin here: a method is never handed the seed of its problem, which with our
code makes the answers."""
SAID = 2000
"""Characters kept of what a method's run said."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run: `ok` with validated answers (m,), or another status with what was said. `usage` is in seconds and bytes."""

    status: str
    answers: Ints | None = None
    predictions: Any = None
    said: str = ""
    usage: Mapping[str, float] = field(default_factory=dict)
    denials: tuple[str, ...] = ()


class Bench:
    """A testbed on which committed methods are run; problems are made once per process.

    The sandbox is opened for the first file; where it cannot confine, every file is refused, with the reason.
    """

    def __init__(self, testbed: Testbed, store: Store, limits: Limits | None = None) -> None:
        self.testbed, self.store, self.limits = testbed, store, limits
        self.problem = lru_cache(maxsize=64)(self._problem)
        self._sandbox: Sandbox | None = None

    def _problem(self, family: str, seed: int, tier: Tier) -> Problem:
        return self.testbed.problem(family, seed, tier)

    def run(self, method: Typed | Code, public: Mapping[str, np.ndarray], items: int, seed: int) -> Ran:
        """Run a method on public arrays. What it does wrong is a status, never an error."""
        begun, cpu = time.perf_counter(), time.process_time()
        ran = self._typed(method, public, seed) if isinstance(method, Typed) else self._code(method, public, seed)
        if ran.status == "ok":
            try:
                ran = Ran("ok", answers(ran.predictions, items), ran.predictions, ran.said, ran.usage)
            except SpecError as error:
                ran = Ran("invalid", said=str(error), usage=ran.usage)
        spent = {"wall_s": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu}
        return Ran(ran.status, ran.answers, ran.predictions, ran.said[:SAID], {**spent, **ran.usage}, ran.denials)

    def score(self, method: Typed | Code, problem: Problem, seed: int) -> tuple[float | None, Ran]:
        """The performance gap that a run recovers; None where it failed, or its file or a gap is not there."""
        try:
            ran = self.run(method, problem.public, len(problem.key.truth), seed)
            return (recovered(problem, ran.answers) if ran.status == "ok" else None), ran
        except (Degenerate, StoreError) as error:
            return None, Ran("failed", said=str(error)[:SAID])

    def _typed(self, method: Typed, public: Mapping[str, Any], seed: int) -> Ran:
        try:
            checked = self.testbed.space.check(method.values)
            return Ran("ok", predictions=self.testbed.solve(checked, public, seed))
        except (SuperalignError, ArithmeticError, ValueError) as error:
            return Ran("failed", said=f"{type(error).__name__}: {error}")

    def _code(self, method: Code, public: Mapping[str, Any], seed: int) -> Ran:
        from superalign.research.sandbox.capabilities import SandboxRefused
        from superalign.research.sandbox.runner import Sandbox

        try:
            self._sandbox = self._sandbox or Sandbox.open()
        except SandboxRefused as error:
            return Ran("refused", said=str(error))
        text = source(self.store, method)
        outcome = self._sandbox.run(text, method.function, dict(public), seed, self.limits)
        usage = {"cpu_s": outcome.usage.cpu_s, "wall_s": outcome.usage.wall_s, "peak_bytes": outcome.usage.peak_memory}
        said = f"{outcome.reason}; it said: {outcome.said}" if outcome.said else outcome.reason
        return Ran(outcome.status, predictions=outcome.predictions, said=said, usage=usage, denials=outcome.denials)


def testbed_named(reference: str, store: Store) -> Testbed:
    """The testbed of a reference; one that encodes texts keeps them in the store. Raises PluginError for none."""
    factory = find("testbeds", parse(reference).name)
    taken = options_of(factory)
    given = {"steps": Steps(store)} if taken is None or "steps" in taken else {}
    found: Testbed = build("testbeds", reference, **given)
    return found


def commit(store: Store, text: str, function: str = "method") -> Code:
    """Keep a method file under its hash. Raises SpecError for one that is too large or not text."""
    data = text.encode()
    if not 0 < len(data) <= 1 << 20:
        raise SpecError(f"a method file has {len(data):,} bytes; give one of at most {1 << 20:,}")
    found = Code(sha256=hashlib.sha256(data).hexdigest(), function=function)
    store.put(found.artifact, data, {"kind": "method"})
    return found


def source(store: Store, method: Code) -> str:
    """The text of a committed method. Raises StoreError where it is not there, or is not what was committed."""
    artifact = store.get(method.artifact)
    if artifact is None:
        raise StoreError(f"the method file {method.sha256[:12]} is not in the store, or damaged")
    if hashlib.sha256(artifact.data).hexdigest() != method.sha256:
        raise StoreError(f"the method file {method.sha256[:12]} is not the one that was committed")
    return artifact.data.decode()


def development(testbed: Testbed, count: int) -> list[tuple[str, int]]:
    """The development problems of every campaign on a testbed, in turn through its families."""
    return [(testbed.families[k % len(testbed.families)], k // len(testbed.families)) for k in range(count)]


def scored(bench: Bench, method: Typed | Code, problems: Sequence[tuple[str, int]], tier: Tier) -> dict[str, Any]:
    """A method on several problems, as the payload of a `run_end`: its scores, or the first failure."""
    scores: list[float] = []
    usage: dict[str, float] = {}
    denials: list[str] = []
    for family, number in problems:
        score, ran = bench.score(method, bench.problem(family, number, tier), TRAINING + number)
        denials += [d for d in ran.denials if d not in denials]
        for name, value in ran.usage.items():
            usage[name] = max(usage.get(name, 0.0), value) if name == "peak_bytes" else usage.get(name, 0.0) + value
        if score is None:
            return {"status": ran.status, "scores": [], "said": ran.said, "usage": usage, "denials": denials}
        scores.append(score)
    return {"status": "ok", "scores": scores, "said": "", "usage": usage, "denials": denials}
