"""The audits that make sense for a confirmed claim, and the attacks on a scorer.

Problems, seeds and samples are drawn from the seeds of the confirmation, which nobody could foresee; so are those
entries of the ledger that are run again. About 5 s of one core for a claim on `w2s-micro`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.random import derive, stream
from superalign.research.alarms import ITEMS
from superalign.research.audits.attacks import flip_attack, query_attack
from superalign.research.audits.canaries import SHORTEST, canaries
from superalign.research.audits.duplicates import near_rows, near_texts
from superalign.research.audits.equal_care import CHOOSE, equal_care
from superalign.research.audits.gap import degenerate_gap
from superalign.research.audits.input_only import WIDE, input_only
from superalign.research.audits.isolation import isolation
from superalign.research.audits.literals import Said, self_reported
from superalign.research.audits.placebo import LABELS, placebo
from superalign.research.audits.probing import probing
from superalign.research.audits.reruns import Rerun, reruns
from superalign.research.audits.result import AuditResult, Run
from superalign.research.audits.seeds import as_registered, seed_picking
from superalign.research.audits.shortcut import Compared, shortcuts
from superalign.research.ledger import Entry
from superalign.research.running import TRAINING, Bench, scored
from superalign.research.testbed import Problem
from superalign.research.values import Code, PreRegistration, Typed, method_of, typed

if TYPE_CHECKING:
    from superalign.core.ports import Floats
    from superalign.research.space import Method

PROBLEMS = 6
"""Problems of the confirmation that are looked at, of all families in turn."""
OTHERS, FIRST = 12, 3
"""Runs of other methods that are made again, and on how many of their problems."""
SEEDS = 3
"""Fresh training seeds."""
UNUSED = CHOOSE + 12
"""Fresh problems on which the care for baselines is looked at."""
SPOKEN = ("propose", "finding", "run_end", "refuse", "spend", "prereg")
"""Entries in which somebody else's words are."""


def audit(
    claim: PreRegistration, confirm: Entry, entries: Sequence[Entry], bench: Bench, texts: Mapping[str, str]
) -> list[AuditResult]:
    """Every audit of a confirmed claim; `texts` are the files of methods by SHA-256, which are read and never run here.

    A confirmation that failed, or a testbed without weak labels, gets those that are defined for it.
    """
    seed = derive(int(confirm.payload["seeds"][0]), "research/audits", claim.id)
    found = [
        as_registered(claim, confirm),
        probing(entries),
        isolation(entries),
        _leaks(confirm, entries, texts),
        _reported(entries, texts),
        reruns(list(_again(claim, entries, bench, seed))),
    ]
    if confirm.payload["status"] != "ok":
        return found
    problems = _chosen(confirm, bench)
    run = runner(bench)
    found += [degenerate_gap(problems), *input_only(problems, seed=seed), *_duplicates(problems, bench)]
    found += shortcuts(_compared(claim, confirm, problems, run))
    if all(set(LABELS) & set(p.public) for p in problems):
        found.append(placebo(claim.method, problems, run, seed=seed))
    found += _picked(claim, entries, bench, seed)
    if not claim.exploratory:
        found.append(equal_care(claim, entries, bench.testbed, _Unused(bench, seed), seed))
    return found


def attack_scorer(bench: Bench, dataset: str, budget: int, queries: int = 500, seed: int = 0) -> list[AuditResult]:
    """Flips and adaptive queries against the scorer as it is in use, each in a throw-away campaign with a key and a
    store of its own, on a public problem `family/0` of the testbed and with this budget of submissions."""
    from superalign.research.scorer.desk import ScorerDesk  # the scorer calls this module, too
    from superalign.store import open_store

    found = []
    for name in ("flips", "queries"):
        with tempfile.TemporaryDirectory() as folder, open_store(f"{folder}/attacked.sqlite") as store:
            key = stream(seed, "research/attack/key", name).bytes(32)
            desk = ScorerDesk(store, "attacked", key, Bench(bench.testbed, store), [dataset], budget)
            truth = desk.problem(dataset).key.truth

            def submit(answers: Any, desk: ScorerDesk = desk) -> dict[str, Any]:
                return desk.submit({"dataset": dataset, "run": "attack", "predictions": answers.tolist()})

            def alarmed(desk: ScorerDesk = desk) -> bool:
                return bool(desk.ledger.of("alarm"))

            due = alarmed if len(truth) >= ITEMS else None  # on fewer items flips raise no alarm, by intention
            found.append(
                flip_attack(submit, truth, queries=queries, alarmed=due, seed=seed)
                if name == "flips"
                else query_attack(submit, truth, queries=queries, seed=seed)
            )
    return found


def runner(bench: Bench) -> Run:
    """How an audit runs a method: on the bench, which hands it public arrays alone."""

    def run(method: Typed | Code, problem: Problem, seed: int) -> Any:
        return bench.run(method, problem.public, len(problem.key.truth), seed).answers

    return run


def _chosen(confirm: Entry, bench: Bench) -> list[Problem]:
    """Problems of the confirmation, of all families in turn."""
    by_family: dict[str, list[int]] = {}
    for family, seed in confirm.payload["problems"]:
        by_family.setdefault(str(family), []).append(int(seed))
    most = max(len(seeds) for seeds in by_family.values())
    order = [(f, seeds[k]) for k in range(most) for f, seeds in by_family.items() if k < len(seeds)]
    return [bench.problem(family, seed, "confirm") for family, seed in order[:PROBLEMS]]


def _compared(claim: PreRegistration, confirm: Entry, problems: Sequence[Problem], run: Run) -> list[Compared]:
    training = int(confirm.payload["training"][0])
    found = []
    for problem in problems:
        method = run(claim.method, problem, training)
        others = {name: run(baseline, problem, training) for name, baseline in claim.baselines.items()}
        given = {name: answers for name, answers in others.items() if answers is not None}
        if method is not None and len(given) == len(others):
            found.append(Compared(problem, method, given))
    return found


def _leaks(confirm: Entry, entries: Sequence[Entry], texts: Mapping[str, str]) -> AuditResult:
    """The seeds of the confirmation, in anything that was written before it."""
    hidden = [str(s) for s in confirm.payload["seeds"] if len(str(s)) >= SHORTEST]
    before = (e for e in entries if e.number < confirm.number and e.type in SPOKEN)
    places = {f"e{e.number}": json.dumps(dict(e.payload), ensure_ascii=False) for e in before}
    return canaries(hidden, {**places, **texts})


def _reported(entries: Sequence[Entry], texts: Mapping[str, str]) -> AuditResult:
    findings = [e for e in entries if e.type == "finding"]
    said = [
        Said(f"e{e.number}", f"{e.payload.get('title', '')}\n{e.payload.get('text', '')}",
             frozenset(int(n) for n in e.payload.get("evidence", ())))
        for e in findings
    ]  # fmt: skip
    return self_reported([*said, *(Said(sha[:12], text, code=True) for sha, text in texts.items())], entries)


def _runs(entries: Sequence[Entry]) -> list[tuple[Entry, Typed | Code]]:
    """What was run in the search, with the method of each run."""
    methods = {e.number: e.payload["method"] for e in entries if e.type == "propose"}
    found = []
    for entry in entries:
        held = methods.get(int(entry.payload["proposal"])) if entry.type == "run_end" else None
        if held is not None:
            found.append((entry, method_of(held)))
    return found


def _of_claim(claim: PreRegistration, entries: Sequence[Entry]) -> Entry | None:
    """The run of the claimed method on the most development problems; None where it was not found by a search."""
    mine = [e for e, method in _runs(entries) if method == claim.method and e.payload["status"] == "ok"]
    return max(mine, key=lambda e: len(e.payload["problems"]), default=None)


def _again(claim: PreRegistration, entries: Sequence[Entry], bench: Bench, seed: int) -> Iterator[Rerun]:
    """The run of the claimed method, and some others: those of files only where they ended well, others may take long."""
    mine = _of_claim(claim, entries)
    runs = [(e, m) for e, m in _runs(entries) if e.payload["status"] == "ok" or isinstance(m, Typed)]
    others = [(e, m) for e, m in runs if e is not mine]
    drawn = stream(seed, "research/audits/reruns").permutation(len(others))[:OTHERS]
    chosen = [(e, m) for e, m in runs if e is mine] + [others[int(k)] for k in sorted(drawn)]
    for entry, method in chosen:
        problems = [(str(f), int(n)) for f, n in entry.payload["problems"]]
        if entry.payload["status"] == "ok" and entry is not mine:
            problems = problems[:FIRST]  # one that failed may have failed on its last problem
        told = tuple(float(s) for s in entry.payload["scores"][: len(problems)])
        ran = scored(bench, method, problems, "dev")
        yield Rerun(entry.number, told, tuple(ran["scores"]), isinstance(method, Typed))


def _picked(claim: PreRegistration, entries: Sequence[Entry], bench: Bench, seed: int) -> list[AuditResult]:
    """The claimed method's development scores against fresh training seeds; two problems show whether it has any."""
    entry = _of_claim(claim, entries)
    if entry is None:
        return []
    fresh = [int(s) for s in stream(seed, "research/audits/seeds").integers(1 << 24, 1 << 30, SEEDS)]
    rows: list[list[float]] = []
    for family, number in entry.payload["problems"][:PROBLEMS]:
        problem = bench.problem(str(family), int(number), "dev")
        scores = [bench.score(claim.method, problem, s)[0] for s in fresh]
        rows.append([s for s in scores if s is not None])
        if len(rows) == 2 and all(len(set(row)) == 1 for row in rows):
            break
    if any(len(row) < SEEDS for row in rows):
        return []  # a method that fails with other seeds is found by the re-runs, or by the confirmation
    return [seed_picking(entry.payload["scores"][: len(rows)], rows, evidence=(f"e{entry.number}",))]


class _Unused:
    """Scores on development problems that no campaign uses: their numbers lie beyond all that are counted."""

    def __init__(self, bench: Bench, seed: int) -> None:
        families = bench.testbed.families
        numbers = stream(seed, "research/audits/unused").integers(1 << 32, 1 << 40, UNUSED)
        self._bench = bench
        self._where = [(families[k % len(families)], int(n)) for k, n in enumerate(numbers)]

    def __call__(self, methods: Sequence[Method], part: slice) -> Floats:
        problems = [self._bench.problem(family, number, "dev") for family, number in self._where[part]]
        scores = [[self._bench.score(typed(m), p, TRAINING)[0] for p in problems] for m in methods]
        return np.array([[np.nan if s is None else s for s in row] for row in scores])


def _duplicates(problems: Sequence[Problem], bench: Bench) -> list[AuditResult]:
    """A problem of each family that was searched on: its parts against each other and a development problem's."""
    found: dict[str, AuditResult] = {}
    first = {p.family: p for p in reversed(problems) if p.family in bench.testbed.families}
    for problem in first.values():
        both = {"confirm": problem.public, "dev": bench.problem(problem.family, 0, "dev").public}
        splits: dict[str, dict[str, Any]] = {"rows": {}, "texts": {}}
        for tier, public in both.items():
            for name, values in public.items():
                kind = _kind(name, np.asarray(values))
                if kind:
                    splits[kind][f"{tier} {name}"] = np.asarray(values)
        for kind, held in splits.items():
            if held and (kind not in found or found[kind].status == "pass"):
                found[kind] = near_rows(held) if kind == "rows" else near_texts({k: list(held[k]) for k in held})
    return list(found.values())


def _kind(name: str, array: Any) -> str:
    """Whether equal rows of an array would be one item twice: texts, and rows of many fractions."""
    if not name.startswith(("train_", "test_")):
        return ""
    if array.dtype.kind in "UO":
        return "texts"
    return "rows" if array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] >= WIDE else ""
