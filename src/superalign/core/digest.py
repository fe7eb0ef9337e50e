"""Identity of values: a SHA-256 over a canonical form, equal across processes and platforms."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest(*values: Any) -> str:
    """Hex SHA-256 of the values.

    Takes JSON-like values, dataclasses, pydantic models and numpy arrays. Mappings are compared
    without order. Raises TypeError for anything else, so that nothing gets an accidental identity.
    """
    canonical = json.dumps([_plain(v) for v in values], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return {"__float__": value.hex()}  # repr would do, hex also keeps -0.0, inf and nan apart
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bytes):
        return {"__bytes__": hashlib.sha256(value).hexdigest()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"__type__": type(value).__name__, **fields}
    if hasattr(value, "model_dump"):
        return {"__type__": type(value).__name__, **_plain(value.model_dump(mode="json"))}
    if hasattr(value, "tobytes") and hasattr(value, "dtype") and hasattr(value, "shape"):
        body = hashlib.sha256(value.tobytes()).hexdigest()
        return {"__array__": body, "dtype": str(value.dtype), "shape": list(value.shape)}
    raise TypeError(f"no stable identity for {type(value).__name__}; pass JSON-like values, dataclasses or arrays")
