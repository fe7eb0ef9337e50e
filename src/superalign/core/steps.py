"""Memoised steps: what was computed once is never computed again.

A step's key is the digest of its name, its version and its inputs (recipes, not outputs, so a plan
knows every key before anything runs). Bump the version when the code of a step changes its numbers.
Values are named numpy arrays and JSON values; they are kept in safetensors form, never pickled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from superalign.core.digest import digest

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Progress, Store

_JSON = "__json__"
_REMEMBER = 8 << 20  # larger values (weights) are read from the store again rather than held in memory


@dataclass(frozen=True, slots=True)
class Done:
    """A step that was run or found: its name, key, whether it came from the store, and seconds spent."""

    name: str
    key: str
    cached: bool
    seconds: float


class Steps:
    """Runs steps against a store; without a store, remembers them for this process only."""

    def __init__(self, store: Store | None = None, progress: Progress | None = None) -> None:
        self.store = store
        self.progress = progress
        self.done: list[Done] = []
        self._memory: dict[str, dict[str, Any]] = {}
        self._tables: dict[str, dict[str, Floats]] = {}

    def key(self, name: str, version: int, inputs: Any) -> str:
        """The key of a step, known before it runs."""
        return f"{name}/{digest(name, version, inputs)}"

    def known(self, name: str, version: int, inputs: Any) -> bool:
        """Whether the step's value is already there, undamaged."""
        return self._find(self.key(name, version, inputs)) is not None

    def run(self, name: str, version: int, inputs: Any, compute: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The step's value: from the store if it is there and undamaged, else computed and kept.

        What `compute` returns is read back from its stored form, so the first run and every later one
        see the same bits.
        """
        key = self.key(name, version, inputs)
        start = time.perf_counter()
        value = self._find(key)
        if value is None:
            data = encode(compute())
            if self.store is not None:
                self.store.put(key, data, {"step": name, "version": version})
            value = self._remember(key, data)
            self.done.append(Done(name, key, False, time.perf_counter() - start))
        else:
            self.done.append(Done(name, key, True, 0.0))
        return value

    def rows(
        self,
        name: str,
        version: int,
        identity: Any,
        ids: Sequence[str],
        compute: Callable[[Sequence[int]], Iterator[tuple[Sequence[int], Floats]]],
    ) -> Floats:
        """A table of rows by id, where only rows never seen before are computed.

        `compute(positions)` yields `(positions, block)` pieces; each piece is kept as it comes, so a
        killed run loses one piece at most. Rows of one table have one shape. Returns (len(ids), ...).
        """
        import numpy as np

        table_name = self.key(name, version, identity)
        start = time.perf_counter()
        table = self._table(table_name)
        missing = [i for i, row in enumerate(ids) if row not in table]
        missing = list({ids[i]: i for i in missing}.values())
        if missing:
            done = 0
            for positions, block in compute(missing):
                names = [ids[i] for i in positions]
                self._keep_block(table_name, names, np.asarray(block))
                table.update(zip(names, np.asarray(block), strict=True))
                done += len(names)
                if self.progress is not None:
                    self.progress(name, done, len(missing))
        self.done.append(Done(name, table_name, not missing, time.perf_counter() - start if missing else 0.0))
        return np.stack([table[row] for row in ids]) if ids else np.zeros((0, 0), np.float32)

    def _keep_block(self, table: str, names: Sequence[str], block: Floats) -> None:
        if self.store is None:
            return
        key = f"{table}/{digest(list(names))[:24]}"
        self.store.put(key, encode({"ids": list(names), "rows": block}), {"table": table})
        self.store.append(table, [{"block": key}])

    def _table(self, table: str) -> dict[str, Floats]:
        known = self._tables.setdefault(table, {})
        if not known and self.store is not None:
            for event in self.store.read(table):
                block = self._find(event.body["block"], remember=False)
                if block is not None:  # a damaged block is as good as absent: its rows are computed again
                    known.update(zip(block["ids"], block["rows"], strict=True))
        return known

    def _find(self, key: str, remember: bool = True) -> dict[str, Any] | None:
        if key in self._memory:
            return self._memory[key]
        artifact = self.store.get(key) if self.store is not None else None
        if artifact is None:
            return None
        return self._remember(key, artifact.data) if remember else decode(artifact.data)

    def _remember(self, key: str, data: bytes) -> dict[str, Any]:
        value = decode(data)
        if self.store is None or len(data) < _REMEMBER:
            self._memory[key] = value
        return value


def encode(value: Mapping[str, Any]) -> bytes:
    """Named arrays and JSON values as safetensors bytes; equal values give equal bytes."""
    import numpy as np
    from safetensors.numpy import save

    arrays = {k: np.ascontiguousarray(v) for k, v in value.items() if isinstance(v, np.ndarray)}
    plain = {k: v for k, v in value.items() if k not in arrays}
    body = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
    arrays[_JSON] = np.frombuffer(body, np.uint8)
    data: bytes = save(arrays)
    return data


def decode(data: bytes) -> dict[str, Any]:
    """The inverse of `encode`."""
    from safetensors.numpy import load

    arrays = dict(load(data))
    plain = json.loads(arrays.pop(_JSON).tobytes())
    return {**arrays, **plain}
