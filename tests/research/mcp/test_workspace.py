"""Files of a researcher: what is inside, and no way out."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import SpecError
from superalign.research.mcp.workspace import Workspace


@pytest.fixture
def room(tmp_path: Path) -> Workspace:
    """A workspace beside a secret."""
    (tmp_path / "secret.json").write_text("[1, 0]")
    (tmp_path / "room" / "inner").mkdir(parents=True)
    return Workspace(tmp_path / "room")


def test_predictions_are_read(room: Workspace) -> None:
    np.save(room.root / "inner" / "p.npy", np.array([0.25, 1.0], np.float32))
    np.save(room.root / "b.npy", np.array([True, False]))
    (room.root / "p.json").write_text("[1, 0, 0.5]")
    assert room.predictions("inner/p.npy") == [0.25, 1.0]
    assert room.predictions("./inner//p.npy") == [0.25, 1.0]
    assert room.predictions("b.npy") == [1, 0]
    assert room.predictions("p.json") == [1, 0, 0.5]


@pytest.mark.parametrize(
    "name",
    ["../secret.json", "inner/../../secret.json", "/etc/passwd", "", ".", "..", "a\0b", "~/x", "inner", "none.json", "x" * 5000,
     "inner/p.json/x", "p.json/../p.json"],
)  # fmt: skip
def test_no_path_leads_outside(room: Workspace, name: str) -> None:
    (room.root / "p.json").write_text("[1]")
    with pytest.raises(
        SpecError, match=r"is no path inside the workspace|cannot be read in the workspace|is no plain file"
    ):
        room.read(name)


def test_links_are_not_followed(room: Workspace) -> None:
    os.symlink(room.root.parent / "secret.json", room.root / "link.json")
    os.symlink(room.root.parent, room.root / "up")
    for name in ("link.json", "up/secret.json"):
        with pytest.raises(SpecError, match="links are not followed"):
            room.predictions(name)


@given(st.lists(st.sampled_from(["..", ".", "", "secret.json", "room", "inner", "up", "~", "\\.."]), max_size=6))
def test_whatever_path_the_secret_stays(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    base = tmp_path_factory.getbasetemp() / "paths"
    (base / "room" / "inner").mkdir(parents=True, exist_ok=True)
    (base / "secret.json").write_text("[7]")
    if not (base / "room" / "up").is_symlink():
        os.symlink(base, base / "room" / "up")
    with pytest.raises(SpecError):
        Workspace(base / "room").predictions("/".join(parts))


def test_what_is_no_plain_file_does_not_hang(room: Workspace) -> None:
    os.mkfifo(room.root / "pipe.json")
    with pytest.raises(SpecError, match=r"'pipe.json' is no plain file"):
        room.predictions("pipe.json")


def test_a_large_file_is_not_read(room: Workspace) -> None:
    with (room.root / "p.json").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(SpecError, match="has 1,073,741,824 bytes; 33,554,432 are read"):
        room.predictions("p.json")


def huge() -> bytes:
    """An array of 80 TB, by its header."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("p.json", b"{", "holds no predictions: JSONDecodeError"),
        ("p.json", b"[" * 100_000, "holds no predictions: RecursionError"),
        ("p.json", b"\xff\xfe\x00", "holds no predictions"),
        ("p.json", b"{}", "is no list of 1 to 1,000,000 numbers"),
        ("p.json", b"[]", "is no list of 1 to 1,000,000 numbers"),
        ("p.json", b'[1, "x"]', "is no list of"),
        ("p.json", b"[NaN]", "not finite"),
        ("p.json", b"[1e999]", "not finite"),
        ("p.npy", b"", "holds no predictions"),
        ("p.npy", b"[1]", "holds no predictions"),
        ("p.npy", b"\x80\x04.", "holds no predictions"),
        ("p.npy", b"PK\x03\x04", "holds no predictions"),
        ("p.npy", huge(), "holds no predictions"),
        ("p.txt", b"1\n0\n", "holds no predictions"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_numbers_is_told(room: Workspace, name: str, data: bytes, said: str) -> None:
    (room.root / name).write_bytes(data)
    with pytest.raises(SpecError, match=said):
        room.predictions(name)


@pytest.mark.parametrize("array", [np.zeros((2, 2)), np.array(["a"]), np.zeros(3, "M8[s]"), np.zeros(2, complex)])
def test_other_arrays_are_told(room: Workspace, array: np.ndarray) -> None:
    np.save(room.root / "p.npy", array)
    with pytest.raises(SpecError, match="no array of numbers of one dimension"):
        room.predictions("p.npy")


def test_objects_are_not_unpickled(room: Workspace) -> None:
    np.save(room.root / "p.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(SpecError, match="holds no predictions: ValueError: Object arrays cannot be loaded"):
        room.predictions("p.npy")


def test_what_is_written_is_read_only_and_replaces_a_link(room: Workspace) -> None:
    os.symlink(room.root.parent / "secret.json", room.root / "a.npz")
    path = room.write("a.npz", b"data")
    assert path.read_bytes() == b"data"
    assert not path.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert json.loads((room.root.parent / "secret.json").read_text()) == [1, 0]
    assert room.write("a.npz", b"more").read_bytes() == b"more"
    assert sorted(p.name for p in room.root.iterdir()) == ["a.npz", "inner"]


def test_a_workspace_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is no folder; make it first"):
        Workspace(tmp_path / "none")
