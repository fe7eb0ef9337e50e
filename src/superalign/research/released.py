"""Results that others released, read as campaigns: the per-seed runs of the Automated Weak-to-Strong Researcher.

The archive (Anthropic 2026, `cache_results.tar.gz`) holds one JSON file a run: 16 weak supervisors and 16 ceilings a set,
and about five students a method. PGR is recomputed from the accuracies and the means of those 16, and every method is
judged against `vanilla` as this project judges its own claims, with one difference: the unit is a training seed on one
test set, because there is nothing else, and p is of a t test, because sign flips of five pairs end at 2/32.

Test items are a sample, too. No run tells which items it got right, so their noise is modelled: the errors of two
students correlate at .6 (see `core.power.item_covariance`). So there are two words a method: on these very items, where
only training varies, and on new items.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

import numpy as np
from scipy.special import stdtr, stdtrit
from scipy.stats import mannwhitneyu

from superalign.core.errors import Degenerate, TaskError
from superalign.core.measure import Elicited, elicited
from superalign.core.power import item_covariance, seeds_needed, smallest_difference
from superalign.core.spec import Table
from superalign.research.inference import Floats, Paired, best_of, signed_rank
from superalign.research.ladder import standard_error
from superalign.research.verdicts import Confirmed, Verdict, verdicts

UNPACKED = 100_000_000
"""Bytes that an archive may unpack to, in memory; the released one has 28 million."""
FILE = 5_000_000
FILES = 5000

WEAK, CEILING, BASELINE = "weak_artifacts", "train_ceiling", "vanilla_w2s"
METHODS = {
    BASELINE: "vanilla",
    "train_only_on_confident_labels": "confident",
    "ue_zeroshot": "zero-shot",
    "critic": "critic",
}
FOLDER = re.compile(rf"([a-z]{{1,40}})[a-z0-9-]{{0,40}}_({'|'.join([WEAK, CEILING, *METHODS])})")
ACCURACY = {WEAK: "weak_acc", CEILING: "strong_acc"}
CORRELATION = 0.6
WHOLE, ROUNDED = 0.01, 5e-5
"""How far a number of right answers may be from a whole one, and two means of accuracies from one another."""
ENDLESS = 10**9
"""So many test items that their sampling no longer counts."""

Key = tuple[str, str, int]
"""Set, method (as in the names of folders) and number of a run."""


@dataclass(frozen=True, slots=True)
class Run:
    """A trained model: the number in its file's name, the seed that the file tells, and its test accuracy. `items`
    is the number of test items, `baselines` the weak and the ceiling accuracy that its stored PGR divides by, if told."""

    number: int
    seed: int
    accuracy: float
    items: int | None = None
    baselines: tuple[float, float] | None = None


@dataclass(frozen=True)
class ReleasedSet:
    """One set of `items` test items: the weak supervisors, the ceilings, and the students of each method."""

    name: str
    items: int
    weak: tuple[Run, ...]
    ceiling: tuple[Run, ...]
    methods: Mapping[str, tuple[Run, ...]]

    def pgr(self, method: str) -> Elicited:
        """Performance gap recovered over the means of the weak and of the ceiling runs, with the guard on their gap."""
        weak, students, ceiling = (_accuracies(r)[:, None] for r in (self.weak, self.methods[method], self.ceiling))
        return elicited(weak, students, ceiling, chance=0.5, independent=True)

    @cached_property
    def gap(self) -> float:
        """Mean accuracy of the ceilings less that of the weak supervisors. Degenerate where PGR is undefined."""
        found = self.pgr(METHODS[BASELINE])
        if found.pgr.value is None:
            raise Degenerate(f"PGR on {self.name!r} is {found.pgr.reason}")
        return float(found.gap.value or 0)

    def spread(self, method: str) -> float:
        """Standard deviation of PGR over the students of a method."""
        return float(_accuracies(self.methods[method]).std(ddof=1)) / self.gap


@dataclass(frozen=True)
class Against:
    """A method against vanilla on one set, in PGR. `paired` is whether both have students of the same seeds.

    `here` holds for these test items, `anew` for new ones; the word of each is after Holm over all methods and sets.
    `sees` is the difference that as many seeds show in 80 of 100 studies, here and on new items; `needed` the paired
    seeds with which the difference that was found would be seen here. Both are for one comparison, at level .05.
    """

    testset: str
    method: str
    paired: bool
    here: Verdict
    anew: Verdict
    sees: tuple[float, float]
    needed: int | None


@dataclass(frozen=True)
class Released:
    """What an archive holds, by set; `copies` counts files that are there twice."""

    sets: tuple[ReleasedSet, ...]
    copies: int

    def against(self, sesoi: float = 0.02, alpha: float = 0.05) -> list[Against]:
        """Every method of every set against vanilla, corrected over all of them. Degenerate where a PGR is undefined."""
        pairs = [(s, m) for s in self.sets for m in s.methods if m != METHODS[BASELINE]]
        here, anew = (
            verdicts([Confirmed(f"{s.name}/{m}", {METHODS[BASELINE]: _compared(s, m, items or s.items)}, sesoi, alpha,
                                ("exploratory", "single-family")) for s, m in pairs])
            for items in (ENDLESS, None)
        )  # fmt: skip
        return [_against(s, m, h, a) for (s, m), h, a in zip(pairs, here, anew, strict=True)]

    def as_findings(self) -> Table:
        """A row for each method of each set, with what it can be said to show."""
        columns = ("set", "items", "method", "seeds", "PGR", "sd", "less vanilla", "low", "high", "p adjusted",
                   "on these items", "on new items", "sees here", "sees anew", "seeds needed")  # fmt: skip
        found = {(a.testset, a.method): a for a in self.against()}
        rows = [_row(s, m, found.get((s.name, m))) for s in self.sets for m in s.methods]
        return Table(
            title="Released results of the automated weak-to-strong researcher, judged again", columns=columns,
            rows=tuple(rows), note=" ".join(self.statement()),
        )  # fmt: skip

    def statement(self) -> tuple[str, ...]:
        """What so few seeds can show and what they cannot, and what is odd in the files, in sentences."""
        return (*_limits(self), *_oddities(self))


def read(path: Path) -> Released:
    """The runs of an archive, read in memory. Raises TaskError for what is no such archive, or is not whole."""
    found: dict[Key, tuple[Run, str]] = {}
    copies = 0
    for name, key, body in _files(path):
        run = _run(name, key, body)
        if key not in found:
            found[key] = run, name
            continue
        copies += 1
        if found[key][0] != run:
            raise TaskError(
                f"{path} has two different runs of one name, {found[key][1]!r} and {name!r}; keep one of them"
            )
    if not found:
        raise TaskError(f"{path} has no runs; their files are named <set>_<method>/<settings>/seed_<number>.json")
    names = dict.fromkeys(testset for testset, _, _ in sorted(found))
    return Released(tuple(_set(n, [(k[1], found[k][0]) for k in sorted(found) if k[0] == n]) for n in names), copies)


# -- reading


def _files(path: Path) -> Iterator[tuple[str, Key, dict[str, Any]]]:
    """Names, keys and contents of the runs in an archive; nothing is unpacked to disk and every size is bounded."""
    try:
        with gzip.open(path) as packed:
            plain = packed.read(UNPACKED + 1)
    except OSError as error:
        raise TaskError(f"{path} cannot be read: {error}; give the released cache_results.tar.gz") from error
    except (EOFError, zlib.error) as error:
        raise TaskError(f"{path} is cut short or damaged: {error}") from error
    if len(plain) > UNPACKED:
        raise TaskError(f"{path} unpacks to more than {UNPACKED:,} bytes")
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for count, member in enumerate(archive):
                if count >= FILES:
                    raise TaskError(f"{path} has more than {FILES:,} members")
                key = _key(member.name)
                if key is None or not member.isreg():
                    continue
                if member.size > FILE:
                    raise TaskError(f"{member.name!r} has {member.size:,} bytes; a run has at most {FILE:,}")
                held = archive.extractfile(member)
                assert held is not None  # a regular file
                yield member.name, key, _json(member.name, held.read())
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise TaskError(f"{path} is no tar archive: {error}") from error


def _key(name: str) -> Key | None:
    """Set, method and number of a run by its path; None for other files."""
    parts = PurePosixPath(name).parts
    folder = FOLDER.fullmatch(parts[-3]) if len(parts) >= 3 else None
    seed = re.fullmatch(r"seed_(\d{1,9})\.json", parts[-1]) if parts else None
    return (folder[1], folder[2], int(seed[1])) if folder and seed else None


def _json(name: str, text: bytes) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{name!r} is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise TaskError(f"{name!r} is a {type(body).__name__}, not an object with the fields of a run")
    return body


def _run(name: str, key: Key, body: dict[str, Any]) -> Run:
    _, method, number = key
    field = ACCURACY.get(method, "transfer_acc")
    accuracy, seed = body.get(field), body.get("seed")
    if not _share(accuracy):
        raise TaskError(f"{name!r}: {field} is {accuracy!r}, not an accuracy between 0 and 1")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TaskError(f"{name!r}: seed is {seed!r}, not a whole number")
    told = _inside(body, "detailed_eval", "strong", "final_eval", "total")
    told = _inside(body, "step1_data_loading", "test_samples") if told is None else told
    if told is not None and not (isinstance(told, int) and 1 < told < ENDLESS):
        raise TaskError(f"{name!r}: {told!r} is no number of test items")
    weak, ceiling = body.get("fixed_weak_baseline"), body.get("fixed_strong_baseline")
    baselines = (float(weak), float(ceiling)) if _share(weak) and _share(ceiling) else None
    return Run(number, seed, float(accuracy), told, baselines)


def _share(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _inside(body: Any, *path: str) -> Any:
    for part in path:
        body = body.get(part) if isinstance(body, dict) else None
    return body


def _set(name: str, found: Sequence[tuple[str, Run]]) -> ReleasedSet:
    runs: dict[str, list[Run]] = {WEAK: [], CEILING: [], BASELINE: []}
    for method, run in found:
        runs.setdefault(method, []).append(run)
    for method, several in runs.items():
        if len({r.accuracy for r in several}) < 2:
            raise TaskError(
                f"{name}/{method} has {len(several)} runs of {len({r.accuracy for r in several})} different accuracies; "
                "without a spread over seeds nothing can be judged"
            )
    told = {run.items for _, run in found if run.items is not None}
    if len(told) != 1:
        raise TaskError(f"the runs of {name!r} tell {sorted(told) or 'no'} numbers of test items; one is needed")
    methods = {METHODS[m]: tuple(runs[m]) for m in METHODS if m in runs}
    return ReleasedSet(name, told.pop(), tuple(runs[WEAK]), tuple(runs[CEILING]), methods)


# -- judging


def _accuracies(runs: Sequence[Run]) -> Floats:
    return np.array([r.accuracy for r in runs])


def _shared(testset: ReleasedSet, method: str) -> bool:
    """Whether the students of a method and of vanilla have the same seeds, each once, and so the same teachers."""
    mine, theirs = ([(r.number, r.seed) for r in testset.methods[m]] for m in (method, METHODS[BASELINE]))
    return mine == theirs and len({seed for _, seed in mine}) == len(mine)


def _compared(testset: ReleasedSet, method: str, items: int) -> Paired:
    """PGR of a method less that of vanilla, by a t test over seeds: paired, or Welch's where seeds are not shared.

    The variance of the sampling of `items` test items is added; degrees of freedom by Satterthwaite (1946).
    """
    a, b = (_accuracies(testset.methods[m]) / testset.gap for m in (method, METHODS[BASELINE]))
    if _shared(testset, method):
        parts, ranks = [(float((a - b).var(ddof=1)) / len(a), len(a) - 1)], signed_rank(a - b)
    else:
        parts = [(float(x.var(ddof=1)) / len(x), len(x) - 1) for x in (a, b)]
        ranks = float(mannwhitneyu(a, b).pvalue)
    seeds, by_seed = min(len(a), len(b)), sum(v for v, _ in parts)
    if not by_seed > 0:
        raise Degenerate(f"{testset.name}: {method} differs from vanilla by the same in every seed; there is no spread")
    parts.append((_item_variance(testset, method, items), items - 1))
    variance = sum(v for v, _ in parts)
    freedom = variance**2 / sum(v**2 / f for v, f in parts)
    estimate, error = float(a.mean() - b.mean()), math.sqrt(variance)
    half = float(stdtrit(freedom, 0.975)) * error
    sd = math.sqrt(by_seed * seeds)
    weak = float(_accuracies(testset.weak).mean())
    return Paired(
        estimate=estimate, low=estimate - half, high=estimate + half,
        p=float(2 * stdtr(freedom, -abs(estimate) / error)), wilcoxon=ranks, sd=sd, n=1, seeds=seeds,
        mde=smallest_difference(seeds, items, weak=weak, gap=testset.gap, sd_seed=sd, correlation=CORRELATION),
    )  # fmt: skip


def _item_variance(testset: ReleasedSet, method: str, items: int) -> float:
    """Variance of the difference to vanilla, in PGR, that the sampling of test items adds."""
    both = [float(_accuracies(testset.methods[m]).mean()) for m in (method, METHODS[BASELINE])]
    c = item_covariance(both, items, CORRELATION)
    return float(c[0, 0] + c[1, 1] - 2 * c[0, 1]) / testset.gap**2


def _against(testset: ReleasedSet, method: str, here: Verdict, anew: Verdict) -> Against:
    found, wider = here.comparison, anew.comparison
    assert found is not None
    assert wider is not None
    needed = seeds_needed(abs(found.estimate), found.sd) if found.estimate else None
    return Against(testset.name, method, _shared(testset, method), here, anew, (found.mde, wider.mde), needed)


# -- telling


def _row(testset: ReleasedSet, method: str, against: Against | None) -> tuple[Any, ...]:
    found = testset.pgr(method).pgr
    mine = (testset.name, testset.items, method, found.seeds, found.value, testset.spread(method))
    if against is None:
        return (*mine, *[None] * 9)
    here = against.here.comparison
    assert here is not None
    return (
        *mine, here.estimate, here.low, here.high, against.here.p_adjusted, against.here.word, against.anew.word,
        *against.sees, against.needed,
    )  # fmt: skip


def _limits(released: Released) -> Iterator[str]:
    """What so few seeds can show."""
    all_of = released.against()
    on_new = f"new ones, if the errors of two students correlate at {CORRELATION:g},"
    for kind, where in (("here", "these test items"), ("anew", on_new)):
        held = [f"{a.method} on {a.testset}" for a in all_of if getattr(a, kind).word in ("improves", "worse")]
        yield f"On {where} {len(held)} of {len(all_of)} differences to vanilla hold ({', '.join(held) or 'none'})."
    for one in released.sets:
        mine = [a for a in all_of if a.testset == one.name]
        seeds = len(one.methods[METHODS[BASELINE]])
        yield (
            f"{one.name}: {seeds} seeds see differences in PGR of {_range([a.sees[0] for a in mine])} on these "
            f"{one.items:,} items and of {_range([a.sees[1] for a in mine])} on new ones; items alone put a standard error "
            f"of {_of_items(one):.3f} on a single PGR; the best of {seeds} seeds of vanilla lies "
            f"{best_of(seeds) * one.spread(METHODS[BASELINE]):.3f} above their mean by luck."
        )
    least = min(len(s.methods[METHODS[BASELINE]]) for s in released.sets)
    yield f"Flips of the signs of {least} pairs cannot give p below {2 / 2**least:.3g}, whatever the difference."


def _of_items(testset: ReleasedSet) -> float:
    """One standard error of vanilla's PGR by the sampling of test items alone."""
    return standard_error(float(_accuracies(testset.methods[METHODS[BASELINE]]).mean()), testset.items) / testset.gap


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}" if values else "nothing"


def _oddities(released: Released) -> Iterator[str]:
    """What does not fit in the files."""
    if released.copies:
        yield f"{released.copies} files are copies of others."
    for one in released.sets:
        for method, runs in one.methods.items():
            seeds = [r.seed for r in runs]
            if len(set(seeds)) < len(seeds):
                yield f"{one.name}: the {len(runs)} runs of {method} tell the seeds {', '.join(map(str, seeds))}."
            partial = sum(abs(r.accuracy * one.items - round(r.accuracy * one.items)) > WHOLE for r in runs)
            if partial:
                yield (
                    f"{one.name}: {partial} of {len(runs)} accuracies of {method} are no whole number of right answers, "
                    "so they were computed back from rounded ones."
                )
        told = {r.baselines for runs in one.methods.values() for r in runs if r.baselines is not None}
        for weak, ceiling in sorted(told):
            mine = (float(_accuracies(one.weak).mean()), float(_accuracies(one.ceiling).mean()))
            if max(abs(weak - mine[0]), abs(ceiling - mine[1])) > ROUNDED:
                yield (
                    f"{one.name}: stored PGRs lie between {weak:.4f} and {ceiling:.4f}, the runs' means are "
                    f"{mine[0]:.4f} and {mine[1]:.4f}; these are used here."
                )
