"""Reading what comes out of a sandbox: bytes of a stranger become an array, a text, or a reason."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from superalign.research.sandbox.collect import collect
from superalign.research.sandbox.limits import Limits
from superalign.research.sandbox.outcome import escaped, outcome, parse
from superalign.research.sandbox.wire import Ended, Job, answer, ask, read_answer, read_job

NUMBERS = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(endianness="<"),
    arrays.unsigned_integer_dtypes(endianness="<"),
    arrays.floating_dtypes(endianness="<", sizes=(16, 32, 64)),
)


def saved(array: np.ndarray[Any, Any], version: tuple[int, int] = (1, 0)) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version, allow_pickle=True)
    return stream.getvalue()


def finite(dtype: np.dtype[Any]) -> st.SearchStrategy[Any] | None:
    if dtype.kind != "f":
        return None
    return arrays.from_dtype(dtype, allow_nan=False, allow_infinity=False)


@given(NUMBERS.flatmap(lambda d: arrays.arrays(d, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0), elements=finite(d))), st.booleans())  # fmt: skip
def test_what_numpy_saves_is_read_back(array: np.ndarray[Any, Any], fortran: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    found = parse(saved(array))
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def told(raw: bytes) -> None:
    """An array no larger than the bytes, or a ValueError in our words; no other error."""
    reason = "the predictions"
    try:
        size = parse(raw).nbytes
    except ValueError as error:
        size, reason = 0, str(error)
    assert size <= len(raw)
    assert reason.startswith("the predictions")


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_an_array_or_a_reason(data: bytes, magic: bool) -> None:
    raw = b"\x93NUMPY\x01\x00" + data if magic else data
    told(raw)


@given(st.data())
def test_a_changed_file_is_an_array_or_a_reason(data: st.DataObject) -> None:
    raw = bytearray(saved(np.arange(5.0)))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    told(cut)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not a .npy file"),
        (b"\x80\x04K\x01.", "not a .npy file"),
        (saved(np.arange(3), (2, 0)), "not a .npy file of version 1.0"),
        (saved(np.array([{}], dtype=object)), "not a plain array of numbers"),
        (saved(np.array(["a"])), "not a plain array of numbers"),
        (saved(np.array([1j])), "not a plain array of numbers"),
        (saved(np.zeros(2, [("a", "<f8")])), "not a plain array of numbers"),
        (saved(np.zeros(2)).replace(b"<f8", b"<f1"), "unknown type <f1"),
        (saved(np.zeros(2)).replace(b"<f8", b"<b4"), "unknown type <b4"),
        (saved(np.zeros((1,) * 5)), r"shape \(1, 1, 1, 1, 1\)"),
        (saved(np.zeros(3))[:-1], r"shape \(3,\) but 23 bytes"),
        (saved(np.zeros(3)) + b"x", r"shape \(3,\) but 25 bytes"),
        (saved(np.array([1.0, np.inf])), "1 predictions are not finite"),
    ],
)
def test_what_is_no_array_of_numbers_is_told(raw: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(raw)


@given(st.binary(max_size=200))
def test_text_is_printable(data: bytes) -> None:
    assert all(c.isprintable() or c in "\n\t" for c in escaped(data)), escaped(data)


def test_readable_text_stays_as_it_is() -> None:
    assert escaped("α = 0.5 – “naïve”\n\tüber".encode()) == "α = 0.5 – “naïve”\n\tüber"
    assert escaped(b"\x1b[1m\xff\x00") == "\\x1b[1m\\xff\\x00"


def test_denials_are_few_short_and_escaped() -> None:
    reports = b"".join(b"open /%d\x1b%s\n" % (k, b"x" * 1000) for k in range(200)) + b"half a li"
    found = outcome(Ended(code=1, reports=reports), None).denials
    assert len(found) == 50
    assert all(len(line) == 300 and line.startswith("open /") for line in found)
    assert outcome(Ended(code=1, reports=b"open /a\n" * 9), None).denials == ("open /a",)


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        (Ended(refused="no"), "refused"),
        (Ended(why="timeout", code=137), "timeout"),
        (Ended(why="output", code=137), "output"),
        (Ended(code=3), "memory"),
        (Ended(code=4), "invalid"),
        (Ended(code=152), "timeout"),
        (Ended(code=137), "timeout"),
        (Ended(code=139), "failed"),
        (Ended(code=0, fault="none"), "invalid"),
        (Ended(code=0, result=b"?"), "invalid"),
        (Ended(code=0, result=saved(np.zeros(2))), "ok"),
        (Ended(code=1, result=saved(np.zeros(2))), "failed"),
    ],
)
def test_every_end_has_its_status(ended: Ended, status: str) -> None:
    found = outcome(ended, 2)
    assert found.status == status
    assert (found.predictions is not None) == (status == "ok")
    assert bool(found.reason) == (status != "ok")


def test_a_job_and_its_answer_survive_the_wire() -> None:
    job = Job(
        b"a\nb", bytes(range(256)), b"", "method", 7, Limits(wall=1.5), ("p",), ("/lib",), ("/x",), (), {"A": "b"}
    )
    assert read_job(io.BytesIO(ask(job))) == job
    ended = Ended(code=1, said=b"\n{", reports=b"r", result=None, cpu=0.5)
    assert read_answer(io.BytesIO(answer(ended))) == ended
    assert read_answer(io.BytesIO(answer(Ended(result=b"")))).result == b""
    with pytest.raises(ValueError, match="said ends after 1 of 2 bytes"):
        read_answer(io.BytesIO(answer(ended)[:-2]))
    with pytest.raises(ValueError, match="Expecting value"):
        read_answer(io.BytesIO(b""))


def test_only_a_plain_file_is_collected(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    path = tmp_path / "predictions.npy"
    try:
        assert collect(handle, 10) == (None, "no predictions can be read: No such file or directory")
        for make, reason in (
            (lambda: os.mkfifo(path), "the predictions are not a regular file"),
            (lambda: path.symlink_to("/etc/passwd"), "no predictions can be read: Too many levels of symbolic links"),
            (lambda: path.write_bytes(bytes(11)), "the predictions are 11 bytes; 10 are allowed"),
        ):
            make()
            assert collect(handle, 10) == (None, reason)
            path.unlink()
        path.mkdir()
        assert collect(handle, 10) == (None, "the predictions are not a regular file")
        path.rmdir()
        path.write_bytes(bytes(10))
        assert collect(handle, 10) == (bytes(10), "")
    finally:
        os.close(handle)
