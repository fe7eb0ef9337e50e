"""One cell of the sweep: a weak model, a strong model and a seed.

A cell is a handful of jobs: the weak floor and its labels, the ceiling, zero-shot, a student per
method, and controls. A job is memoised by its recipe, so a sweep shares weak labels, ceilings and
features, a killed run goes on where it was, and a plan knows what is left to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from superalign.core.driver import oversee
from superalign.core.errors import ModelError
from superalign.core.ports import Learner, Model, Progress, Run, Trainable
from superalign.core.random import derive, stream
from superalign.core.registry import sources
from superalign.core.steps import Steps
from superalign.core.task import Task
from superalign.core.types import Data, Item, Judgment, Overseer, Seat, Verdict
from superalign.learners.finetune import finetune
from superalign.learners.losses import Xent
from superalign.learners.method import VERSION as LEARNERS
from superalign.learners.method import Method
from superalign.models.head import softmax
from superalign.protocols.direct import direct
from superalign.studies.w2s.anatomy import neighbour_expansion

if TYPE_CHECKING:
    from superalign.core.ports import Floats

VERSION = 2  # of every job below; bump it when their code changes numbers
TRUTH, STUDENT = finetune(Xent()), finetune(Xent(), tolerance=1.0)
LABELLED = ("transfer", "validation", "test")

Build = Callable[[str], Model]


@dataclass(frozen=True, slots=True)
class Job:
    """A memoised piece of work: its condition's name, its recipe, and how to compute it."""

    name: str
    step: str
    recipe: dict[str, Any]
    compute: Callable[[], dict[str, Any]]

    def run(self, steps: Steps) -> dict[str, Any]:
        return steps.run(self.step, VERSION, self.recipe, self.compute)

    def key(self, steps: Steps) -> str:
        return steps.key(self.step, VERSION, self.recipe)

    def known(self, steps: Steps) -> bool:
        return steps.known(self.step, VERSION, self.recipe)


@dataclass(slots=True)
class Trail:
    """Watches a fit: predictions on the test items at a handful of points (the anatomy over training)."""

    items: Sequence[Item]
    steps: list[int] = field(default_factory=list)
    predictions: list[NDArray[np.int16]] = field(default_factory=list)

    def __call__(self, step: int, total: int, model: Trainable) -> None:
        if not self.steps or step > self.steps[-1]:
            self.steps.append(step)
            self.predictions.append(model.logits(self.items).argmax(1).astype(np.int16))


@dataclass(frozen=True, slots=True)
class Cell:
    """A weak model, a strong model and a seed on one task."""

    task: Task
    weak_ref: str
    strong_ref: str
    seed: int
    build: Build
    steps: Steps
    progress: Progress

    @property
    def strong(self) -> Trainable:
        model = self.build(self.strong_ref)
        if not isinstance(model, Trainable):
            raise ModelError(f"{self.strong_ref!r} cannot be trained, so it cannot be a strong student")
        return model

    def weak_job(self, teacher: Method | None = None) -> Job:
        """The weak floor: trained on the truth of weak-train, it labels everything else out of sample."""
        model = self.build(self.weak_ref)
        parts = teacher.teacher_text if teacher else ""
        recipe = {"model": identity(model), "teacher": parts, "data": self._data("weak-train", *LABELLED)}

        def compute() -> dict[str, Any]:
            if not isinstance(model, Trainable):
                return self._labels_of(model)
            learner: Learner = teacher.teacher(TRUTH) if teacher else TRUTH
            data = held_out(self.task.items("weak-train"), self.seed, choosing=len(model.variants()) > 1)
            truth = self.task.truth("weak-train", "weak floor: trained on weak-train")
            trained = learner(model, data, truth, self._run("weak", identity(model)))
            return {**self._labels_of(trained), **state_of(trained)}

        return self._job(parts or "weak", "w2s-weak", recipe, compute)

    def ceiling_job(self) -> Job:
        """The strong model on the truth of transfer, through the same pipeline as the students."""
        return self._truth_job("ceiling", "transfer", "ceiling", self.strong)

    def student_job(self, method: Method) -> Job:
        """The strong model on the weak labels of transfer."""
        model, weak = self.strong, self.weak_job(method if method.teacher_text else None)
        recipe = {"model": identity(model), "method": [method.name, LEARNERS], "labels": weak.key(self.steps)}

        def compute() -> dict[str, Any]:
            learner = method.learner(self._trainable)
            return self._train(model, learner, self._data_of("transfer"), self.supervisor(weak))

        return self._job(method.name, "w2s-student", recipe, compute)

    def zero_shot_job(self) -> Job:
        """What the strong model answers untrained, where it can."""
        model = self.strong

        def compute() -> dict[str, Any]:
            ask = getattr(model, "zero_shot", None)
            probs = ask(self.task.items("test")) if ask is not None else None
            return {"test": np.asarray(probs)} if probs is not None else {"reason": no_zero_shot(model)}

        recipe = {"model": identity(model), "data": self._data("test"), "choices": list(self.task.choices)}
        return self._job("zero-shot", "w2s-zero-shot", recipe, compute)

    def expansion_job(self) -> Job:
        """A label-free predictor: how the weak labels lie in the strong model's representation."""
        weak = self.weak_job()

        def compute() -> dict[str, Any]:
            labels = weak.run(self.steps)["transfer"]
            known = ~np.isnan(labels).any(1)
            features = np.asarray(self.strong.features(self.task.items("transfer")))[known]
            if features.ndim != 2:
                return {"reason": "undefined: items with choices of their own have no one representation"}
            found = neighbour_expansion(features, labels[known].argmax(1))
            return {"expansion": found.coefficient.value, "neighbours_disagree": found.other.value}

        recipe = {"model": identity(self.strong), "labels": weak.key(self.steps)}
        return self._job("expansion", "w2s-expansion", recipe, compute)

    def control_jobs(self) -> list[Job]:
        """Rows that tell what a gain is due to; none is a legal method."""
        weak = self.weak_job()
        jobs = [self._truth_job("weak-train-truth", "weak-train", "control: strong model on weak-train", self.strong)]
        recipe = {"model": identity(self.strong), "labels": weak.key(self.steps), "control": "random-errors"}

        def random_errors() -> dict[str, Any]:
            return self._train(self.strong, STUDENT, self._data_of("transfer"), self._random_errors(weak))

        jobs.append(self._job("random-errors", "w2s-control", recipe, random_errors))
        student = self.build(self.weak_ref)
        if isinstance(student, Trainable):
            recipe = {"model": identity(student), "labels": weak.key(self.steps), "control": "weak-student"}

            def weak_student() -> dict[str, Any]:
                return self._train(student, STUDENT, self._data_of("transfer"), self.supervisor(weak))

            jobs.append(self._job("weak-student", "w2s-control", recipe, weak_student))
        return jobs

    def supervisor(self, weak: Job) -> Overseer:
        """The weak model's recorded judgments as an overseer."""
        value = weak.run(self.steps)
        rows = {
            item.id: row for split in LABELLED for item, row in zip(self.task.items(split), value[split], strict=True)
        }
        return lambda items: [judged(item, rows[item.id]) for item in items]

    def _random_errors(self, weak: Job) -> Overseer:
        """Truth with random errors at the weak labels' own error rate: what imitation of structure adds."""
        value = weak.run(self.steps)
        supervisor = self.supervisor(weak)
        rates = {}
        for split in ("transfer", "validation"):
            right = self.task.score(supervisor(self.task.items(split)), "accuracy")
            rates[split] = 1.0 - float(right.mean()) if len(value[split]) else 0.0
        rng = stream(self.seed, "random errors", weak.key(self.steps))

        def overseer(items: Sequence[Item]) -> list[Judgment]:
            out = []
            for item, judgment in zip(items, self._truth(items, "control: random errors"), strict=True):
                probs = np.asarray(judgment.verdict.probs)
                split = "transfer" if item.id in ids else "validation"
                if rng.random() < rates[split]:
                    wrong = rng.choice(np.flatnonzero(probs == 0))
                    probs = np.eye(len(probs))[wrong]
                out.append(judged(item, probs))
            return out

        ids = {i.id for i in self.task.items("transfer")}
        return overseer

    def _truth(self, items: Sequence[Item], purpose: str) -> list[Judgment]:
        """Truth over items that may lie in several splits."""
        found: dict[str, Judgment] = {}
        wanted = {i.id for i in items}
        for split in self.task.splits:
            inside = [i for i in self.task.items(split) if i.id in wanted]
            if inside:
                found.update((j.item, j) for j in self.task.truth(split, purpose)(inside))
        return [found[i.id] for i in items]

    def _truth_job(self, name: str, split: str, purpose: str, model: Trainable) -> Job:
        recipe = {"model": identity(model), "truth": split, "data": self._data(split, "validation", "test")}

        def compute() -> dict[str, Any]:
            overseer: Overseer = lambda items: self._truth(items, purpose)  # noqa: E731
            return self._train(model, TRUTH, self._data_of(split), overseer)

        return self._job(name, "w2s-truth", {**recipe, "purpose": purpose}, compute)

    def _train(self, model: Trainable, learner: Learner, data: Data, overseer: Overseer) -> dict[str, Any]:
        trail = Trail(self.task.items("test"))
        trained = learner(model, data, overseer, self._run("strong", identity(model), trail))
        predictions = {split: softmax(trained.logits(self.task.items(split))) for split in ("transfer", "test")}
        trace = {"trail": np.stack(trail.predictions), "trail_steps": trail.steps} if trail.steps else {}
        return {**predictions, **trace, **state_of(trained), "trained": trained.name}

    def _labels_of(self, model: Model) -> dict[str, Any]:
        """The direct protocol with this model as the judge; rows of NaN where it abstained."""
        overseer = oversee(direct(), {"judge": model}, progress=self.progress)
        return {split: probabilities(overseer(self.task.items(split)), self.task.items(split)) for split in LABELLED}

    def _job(self, name: str, step: str, recipe: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> Job:
        """Adds the seed and the data to the recipe, and the reads of the key to the value."""

        def audited() -> dict[str, Any]:
            before, start = len(self.task.reads), time.perf_counter()
            value = compute()
            reads = [[r.door, r.split, r.purpose, r.n] for r in self.task.reads[before:]]
            return {**value, "reads": reads, "seconds": time.perf_counter() - start}

        full = {**recipe, "seed": self.seed, "data": recipe.get("data") or self._data("transfer", "validation", "test")}
        if files := sources(name, self.weak_ref, self.strong_ref):
            full["files"] = files
        return Job(name, step, full, audited)

    def _data(self, *splits: str) -> dict[str, str]:
        return {split: self.task.digests[split] for split in splits}

    def _data_of(self, split: str) -> Data:
        return Data(self.task.items(split), self.task.items("validation"))

    def _run(self, side: str, model: Any, watch: Trail | None = None) -> Run:
        # Students and ceiling of a seed share initialisation and batch order; weak and strong never share a stream.
        return Run(derive(self.seed, side, model), self.steps, self.progress, watch=watch)

    def _trainable(self, ref: str) -> Trainable:
        model = self.build(ref)
        if not isinstance(model, Trainable):
            raise ModelError(f"{ref!r} cannot be trained, so it cannot stand in a chain of students")
        return model


def identity(model: Model) -> Any:
    """What the model's outputs depend on before training."""
    return dict(getattr(model, "identity", {"name": model.name}))


def held_out(items: Sequence[Item], seed: int, choosing: bool) -> Data:
    """All items to train on, or four fifths of them where settings are to be chosen on the last fifth."""
    if not choosing:
        return Data(tuple(items))
    order = stream(seed, "weak held-out", len(items)).permutation(len(items))
    cut = len(items) // 5
    return Data(tuple(items[i] for i in order[cut:]), tuple(items[i] for i in order[:cut]))


def state_of(model: Trainable) -> dict[str, Any]:
    """The weights, named for the artifact."""
    return {f"state/{name}": array for name, array in model.state().items()}


def judged(item: Item, probs: Floats) -> Judgment:
    """A recorded row of probabilities as a judgment; a row of NaN abstains."""
    if np.isnan(probs).any():
        return Judgment(item.id, Seat(), Verdict(None, abstained="no label"))
    return Judgment(item.id, Seat(), Verdict(int(np.argmax(probs)), tuple(float(p) for p in probs)))


def probabilities(judgments: Sequence[Judgment], items: Sequence[Item]) -> Floats:
    """Soft labels (n, K) of judgments; an answer without probabilities is one-hot, an abstention NaN."""
    rows = []
    for judgment, item in zip(judgments, items, strict=True):
        verdict = judgment.verdict
        if verdict.probs:
            rows.append(list(verdict.probs))
        elif isinstance(verdict.answer, int):
            rows.append([float(k == verdict.answer) for k in range(len(item.choices))])
        else:
            rows.append([float("nan")] * len(item.choices))
    return np.asarray(rows, np.float64)


def no_zero_shot(model: Model) -> str:
    """Why there is no zero-shot row."""
    if not hasattr(model, "zero_shot"):
        return f"undefined: {model.name} cannot answer untrained"
    return "undefined: the choices carry no words to answer with; name them with --choices"
