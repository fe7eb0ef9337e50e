"""A file is written whole or not at all."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest

from superalign.core.errors import UserError
from superalign.report import file_name, write


def test_folders_are_made_and_text_is_utf8(tmp_path: Path) -> None:
    path = write("π ≈ 3.14\n", tmp_path / "a" / "b" / "page.html")
    assert path.read_bytes() == "π ≈ 3.14\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_a_file_keeps_its_mode_and_a_link_its_target(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    write("old", target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~current_umask()
    target.chmod(0o640)
    link = tmp_path / "link.html"
    link.symlink_to(target)
    write("new", link)
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = write("old", tmp_path / "page.html")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # as if the disk had 100 bytes left
    try:
        with pytest.raises(UserError, match=r"cannot write '.*page.html': file too large; choose another place"):
            write("new" * 1000, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_device_is_written_directly() -> None:
    with pytest.raises(UserError, match=r"cannot write '/dev/full': no space left on device; choose another place"):
        write("text", "/dev/full")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_path_below_a_file_or_at_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"cannot write .*page.html': (not a directory|file exists)"):
        write("text", tmp_path / "file" / "page.html")
    with pytest.raises(UserError, match=r"it is a folder; name a file in it"):
        write("text", tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(UserError, match="permission denied"):
        write("text", tmp_path / "locked" / "page.html")


def test_file_names_cannot_leave_their_folder() -> None:
    assert file_name("w2s-7f3a") == "w2s-7f3a.html"
    hostile = file_name("../../etc/passwd")
    assert "/" not in hostile
    assert not hostile.startswith(".")
    assert file_name("a/b") != file_name("a:b")
    assert file_name("..", ".md").endswith(".md")
    assert len(file_name("x" * 500)) < 100
