"""Attacks on a scorer: can its answers be turned into labels, and does it notice?

They are made against something that answers like the scorer in use (a throw-away campaign, whose labels the auditor
knows). One flip at a time reads every label off exact counts: 1,000 labels in 1,001 queries of the automated
researcher whose scorer told them. Votes of random submissions, weighted by what was told, and a climb by random blocks
are the adaptive analyst's way (Blum and Hardt 2015; Dwork et al. 2015); on items that the scorer must not score, a
hidden split, they can gain nothing unless it scores them all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.errors import UserError
from superalign.core.random import stream
from superalign.research.audits.result import AuditResult
from superalign.research.inference import proportion

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints

Submit = Callable[["Ints"], Mapping[str, Any]]
"""`submit(answers) -> {"improved", "best", "left"}`, with `score` where a scorer tells it; UserError where it refuses."""

DUE = 10
"""Submissions of flips by which an alarm is due."""
STEP = 0.01
"""Accuracy by which an attacker may come out better: one release of a board of 2,500 items."""
BLOCK = 0.02
"""The share of the items that a random block of the climb flips."""


def flip_attack(
    submit: Submit,
    truth: Ints,
    *,
    start: Ints | None = None,
    block: int = 1,
    queries: int = 1000,
    alarmed: Callable[[], bool] | None = None,
    seed: int = 0,
) -> AuditResult:
    """Flip `block` answers at a time, keep what helps, and count what is known of the answers (n,) that were probed.

    The statistic is the share of probed answers that are right. `fail` where it is above that of the `start` (by default
    random) by its Clopper-Pearson interval, or where 10 submissions raised no alarm (`alarmed` says whether one was).
    """
    rng = stream(seed, "research/attack/flips", len(truth), block)
    guess = rng.integers(0, 2, len(truth)) if start is None else np.array(start)
    order = rng.permutation(len(truth))
    moves = (order[k : k + block] for k in range(0, len(truth), block))
    after, probed, used = _climb(submit, guess, moves, queries)
    if not len(probed):
        return _refused("attack:flips", used)
    right = proportion(int((after == truth)[probed].sum()), len(probed))
    before = float((guess == truth)[probed].mean())
    silent = alarmed is not None and used >= DUE and not alarmed()
    leaks = (right.low or 0.0) > before
    said = f"{used} submissions: of {len(probed)} probed labels {right.value:.2f} are known, {before:.2f} were before"
    said += "" if alarmed is None or used < DUE else "; no alarm was raised" if silent else "; an alarm was raised"
    return AuditResult(
        "attack:flips", "fail" if leaks or silent else "pass", right.value, right.low, right.high, said
    )  # fmt: skip


def query_attack(
    submit: Submit, truth: Ints, *, hidden: Ints | None = None, queries: int = 500, seed: int = 0
) -> AuditResult:
    """Half of the queries are random votes, half a climb by random blocks from what the votes say.

    The statistic is the accuracy gained over chance on the items that are scored. `fail` where it is more than a step by
    its interval, or where anything is gained on the items at `hidden`, which the scorer must not score.
    """
    rng = stream(seed, "research/attack/queries", len(truth))
    votes, worth, used = _votes(submit, rng.integers(0, 2, (queries // 2, len(truth))))
    guess = (worth @ (2 * votes - 1.0) > 0).astype(np.int64) if worth.any() else rng.integers(0, 2, len(truth))
    size = max(1, round(BLOCK * len(truth)))
    moves = (rng.choice(len(truth), size, replace=False) for _ in range(queries - used - 1))
    after, _, climbed = _climb(submit, guess, moves, queries - used)
    if not used + climbed:
        return _refused("attack:queries", 0)
    out = np.zeros(len(truth), np.bool_)
    out[hidden if hidden is not None else []] = True
    seen, unseen = _gain(after, truth, ~out), _gain(after, truth, out)
    leaks, crosses = seen[1] > STEP, unseen[1] > 0
    said = f"{used + climbed} adaptive submissions gain {seen[0]:+.3f} of accuracy over chance on what is scored"
    said += f" and {unseen[0]:+.3f} on {int(out.sum())} hidden items" if out.any() else ""
    return AuditResult("attack:queries", "fail" if leaks or crosses else "pass", *(unseen if crosses else seen), said)


def _climb(submit: Submit, guess: Ints, moves: Iterable[Ints], queries: int) -> tuple[Ints, Ints, int]:
    """The guess (n,) after flips that were told to help, the positions that were tried, and the submissions made."""
    current, probed, used = guess.copy(), [], 0
    best = -np.inf
    try:
        best = _told(submit(current), best)
        used += 1
        for move in moves:
            if used >= queries:
                break
            trial = current.copy()
            trial[move] = 1 - trial[move]
            told = _told(submit(trial), best)
            used += 1
            probed.append(move)
            if told > best:
                current, best = trial, told
    except UserError:  # the budget is used up: an attacker takes what there is
        pass
    return current, np.concatenate(probed) if probed else np.zeros(0, np.int64), used


def _votes(submit: Submit, votes: Ints) -> tuple[Ints, Floats, int]:
    """The votes (k, n) that were answered and what each is worth: its score less the mean, or whether it improved."""
    worth: list[float] = []
    best = -np.inf
    try:
        for vote in votes:
            told = submit(vote)
            worth.append(float(told["score"]) if "score" in told else float(bool(told["improved"])))
            best = _told(told, best)
    except UserError:
        pass
    values = np.array(worth)
    return votes[: len(worth)], values - values.mean() if len(worth) else values, len(worth)


def _told(answer: Mapping[str, Any], best: float) -> float:
    """What an attacker takes from an answer: the score where it is told, else the best if this one made it."""
    if "score" in answer:
        return float(answer["score"])
    return float(answer["best"]) if answer["improved"] or best == -np.inf else -np.inf


def _gain(after: Ints, truth: Ints, where: Any) -> tuple[float, float, float]:
    count, of = int((after == truth)[where].sum()), int(where.sum())
    share = proportion(count, of)
    if share.value is None or share.low is None or share.high is None:
        return 0.0, -1.0, 1.0
    return share.value - 0.5, share.low - 0.5, share.high - 0.5


def _refused(name: str, used: int) -> AuditResult:
    return AuditResult(name, "flag", None, None, None, f"the scorer answered {used} submissions: nothing was tried")
