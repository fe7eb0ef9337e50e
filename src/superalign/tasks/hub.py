"""Data sets of the Hugging Face hub, by `hf:owner/name` or `hf:owner/name/config`, through `datasets`.

An unreachable hub is noticed within seconds: the client itself would retry for longer than anybody waits. What is
in its cache is then used.
"""

from __future__ import annotations

import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from superalign.core.errors import TaskError, nearest
from superalign.tasks.read import Row, Table

SECONDS = 3.0
"""How long the hub may take to accept a connection."""


def read_hub(place: str, split: str | None = None) -> Table:
    """The rows of one split (by default `train`, or the only one). Class labels become their names.

    Raises TaskError without the package, without a network, and for an unknown name, config or split.
    """
    name, config = _parse(place)
    try:
        import datasets
    except ImportError as error:
        raise TaskError(f"{place!r} needs the package datasets; type: pip install 'superalign[data]'") from error
    reached = Path(name).is_dir() or reachable()
    with _offline(datasets, not reached):
        try:
            found = datasets.load_dataset(name, config)
        except Exception as error:  # a dozen classes of three packages, none of which says what to type
            raise TaskError(_why(place, reached, error)) from error
    chosen = split or ("train" if "train" in found else next(iter(found)) if len(found) == 1 else "")
    if chosen not in found:
        raise TaskError(f"{place!r} has no split {chosen or 'train'!r}; {nearest(chosen or 'train', found)}")
    data = found[chosen]
    names = {c: f.names for c, f in data.features.items() if type(f).__name__ == "ClassLabel"}
    rows = tuple(Row(f"row {k + 1}", _named(cells, names)) for k, cells in enumerate(data))
    if not rows:
        raise TaskError(f"{place!r}: the split {chosen!r} is empty")
    return Table(f"{place.removeprefix('hf:')}:{chosen}", tuple(data.column_names), rows)


def _parse(place: str) -> tuple[str, str | None]:
    name = place.removeprefix("hf:")
    if name and Path(name).is_dir():
        return name, None
    parts = name.split("/")
    if not all(parts) or len(parts) > 3:
        raise TaskError(f"{place!r} is not the name of a data set; write hf:owner/name or hf:owner/name/config")
    return "/".join(parts[:2]), parts[2] if len(parts) == 3 else None


def _named(cells: dict[str, Any], names: dict[str, list[str]]) -> dict[str, Any]:
    """Class numbers as class names; -1 marks a hidden label."""
    if not names:
        return cells
    return cells | {c: names[c][cells[c]] if (cells[c] or 0) >= 0 and cells[c] is not None else None for c in names}


def reachable() -> bool:
    """Whether the hub, or the proxy on the way to it, accepts a connection."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    endpoint = urllib.parse.urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    proxy = urllib.request.getproxies().get(endpoint.scheme)
    if proxy and not urllib.request.proxy_bypass(endpoint.hostname or ""):
        endpoint = urllib.parse.urlparse(proxy)
    port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
    try:
        with socket.create_connection((endpoint.hostname or "", port), timeout=SECONDS):
            return True
    except OSError:
        return False


@contextmanager
def _offline(datasets: Any, wanted: bool) -> Iterator[None]:
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or wanted
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _why(place: str, reached: bool, error: Exception) -> str:
    first = str(error).split("\n")[0]
    if not reached:
        return (
            f"{place!r}: the hub cannot be reached and the data set is not in its cache; connect to the network, or "
            "download the data and name the file (data.jsonl, data.parquet)"
        )
    return (
        f"{place!r} cannot be loaded from the hub: {first}; check the name, and write hf:owner/name/config for a config"
    )
