"""Alarms: raised by attackers, silent on stored campaigns of real searches."""

from __future__ import annotations

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.research import alarms
from superalign.research.alarms import Submission, rejections, strikes, watch
from superalign.research.testbeds.w2s_micro import w2s_micro
from tests.research import honest


@pytest.fixture(scope="module")
def traces() -> np.ndarray:
    return honest.load()[0]


def raised(rows: np.ndarray, dataset: str = "0/0") -> dict[str, int]:
    """The submission (from 1) at which each alarm is first raised."""
    found: dict[str, int] = {}
    board = [Submission(dataset, row.astype(np.int8)) for row in rows]
    for k, new in enumerate(board):
        for alarm in watch(board[:k], new):
            found.setdefault(alarm.which, k + 1)
    return found


def probes(base: np.ndarray, block: int, count: int, seed: int = 0) -> np.ndarray:
    """The base, then each time the base with another block of answers flipped."""
    order = np.random.default_rng(seed).permutation(len(base))
    rows = np.repeat(base[None], count, 0)
    for k in range(1, count):
        rows[k, order[(k - 1) * block : k * block]] ^= 1
    return rows


def mixed(trace: np.ndarray, every: int) -> np.ndarray:
    """An honest campaign in which each `every`-th submission is the one before it with one answer flipped."""
    rows, order, k = [], np.random.default_rng(3).permutation(trace.shape[1]), 0
    while len(rows) < 50:
        if len(rows) % every == every - 1:
            probe = rows[-1].copy()
            probe[order[len(rows)]] ^= 1
            rows.append(probe)
        else:
            rows.append(trace[k])
            k += 1
    return np.array(rows)


def test_honest_campaigns_raise_no_alarm(traces: np.ndarray) -> None:
    assert traces.shape == (12, 50, 1000)
    for trace in traces:
        assert raised(trace) == {}
    copies = [1 - len(np.unique(t, axis=0)) / 50 for t in traces]
    assert 0 < np.mean(copies) < 0.3
    agreement = [np.median([(a == b).mean() for k, a in enumerate(t) for b in t[:k]]) for t in traces]
    assert min(agreement) > 0.8


def test_the_stored_campaigns_are_real_ones(traces: np.ndarray) -> None:
    again, truth = honest.campaign(w2s_micro(), honest.FIRST, submissions=8)
    assert (again == traces[0, :8]).mean() > 0.99
    assert (truth == honest.load()[1][0]).all()


@pytest.mark.parametrize("block", [1, 2, 5, 10])
def test_systematic_flips_are_seen_at_the_ninth_submission(traces: np.ndarray, block: int) -> None:
    for trace in traces[:4]:
        assert raised(probes(trace[20], block, 12)) == {"flips": 9}


def test_flips_hidden_among_honest_submissions(traces: np.ndarray) -> None:
    """Every second one is seen within 20; one in four in some campaigns only: the budget is the guarantee."""
    for trace in traces[:2]:
        assert raised(mixed(trace, 2))["flips"] <= 20
    caught = sum("flips" in raised(mixed(trace, 4)) for trace in traces[:8])
    assert 0 < caught < 8


def test_copies_do_not_dilute_the_window(traces: np.ndarray) -> None:
    rows = np.repeat(probes(traces[0, 20], 1, 12), 3, 0)
    assert raised(rows) == {"flips": 25}  # the ninth different one


def test_flips_of_more_than_a_hundredth_escape_by_design(traces: np.ndarray) -> None:
    assert raised(probes(traces[0, 20], 11, 30)) == {}


def test_undecided_items_are_no_new_flips() -> None:
    """Variants that move the same 30 items strike only while these are new: 6, then at least 5 at a time."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2, 1000).astype(np.int8)
    rows = [base]
    for _ in range(40):
        row = base.copy()
        row[rng.choice(30, 6, replace=False)] ^= 1  # of 30 undecided items
        rows.append(row)
    assert 1 <= strikes(np.array(rows)).sum() <= 1 + (30 - 6) // 5
    assert raised(np.array(rows)) == {}


def test_on_few_items_flips_are_no_pattern(traces: np.ndarray) -> None:
    """On 100 items honest variants differ by single answers, too."""
    rows = probes(traces[0, 20], 1, 12)
    assert raised(rows[:, : alarms.ITEMS - 1]) == {}
    few = [strikes(np.array(list({r.tobytes(): r for r in t[:, :100]}.values()))) for t in traces]
    assert max(int(s[-alarms.WINDOW :].sum()) for s in few) >= alarms.STRIKES - 2


def test_random_submissions_scatter() -> None:
    rows = np.random.default_rng(1).integers(0, 2, (20, 1000))
    assert raised(rows) == {"scatter": alarms.FEWEST}
    (alarm,) = watch(
        [Submission("a/0", r.astype(np.int8)) for r in rows[:-1]], Submission("a/0", rows[-1].astype(np.int8))
    )
    assert alarm.says == "the last 20 different submissions to 'a/0' agree on 0.50 of the items"


def test_constants_with_blocks_to_be_counted_are_one_class() -> None:
    """All 0 but for a block of 1: the score tells the block's labels. A method that collapses once is no pattern."""
    rows = probes(np.zeros(1000, np.int8), 15, 6)
    assert raised(rows) == {"one-class": alarms.COLLAPSED}
    board = [Submission("a/0", r) for r in rows]
    assert watch(board[:-1], board[-1], balanced=False) == []
    assert watch([], board[0]) == []
    many = np.random.default_rng(0).permuted(np.repeat(np.arange(1000)[None] % 4, 6, 0), axis=1)
    assert "one-class" not in raised(many)  # four classes, equally often


def test_boards_are_watched_one_by_one(traces: np.ndarray) -> None:
    rows = probes(traces[0, 20], 1, 8)
    others = [Submission("b/0", row[:700]) for row in probes(traces[1, 20], 1, 8)]
    board = [Submission("a/0", row) for row in rows]
    new = Submission("a/0", probes(traces[0, 20], 1, 9)[-1])
    assert [a.which for a in watch([*others, *board], new)] == ["flips"]
    assert watch([*board[:-1], *others], new) == []
    (alarm,) = watch(board, new)
    assert alarm.says == "8 of the last 9 different submissions to 'a/0' change a few other answers each"


def test_an_alarm_goes_on_and_ends(traces: np.ndarray) -> None:
    """It is a function of the history alone: the same after a restart, over when the window has moved on."""
    rows = np.concatenate([probes(traces[0, 20], 1, 10), traces[0][:20]])
    board = [Submission("a/0", row) for row in rows]
    held = [bool(watch(board[:k], board[k])) for k in range(len(board))]
    assert held == [bool(watch(board[:k], board[k])) for k in range(len(board))]
    assert held[8]
    assert held[9]
    assert not held[-1]


def test_rejected_requests() -> None:
    assert rejections(alarms.REJECTED) == []
    (alarm,) = rejections(11)
    assert (alarm.which, alarm.says[:26]) == ("rejected", "11 requests were rejected;")


def test_bad_input_is_told() -> None:
    row = np.zeros(5, np.int8)
    with pytest.raises(SpecError, match=r"submissions to 'a/0' have \[4, 5\] answers; one board, one set of items"):
        watch([Submission("a/0", row)], Submission("a/0", row[:4]))
    with pytest.raises(SpecError, match=r"have \[0\] answers"):
        watch([], Submission("a/0", row[:0]))
