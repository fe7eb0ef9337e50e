"""The bytes of a file: plain, gzipped, or a member of a zip archive. Files are untrusted: sizes are bounded."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from superalign.core.errors import TaskError, nearest

LIMIT = 2 * 2**30
"""Bytes that one file may unpack to."""

DATA = {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".pq", ".gz"}
_DOCUMENTS = ("readme", "license", "licence", "citation", "changelog")


@dataclass(frozen=True, slots=True)
class Blob:
    """A file's name without its folder (and without `.gz`), and its bytes."""

    name: str
    data: bytes


def fetch(place: str) -> Blob:
    """The bytes at `path`, `path.gz`, `archive.zip` (one data file in it) or `archive.zip!member`.

    Raises TaskError where there is no such file or member, where an archive is damaged, and where something
    unpacks to more than 2 GiB.
    """
    path, member = Path(place), ""
    if not path.exists() and "!" in place:
        before, _, member = place.partition("!")
        path = Path(before)
    if path.is_dir():
        held = sorted(p.name for p in path.iterdir())
        raise TaskError(f"{place!r} is a folder; name a file in it: {', '.join(held[:10]) or 'it is empty'}")
    if not path.is_file():
        raise TaskError(_missing(path))
    if path.stat().st_size > LIMIT:
        raise TaskError(f"{place!r} holds {path.stat().st_size / 2**30:.1f} GiB, more than {_gib()}; give a part of it")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TaskError(f"{place!r} cannot be read: {error.strerror or error}") from error
    if member or path.suffix.lower() == ".zip":
        name, data = _unzip(path, data, member)
        label = f"{path.name}!{PurePosixPath(name).name}"
    else:
        label = path.name
    if data.startswith(b"\x1f\x8b") or label.lower().endswith(".gz"):
        data = _gunzip(label, data)
        label = label[:-3] if label.lower().endswith(".gz") else label
    return Blob(label, data)


def _gib() -> str:
    return f"{LIMIT / 2**30:g} GiB"


def _missing(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"no file {str(path)!r}: there is no folder {str(folder)!r}"
    names = [p.name for p in folder.iterdir() if not p.name.startswith(".")]
    near = nearest(path.name, names) if len(names) <= 200 or "mean" in nearest(path.name, names) else ""
    return f"no file {str(path)!r}; {near or f'the folder holds {len(names)} others'}"


def _gunzip(name: str, data: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            plain = file.read(LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"{name!r} is not a gzip file that can be read: {error}; fetch it again") from error
    if len(plain) > LIMIT:
        raise TaskError(f"{name!r} unpacks to more than {_gib()}, so it is refused; give a part of it")
    return plain


def _unzip(path: Path, data: bytes, member: str) -> tuple[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            info = _member(path, archive, member)
            if info.file_size > LIMIT:
                size = f"{info.file_size / 2**30:.1f} GiB, more than {_gib()}"
                raise TaskError(
                    f"{info.filename!r} in {path.name!r} unpacks to {size}, so it is refused; give a part of it"
                )
            with archive.open(info) as file:  # reads no more than file_size says, then checks the sum
                return info.filename, file.read()
    except (zipfile.BadZipFile, EOFError, zlib.error, OSError) as error:
        raise TaskError(f"{str(path)!r} is not a zip archive that can be read: {error}; fetch it again") from error
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or an unknown compression
        raise TaskError(f"{str(path)!r} cannot be unpacked: {error}; unpack it yourself and name the file") from error


def _member(path: Path, archive: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    infos = [i for i in archive.infolist() if not i.is_dir() and not _noise(i.filename)]
    names = [i.filename for i in infos]
    if member:
        found = [i for i in infos if i.filename == member] or [i for i in infos if i.filename.endswith("/" + member)]
        if len(found) != 1:
            near = "it holds: " + ", ".join(found_names if (found_names := [i.filename for i in found]) else names[:20])
            what = "no member" if not found else "several members"
            raise TaskError(f"{path.name!r} has {what} {member!r}; {near}")
        return found[0]
    data = [i for i in infos if PurePosixPath(i.filename).suffix.lower() in DATA] or infos
    if not data:
        raise TaskError(f"{path.name!r} holds no data file; name a .csv, .tsv, .json, .jsonl or .parquet file")
    if len(data) > 1:
        listed = ", ".join(repr(i.filename) for i in data[:20])
        example = PurePosixPath(data[0].filename).name
        raise TaskError(f"{path.name!r} holds several data files: {listed}; choose one: {path.name}!{example}")
    return data[0]


def _noise(name: str) -> bool:
    parts = PurePosixPath(name).parts
    last = parts[-1].lower() if parts else ""
    return "__MACOSX" in parts or last.startswith(".") or last.startswith(_DOCUMENTS)
