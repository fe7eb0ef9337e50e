"""Rollouts: what is sampled, what is judged, and what the log-probabilities are of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import ModelError
from superalign.learners.rl import maths, overseers
from superalign.learners.rl.rollouts import (
    Ending,
    Rollouts,
    collect,
    ended,
    logprobs,
    packed,
    predicted,
    prompt_rows,
    rescored,
    sample,
    take,
    trimmed,
)
from superalign.models.native.gpt import GPT, Shape
from superalign.models.policy import Rows, Sampling

WORDS = ("<pad>", "<eos>", ".", "a", "b", "c", "d", "e")
PROMPTS = ("a b", "c", "d e a", "b")
COUNT = overseers.program(lambda p, c: [float(len(x.split())) for x in c])


def gpt(seed: int = 0, loud: float = 8.0) -> GPT:
    """A policy whose distributions are far from uniform."""
    policy = GPT(Shape(len(WORDS), layers=2, width=16, heads=2, context=16), WORDS, seed=seed)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.mul_(loud if weight.dim() == 2 else 1)
    return policy


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rolled(sampling: Sampling, ending: Ending | None = None, seed: int = 0) -> Rollouts:
    return collect(gpt(), gpt(1), PROMPTS, COUNT, sampling, draws(seed), ending)


def test_prompts_on_the_left_responses_on_the_right() -> None:
    policy = gpt()
    assert prompt_rows(policy, ["a b", "c"]).tokens.tolist() == [[3, 4], [0, 5]]
    rows = packed(policy, ["a b", "c"], ["d", "e a b"])
    assert rows.tokens.tolist() == [[3, 4, 6, 1, 0, 0], [0, 5, 7, 3, 4, 1]]
    assert rows.mask.tolist() == [[True] * 4 + [False] * 2, [False] + [True] * 5]
    assert rows.start == 2
    assert packed(policy, ["a"], ["b"], eos=False).tokens.tolist() == [[3, 4]]
    with pytest.raises(ModelError, match="'zebra' is not one of the 8 words"):
        prompt_rows(policy, ["zebra"])


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("least", [0, 3, 8])
def test_the_ratio_is_one_before_the_first_update(temperature: float, least: int) -> None:
    """Temperature and banned EOS are the same in sampling, in the loss and in the reference."""
    sampling = Sampling(8, temperature, least)
    policy = gpt()
    batch = collect(policy, policy, PROMPTS, COUNT, sampling, draws())
    again = logprobs(policy, batch.rows, sampling)
    assert torch.equal(torch.where(batch.mask, again, 0.0), torch.where(batch.mask, batch.logp, 0.0))
    assert batch.kl.abs().max() == 0
    assert (batch.mask.sum(1) >= min(least + 1, 8)).all()
    if least == 8:
        assert batch.mask.all()
        assert not batch.stopped.any()


def test_samples_follow_the_probabilities_that_are_told() -> None:
    """At T = 0.7 with EOS banned first, frequencies of the first token are exp(logp) of the very same settings."""
    policy, sampling = gpt(), Sampling(1, 0.7, 1)
    rows = policy.generate(prompt_rows(policy, ["a b"] * 4000), sampling, draws())
    p = predicted(policy, take(rows, torch.arange(1)), sampling).softmax(-1)[0, 0].detach().numpy()
    seen = np.bincount(rows.response[:, 0].numpy(), minlength=len(WORDS)) / 4000
    assert p[policy.eos] == 0
    np.testing.assert_allclose(seen, p, atol=5 * np.sqrt(0.25 / 4000))
    assert p.max() > 0.3


def test_batched_log_probabilities_are_those_of_each_row_alone() -> None:
    policy, sampling = gpt(), Sampling(8)
    batch = rolled(sampling)
    for k, n in enumerate(batch.mask.sum(1).tolist()):
        kept = batch.rows.mask[k]
        alone = Rows(batch.rows.tokens[k][kept][None], torch.ones(1, int(kept.sum()), dtype=torch.bool), 0)
        alone = Rows(alone.tokens, alone.mask, int(kept.sum()) - n)
        torch.testing.assert_close(logprobs(policy, alone, sampling)[0], batch.logp[k, :n], atol=1e-5, rtol=1e-5)


def test_entropy_is_finite_where_eos_is_banned() -> None:
    batch = rolled(Sampling(8, least=8))
    assert batch.entropy.isfinite().all()
    assert (batch.entropy <= np.log(len(WORDS) - 1) + 1e-5).all()


tokens = st.lists(st.lists(st.integers(1, 7), min_size=6, max_size=6), min_size=1, max_size=5)


@given(tokens, st.integers(0, 5))
def test_responses_are_cut_after_their_first_stop_token(rows: list[list[int]], start: int) -> None:
    responses = torch.tensor(rows)
    mask = torch.ones_like(responses, dtype=torch.bool)
    for i, row in enumerate(rows):  # as a policy would have ended them
        mask[i, row.index(1) + 1 if 1 in row else 6 :] = False
    shown, stopped = ended(Rows(responses, mask, 0), 1, Ending(stop=2, start=start))
    for i, row in enumerate(rows):
        n = int(mask[i].sum())
        at = next((t for t in range(start, n) if row[t] == 2), None)
        assert shown[i].tolist() == [t < (n if at is None else at + 1) for t in range(6)]
        assert bool(stopped[i]) == (at is not None)


@pytest.mark.parametrize("missing, expected", [("keep", [2, 3]), ("replace", [2, -1]), ("add", [2, 2])])
def test_a_response_without_an_end(missing: str, expected: list[float]) -> None:
    ending = Ending(missing=missing)  # type: ignore[arg-type]
    scores, stopped = torch.tensor([2.0, 3.0]), torch.tensor([True, False])
    assert rescored(scores, stopped, ending).tolist() == expected
    assert rescored(torch.tensor([torch.nan, torch.nan]), stopped, ending).isnan().all()


def test_the_overseer_sees_the_cut_response_and_the_kl_is_paid_for_all_of_it() -> None:
    seen: list[str] = []

    def remember(prompts: Sequence[str], completions: Sequence[str]) -> list[float | None]:
        seen.extend(completions)
        return [None if k == 0 else float(k) for k in range(len(completions))]

    prompts = ["a b"] * 30
    batch = collect(gpt(), gpt(1), prompts, overseers.program(remember), Sampling(8), draws(), Ending(stop=2))
    whole = collect(gpt(), gpt(1), prompts, COUNT, Sampling(8), draws())
    assert seen == list(batch.completions)
    assert torch.equal(batch.kl, whole.kl)  # cutting changes what is judged, not what was sampled
    cut = [k for k, (a, b) in enumerate(zip(batch.completions, whole.completions, strict=True)) if a != b]
    assert cut
    assert all(batch.completions[k].endswith(".") and batch.stopped[k] for k in cut)
    assert batch.scores.isnan().sum() == 1
    scored = batch.scored()
    assert scored.prompts == batch.prompts[1:]
    assert scored.scores.tolist() == [float(k) for k in range(1, 30)]
    assert scored.scored() is scored


def test_samples_can_keep_their_gradients() -> None:
    policy = gpt()
    plain = sample(policy, gpt(1), PROMPTS, Sampling(8), draws())
    kept = sample(policy, gpt(1), PROMPTS, Sampling(8), draws(), graph=True)
    assert not plain.logp.requires_grad
    assert not kept.reference.requires_grad
    maths.masked_mean(kept.logp, kept.mask).backward()
    mine = [p.grad.clone() for p in policy.parameters() if p.grad is not None]
    for p in policy.parameters():
        p.grad = None
    maths.masked_mean(logprobs(policy, plain.rows, Sampling(8)), plain.mask).backward()
    for a, p in zip(mine, policy.parameters(), strict=True):
        torch.testing.assert_close(a, p.grad)


def test_draws_come_from_the_generator_alone() -> None:
    first = rolled(Sampling(8))
    torch.rand(3)
    assert torch.equal(rolled(Sampling(8)).rows.tokens, first.rows.tokens)
    assert not torch.equal(rolled(Sampling(8), seed=1).rows.tokens, first.rows.tokens[:, :])


def test_columns_that_are_padding_in_every_row_go() -> None:
    rows = packed(gpt(), ["a", "b"], ["c", "d e"])
    wide = Rows(torch.nn.functional.pad(rows.tokens, (0, 4)), torch.nn.functional.pad(rows.mask, (0, 4)), rows.start)
    assert torch.equal(trimmed(wide).tokens, rows.tokens)
    assert trimmed(rows) is rows
