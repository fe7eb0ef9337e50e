"""Caches: the same numbers as a dense reference, equal bytes after a crash, and clear words for what is damaged."""

from __future__ import annotations

import functools
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from superalign.core.errors import ModelError, SpecError, StoreError
from superalign.interp.cache import Cache, open_cache, write, write_all
from superalign.interp.cache.index import by_unit
from superalign.interp.cache.segments import halved
from superalign.interp.collect import activations
from superalign.interp.units import Unit
from tests.interp.tiny import TopK, corpus, subject

ROOT = Path(__file__).parents[2]
SMALL = 40_000  # bytes: a few hundred rows a segment
SUBJECT, CORPUS = subject(), corpus()
CODERS: dict[str, TopK | None] = {
    "fixed": TopK(12), "variable": TopK(12, free=True), "wide": TopK(12, stride=1700),
    "large": TopK(12, gain=1e5), "dense": None,
}  # fmt: skip


@functools.cache
def truth(coder: TopK | None) -> np.ndarray[Any, Any]:
    """(T, units) activations, everything kept dense; of every `stride`th unit, the others are silent."""
    found = np.zeros((len(CORPUS), coder.width // coder.stride if coder else 12), np.float32)
    for block in activations(SUBJECT, CORPUS, ["resid.1"]):
        x = block.values["resid.1"]
        if coder is None:
            found[block.rows] = x.numpy()
        else:
            values, index = coder.encode(x)
            own = found[block.rows[0] : block.rows[-1] + 1]
            np.put_along_axis(own, index.numpy() // coder.stride, values.numpy(), 1)
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cache]:
    folder = tmp_path_factory.mktemp("caches")
    return {name: write(folder, SUBJECT, CORPUS, "resid.1", coder, memory=SMALL) for name, coder in CODERS.items()}


@pytest.mark.parametrize("name", CODERS)
def test_every_unit_is_that_of_a_dense_reference(name: str, made: dict[str, Cache]) -> None:
    coder = CODERS[name]
    cache, dense, stride = made[name], truth(coder), coder.stride if coder else 1
    assert len(list(cache.folder.glob("segment-*"))) > 1
    for sign in (1, -1):
        raw = np.maximum(sign * dense, 0)
        firing = raw > 1e-5
        for index in range(dense.shape[1]):
            evidence = cache.evidence(Unit("resid.1", index * stride, sign=sign), CORPUS)
            assert np.array_equal(evidence.rows, np.flatnonzero(firing[:, index]))
            assert evidence.values.dtype == np.float32
            np.testing.assert_allclose(evidence.values, raw[firing[:, index], index], rtol=5e-4)
        assert np.array_equal(cache.counts(sign)[::stride], firing.sum(0))  # firing counts equal a recount
        assert cache.counts(sign).sum() == firing.sum()
        np.testing.assert_allclose(cache.peaks(sign)[::stride], raw.max(0), rtol=5e-4)
    cache.verify()


def test_the_strongest_windows_are_those_of_a_dense_reference(made: dict[str, Cache]) -> None:
    dense = truth(CODERS["fixed"])
    for index in range(12):
        evidence = made["fixed"].evidence(Unit("resid.1", index), CORPUS)
        maxima = np.maximum.reduceat(dense[:, index], CORPUS.windows[:-1])
        np.testing.assert_allclose(evidence.maxima, maxima, rtol=5e-4)
        among = CORPUS.pick("explain").index
        best = np.sort(maxima[among])[::-1][:10]
        np.testing.assert_allclose(evidence.maxima[evidence.top("explain", 10).index], best[best > 0], rtol=5e-4)


@pytest.mark.parametrize("name", ["fixed", "variable", "wide"])
def test_entries_are_in_the_order_of_rows(name: str, made: dict[str, Cache]) -> None:
    rows, units, values = (np.concatenate(part) for part in zip(*made[name].entries(), strict=True))
    assert (np.diff(rows) >= 0).all()
    coder = CODERS[name]
    assert coder is not None
    again = np.zeros((len(CORPUS), 40), np.float32)
    again[rows, units // coder.stride] = values
    np.testing.assert_allclose(again, truth(coder), rtol=5e-4)
    assert not (units % coder.stride).any()
    with pytest.raises(SpecError, match="is dense; read it unit by unit"):
        next(made["dense"].entries())


def test_disk_is_four_bytes_an_entry_and_the_index_apart(tmp_path: Path) -> None:
    text = corpus(900)
    cache = write(tmp_path, SUBJECT, text, "resid.1", TopK(12, k=8))
    sparse = sum(f.stat().st_size for f in cache.folder.glob("segment-*/*.npy"))
    assert sparse <= 4.2 * cache.counts().sum()
    values = np.load(cache.folder / "segment-00000" / "index.npy", allow_pickle=False)
    assert values.dtype == np.uint16


def test_large_activations_do_not_overflow(made: dict[str, Cache]) -> None:
    facts = json.loads((made["large"].folder / "segment-00000" / "manifest.json").read_text())
    assert facts["scale"] > 1
    assert float(facts["scale"]).hex().startswith("0x1.0000")  # a power of two
    assert np.isfinite(made["large"].peaks()).all()
    assert made["large"].peaks().max() > 65504


CHILD = """
from pathlib import Path
from superalign.interp.cache import write
from tests.interp.tiny import TopK, corpus, subject
write(Path({folder!r}), subject(), corpus(), "resid.1", TopK(12, pause=0.1), memory=40_000)
"""


def test_a_killed_process_goes_on_to_equal_bytes(tmp_path: Path, made: dict[str, Cache]) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD.format(folder=str(tmp_path))], cwd=ROOT)
    name = made["fixed"].folder.name
    deadline = time.monotonic() + 120
    while not (tmp_path / name / "segment-00001").is_dir():
        assert child.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    with pytest.raises(StoreError, match=r"has [\d,]+ of 1,541 rows; run what wrote it again to go on"):
        open_cache(tmp_path / name)
    before = {f: data for f, data in files(tmp_path / name).items() if not f.startswith(".")}
    times = {f: (tmp_path / name / f).stat().st_mtime_ns for f in before}
    leftover = tmp_path / name / ".segment-00002-x"  # as a process that is killed within a write leaves it
    leftover.mkdir(exist_ok=True)
    (leftover / "values.npy").write_bytes(b"half")
    write(tmp_path, SUBJECT, CORPUS, "resid.1", TopK(12), memory=SMALL)
    assert files(tmp_path / name) == files(made["fixed"].folder)
    assert all((tmp_path / name / f).stat().st_mtime_ns == at for f, at in times.items())  # nothing is done twice


def test_what_is_there_is_not_computed_again(tmp_path: Path) -> None:
    seen: list[int] = []
    for _ in range(2):
        write(tmp_path, SUBJECT, CORPUS, "mlp.0", None, progress=lambda name, done, total: seen.append(done))
    assert seen == [len(CORPUS)]


def test_one_pass_serves_several_caches(tmp_path: Path, made: dict[str, Cache]) -> None:
    passes: list[int] = []
    SUBJECT.model.register_forward_pre_hook(lambda *_: passes.append(1))
    wanted = [("resid.1", TopK(12)), ("resid.1", None), ("mlp.0", None)]
    caches = write_all(tmp_path, SUBJECT, CORPUS, wanted, memory=1 << 30)
    once = len(passes)
    write(tmp_path / "alone", SUBJECT, CORPUS, "mlp.0", None, memory=1 << 30)
    assert len(passes) == 2 * once
    assert [cache.site for cache in caches] == ["resid.1", "resid.1", "mlp.0"]
    assert caches[0].folder.name == made["fixed"].folder.name  # addressed by what it holds
    assert np.array_equal(caches[0].counts(), made["fixed"].counts())


def test_folders_are_named_by_what_they_hold(tmp_path: Path) -> None:
    other = subject(seed=1)
    names = [
        write(tmp_path, s, c, site, coder).folder.name
        for s, c, site, coder in (
            (SUBJECT, CORPUS, "resid.1", None), (SUBJECT, CORPUS, "resid.0", None), (other, CORPUS, "resid.1", None),
            (SUBJECT, corpus(seed=1), "resid.1", None), (SUBJECT, CORPUS, "resid.1", TopK(12)),
            (subject(start=None), CORPUS, "resid.1", None), (SUBJECT.permuted(0), CORPUS, "resid.1", None),
        )
    ]  # fmt: skip
    assert len(set(names)) == 7


def test_a_cache_of_another_model_or_text_is_told(made: dict[str, Cache]) -> None:
    made["fixed"].check(SUBJECT, CORPUS)
    with pytest.raises(StoreError, match=r"is of another model \(tiny 0\) than tiny 1"):
        made["fixed"].check(subject(seed=1), CORPUS)
    with pytest.raises(StoreError, match="is of another model"):
        made["fixed"].check(subject(start=None), CORPUS)
    for wrong in (lambda c: made["fixed"].check(SUBJECT, c), lambda c: made["fixed"].evidence(Unit("resid.1", 0), c)):
        with pytest.raises(StoreError, match="is of another text; cache this one"):
            wrong(corpus(seed=1))
    with pytest.raises(SpecError, match=r"no unit resid.1/40: resid.1 has 40 here, 0 to 39"):
        made["fixed"].evidence(Unit("resid.1", 40), CORPUS)


def test_a_lost_index_is_made_again(tmp_path: Path, made: dict[str, Cache]) -> None:
    folder = Path(shutil.copytree(made["fixed"].folder, tmp_path / "c"))
    shutil.rmtree(folder / "index-00001")
    assert np.array_equal(open_cache(folder).counts(), made["fixed"].counts())
    assert files(folder) == files(made["fixed"].folder)


@pytest.mark.parametrize("file", ["segment-00001/values.npy", "segment-00001/manifest.json", "cache.json",
                                  "index-00000/rows.npy"])  # fmt: skip
@pytest.mark.parametrize("harm", [b"", b"harm", b'{"format": 1, "arrays": {}}', None])
def test_damaged_files_are_told(tmp_path: Path, made: dict[str, Cache], file: str, harm: bytes | None) -> None:
    folder = Path(shutil.copytree(made["fixed"].folder, tmp_path / "c"))
    path = folder / file
    if harm is None:
        path.unlink()
    else:
        path.write_bytes(harm)
    with pytest.raises(StoreError, match=str(path.parent)):
        open_cache(folder).evidence(Unit("resid.1", 0), CORPUS)


def test_changed_contents_are_found_by_their_checksum(tmp_path: Path, made: dict[str, Cache]) -> None:
    folder = Path(shutil.copytree(made["dense"].folder, tmp_path / "c"))
    path = folder / "segment-00000" / "values.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    cache = open_cache(folder)
    with pytest.raises(StoreError, match=r"segment-00000/values.npy differs from its checksum; remove the folder"):
        cache.verify()
    shutil.rmtree(folder / "segment-00000")
    with pytest.raises(StoreError, match=r"has 0 of 1,541 rows"):
        open_cache(folder)
    (folder / "segment-00001").rename(folder / "segment-00000")
    with pytest.raises(StoreError, match="does not follow the segment before it"):
        open_cache(folder)
    with pytest.raises(StoreError, match=r"cache.json cannot be read \(No such file"):
        open_cache(tmp_path)


def test_objects_are_never_unpickled(tmp_path: Path, made: dict[str, Cache]) -> None:
    folder = Path(shutil.copytree(made["dense"].folder, tmp_path / "c"))
    np.save(folder / "segment-00000" / "values.npy", np.array([print], object), allow_pickle=True)
    with pytest.raises(StoreError, match="cannot be read"):
        open_cache(folder)


class Broken(TopK):
    """Gives what no encoder may."""

    def __init__(self, **wrong: Any) -> None:
        super().__init__(12)
        self.wrong = wrong

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, index = super().encode(x)
        return self.wrong.get("values", lambda v: v)(values), self.wrong.get("index", lambda i: i)(index)


def test_encoders_and_models_that_go_wrong_are_told(tmp_path: Path) -> None:
    for coder, message in (
        (Broken(values=lambda v: v - 9), r"the encoder at resid.1 gives the activation -\d"),
        (Broken(values=lambda v: v / 0), "has activations that are not finite"),
        (Broken(index=lambda i: i + 30), r"the encoder at resid.1 names the unit \d\d of 40"),
        (Broken(values=lambda v: v[:, :3]), "gives 3 latents a row and says that it gives 4"),
    ):
        with pytest.raises(ModelError, match=message):
            write(tmp_path, SUBJECT, CORPUS, "resid.1", coder)
    with pytest.raises(ModelError, match=r"'resid' is a site of every layer; name one, such as 'resid.0'"):
        write(tmp_path, SUBJECT, CORPUS, "resid")
    other = TopK(12)
    other.width = 39
    with pytest.raises(StoreError, match="holds another cache under the same name"):
        write(tmp_path, SUBJECT, CORPUS, "resid.1", other)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write the cache"):
        write(tmp_path / "file", SUBJECT, CORPUS, "resid.1")


@settings(max_examples=60, deadline=None)
@given(
    arrays_of.arrays(np.float32, (3, 4), elements=st.floats(0, 1e9, width=32)),
    st.sampled_from([1.0, 1e-4, 1e4]),
)
def test_halves_are_near_and_zero_where_they_are_small(values: Any, factor: float) -> None:
    values = (values * np.float32(factor)).astype(np.float32)
    half, scale = halved(values)
    assert np.isfinite(half).all()
    assert scale >= 1
    assert np.log2(scale) % 1 == 0
    back = half.astype(np.float32) * np.float32(scale)
    assert not ((back > 0) & (back <= 1e-5)).any()
    bound = 5e-4 * values + np.maximum(1e-5, scale * 2.0**-24)
    assert (np.abs(back - values) <= bound).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300_000), st.integers(0, 5), st.integers(0, 2**32))
def test_the_index_is_a_stable_sort_by_unit(units: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = min(3, units)
    index = np.stack([rng.choice(units, k, replace=False) for _ in range(n)]) if n else np.zeros((0, k), int)
    values = rng.integers(0, 3, (n, k)).astype(np.float16)
    made = by_unit({"values": values, "index": index.astype(np.uint16 if units <= 65536 else np.uint32)}, units)
    expected = sorted((int(index[r, c]), r, float(values[r, c])) for r in range(n) for c in range(k) if values[r, c])
    found = np.repeat(np.arange(units), np.diff(made["starts"]))
    assert list(zip(found.tolist(), made["rows"].tolist(), made["values"].tolist(), strict=True)) == expected
