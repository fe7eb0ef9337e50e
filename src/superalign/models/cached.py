"""Cached: a Model that never answers the same ask twice, also outside the driver (which keeps transcripts itself)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from superalign.core.ports import Model, Store
from superalign.core.transcript import Transcript, key_of
from superalign.core.types import Ask, Pending, Reply


class Cached:
    """`model` with its replies kept in the store's stream `<prefix>/<name>` (in memory without a store).

    It has the model's name, so its calls are those of the model: transcripts and caches of one prefix share them.
    Failures are passed on and asked again the next time.
    """

    def __init__(self, model: Model, store: Store | None = None, prefix: str = "calls") -> None:
        self.name, self.serial = model.name, model.serial
        if hasattr(model, "concurrency"):
            self.concurrency: int = model.concurrency
        self._model, self._transcript, self._lock = model, Transcript(store, prefix), threading.Lock()

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]:
        """What is known at once, the rest as the model answers; equal asks of a batch are one."""
        keys = [key_of(self.name, ask) for ask in asks]
        places: dict[str, list[int]] = {}
        for i, key in enumerate(keys):
            with self._lock:
                known = self._transcript.find(self._model, key)
            if known is not None:
                yield i, known
            else:
                places.setdefault(key, []).append(i)
        unknown = list(places)
        new = [asks[places[key][0]] for key in unknown]
        for n, reply in self._model.answer(new) if new else ():
            key = unknown[n]
            with self._lock:
                self._transcript.record([(key, self._model, new[n], reply)])
            for i in places[key]:
                yield i, reply


def cached(model: Model, store: Store | None = None, prefix: str = "calls") -> Cached:
    """`model`, asked once per ask."""
    return Cached(model, store, prefix)
