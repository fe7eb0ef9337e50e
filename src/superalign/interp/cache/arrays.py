"""A folder of numpy arrays and a manifest that is whole or not there, whatever kills the process that writes it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.errors import StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANIFEST = "manifest.json"
FORMAT = 1


def publish(folder: Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Write `folder` with `<name>.npy` for each array and a manifest of their checksums and the `facts`.

    Everything is written and synced beside it, then renamed, so the folder appears whole. Where another process was
    first, its folder stays: equal inputs give equal bytes.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    waiting = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        described = {}
        for name, array in arrays.items():
            with (waiting / f"{name}.npy").open("wb") as file:
                np.save(file, array, allow_pickle=False)
                _sync(file)
            described[name] = {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": _sha256(array)}
        write_json(waiting / MANIFEST, {"format": FORMAT, "arrays": described, **facts})
        waiting.chmod(0o755)
        waiting.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        if not folder.is_dir():
            raise StoreError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(waiting, ignore_errors=True)


def load(folder: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays of a folder, mapped into memory, and its manifest. Shapes and types are checked, contents are not
    (`verify`). Raises StoreError for what is damaged or of another kind."""
    manifest = read_json(folder / MANIFEST)
    described = manifest.get("arrays")
    if manifest.get("format") != FORMAT or not isinstance(described, dict):
        raise damaged(folder / MANIFEST, "is not a manifest of this version")
    return {name: _mapped(folder / f"{name}.npy", facts) for name, facts in described.items()}, manifest


def verify(folder: Path) -> None:
    """Read everything and compare checksums. Raises StoreError that names the file that differs."""
    arrays, manifest = load(folder)
    for name, array in arrays.items():
        if _sha256(array) != manifest["arrays"][name].get("sha256"):
            raise damaged(folder / f"{name}.npy", "differs from its checksum")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises StoreError where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, "is not JSON") from error
    if not isinstance(found, dict):
        raise damaged(path, "is not a JSON object")
    return found


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Equal values give equal bytes; on disk when this returns."""
    with path.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True, allow_nan=False)
        file.write("\n")
        _sync(file)


def damaged(path: Path, what: str) -> StoreError:
    """The error for a file that cannot be used."""
    return StoreError(f"the cache file {path} {what}; remove the folder {path.parent}, and it is written again")


def sync_folder(folder: Path) -> None:
    """Put a rename within a folder on disk; systems where folders cannot be opened do it themselves."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _mapped(path: Path, facts: Any) -> NDArray[Any]:
    if not isinstance(facts, dict):
        raise damaged(path.parent / MANIFEST, "does not describe its arrays")
    try:
        array = np.load(path, mmap_mode=None if 0 in facts.get("shape", ()) else "r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise damaged(path, f"cannot be read ({str(error).splitlines()[0]})") from error
    if array.dtype.str != facts.get("dtype") or list(array.shape) != facts.get("shape"):
        raise damaged(path, f"holds {array.dtype} {array.shape} and not what its manifest says")
    found: NDArray[Any] = np.asarray(array)  # slices of a memmap cost 5 microseconds more than those of an array
    return found


def _sha256(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
