"""Bytes of files and archives, and every way in which they can be broken."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from superalign.core.errors import TaskError
from superalign.tasks import fetch
from superalign.tasks.fetch import Blob


def archive(path: Path, **members: str) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            file.writestr(name.replace("__slash__", "/").replace("__dot__", "."), text)
    return str(path)


def test_plain_and_gzipped_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x,y\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"x,y\n"))
    (tmp_path / "odd!name.csv").write_bytes(b"x,y\n")
    assert fetch.fetch(str(tmp_path / "a.csv")) == Blob("a.csv", b"x,y\n")
    assert fetch.fetch(str(tmp_path / "b.csv.gz")) == Blob("b.csv", b"x,y\n")
    assert fetch.fetch(str(tmp_path / "odd!name.csv")) == Blob("odd!name.csv", b"x,y\n")


def test_members_of_a_zip(tmp_path: Path) -> None:
    one = tmp_path / "one.zip"
    with zipfile.ZipFile(one, "w") as file:
        file.writestr("data set/", "")
        file.writestr("data set/train.json", "[1]")
        file.writestr("data set/readme.txt", "read me")
        file.writestr("__MACOSX/data set/._train.json", "noise")
    assert fetch.fetch(str(one)) == Blob("one.zip!train.json", b"[1]")
    assert fetch.fetch(f"{one}!train.json") == fetch.fetch(f"{one}!data set/train.json") == fetch.fetch(str(one))
    nested = tmp_path / "nested.zip"
    with zipfile.ZipFile(nested, "w") as file:
        file.writestr("rows.jsonl.gz", gzip.compress(b"{}"))
    assert fetch.fetch(str(nested)) == Blob("nested.zip!rows.jsonl", b"{}")
    plain = archive(tmp_path / "plain.zip", corpus="0 a\n1 b\n", LICENSE="free")
    assert fetch.fetch(plain).data == b"0 a\n1 b\n"


def test_missing_files_name_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text("[]")
    with pytest.raises(TaskError, match=r"no file '.*trian.json'; did you mean 'train.json'\?"):
        fetch.fetch(str(tmp_path / "trian.json"))
    with pytest.raises(TaskError, match=r"no file '.*nowhere/a.csv': there is no folder '.*nowhere'"):
        fetch.fetch(str(tmp_path / "nowhere" / "a.csv"))
    with pytest.raises(TaskError, match=r"is a folder; name a file in it: train.json"):
        fetch.fetch(str(tmp_path))
    for k in range(300):
        (tmp_path / f"{k:03d}").touch()
    with pytest.raises(TaskError, match=r"no file '.*zzzz.qq'; the folder holds 301 others"):
        fetch.fetch(str(tmp_path / "zzzz.qq"))


def test_faulty_zips(tmp_path: Path) -> None:
    two = archive(tmp_path / "two.zip", train__dot__json="[1]", test__dot__json="[2]")
    with pytest.raises(
        TaskError,
        match=r"'two.zip' holds several data files: 'train.json', 'test.json'; choose one: two.zip!train.json",
    ):
        fetch.fetch(two)
    with pytest.raises(TaskError, match=r"'two.zip' has no member 'valid.json'; it holds: train.json, test.json"):
        fetch.fetch(f"{two}!valid.json")
    twice = archive(tmp_path / "twice.zip", a__slash__train__dot__json="[1]", b__slash__train__dot__json="[2]")
    with pytest.raises(
        TaskError, match=r"'twice.zip' has several members 'train.json'; it holds: a/train.json, b/train.json"
    ):
        fetch.fetch(f"{twice}!train.json")
    with pytest.raises(TaskError, match=r"'none.zip' holds no data file; name a .csv, .tsv, .json"):
        fetch.fetch(archive(tmp_path / "none.zip", readme__dot__txt="read"))
    (tmp_path / "text.zip").write_text("not a zip")
    with pytest.raises(
        TaskError, match=r"'.*text.zip' is not a zip archive that can be read: File is not a zip file; fetch it again"
    ):
        fetch.fetch(str(tmp_path / "text.zip"))
    (tmp_path / "a.csv").write_text("x,y")
    with pytest.raises(TaskError, match=r"is not a zip archive"):
        fetch.fetch(str(tmp_path / "a.csv!b.csv"))


def test_damaged_and_locked_zips(tmp_path: Path) -> None:
    stored = tmp_path / "stored.zip"
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as file:
        file.writestr("rows.json", '[{"text": "a"}]')
    data = stored.read_bytes()
    stored.write_bytes(data.replace(b'"text"', b'"tixt"'))
    with pytest.raises(TaskError, match=r"is not a zip archive that can be read: Bad CRC-32"):
        fetch.fetch(str(stored))
    locked = bytearray(data)
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        locked[data.index(mark) + offset] |= 1  # the flag of an encrypted member
    stored.write_bytes(locked)
    with pytest.raises(TaskError, match=r"cannot be unpacked: .*encrypted.*; unpack it yourself and name the file"):
        fetch.fetch(str(stored))


def test_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"x,y\n" * 1000)[:-20])
    with pytest.raises(TaskError, match=r"'a.csv.gz' is not a gzip file that can be read: .*; fetch it again"):
        fetch.fetch(str(path))
    path.write_bytes(b"plain text")
    with pytest.raises(TaskError, match=r"'a.csv.gz' is not a gzip file that can be read"):
        fetch.fetch(str(path))


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetch.LIMIT == 2 * 2**30
    monkeypatch.setattr(fetch, "LIMIT", 2**20)
    bomb = archive(tmp_path / "bomb.zip", rows__dot__json="0" * 3 * 2**20)
    assert Path(bomb).stat().st_size < 2**14
    with pytest.raises(
        TaskError, match=r"'rows.json' in 'bomb.zip' unpacks to .* GiB, more than .* GiB, so it is refused"
    ):
        fetch.fetch(bomb)
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b"0" * 3 * 2**20))
    with pytest.raises(
        TaskError, match=r"'bomb.json.gz' unpacks to more than .* GiB, so it is refused; give a part of it"
    ):
        fetch.fetch(str(tmp_path / "bomb.json.gz"))
    (tmp_path / "large.json").write_bytes(b"0" * 2 * 2**20)
    with pytest.raises(TaskError, match=r"holds .* GiB, more than .* GiB; give a part of it"):
        fetch.fetch(str(tmp_path / "large.json"))
