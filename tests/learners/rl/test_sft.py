"""Supervised fine-tuning, and what all supervised methods share: batches, schedules, checkpoints, divergence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.core.errors import Degenerate, SpecError
from superalign.learners.rl.descent import Schedule, batches, rate
from superalign.learners.rl.options import options_from
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.rollouts import packed
from superalign.learners.rl.sft import SFT, held_out_loss, language_loss, sft, whole
from superalign.models.policy import Policy, Rows
from superalign.store import open_store
from superalign.store.sql import SqlStore
from tests.learners.rl.small import gpt, same

CHAIN = "abcdefghij"


def chains(n: int = 64, eos: bool = True) -> Rows:
    """The alphabet goes round: prompts of one to three letters, responses of one to five, seldom another letter."""
    draws = np.random.default_rng(0)
    prompts, responses = [], []
    for _ in range(n):
        start, p, r = draws.integers(10), draws.integers(1, 4), draws.integers(1, 6)
        letters = [
            CHAIN[(start + k) % 10] if draws.random() < 0.95 else draws.choice(list(CHAIN)) for k in range(p + r)
        ]
        prompts.append(" ".join(letters[:p]))
        responses.append(" ".join(letters[p:]))
    return packed(gpt(), prompts, responses, eos)


OPTIONS = SFT(lr=1e-2, steps=60, batch=16)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with open_store(tmp_path / "runs.db") as opened:
        yield opened


@pytest.mark.parametrize("prompts_too", [False, True])
def test_the_loss_is_that_of_the_right_tokens(prompts_too: bool) -> None:
    policy, rows = gpt(), chains(4)
    wanted = []
    for tokens, mask in zip(rows.tokens, rows.mask, strict=True):
        real = tokens[mask]
        first = 1 if prompts_too else int(mask[: rows.start].sum())
        alone = Rows(real[None], torch.ones(1, len(real), dtype=torch.bool), 1)
        logp = torch.log_softmax(policy.logits(alone), -1)[0].gather(1, real[1:, None])[:, 0]
        wanted.append(-logp[first - 1 :])
    seen = whole(rows) if prompts_too else rows
    mean = torch.cat(wanted).mean().detach()
    torch.testing.assert_close(language_loss(policy, seen).detach(), mean, atol=1e-5, rtol=0)
    assert held_out_loss(policy, seen, batch=3) == pytest.approx(float(mean), abs=1e-5)


@pytest.mark.parametrize("prompts_too", [False, True])
def test_it_learns_the_language_and_leaves_the_given_policy(prompts_too: bool) -> None:
    start, rows, watching = gpt(), chains(), Watching()
    trained = sft(start, rows, SFT(lr=1e-2, steps=60, batch=16, prompts_too=prompts_too), watching)
    assert held_out_loss(trained, rows) < 0.6 * held_out_loss(start, rows)
    assert same(start, gpt())
    told = watching.history()
    assert [e["iteration"] for e in told] == [0, 10, 20, 30, 40, 50, 59]
    assert told[0]["loss"] == pytest.approx(math.log(12), abs=0.2)


def test_the_checkpoint_with_the_highest_score_is_returned() -> None:
    seen: list[dict[str, np.ndarray]] = []

    def score(policy: Policy) -> float:
        seen.append(policy.state())
        return [1.0, 3.0, 2.0][len(seen) - 1]

    watching = Watching()
    options = SFT(lr=1e-2, steps=12, batch=16, choose=5)
    trained = sft(gpt(), chains(), options, watching, score)
    assert all(np.array_equal(v, seen[1][k]) for k, v in trained.state().items())
    assert [(e["iteration"], e["score"]) for e in watching.history("choice")] == [(5, 1.0), (10, 3.0), (12, 2.0)]


class Cut(Exception):
    """Stands for a process that ends."""


@pytest.mark.parametrize("chosen", [False, True])
def test_going_on_gives_the_same_weights_to_the_bit(store: SqlStore, chosen: bool) -> None:
    options = SFT(lr=1e-2, steps=40, batch=16, schedule="cosine", warm_up=5, choose=8)

    def score(policy: Policy) -> float:
        return -abs(held_out_loss(policy, chains(16)) - 1.5)

    def cut(event: Mapping[str, Any]) -> None:
        if event["kind"] == "iteration" and event["iteration"] == 30:
            raise Cut

    by = score if chosen else None
    straight = sft(gpt(), chains(), options, Watching(5), by)
    with pytest.raises(Cut):
        sft(gpt(), chains(), options, Watching(5, store, every=12, listen=cut), by)
    again = Watching(5, store, every=12)
    assert same(sft(gpt(), chains(), options, again, by), straight)
    assert [e["iteration"] for e in again.history("checkpoint")] == [12, 24, 36]
    with pytest.raises(SpecError, match="was started with other options"):
        sft(gpt(), chains(), SFT(lr=1e-2, steps=41), Watching(5, store))


@pytest.mark.parametrize("each", [3, 20])
def test_evaluating_more_often_changes_no_weight(each: int) -> None:
    def evaluate(policy: Policy, iteration: int) -> dict[str, float]:
        return {"noise": float(torch.rand(1, generator=Watching(0).generator("evaluation", iteration)))}

    watched = Watching(evaluate=evaluate, each=each)
    options = SFT(steps=20, batch=16)
    assert same(sft(gpt(), chains(), options, watched), sft(gpt(), chains(), options))
    assert {0, 20} <= {e["iteration"] for e in watched.history("evaluation")}


def test_divergence_stops_with_the_last_finite_weights(store: SqlStore) -> None:
    watching = Watching(0, store)
    trained = sft(gpt(), chains(), SFT(lr=1e30, steps=20, batch=16), watching)
    assert watching.stopped is not None
    assert "step 1 has the loss nan" in watching.stopped
    assert all(np.isfinite(v).all() for v in trained.state().values())
    assert same(sft(gpt(), chains(), SFT(lr=1e30, steps=20, batch=16), Watching(0, store)), trained)


@pytest.mark.parametrize(
    ("schedule", "warm_up", "wanted"),
    [
        ("constant", 0, [1, 1, 1, 1, 1]),
        ("constant", 2, [0.1, 0.55, 1, 1, 1]),
        ("linear", 0, [1, 0.75, 0.5, 0.25, 0]),
        ("cosine", 0, [1, 0.1 + 0.45 * (1 + math.sqrt(0.5)), 0.55, 0.1 + 0.45 * (1 - math.sqrt(0.5)), 0.1]),
    ],
)
def test_schedules(schedule: Schedule, warm_up: int, wanted: list[float]) -> None:
    assert [rate(schedule, k, 4, warm_up) for k in range(5)] == pytest.approx(wanted)


@pytest.mark.parametrize(("n", "size"), [(10, 4), (8, 4), (3, 5)])
def test_each_epoch_has_each_element_once_in_its_own_order(n: int, size: int) -> None:
    per = -(-n // size)
    made = batches(n, size, Watching(1))
    epochs = [torch.cat([next(made) for _ in range(per)]).tolist() for _ in range(4)]
    assert all(sorted(epoch) == list(range(n)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    later = batches(n, size, Watching(1), start=per + 1)
    flat = [b.tolist() for b, _ in zip(batches(n, size, Watching(1)), range(3 * per), strict=False)]
    assert [next(later).tolist() for _ in range(2 * per - 1)] == flat[per + 1 :]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learning_rate": 1e-3}, "SFT has no option 'learning_rate'"),
        ({"batch": 0}, "batch=0 and lr=0.002 must be positive"),
        ({"choose": 0}, "choose=0 is not positive"),
    ],
)
def test_options_that_do_not_fit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        options_from(SFT, given)


def test_rows_without_responses_teach_nothing() -> None:
    rows = packed(gpt(), ["a b"], [""], eos=False)
    with pytest.raises(Degenerate, match="no row has a token to learn from; give rows with responses"):
        sft(gpt(), Rows(rows.tokens, rows.mask, 2))
