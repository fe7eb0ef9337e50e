"""A confirmation: committed methods, run again by the scorer on problems and seeds that nobody could foresee."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from superalign.core.random import stream
from superalign.research.inference import paired, proportion
from superalign.research.ledger import seed_of
from superalign.research.running import Bench
from superalign.research.testbed import Problem, recovered
from superalign.research.values import Code, PreRegistration, Typed

TRAINING = 1 << 20
"""Where the numbers of training seeds begin; those of problems come before."""
SAME = 2 << 20
"""Where the numbers of the problems begin on which a method is compared with itself."""
KEPT = 0.8
"""The share of the transfer items that each of two equal runs is trained on."""
LEVEL = 0.05


def confirm(claim: PreRegistration, bench: Bench, key: bytes) -> dict[str, Any]:
    """The payload of a `confirm` entry: PGR of every arm, per problem and training seed.

    All arms of a problem share its data and its training seeds. Where an arm fails the confirmation is `failed`, which
    counts in the correction like any other.
    """
    which, begun, cpu = claim.id, time.perf_counter(), time.process_time()
    count = claim.tasks * len(claim.families)
    seeds = [seed_of(key, which, k) for k in range(count)]
    problems = [(claim.families[k // claim.tasks], seeds[k]) for k in range(count)]
    training = [seed_of(key, which, TRAINING + k) % (1 << 31) for k in range(claim.seeds)]
    arms: dict[str, Typed | Code] = {"method": claim.method, **claim.baselines}
    found: dict[str, list[list[float]]] = {name: [] for name in arms}
    status, said = "ok", ""
    for family, seed in problems:
        problem = bench.problem(family, seed, "confirm")
        for name, method in arms.items():
            scores, reason = _scores(bench, method, problem, training)
            if reason:
                status, said = "failed", f"{name} on {family}: {reason}"
                break
            found[name].append(scores)
        if said:
            break
    return {
        "registration": which, "status": status, "said": said, "seeds": seeds, "training": training,
        "problems": [list(p) for p in problems], "arms": found if status == "ok" else {},
        "usage": {"wall_s": round(time.perf_counter() - begun, 3), "cpu_s": round(time.process_time() - cpu, 3)},
    }  # fmt: skip


def _scores(bench: Bench, method: Typed | Code, problem: Problem, training: list[int]) -> tuple[list[float], str]:
    scores = []
    for seed in training:
        score, ran = bench.score(method, problem, seed)
        if score is None:
            return [], f"{ran.status}: {ran.said}"
        scores.append(score)
    return scores, ""


def same(claim: PreRegistration, bench: Bench, key: bytes, pairs: int, problems: int) -> dict[str, Any]:
    """The payload of the `a-a` audit: how often the test finds a difference where there is none.

    Each of `pairs` comparisons puts a method of the claim against itself on `problems` fresh problems; the two runs of a
    problem are trained on draws of 80 % of its transfer items. Nothing else differs.
    """
    arms = [claim.method, *claim.baselines.values()]
    arms = [a for a in arms if isinstance(a, Typed)] or arms
    false = 0
    spread = []
    for pair in range(pairs):
        method = arms[pair % len(arms)]
        differences = []
        for k in range(problems):
            seed = seed_of(key, claim.id, SAME + pair * problems + k)
            problem = bench.problem(claim.families[k % len(claim.families)], seed, "confirm")
            runs = [_part(bench, method, problem, seed, side) for side in (0, 1)]
            if None not in runs:
                differences.append(float(runs[0] or 0.0) - float(runs[1] or 0.0))
        result = paired(np.array(differences)[:, None]) if len(differences) > 1 else None
        false += result is not None and result.p < LEVEL
        spread += [result.sd] if result is not None else []
    rate = proportion(false, pairs)
    return {
        "audit": "a-a", "registration": claim.id, "status": "flag" if (rate.low or 0.0) > LEVEL else "pass",
        "statistic": rate.value, "low": rate.low, "high": rate.high, "pairs": pairs, "problems": problems,
        "found": false, "sd": float(np.mean(spread)) if spread else None,
        "says": f"a method against itself: a difference in {false} of {pairs} comparisons at p < {LEVEL}", "evidence": [],
    }  # fmt: skip


def _part(bench: Bench, method: Typed | Code, problem: Problem, seed: int, side: int) -> float | None:
    """PGR of a method that is trained on a part of the transfer items."""
    ran = bench.run(method, part(problem.public, seed, side), len(problem.key.truth), side)
    return recovered(problem, ran.answers) if ran.status == "ok" else None


def part(public: Mapping[str, Any], seed: int, side: int) -> dict[str, Any]:
    """The public arrays with 80 % of the rows of all `train_` arrays, the same rows of each."""
    rows = max((len(v) for k, v in public.items() if k.startswith("train_")), default=0)
    kept = np.sort(stream(seed, "research/same", side).permutation(rows)[: int(KEPT * rows)])
    return {k: np.asarray(v)[kept] if k.startswith("train_") and len(v) == rows else v for k, v in public.items()}
