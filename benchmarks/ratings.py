"""Ratings beside evalica (pip install evalica), and at the size of a public leaderboard.

    python benchmarks/ratings.py [--votes 1800000] [--competitors 129]

1. Fit alone, on the same votes: evalica's Bradley-Terry (Rust) from its own indices, ours from indices; both to
   their default tolerance. The strengths must agree.
2. End to end at the size of the 2024 arena: aggregate, fit with sandwich errors, bootstrap 100 times.
3. A vote comes in: the counts of 100,000 votes are updated and the fit starts from the last one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", RAYON_NUM_THREADS="1")

import numpy as np

from superalign.studies.rate.bradley_terry import Rows, aggregate, bootstrap, fit, newton, rows


def votes(n: int, count: int, seed: int = 0) -> Rows:
    """Votes between random pairs, a fifth of them ties; strengths from N(0, 0.6)."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(0, 0.6, n)
    left = rng.integers(0, n, count)
    right = (left + rng.integers(1, n, count)) % n
    won = (rng.random(count) < 1 / (1 + np.exp(theta[right] - theta[left]))).astype(float)
    won[rng.random(count) < 0.2] = 0.5
    return rows(left, right, won, n)


def timed(work: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """Median seconds, and what the last one gave."""
    taken, found = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        found = work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken), found


def beside_evalica(given: Rows) -> None:
    try:
        import evalica
    except ImportError:
        print("evalica is not installed; type: pip install evalica")
        return
    kinds = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}
    xs, ys = (side.astype(str).tolist() for side in (given.left, given.right))
    winners = [kinds[w] for w in given.won.tolist()]
    theirs, result = timed(lambda: evalica.bradley_terry(xs, ys, winners))
    ours, found = timed(lambda: fit(aggregate(given)))
    strengths = np.log(result.scores)
    strengths -= strengths.mean()
    apart = max(abs(strengths[str(k)] - found.theta[k]) for k in range(given.n))
    print(f"fit of {len(given.left):,} votes, {given.n} competitors (evalica starts from names)")
    print(f"  evalica    {theirs:8.3f} s")
    print(f"  superalign {ours:8.3f} s  {theirs / ours:.1f} times faster, with errors; strengths {apart:.1e} apart")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--votes", type=int, default=1_800_000)
    parser.add_argument("--competitors", type=int, default=129)
    options = parser.parse_args()
    beside_evalica(votes(59, 9_000))
    beside_evalica(votes(options.competitors, 100_000))
    given = votes(options.competitors, options.votes)
    first, flat = timed(lambda: aggregate(given))
    second, point = timed(lambda: fit(flat))
    third, _ = timed(lambda: bootstrap(flat, point, 100, np.random.default_rng(0)), repeats=1)
    print(f"{options.votes:,} votes, {options.competitors} competitors: {first + second + third:.2f} s in all")
    print(f"  aggregate {first:.2f} s, fit and sandwich {1000 * second:.0f} ms, 100 bootstraps {third:.2f} s")
    flat = aggregate(votes(options.competitors, 100_000))
    point = fit(flat)

    def one_more() -> Any:
        count = flat.count.copy()
        count[0] += 1
        return newton(replace(flat, count=count), 0.0, 0.0, point.theta)

    print(f"one more vote on 100,000: {1000 * timed(one_more)[0]:.1f} ms")


if __name__ == "__main__":
    main()
