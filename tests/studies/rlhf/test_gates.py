"""Gates, laws and numbers on outcomes made by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from superalign.core.spec import validate
from superalign.studies.rlhf import RLHF, figures, gates
from superalign.studies.rlhf.arms import arms
from superalign.studies.rlhf.outcome import Outcome, over, scalar

KL = [0.0, 1.0, 4.0, 9.0, 16.0, 25.0]


def trained(algorithm: str, gold: list[float], proxy: list[float], seeds: int = 2, **told: Any) -> Outcome:
    """An arm whose every seed went through these evaluations, 20 iterations apart, with its last as its final numbers."""
    (arm,) = arms(validate(RLHF, {"algorithms": [algorithm], **told}))
    steps = [20 * k for k in range(len(gold))]
    explained = [0.5 if told.get("value", "rm") == "rm" else 0.1] * 6
    value = {
        "final/gold": np.full(8, gold[-1]), "final/proxy": np.full(8, proxy[-1]), "final/kl": np.full(8, KL[-1]),
        "peak": steps[int(np.argmax(gold))], "alarms": [[3, "explained variance", -1.0]], "seconds": 1.0, "cpu": 0.5,
        "evaluations": {"iteration": steps, "gold": gold, "proxy": proxy, "kl": KL[: len(gold)],
                        "gold_se": [0.1] * len(gold), "lm_loss": [2.1] * len(gold)},
        "iterations": {"iteration": list(range(6)), "loss": [math.log(2)] * 6, "explained_variance": explained},
        "stopped": None,
    }  # fmt: skip
    made = Outcome(arm, dict.fromkeys(range(seeds), value))
    made.start = {seed: {"lm_loss": 2.0} for seed in range(seeds)}
    return made


def best_of_n(rm: int, a: float, b: float) -> Outcome:
    """Best-of-n that follows the law exactly."""
    (arm,) = arms(validate(RLHF, {"algorithms": ["best-of-n"], "rm_prompts": rm}))
    kl = np.array([0.0, 0.2, 0.6, 1.2, 2.0, 3.0])
    d = np.sqrt(kl)
    gold = np.stack([d * (a - b * d)] * 4)
    value = {"curve/kl": kl, "curve/gold": gold, "curve/proxy": gold, "final/gold": gold[:, -1], "peak": 5, "seconds": 1.0,
             "cpu": 0.5, "final/proxy": gold[:, -1]}  # fmt: skip
    return Outcome(arm, {0: value, 1: value})


def verdicts(*outcomes: Outcome) -> dict[str, str]:
    return {row[0]: row[2] for row in gates.table(outcomes).rows}


def test_every_gate_holds_where_it_should() -> None:
    up, down = [0.0, 1.0, 2.0, 2.5, 2.4, 2.3], [0.0, 0.5, 1.0, 0.0, -2.0, -6.0]
    proxy = [0.0, 1.0, 1.5, 2.0, 2.5, 3.0]
    safe = trained("ppo", up, proxy, rm_prompts=1024)
    safe.values = {k: {**v, "final/kl": np.full(8, 5.0)} for k, v in safe.values.items()}
    found = verdicts(
        safe, trained("ppo", down, proxy, beta=0.0), trained("ppo", up, proxy, rm_prompts=1024, beta=0.0),
        best_of_n(64, 0.9, 0.14), best_of_n(1024, 1.2, 0.05), trained("ppo", down, proxy, beta=0.0, value="zero"),
        trained("dpo", up, proxy),
    )  # fmt: skip
    assert found == {f"G{k}": "holds" if k != 7 else "not run" for k in range(1, 9)}


def test_gates_fail_where_they_should() -> None:
    flat = [0.0, 0.1, 0.2, 0.3, 0.3, 0.3]
    found = verdicts(
        trained("ppo", flat, flat, rm_prompts=1024), trained("ppo", flat, flat, beta=0.0),
        trained("ppo", flat, flat, beta=0.0, rm_prompts=1024), best_of_n(64, 0.9, 0.01), best_of_n(1024, 0.9, 0.01),
        trained("dpo", flat, flat),
    )  # fmt: skip
    assert {k: v.partition(" ")[0] for k, v in found.items()} == {
        "G1": "fails", "G2": "fails", "G3": "fails", "G4": "fails", "G5": "fails", "G6": "not", "G7": "not", "G8": "fails",
    }  # fmt: skip
    assert found["G1"] == "fails (0 of 2 seeds hold)"


def test_ptx_is_compared_with_the_arm_that_differs_in_nothing_else() -> None:
    gold = [0.0, 1.0, 1.0]
    kept, lost = trained("ppo", gold, gold, beta=0.0, ptx=1.0), trained("ppo", gold, gold, beta=0.0)
    lost.values = {k: {**v, "evaluations": {**v["evaluations"], "lm_loss": [5.0] * 3}} for k, v in lost.values.items()}
    assert verdicts(kept, lost)["G7"] == "holds"
    assert verdicts(kept, trained("ppo", gold, gold, beta=0.1))["G7"] == "not run"
    assert kept.rise() == pytest.approx([0.1, 0.1])
    assert lost.rise() == pytest.approx([3.0, 3.0])


def test_numbers_of_an_arm() -> None:
    found = trained("ppo", [0.0, 2.0, -1.0], [0.0, 1.0, 2.0]).numbers
    assert (found["gold"].value, found["gold_peak"].value, found["proxy_at_peak"].value) == (-1.0, 2.0, 1.0)
    assert found["kl_at_peak"].value == 1.0
    assert found["explained_variance_early"].value == 0.5
    assert found["alarms"].value == 2
    assert "win_rate" not in found


def test_laws_are_recovered_and_peaks_outside_of_the_range_left_out() -> None:
    rows = figures.fits([best_of_n(64, 0.9, 0.3), best_of_n(64, 0.9, 0.1)]).rows
    assert rows[0][3:6] == (0.9, 0.3, 1.0)
    assert rows[0][7] == pytest.approx(1.5)
    assert rows[-1][7:] == (None, None)  # d = 4.5 lies beyond the samples
    short = trained("ppo", [0.0, 1.0], [0.0, 1.0])
    assert "cannot fit two coefficients" in figures.fits([short]).rows[0][6]
    assert figures.fitted(short) is None


def test_alarms_are_counted_and_stops_told() -> None:
    stopped = trained("ppo", [0.0, 1.0], [0.0, 1.0], seeds=1)
    stopped.values = {0: {**stopped.values[0], "stopped": "the KL exploded"}}
    table = figures.alarms([stopped])
    assert table is not None
    assert table.rows == (
        ("ppo", 0, "explained variance", 1, "iterations 3 to 3"),
        ("ppo", 0, "stopped", 1, "the KL exploded"),
    )
    assert figures.alarms([best_of_n(64, 1.0, 0.1)]) is None


def test_rows_of_different_lengths_and_gaps() -> None:
    number = over([np.array([1.0, 1.0, np.nan, 4.0]), np.array([0.0, 0.0])])
    assert number is not None
    assert number.value == 0.5
    assert over([]) is None
    assert over([np.array([np.nan])]) is None
    assert scalar([float("nan")]) is None
    one = scalar([2.0, float("nan")])
    assert one is not None
    assert (one.value, one.low) == (2.0, None)
