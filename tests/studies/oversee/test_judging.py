"""Scores of a judge, on games whose numbers are known by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from superalign.studies.oversee.judging import Judged, Key, numbers, usable
from superalign.studies.oversee.play import Games


def games(probs: Any, **columns: Any) -> Games:
    """Symmetric games: item by item, each in both orders (choice 0 first, then choice K - 1)."""
    p = np.asarray(probs, np.float64)
    g = len(p)
    zero, none = np.zeros(g), np.zeros(g, np.int64)
    first = np.tile([0, p.shape[1] - 1], g // 2)
    values: dict[str, Any] = {
        "place": np.arange(g) // 2, "seed": none, "first": first, "side": none - 1, "probs": p,
        "answer": np.nan_to_num(p, nan=-1).argmax(1), "judged": ~np.isnan(p).all(1), "score": zero * np.nan,
        "judge_tokens": zero + 500, "agent_tokens": zero + 2000, "calls": zero + 3, "usd": zero, "new_usd": zero,
        "faults": zero, "quotes": zero, "verified": zero, "audited": zero, "replaced": zero,
        "speeches": np.zeros((g, 2)), "conceded": np.zeros((g, 2)),
    }  # fmt: skip
    return Games(**(values | {k: np.asarray(v) for k, v in columns.items()}))


def key(right: list[int], choices: int = 2, groups: list[int] | None = None) -> Key:
    n = len(right)
    return Key(np.array(right), np.full(n, choices), np.arange(n) if groups is None else np.array(groups))


def found(judged: Judged, floor: Judged | None = None, ceiling: Judged | None = None) -> dict[str, float | None]:
    keep = np.arange(len(judged.key.right))
    return {name: n.value for name, n in numbers(judged, floor, ceiling, keep).items()}


def test_a_judge_of_positions_is_right_half_the_time_and_always_flips() -> None:
    one = found(Judged(games([[0.9, 0.1], [0.1, 0.9]] * 10), key([0, 1] * 5), 1))
    assert one["accuracy"] == 0.5
    assert one["position_bias"] == 0.5
    assert one["flip_rate"] == 1.0
    other = found(Judged(games([[0.1, 0.9], [0.9, 0.1]] * 10), key([0, 1] * 5), 1))
    assert other["position_bias"] == -0.5


def test_scores_of_a_judge_who_is_sure_and_wrong_once() -> None:
    one = found(Judged(games([[0.8, 0.2]] * 20), key([0] * 8 + [1] * 2), 1))
    assert one["accuracy"] == pytest.approx(0.8)
    assert one["log_score"] == pytest.approx(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    assert one["brier"] == pytest.approx(0.8 * 0.08 + 0.2 * 1.28)
    assert one["ece"] == pytest.approx(0.0, abs=1e-12)
    assert one["flip_rate"] == 0.0
    assert one["asd"] == pytest.approx(0.6 * math.log(4))
    assert one["judge_tokens"] == 500


def test_ties_share_their_accuracy() -> None:
    one = found(Judged(games([[0.5, 0.5]] * 8), key([0, 1, 0, 1]), 1))
    assert one["accuracy"] == 0.5
    assert one["position_bias"] == 0.0
    assert one["flip_rate"] == 0.0
    three = found(Judged(games([[0.4, 0.4, 0.2]] * 8), key([0, 1, 2, 0], 3), 1))
    assert three["accuracy"] == pytest.approx((0.5 * 3 + 0) / 4)
    assert three["position_bias"] == pytest.approx((0.5 + 0) / 2 - 1 / 3)


def test_overconfidence_is_the_calibration_error_with_its_sign() -> None:
    one = found(Judged(games([[0.95, 0.05]] * 20), key([0, 1] * 5), 1))
    assert one["ece"] == pytest.approx(0.45)
    assert one["ece_mass"] == pytest.approx(0.45)
    assert one["overconfidence"] == pytest.approx(0.45)


def one_sided() -> Judged:
    """Two items with three choices, in one order; each choice is argued for once and believed by .7, .5, .6."""
    probs = [[0.7, 0.2, 0.1], [0.3, 0.5, 0.2], [0.2, 0.2, 0.6]] * 2
    of = {"place": [0, 0, 0, 1, 1, 1], "first": [0] * 6, "side": [0, 1, 2] * 2}
    return Judged(games(probs, **of), key([0, 2], 3), 1)


def test_one_sided_protocols_count_right_and_wrong_assignments_by_half() -> None:
    one = found(one_sided())
    assert one["accuracy_right"] == 1.0
    assert one["accuracy_wrong"] == 0.0
    assert one["accuracy"] == 0.5
    assert "flip_rate" not in one
    asd = [math.log(0.7) - math.log(0.6), math.log(0.6) - math.log(0.7)]
    assert one["asd"] == pytest.approx(np.mean(asd), abs=1e-9)
    weights = np.array([0.7, 0.5, 0.6]) / 1.8  # softmax of log beliefs
    jse = [weights @ np.log([0.7, 0.3, 0.2]), weights @ np.log([0.1, 0.2, 0.6])]
    assert one["jse"] == pytest.approx(np.mean(jse))


@pytest.mark.parametrize(
    ("unparsed", "accuracy", "log_score"),
    [("uniform", 0.75, (math.log(0.9) + math.log(0.5)) / 2), ("wrong", 0.5, (math.log(0.9) + math.log(1e-4)) / 2)],
)
def test_games_without_a_verdict_count_as_the_spec_says(unparsed: Any, accuracy: float, log_score: float) -> None:
    probs = [[0.9, 0.1], [np.nan, np.nan]] * 4
    one = found(Judged(games(probs), key([0] * 4), 1, unparsed))
    assert one["accuracy"] == pytest.approx(accuracy)
    assert one["log_score"] == pytest.approx(log_score)
    assert one["abstained"] == 0.5


def test_excluded_games_leave_the_rest_of_an_item_and_items_without_any_are_dropped() -> None:
    probs = [[0.9, 0.1], [np.nan, np.nan], [np.nan, np.nan], [np.nan, np.nan], [0.2, 0.8], [0.1, 0.9]]
    judged = Judged(games(probs), key([0, 0, 0]), 1, "exclude")
    full = Judged(games([[0.9, 0.1]] * 6), key([0, 0, 0]), 1, "exclude")
    keep = usable({"a": judged, "b": full})
    assert keep.tolist() == [0, 2]
    assert numbers(judged, None, None, keep)["accuracy"].value == 0.5


def test_bare_choices_are_barred_from_proper_scores() -> None:
    probs = np.full((8, 2), np.nan)
    judged = Judged(games(probs, judged=[True] * 8, answer=[0] * 8), key([0, 0, 0, 1]), 1)
    one = numbers(judged, None, None, np.arange(4))
    assert one["accuracy"].value == 0.75
    assert one["brier"].value == pytest.approx(0.5)
    for name in ("log_score", "ece", "asd", "jse"):
        assert one[name].value is None
        assert "gives no probabilities" in str(one[name].reason)


def test_a_protocol_that_decides_by_vote_is_taken_at_its_word() -> None:
    judged = Judged(games([[0.6, 0.4]] * 4, answer=[1, 1, 1, 1]), key([1, 1]), 1)
    assert found(judged)["accuracy"] == 1.0


def test_a_group_is_won_when_all_of_its_items_are() -> None:
    judged = Judged(games([[0.9, 0.1]] * 8), key([0, 0, 0, 1], groups=[0, 0, 1, 1]), 1)
    one = numbers(judged, None, None, np.arange(4))
    assert one["accuracy"].value == 0.75
    assert one["group_accuracy"].value == 0.5
    assert "group_accuracy" not in found(Judged(games([[0.9, 0.1]] * 4), key([0, 0]), 1))


def test_pgr_and_gain_per_token_against_floor_and_ceiling() -> None:
    key_ = key([0] * 40)

    def judge(right: int) -> Judged:
        probs = [[0.8, 0.2]] * (2 * right) + [[0.2, 0.8]] * (2 * (40 - right))
        return Judged(games(probs), key_, 1)

    one = found(judge(30), floor=judge(24), ceiling=judge(36))
    assert one["pgr"] == pytest.approx(0.5)
    assert one["gain_per_1000_judge_tokens"] == pytest.approx((0.75 - 0.6) * 1000 / 500)
    flat = numbers(judge(30), judge(24), judge(25), np.arange(40))["pgr"]
    assert flat.value is None
    assert "within noise" in str(flat.reason)
    assert "no ceiling" in str(numbers(judge(30), judge(24), None, np.arange(40))["pgr"].reason)


def test_shares_of_quotes_and_of_speeches() -> None:
    spoken, lost = np.tile([2.0, 2.0], (8, 1)), np.tile([1.0, 0.0], (8, 1))
    of = games([[0.8, 0.2]] * 8, quotes=[4.0] * 8, verified=[3.0] * 8, speeches=spoken, conceded=lost)
    one = found(Judged(of, key([0] * 4), 1))
    assert one["quotes_verified"] == 0.75
    assert one["concession"] == 0.25
    assert one["concession_wrong"] == 0.5
    assert one["concession_right"] == 0.0
    assert found(Judged(games([[0.8, 0.2]] * 8), key([0] * 4), 1))["quotes_verified"] is None
