"""DPO: where it starts, that it learns without a reward model, that the reference stays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.core.errors import Degenerate, SpecError
from superalign.learners.rl import overseers
from superalign.learners.rl.comparisons import Comparisons, compared, from_scores
from superalign.learners.rl.dpo import DPO, dpo, sequence_logprobs
from superalign.learners.rl.options import options_from
from superalign.learners.rl.preference import dpo_loss
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.rollouts import collect, packed, take
from superalign.models.policy import Policy, Sampling
from superalign.store import open_store
from tests.learners.rl.small import PROMPTS, generator, gpt, likes_c, same
from tests.learners.rl.test_reward import texts

OPTIONS = DPO(lr=3e-3, steps=30, batch=16, eos=False)


@cache
def data() -> Comparisons:
    return compared(overseers.by_score(likes_c, tau=0.3), *texts(48))


def likings(policy: Policy) -> float:
    drawn = collect(policy, gpt(), PROMPTS, likes_c, Sampling(8, least=8), generator(9))
    return float(drawn.scores.mean())


@pytest.mark.parametrize("given", [{}, {"smoothing": 0.2}, {"kind": "ipo"}])
def test_it_learns_to_please_and_leaves_the_reference(given: dict[str, Any]) -> None:
    start, watching = gpt(), Watching(evaluate=lambda policy, k: {"likes": likings(policy)}, each=15)
    options = options_from(DPO, {"lr": 3e-3, "steps": 30, "batch": 16, "eos": False, **given})
    trained = dpo(start, data().hardened(), options, watching)
    assert same(start, gpt())
    found = {e["iteration"]: e["likes"] for e in watching.history("evaluation")}
    assert list(found) == [0, 15, 30]
    assert found[30] == likings(trained) > found[0] + 1
    told = watching.history()
    assert told[0]["margin"] == 0
    assert told[-1]["accuracy"] > 0.8
    assert told[-1]["margin"] > 0.05


@pytest.mark.parametrize("kind", ["sigmoid", "ipo"])
def test_the_first_loss_is_known(kind: str) -> None:
    watching = Watching()
    dpo(gpt(), data().hardened(), options_from(DPO, {"kind": kind, "steps": 1}), watching)
    assert watching.history()[0]["loss"] == pytest.approx(math.log(2) if kind == "sigmoid" else 25.0)


def test_soft_labels_move_less_than_decisions() -> None:
    soft = compared(overseers.by_score(likes_c, tau=5.0), *texts(48))
    assert likings(gpt()) < likings(dpo(gpt(), soft, OPTIONS)) < likings(dpo(gpt(), soft.hardened(), OPTIONS))


def test_a_batch_whose_pairs_share_responses_is_the_same_batch() -> None:
    """One step of plain gradient descent against the loss written out pair by pair."""
    policy, other, pairs = gpt(), gpt(5), data().pairs()
    rows = packed(policy, data().asked, data().answered, eos=False)
    chosen = torch.arange(12)
    apart = [
        sequence_logprobs(other, take(rows, side[chosen])) - sequence_logprobs(policy, take(rows, side[chosen]))
        for side in (pairs.left, pairs.right)
    ]
    wanted = dpo_loss(apart[0] - apart[1], pairs.p[chosen])
    both = torch.cat([pairs.left[chosen], pairs.right[chosen]])
    used, place = torch.unique(both, return_inverse=True)
    assert len(used) < len(both)
    gained = (sequence_logprobs(other, take(rows, used)) - sequence_logprobs(policy, take(rows, used)))[place]
    torch.testing.assert_close(dpo_loss(gained[:12] - gained[12:], pairs.p[chosen]), wanted)


def test_a_sequence_counts_its_end_and_not_its_padding() -> None:
    policy = gpt()
    long, short = packed(policy, ["a"], ["b c"]), packed(policy, ["a", "a"], ["b c", "d e f g"])
    torch.testing.assert_close(sequence_logprobs(policy, short)[:1], sequence_logprobs(policy, long))
    without = sequence_logprobs(policy, packed(policy, ["a"], ["b c"], eos=False))
    assert sequence_logprobs(policy, long).item() < without.item()


def test_going_on_gives_the_same_weights(tmp_path: Path) -> None:
    def cut(event: Mapping[str, Any]) -> None:
        if event["kind"] == "iteration" and event["iteration"] == 20:
            raise InterruptedError

    straight = dpo(gpt(), data(), OPTIONS, Watching(2))
    with open_store(tmp_path / "runs.db") as store:
        with pytest.raises(InterruptedError):
            dpo(gpt(), data(), OPTIONS, Watching(2, store, every=7, listen=cut))
        assert same(dpo(gpt(), data(), OPTIONS, Watching(2, store, every=7)), straight)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beta": 0.0}, "beta is 0.0; it divides"),
        ({"smoothing": 0.5}, "smoothing is 0.5"),
        ({"epochs": 3}, "no option"),
    ],
)
def test_options_that_do_not_fit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        options_from(DPO, given)


def test_ties_teach_nothing() -> None:
    tied = from_scores(np.zeros(2), ["a"], [("b", "c")])
    with pytest.raises(Degenerate, match="no pair has a preferred response, so DPO has nothing to learn"):
        dpo(gpt(), tied)
    watching = Watching()
    dpo(gpt(), tied, options_from(DPO, {"ties": "half", "steps": 1}), watching)
    assert watching.history()[0]["gradient"] == pytest.approx(0, abs=1e-6)
