"""Released runs, on archives made up here: what is read, what is refused, and what five seeds are worth."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind, ttest_rel

from superalign.core.errors import Degenerate, TaskError, UserError
from superalign.core.power import item_covariance, smallest_difference
from superalign.research import released
from superalign.research.released import Released, read

WEAK = (0.55, 0.56, 0.54, 0.55)
CEILING = (0.75, 0.74, 0.76, 0.75)
VANILLA = (0.60, 0.62, 0.58, 0.61, 0.59)
BETTER = (0.70, 0.71, 0.69, 0.72, 0.68)
ITEMS = 2000

Files = dict[str, bytes]


def name(method: str, seed: int, testset: str = "chat") -> str:
    return f"results/{testset}_{method}/settings/seed_{seed}.json"


def run(accuracy: Any, seed: Any, field: str = "transfer_acc", **more: Any) -> bytes:
    return json.dumps({field: accuracy, "seed": seed, **more}).encode()


def files(methods: Mapping[str, tuple[float, ...]], testset: str = "chat", seeds: Any = None) -> Files:
    """An archive's files: one weak supervisor, ceiling and student a seed from 42; `seeds` are those of the students
    of `ue_zeroshot`."""
    total = {"detailed_eval": {"strong": {"final_eval": {"total": ITEMS}}}}
    found = {name("weak_artifacts", 42 + k, testset): run(a, 42 + k, "weak_acc") for k, a in enumerate(WEAK)}
    found |= {name("train_ceiling", 42 + k, testset): run(a, 42 + k, "strong_acc") for k, a in enumerate(CEILING)}
    for method, accuracies in {"vanilla_w2s": VANILLA, **methods}.items():
        for k, accuracy in enumerate(accuracies):
            seed = seeds[k] if seeds and method == "ue_zeroshot" else 42 + k
            found[name(method, 42 + k, testset)] = run(accuracy, seed, **total)
    return found


def packed(path: Path, found: Files) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for file, body in found.items():
            member = tarfile.TarInfo(file)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return path


def made(folder: Path, methods: Mapping[str, tuple[float, ...]], **given: Any) -> Released:
    return read(packed(folder / "a.tar.gz", files(methods, **given)))


def test_runs_become_pgr(tmp_path: Path) -> None:
    found = made(tmp_path, {"train_only_on_confident_labels": BETTER})
    (one,) = found.sets
    assert (one.name, one.items, len(one.weak), len(one.ceiling)) == ("chat", ITEMS, 4, 4)
    assert list(one.methods) == ["vanilla", "confident"]
    assert one.gap == pytest.approx(0.2)
    assert one.pgr("vanilla").pgr.value == pytest.approx(0.25)
    assert one.pgr("confident").per_seed == pytest.approx([0.75, 0.8, 0.7, 0.85, 0.65])
    assert one.spread("vanilla") == pytest.approx(np.std(VANILLA, ddof=1) / 0.2)


def test_seeds_that_are_shared_are_paired_and_others_are_not(tmp_path: Path) -> None:
    """By seeds alone the tests are scipy's: the paired one, and Welch's."""
    other = (0.61, 0.66, 0.57, 0.64, 0.63)
    found = made(tmp_path, {"critic": other, "ue_zeroshot": other[:4]}, seeds=(42, 42, 42, 42))
    critic, free = sorted(found.against(), key=lambda a: a.method)
    assert (critic.method, critic.paired, free.method, free.paired) == ("critic", True, "zero-shot", False)
    for one, test in ((critic, ttest_rel(other, VANILLA)), (free, ttest_ind(other[:4], VANILLA, equal_var=False))):
        assert one.here.comparison is not None
        low, high = test.confidence_interval(0.95)
        assert one.here.comparison.p == pytest.approx(test.pvalue, rel=1e-4)
        assert one.here.comparison.low == pytest.approx(low / 0.2, abs=1e-5)
        assert one.here.comparison.high == pytest.approx(high / 0.2, abs=1e-5)
    assert critic.here.p_adjusted == pytest.approx(min(1, 2 * critic.here.comparison.p))  # type: ignore[union-attr]


def test_new_items_widen_what_seeds_alone_say(tmp_path: Path) -> None:
    """The variance that is added is that of two accuracies on one sample of items, whose errors correlate."""
    (one,) = made(tmp_path, {"critic": (0.61, 0.65, 0.59, 0.64, 0.61)}).against()
    here, anew = one.here.comparison, one.anew.comparison
    assert here is not None
    assert anew is not None
    assert here.estimate == anew.estimate == pytest.approx(0.1)
    assert anew.low < here.low < here.high < anew.high
    assert anew.p > here.p
    c = item_covariance([0.62, 0.60], ITEMS, 0.6)
    error = np.sqrt(here.sd**2 / 5 + (c[0, 0] + c[1, 1] - 2 * c[0, 1]) / 0.2**2)
    assert (anew.high - anew.low) / 2 / error == pytest.approx(2.0, abs=0.1)  # t with many degrees of freedom
    assert one.sees[1] == pytest.approx(smallest_difference(5, ITEMS, weak=0.55, gap=0.2, sd_seed=here.sd))
    assert one.sees[0] < one.sees[1]


def test_words(tmp_path: Path) -> None:
    """A large difference holds everywhere; one like the noise nowhere; all of it is exploratory, on one set."""
    low = (0.50, 0.51, 0.49, 0.52, 0.48)
    found = made(tmp_path, {"train_only_on_confident_labels": BETTER, "critic": low})
    confident, critic = found.against()
    assert (confident.here.word, confident.anew.word) == ("improves", "improves")
    assert (critic.here.word, critic.anew.word) == ("worse", "worse")
    assert confident.here.qualifiers == ("exploratory", "single-family")
    (same,) = made(tmp_path, {"critic": (0.61, 0.60, 0.61, 0.59, 0.60)}).against()
    assert (same.here.word, same.anew.word) == ("underpowered", "underpowered")
    assert same.needed is not None
    assert same.needed > 100


def test_findings_are_rows_for_a_report(tmp_path: Path) -> None:
    table = made(tmp_path, {"train_only_on_confident_labels": BETTER}).as_findings()
    assert all(len(row) == len(table.columns) for row in table.rows)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [(r["set"], r["method"], r["seeds"]) for r in rows] == [("chat", "vanilla", 5), ("chat", "confident", 5)]
    assert rows[0]["less vanilla"] is None
    assert rows[1]["less vanilla"] == pytest.approx(0.5)
    assert rows[1]["on these items"] == "improves"
    assert "On these test items 1 of 1 differences to vanilla hold (confident on chat)." in table.note
    assert "Flips of the signs of 5 pairs cannot give p below 0.0625, whatever the difference." in table.note


def test_what_is_odd_is_said(tmp_path: Path) -> None:
    body = files({"ue_zeroshot": (0.6001, 0.6203, 0.61, 0.59)}, seeds=(42, 43, 43, 45))
    stored = {"fixed_weak_baseline": 0.55, "fixed_strong_baseline": 0.77, "pgr": 0.2}
    body[name("vanilla_w2s", 42)] = run(0.60, 42, **stored)
    body |= {f"results/more/{k.split('/', 1)[1]}": v for k, v in files({}).items() if "weak" in k}
    said = read(packed(tmp_path / "a.tar.gz", body)).statement()
    assert "4 files are copies of others." in said
    assert "chat: the 4 runs of zero-shot tell the seeds 42, 43, 43, 45." in said
    assert any("2 of 4 accuracies of zero-shot are no whole number of right answers" in s for s in said)
    assert any("stored PGRs lie between 0.5500 and 0.7700, the runs' means are 0.5500 and 0.7500" in s for s in said)
    plain = made(tmp_path, {"critic": BETTER}).statement()
    assert not any("copies" in s or "tell the seeds" in s or "whole" in s or "stored" in s for s in plain)


def test_dated_folders_are_the_same_set(tmp_path: Path) -> None:
    found = {k.replace("chat_", "chat-0115_"): v for k, v in files({}).items()}
    assert [s.name for s in read(packed(tmp_path / "a.tar.gz", found | files({}, "math"))).sets] == ["chat", "math"]


def test_a_gap_within_noise_has_no_pgr(tmp_path: Path) -> None:
    found = files({"critic": BETTER})
    for k, accuracy in enumerate((0.50, 0.60, 0.52, 0.61)):
        found[name("train_ceiling", 42 + k)] = run(accuracy, 42 + k, "strong_acc")
    with pytest.raises(Degenerate, match=r"PGR on 'chat' is undefined: the gap .* is within noise"):
        read(packed(tmp_path / "a.tar.gz", found)).as_findings()


def test_a_difference_without_spread_is_not_judged(tmp_path: Path) -> None:
    shifted = tuple(a + 0.125 for a in VANILLA)
    exact = files({"critic": shifted})
    for k, seed in enumerate(range(42, 47)):  # halves and quarters, so that floats are exact
        exact[name("vanilla_w2s", seed)] = run((0.5, 0.625)[k % 2], seed)
        exact[name("critic", seed)] = run((0.625, 0.75)[k % 2], seed, step1_data_loading={"test_samples": 512})
    for k in range(4):
        exact[name("weak_artifacts", 42 + k)] = run((0.25, 0.5)[k % 2], 42 + k, "weak_acc")
        exact[name("train_ceiling", 42 + k)] = run((0.75, 1.0)[k % 2], 42 + k, "strong_acc")
    with pytest.raises(Degenerate, match="critic differs from vanilla by the same in every seed"):
        read(packed(tmp_path / "a.tar.gz", exact)).against()


VANILLA_42, WEAK_42 = name("vanilla_w2s", 42), name("weak_artifacts", 42)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({VANILLA_42: b"{"}, "'results/chat_vanilla_w2s/settings/seed_42.json' is no JSON"),
        ({VANILLA_42: b"\xff\xfe"}, "is no JSON"),
        ({VANILLA_42: b"[" * 100_000}, "is no JSON"),
        ({VANILLA_42: b"[]"}, "is a list, not an object with the fields of a run"),
        ({VANILLA_42: run(None, 42)}, "transfer_acc is None, not an accuracy between 0 and 1"),
        ({VANILLA_42: run(1.5, 42)}, "transfer_acc is 1.5"),
        ({VANILLA_42: run(True, 42)}, "transfer_acc is True"),
        ({VANILLA_42: b'{"transfer_acc": NaN, "seed": 1}'}, "transfer_acc is nan"),
        ({WEAK_42: run(0.5, 42)}, "weak_acc is None"),
        ({VANILLA_42: run(0.6, "42")}, "seed is '42', not a whole number"),
        ({VANILLA_42: run(0.6, 42, step1_data_loading={"test_samples": 1})}, "1 is no number of test items"),
        ({VANILLA_42: run(0.6, 42, step1_data_loading={"test_samples": 99})}, r"tell \[99, 2000\] numbers of test items"),
        ({VANILLA_42: b" " * 5_000_001}, "has 5,000,001 bytes; a run has at most 5,000,000"),
        ({"b/" + VANILLA_42: run(0.7, 42)}, "has two different runs of one name, 'results/chat_.* and 'b/results/chat_"),
        ({name("critic", 42): run(0.7, 42)}, "chat/critic has 1 runs of 1 different accuracies"),
        ({name("vanilla_w2s", 1, "math"): run(0.7, 1)}, "math/weak_artifacts has 0 runs"),
    ],
)  # fmt: skip
def test_bad_files_are_refused(tmp_path: Path, changed: Files, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        read(packed(tmp_path / "a.tar.gz", files({}) | changed))


def test_bad_archives_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tar.gz"
    with pytest.raises(TaskError, match=r"cannot be read: .*; give the released cache_results.tar.gz"):
        read(path)
    path.write_bytes(b"no gzip")
    with pytest.raises(TaskError, match="cannot be read"):
        read(path)
    whole = packed(path, files({})).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TaskError, match="is cut short or damaged"):
        read(path)
    path.write_bytes(gzip.compress(b"plain text" * 100))
    with pytest.raises(TaskError, match="is no tar archive"):
        read(path)
    with pytest.raises(TaskError, match=r"has no runs; their files are named <set>_<method>/<settings>/seed_<number>"):
        read(packed(path, {"README": b"hello"}))
    only = {k: v.replace(b"total", b"count") for k, v in files({}).items()}
    with pytest.raises(TaskError, match="the runs of 'chat' tell no numbers of test items; one is needed"):
        read(packed(path, only))
    monkeypatch.setattr(released, "FILES", 5)
    with pytest.raises(TaskError, match="has more than 5 members"):
        read(packed(path, files({})))
    monkeypatch.setattr(released, "UNPACKED", 1000)
    path.write_bytes(gzip.compress(b"\0" * 1_000_000))
    with pytest.raises(TaskError, match="unpacks to more than 1,000 bytes"):
        read(path)


def test_links_and_strange_names_are_passed_over(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", files({}))
    plain = gzip.decompress(path.read_bytes())
    buffer = io.BytesIO(plain)
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        for k, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name("vanilla_w2s", 90 + k))
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        archive.addfile(tarfile.TarInfo("../../" + "a" * 3000 + "_vanilla/seed_1.json"))
        archive.addfile(tarfile.TarInfo("/seed_1.json"))
    path.write_bytes(gzip.compress(buffer.getvalue()))
    assert [r.number for r in read(path).sets[0].methods["vanilla"]] == [42, 43, 44, 45, 46]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar.gz"]  # nothing was unpacked


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_archive_is_an_error_of_its_own_kind(tmp_path: Path, data: st.DataObject) -> None:
    plain = bytearray(gzip.decompress(packed(tmp_path / "a.tar.gz", files({})).read_bytes()))
    for _ in range(data.draw(st.integers(1, 8))):
        plain[data.draw(st.integers(0, len(plain) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "b.tar.gz"
    path.write_bytes(gzip.compress(bytes(plain), 1))
    try:
        found = read(path)
    except UserError:
        return
    assert all(0 <= r.accuracy <= 1 for s in found.sets for r in s.weak)
