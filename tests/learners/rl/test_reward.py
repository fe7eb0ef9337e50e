"""Reward models: K forward passes for all pairs of a prompt, the last real token, gain and bias, ensembles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid

from superalign.core.errors import Degenerate
from superalign.learners.rl import overseers
from superalign.learners.rl.comparisons import Comparisons, accuracy, compared, from_scores
from superalign.learners.rl.options import options_from
from superalign.learners.rl.preference import pair_loss
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.reward import (
    Ensemble,
    Reward,
    RewardModel,
    batch_of,
    best_of,
    overseer,
    reward_model,
)
from superalign.learners.rl.rollouts import packed, take
from superalign.models.native.gpt import GPT
from superalign.models.policy import Rows
from superalign.store import open_store
from tests.learners.rl.small import PROMPTS, gpt, likes_c

OPTIONS = Reward(lr=1e-2, batch=8, epochs=6)


@cache
def texts(n: int, k: int = 4, seed: int = 0) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Prompts, and k responses of two to six letters to each."""
    draws = np.random.default_rng(seed)
    groups = tuple(
        tuple(" ".join(draws.choice(list("abcdefgh"), draws.integers(2, 7))) for _ in range(k)) for _ in range(n)
    )
    return tuple(PROMPTS[i % len(PROMPTS)] for i in range(n)), groups


def labelled(n: int, k: int = 4, seed: int = 0) -> Comparisons:
    return compared(overseers.by_score(likes_c), *texts(n, k, seed)).hardened()


@cache
def taught() -> RewardModel:
    return reward_model(gpt(), labelled(48), OPTIONS)


class Counting(GPT):
    """Counts the rows that pass through."""

    passed = 0

    def hidden(self, rows: Rows) -> torch.Tensor:
        type(self).passed += len(rows.tokens)
        return super().hidden(rows)


def test_a_prompt_costs_k_passes_and_equals_the_pairwise_loop() -> None:
    small = gpt()
    model, k = RewardModel(Counting(small.network.shape, small.words, seed=1)), 4
    data = from_scores([2.0, 0.0, 3.0, 1.0], ["a b"], texts(1, k)[1])
    rows = packed(model.backbone, data.asked, data.answered)
    Counting.passed = 0
    loss = pair_loss(model(rows), data.pairs())
    assert Counting.passed == k
    weights = list(model.parameters())
    ours = torch.autograd.grad(loss, weights)
    losses = []
    for a, b, p in zip(data.left.tolist(), data.right.tolist(), data.p.tolist(), strict=True):
        won, lost = (a, b) if p == 1 else (b, a)
        rewards = model(take(rows, torch.tensor([won, lost])))
        losses.append(-logsigmoid(rewards[0] - rewards[1]))
    theirs = torch.autograd.grad(torch.stack(losses).mean(), weights)
    assert Counting.passed == k + k * (k - 1)
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_reward_is_read_at_the_last_real_token() -> None:
    model, data = taught(), labelled(6)
    rows = packed(model.backbone, data.asked, data.answered)
    n, pads = len(rows.tokens), 2
    more = torch.full((n, pads), model.backbone.pad)
    none = torch.zeros(n, pads, dtype=torch.bool)
    right = Rows(torch.cat([rows.tokens, more], 1), torch.cat([rows.mask, none], 1), rows.start)
    left = Rows(torch.cat([more, rows.tokens], 1), torch.cat([none, rows.mask], 1), rows.start + pads)
    for padded in (right, left):
        torch.testing.assert_close(model(padded), model(rows), atol=1e-5, rtol=0)
    edited = rows.tokens.clone()
    edited[:, -1] = torch.where(rows.mask[:, -1], edited[:, -1], 5)  # what stands after EOS is not read
    assert (edited != rows.tokens).any()
    torch.testing.assert_close(model(Rows(edited, rows.mask, rows.start)), model(rows), atol=1e-5, rtol=0)


def test_the_head_starts_small_and_of_one_seed() -> None:
    one, same, other = (RewardModel(gpt(), seed=s).head.weight.detach() for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    many = torch.cat([RewardModel(gpt(), seed=s).head.weight.detach() for s in range(60)])
    assert float(many.std()) == pytest.approx(17**-0.5, rel=0.1)


def test_it_learns_what_the_overseer_likes() -> None:
    watching = Watching()
    valid = labelled(40, seed=1)
    model = reward_model(gpt(), labelled(48), OPTIONS, watching, valid=valid)
    assert accuracy(model.scores(valid.asked, valid.answered), valid)["all"].value > 0.9
    (event,) = watching.history("accuracy")
    assert event["valid"] > 0.9
    assert watching.history()[-1]["accuracy"] > watching.history()[0]["accuracy"]


@pytest.mark.parametrize("options", [Reward(lr=1e-2, batch=8, epochs=6, loss="best"), OPTIONS])
def test_other_labels_teach_it_too(options: Reward) -> None:
    soft = compared(overseers.by_score(likes_c, tau=0.5), *texts(48))
    valid = labelled(40, seed=1)
    model = reward_model(gpt(), soft, options)
    assert accuracy(model.scores(valid.asked, valid.answered), valid)["all"].value > 0.85


@pytest.mark.parametrize(("how", "std"), [("scale", 1.0), ("shift", None), ("off", None)])
def test_rewards_are_normalised_on_reference_samples(how: str, std: float | None) -> None:
    prompts, groups = texts(30, 1, seed=5)
    calm = (prompts, [group[0] for group in groups])
    options = options_from(Reward, {"lr": 1e-2, "batch": 8, "epochs": 2, "normalise": how})
    model = reward_model(gpt(), labelled(16), options, reference=calm)
    found = model.scores(*calm)
    assert (abs(found.mean()) < 1e-5) == (how != "off")
    assert (abs(found.std() - 1) < 1e-5) == (std is not None)
    if how != "scale":
        assert model.gain == 1


def test_normalising_scales_before_training_too_and_refuses_what_is_equal() -> None:
    model = RewardModel(gpt())
    model.normalise(*_flat(labelled(16)))
    found = model.scores(*_flat(labelled(16)))
    assert (found.mean(), found.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))
    with pytest.raises(Degenerate, match="rewards of 2 responses have std 0; there is nothing to scale"):
        model.normalise(["a", "a"], ["b", "b"])


def _flat(data: Comparisons) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return data.asked, data.answered


@pytest.mark.parametrize("ties", ["drop", "half"])
def test_ties(ties: str) -> None:
    data = from_scores([1.0, 1.0, 1.0, 1.0], ["a", "b"], [("c", "d"), ("e", "f")])
    options = options_from(Reward, {"ties": ties, "epochs": 30, "lr": 1e-2})
    if ties == "drop":
        with pytest.raises(Degenerate, match="no pair has a preferred response"):
            reward_model(gpt(), data, options)
        return
    model = RewardModel(gpt())
    model.normalise(*_flat(data))
    before = model.scores(*_flat(data))
    with pytest.raises(Degenerate, match="no pair has a preferred response"):  # trained, but with no accuracy to tell
        reward_model(gpt(), data, options)
    mixed = from_scores([1.0, 1.0, 1.0, 0.0], ["a", "b"], [("c", "d"), ("e", "f")])
    after = reward_model(gpt(), mixed, options).scores(*_flat(data))
    assert abs(after[0] - after[1]) < abs(before[0] - before[1])
    assert after[2] - after[3] > 1


def test_batches_of_prompts_keep_their_pairs() -> None:
    data = from_scores(np.arange(9.0), ["x", "y", "z"], [("a", "b", "c"), ("d", "e"), ("f", "g", "h", "i")])
    owner, pairs = torch.from_numpy(data.owner), data.pairs()
    used, inner = batch_of(owner, pairs, torch.tensor([2, 0]))
    assert used.tolist() == [0, 1, 2, 5, 6, 7, 8]
    assert sorted({int(k) for k in inner.prompt}) == [0, 1]
    whole = {(int(a), int(b)) for a, b, w in zip(pairs.left, pairs.right, pairs.prompt, strict=True) if w != 1}
    assert {(int(used[a]), int(used[b])) for a, b in zip(inner.left, inner.right, strict=True)} == whole
    table, best = best_of(torch.arange(7.0), owner[used], inner)
    assert table.tolist() == [[0, 1, 2, -np.inf], [3, 4, 5, 6]]
    assert best.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("how", "join"),
    [("mean", lambda s: s.mean(0)), ("min", lambda s: s.min(0)), ("bound", lambda s: s.mean(0) - 2 * s.std(0))],
)
def test_ensembles(how: str, join: Callable[[np.ndarray], np.ndarray]) -> None:
    members, flat = tuple(RewardModel(gpt(s), seed=s) for s in range(3)), _flat(labelled(3))
    each = np.stack([m.scores(*flat) for m in members])
    together = Ensemble(members, how, width=2.0)  # type: ignore[arg-type]
    np.testing.assert_allclose(together.scores(*flat), join(each))
    np.testing.assert_allclose(overseers.score(overseer(together), *flat), join(each))


def test_as_an_overseer_it_scores_and_compares() -> None:
    model = taught()
    eye, prompts = overseer(model), ["a b"] * 3
    np.testing.assert_allclose(
        overseers.score(eye, prompts, ["c c", "d", "e"]), model.scores(prompts, ["c c", "d", "e"])
    )
    won = overseers.compare(eye, ["a b"], ["c c c"], ["d e f"])
    assert won.p[0] > 0.9
    assert won.gap == pytest.approx(0, abs=1e-9)


def test_state_goes_round_and_a_copy_is_independent() -> None:
    model, flat = taught(), _flat(labelled(3))
    other, twin = RewardModel(gpt(7), seed=7), model.copy()
    other.load(model.state())
    np.testing.assert_array_equal(other.scores(*flat), model.scores(*flat))
    twin.normalise(*flat)
    with torch.no_grad():
        next(twin.backbone.parameters()).zero_()
    np.testing.assert_array_equal(other.scores(*flat), model.scores(*flat))


def test_going_on_gives_the_same_model(tmp_path: Path) -> None:
    def cut(event: Mapping[str, Any]) -> None:
        if event["kind"] == "iteration" and event["iteration"] == 10:
            raise InterruptedError

    straight = reward_model(gpt(), labelled(16), OPTIONS, Watching(2)).state()
    with open_store(tmp_path / "runs.db") as store:
        with pytest.raises(InterruptedError):
            reward_model(gpt(), labelled(16), OPTIONS, Watching(2, store, every=4, listen=cut))
        again = reward_model(gpt(), labelled(16), OPTIONS, Watching(2, store, every=4)).state()
    assert all(np.array_equal(again[k], v) for k, v in _arrays(straight))


def _arrays(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from state.items()
