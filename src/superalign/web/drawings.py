"""The charts that were drawn last: drawing one takes some 0.3 s, whoever asks for it again gets it at once."""

from __future__ import annotations

import threading
from collections import OrderedDict

from superalign.core.records import Entry
from superalign.core.spec import Record
from superalign.report.views import figures
from superalign.report.views.figures import Drawn, Known

KEPT = 400
"""Drawings in memory, some 50 kB each."""


class Drawings:
    """Drawn charts by record. Threads may share it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Drawn] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, record: Record, entry: Entry, now: bool = False) -> Known:
        """The drawings of a record: those that are there; with `now` the others are drawn."""

        def known(key: str) -> Drawn | None:
            name = entry.artifact, key
            with self._lock:
                found = self._kept.get(name)
                if found is not None:
                    self._kept.move_to_end(name)
            if found is None and now:
                found = figures.draw(record, key)
                with self._lock:
                    self._kept[name] = found
                    while len(self._kept) > KEPT:
                        self._kept.popitem(last=False)
            return found

        return known
