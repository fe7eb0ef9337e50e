"""What can be plugged in, as narrow interfaces. `superalign.testing` ships a contract suite for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, runtime_checkable
from typing import Protocol as Interface

from superalign.core.types import Ask, Data, Item, Overseer, Pending, Reply

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from superalign.core.steps import Steps

    Floats = NDArray[np.floating[Any]]
    Ints = NDArray[np.integer[Any]]


@runtime_checkable
class Model(Interface):
    """Anything that answers: a transformer, an endpoint, a person at a form, a program.

    `answer` takes a batch and yields `(index, reply)` in order of readiness, each index once;
    `Pending` says that this reply will come later, in another run.
    `serial` models (local ones) get one batch at a time, as large as possible; others get asks as
    soon as they arise, from several threads.
    """

    name: str
    serial: bool

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]: ...


Objective = Callable[["Floats", "Ints", int, int], tuple["Floats", "Floats"]]
"""`objective(logits, rows, step, total) -> (values, gradients)`.

`logits` is (B, K) for one optimiser step (the effective batch), `rows` (B,) index the items given to
`fit`. Returns the loss of each row (B,) and its gradient with respect to the logits (B, K), both before
any mean over B. Pure numpy: the same losses train a logistic head, a small MLP and a transformer.
"""

Watch = Callable[[int, int, "Trainable"], None]
"""`watch(step, total, model)`: called at a handful of points of a fit, and at its end (step == total)."""


@runtime_checkable
class Trainable(Model, Interface):
    """A local model with weights. Methods never change it: `fit` and `load` return another one.

    Logits are (n, K): one column per choice. Where all items share their choices the columns are the
    classes; where an item's choices are its own texts, each choice is scored by the same function.
    """

    identity: Mapping[str, Any]
    """JSON-like; everything that the weights and outputs depend on before training. Part of artifact keys."""

    def variants(self) -> Sequence[Trainable]:
        """The settings to choose among on validation labels (a head's C), strongest regularisation
        first; just itself where nothing is to be chosen."""
        ...

    def features(self, items: Sequence[Item]) -> Floats:
        """Frozen representation, (n, d), or (n, K, d) where choices are the item's own texts."""
        ...

    def logits(self, items: Sequence[Item]) -> Floats: ...

    def fit(self, items: Sequence[Item], objective: Objective, seed: int, watch: Watch | None = None) -> Trainable:
        """A freshly initialised copy, trained on `items`. `seed` fixes initialisation and batch order."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """The trained weights as named arrays."""
        ...

    def load(self, state: Mapping[str, np.ndarray]) -> Trainable:
        """A copy with these weights; its logits equal the saved model's."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a stream: position from 1, its body, and the hash that chains it to all before."""

    position: int
    body: Mapping[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """Bytes with their SHA-256, verified when read."""

    data: bytes
    sha256: str
    meta: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Store(Interface):
    """Append-only hash-chained event streams, and content-addressed artifacts by key."""

    def append(self, stream: str, events: Sequence[Mapping[str, Any]], expect: str | None = None) -> str:
        """Append in one transaction and return the new head. With `expect`, raise `Conflict` unless the
        head is that hash (the head of an empty stream is the empty string)."""
        ...

    def read(self, stream: str, after: int = 0) -> Iterator[Event]:
        """Events with position > `after`, the chain verified; StoreError where it is broken."""
        ...

    def put(self, key: str, data: bytes, meta: Mapping[str, Any] | None = None) -> str:
        """Keep `data` under `key` and return its SHA-256. The first writer of a key wins, unless what is
        there is damaged, which is replaced."""
        ...

    def get(self, key: str) -> Artifact | None:
        """What is kept under `key`; None where there is nothing, or where the bytes do not match their hash."""
        ...


Progress = Callable[[str, int, int], None]
"""`progress(step name, done, total)`: how far a step has come."""


def silent(name: str, done: int, total: int) -> None:
    """Progress that goes nowhere."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a learner is given besides its data: a seed of its own, memoised steps, progress, a device."""

    seed: int
    steps: Steps
    progress: Progress = silent
    device: str = "cpu"
    watch: Watch | None = None


Learner = Callable[[Trainable, Data, Overseer, Run], Trainable]
"""Judgments in, model out."""

Inputs = Callable[[Sequence[str]], "Floats"]
"""`inputs(item ids) -> (n, d)`: the vectors of a task whose items are not text."""
