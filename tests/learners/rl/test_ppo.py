"""PPO: that it learns, that each detail does what it says, that failures stop it by rule."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from superalign.core.errors import ModelError, SpecError
from superalign.core.types import Judgment, Seat, Verdict
from superalign.learners.rl import maths
from superalign.learners.rl.grpo import GRPO
from superalign.learners.rl.learning import Learning, Unsound, averaged
from superalign.learners.rl.loop import check, drawn_prompts, passes
from superalign.learners.rl.options import OnPolicy, options_from
from superalign.learners.rl.ppo import PPO, PRESETS, Value, backward, backward_text, estimate, ppo
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.reward import RewardModel
from superalign.learners.rl.rloo import RLOO
from superalign.learners.rl.rollouts import Rollouts, collect, packed, take
from superalign.models.policy import Policy
from superalign.store import open_store
from tests.learners.rl.small import PROMPTS, TINY, failing, generator, gpt, likes_c, same

TEXT = packed(gpt(), ["a"] * 4, ["b c d", "c d e", "d e", "e f g"])


def learn(
    options: PPO, overseer: Any = likes_c, watching: Watching | None = None, **given: Any
) -> tuple[Policy, Watching]:
    policy, watching = gpt(), watching or Watching()
    return ppo(policy, policy, PROMPTS, overseer, options, watching, **given), watching


def short(**changes: Any) -> PPO:
    return PPO(**{**TINY, "iterations": 3, "epochs": 2, **changes})


def batch_of(options: OnPolicy, seed: int = 0) -> Rollouts:
    return collect(gpt(), gpt(1), PROMPTS[: options.batch], likes_c, options.sampling, generator(seed), options.ending)


def test_the_reward_rises_and_the_given_models_stay_as_they_were() -> None:
    policy, watching = gpt(), Watching()
    value = Value.from_zero(policy)
    before = value.state()
    trained = ppo(
        policy, policy, PROMPTS, likes_c, PPO(**TINY, iterations=20, epochs=2, beta=0.02), watching, value=value
    )
    scores = [e["score"] for e in watching.history()]
    assert np.mean(scores[:3]) < 1.2  # 8 tokens, 12 words
    assert np.mean(scores[-3:]) > 3
    assert watching.history()[-1]["kl"] > 1
    assert same(policy, gpt())
    assert all(np.array_equal(v, before[k]) for k, v in value.state().items())
    assert not same(policy, trained)


def test_a_strong_kl_penalty_holds_the_policy_back() -> None:
    ends = [learn(short(iterations=8, beta=beta))[1].history()[-1]["kl"] for beta in (0.0, 2.0)]
    assert ends[1] < ends[0] / 2


@pytest.mark.parametrize(
    "changes",
    [
        {"least": 8},
        {"temperature": 0.7, "least": 2},
        {"stop": 2, "stop_start": 3, "missing": "replace"},
        {"missing": "add", "missing_score": -0.5},
        {"kl": "k2", "kl_target": 0.5},
        {"kl": "k3", "whiten": "minibatch"},
        {"whiten": "off", "whiten_rewards": True, "score_at": "after"},
        {"value_clip": None, "entropy_weight": 0.1, "lam": 1.0, "discount": 0.9, "high": 0.3},
        {"warm_up": 2, "schedule": "linear", "eps_first": True, "weight_decay": 0.1, "average": 0.9},
        {"pretrain": 1.0, "pretrain_batch": 3, "minibatches": 3, "value_rate": 2.0},
    ],
    ids=lambda c: "-".join(c),
)
def test_every_option_runs(changes: dict[str, Any]) -> None:
    _, watching = learn(short(iterations=2, **changes), pretrain=TEXT)
    assert len(watching.history()) == 2
    assert watching.stopped is None
    assert all(v is not None for k, v in watching.history()[-1].items() if k != "samples")


def test_the_first_update_has_ratio_one() -> None:
    _, watching = learn(short(iterations=1, epochs=1, minibatches=1, temperature=0.7, least=2))
    told = watching.history()[0]
    assert (told["ratio_mean"], told["approx_kl"], told["clip_fraction"]) == (1.0, 0.0, 0.0)
    assert learn(short(iterations=1))[1].history()[0]["approx_kl"] > 0


def test_every_row_once_per_epoch_in_a_fresh_order() -> None:
    learning, watching = Learning(gpt(), short()), Watching()
    orders: dict[int, list[int]] = {0: [], 1: []}
    sizes = set()
    for epoch, _, rows in passes(learning, watching, 10, 2, 3):
        orders[epoch] += rows.tolist()
        sizes.add(len(rows))
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    assert orders[0] != orders[1]
    assert sizes == {3, 4}
    assert len(list(passes(learning, watching, 2, 1, 5))) == 2  # no empty minibatches where few rows have a score


def test_prompts_come_in_permutations_of_the_pool() -> None:
    drawn = [drawn_prompts("abcde", 1, k, 2) for k in range(5)]
    flat = "".join(c for part in drawn for c in part)
    assert sorted(flat[:5]) == sorted(flat[5:]) == list("abcde")
    assert flat[:5] != flat[5:]
    assert drawn_prompts("abcde", 1, 3, 2) == drawn[3]
    assert len(drawn_prompts("ab", 0, 0, 7)) == 7


@pytest.mark.parametrize(
    "kind, expected",
    [("constant", [1, 1, 1, 1]), ("linear", [1, 0.75, 0.5, 0.25]), ("cosine", [1, 0.868198, 0.55, 0.231802])],
)
@pytest.mark.parametrize("warm_up", [0, 2])
def test_schedules(kind: Any, expected: list[float], warm_up: int) -> None:
    options = short(iterations=4, schedule=kind, warm_up=warm_up)
    rising = [0.1, 0.55, 1, 1] if warm_up else [1] * 4
    learning, found = Learning(gpt(), options), []
    for learning.iteration in range(4):
        found.append(learning.lr / options.lr)
    assert found == pytest.approx([a * b for a, b in zip(rising, expected, strict=True)], abs=1e-6)


def test_the_average_of_the_weights_in_closed_form() -> None:
    average, weight = torch.tensor([1.0]), torch.zeros(1)
    for k in range(3):
        weight = torch.tensor([10.0 + k])
        averaged([average], [weight], 0.9)
    assert average.item() == pytest.approx(0.9**3 * 1 + 0.1 * (0.81 * 10 + 0.9 * 11 + 12))
    trained, _ = learn(short())
    mean, _ = learn(short(average=0.9))
    start = gpt().state()
    far = {k: np.abs(v - start[k]).mean() for k, v in trained.state().items()}
    near = {k: np.abs(v - start[k]).mean() for k, v in mean.state().items()}
    assert sum(near.values()) < 0.9 * sum(far.values())  # it lags behind, and it is what comes back


def gradients(*models: Any) -> list[torch.Tensor]:
    found = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for m in models for p in m.parameters()]
    for m in models:
        for p in m.parameters():
            p.grad = None
    return found


def test_ptx_adds_gamma_times_the_gradient_of_the_text() -> None:
    options = short(pretrain=27.8)
    learning, critic = Learning(gpt(), options), Value.from_zero(gpt())
    targets = estimate(batch_of(options), critic, learning, options)
    rows = take(TEXT, torch.arange(3))
    backward(learning.policy, critic, targets, options)
    alone = gradients(learning.policy)
    loss = backward_text(learning.policy, rows, 1.0)
    text = gradients(learning.policy)
    backward(learning.policy, critic, targets, options)
    backward_text(learning.policy, rows, 27.8)
    for both, a, b in zip(gradients(learning.policy), alone, text, strict=True):
        torch.testing.assert_close(both, a + 27.8 * b, atol=1e-5, rtol=1e-4)
    assert loss == pytest.approx(math.log(12), abs=0.1)


def test_ptx_keeps_the_language() -> None:
    plain, _ = learn(short(iterations=8, beta=0.0))
    anchored, watching = learn(short(iterations=8, beta=0.0, pretrain=1.0), pretrain=TEXT)
    losses = [backward_text(policy, TEXT, 0.0) for policy in (plain, anchored)]
    assert losses[1] < losses[0] - 0.3
    assert watching.history()[-1]["pretrain_loss"] < watching.history()[0]["pretrain_loss"]


def test_value_networks() -> None:
    policy, options = gpt(), short()
    rows = batch_of(options).rows
    zero, shared = Value.from_zero(policy), Value.from_zero(policy, shared=True)
    assert (zero(rows, policy) == 0).all()
    assert len(list(shared.parameters())) == 2
    assert len(list(zero.parameters())) == 2 + len(list(policy.parameters()))
    model = RewardModel(gpt(2))
    model.gain, model.bias = 3.0, -0.5
    value = Value.from_reward(model)
    last = rows.response_mask.sum(1) - 1
    there = value(rows, policy)[torch.arange(len(last)), last]
    before = packed(policy, ["a"], ["b"]).start
    assert before == 1
    raw = model.head(model.backbone.hidden(rows))[torch.arange(len(last)), last, 0]
    torch.testing.assert_close(there, 3 * raw - 0.5)
    twin = value.copy()
    with torch.no_grad():
        value.head.weight.zero_()
    assert not torch.equal(twin.head.weight, value.head.weight)
    value.load(twin.state())
    assert torch.equal(twin(rows, policy), value(rows, policy))


def test_a_shared_value_network_trains_the_body() -> None:
    policy = gpt()
    shared, _ = learn(short(), value=Value.from_zero(policy, shared=True))
    apart, _ = learn(short(), value=Value.from_zero(policy))
    assert not same(shared, apart)


def test_targets_hold_raw_returns_and_whitened_advantages() -> None:
    options = short()
    learning, critic = Learning(gpt(), options), Value.from_zero(gpt())
    nn.init.normal_(critic.head.weight, generator=generator())
    batch = batch_of(options)
    white = estimate(batch, critic, learning, options)
    raw = estimate(batch, critic, learning, replace(options, whiten="off"))
    torch.testing.assert_close(white.returns, raw.returns)
    torch.testing.assert_close(raw.returns - raw.values, raw.advantages)
    torch.testing.assert_close(white.advantages, maths.whiten(raw.advantages, batch.mask))
    later = estimate(batch, critic, learning, replace(options, score_at="after"))
    assert (later.value_mask.sum(1) >= batch.mask.sum(1)).all()
    assert later.value_mask.sum() > batch.mask.sum()


def test_beta_follows_the_kl() -> None:
    _, watching = learn(short(iterations=4, beta=0.5, kl_target=50.0, kl_horizon=16))
    assert [e["beta"] for e in watching.history()] == pytest.approx([0.5 * 0.8**k for k in range(4)])


def test_scores_that_are_not_finite_stop_the_run_and_bring_back_the_last_good_weights() -> None:
    def infinite(items: Any) -> list[Judgment]:
        return [Judgment(i.id, Seat(), Verdict(None, score=math.inf)) for i in items]

    trained, watching = learn(short(iterations=5, schedule="constant"), failing(lambda k: k == 2, infinite))
    assert "loss" in str(watching.stopped)
    assert "the last good weights are back" in str(watching.stopped)
    expected, _ = learn(short(iterations=2))
    assert same(trained, expected)


@pytest.mark.parametrize(
    "limit, said",
    [({"most_kl": 0.05}, "nats per response, above most_kl=0.05"), ({"least_entropy": 2.3}, "nats per token")],
)
def test_broken_policies_are_not_kept(limit: dict[str, float], said: str, tmp_path: Any) -> None:
    """KL is seen in the samples after an update: what comes back is the policy before it, now and when called again."""
    options = short(iterations=20, beta=0.0, **limit)
    with open_store(tmp_path / "runs.db") as store:
        trained, watching = learn(options, watching=Watching(0, store, "r", every=1))
        assert said in str(watching.stopped)
        stopped = watching.events[-1]["iteration"]
        assert 1 <= stopped < 20
        before, _ = (
            learn(PPO(**{**TINY, "beta": 0.0, "iterations": stopped - 1, "epochs": 2}))
            if stopped > 1
            else (gpt(), None)
        )
        assert same(trained, before)
        again, _ = learn(options, watching=Watching(0, store, "r", every=1))
        assert same(trained, again)

        class Interrupted(Exception):
            pass

        def interrupt(event: Any) -> None:
            if event["kind"] == "checkpoint" and event["iteration"] == stopped:
                raise Interrupted

        with pytest.raises(Interrupted):  # after the update that broke it, before any sample shows that
            learn(options, watching=Watching(0, store, "s", every=1, listen=interrupt))
        late, _ = learn(options, watching=Watching(0, store, "s", every=1))
        assert same(trained, late)


def test_empty_responses_stop_the_run() -> None:
    batch = batch_of(short())
    check(batch, short())
    with pytest.raises(Unsound, match="all 16 responses are empty"):
        check(replace(batch, completions=("",) * 16), short())


def test_abstentions_are_left_out_and_counted() -> None:
    def half(items: Any) -> list[Judgment]:
        return [
            j if k % 2 else Judgment(j.item, j.seat, Verdict(None, abstained="?")) for k, j in enumerate(likes_c(items))
        ]

    _, watching = learn(short(), half)
    assert [e["abstained"] for e in watching.history()] == [8, 8, 8]

    def silent(items: Any) -> list[Judgment]:
        return [Judgment(i.id, Seat(), Verdict(None, abstained="?")) for i in items]

    with pytest.raises(ModelError, match="iteration 1 of 3: Degenerate: it abstained on all 16 responses"):
        learn(short(), silent)


def test_alarms() -> None:
    value = Value.from_zero(gpt())
    nn.init.normal_(value.head.weight, std=5, generator=generator())
    _, watching = learn(short(iterations=1, lr=0.05, alarm_kl=1e-4), value=value)
    alarms = {e["about"]: e["value"] for e in watching.events if e["kind"] == "alarm"}
    assert alarms["explained variance"] < 0
    assert alarms["approximate KL of the updates"] > 1e-4
    assert watching.stopped is None


@pytest.mark.parametrize("kind", [PPO, GRPO, RLOO])
def test_every_option_is_documented_and_few(kind: Any) -> None:
    names = [f.name for f in fields(kind)]
    assert len(names) <= 40
    text = (OnPolicy.__doc__ or "") + (kind.__doc__ or "")
    assert [n for n in names if f"`{n}`" not in text and f"`{n}=" not in text] == []


def test_options_are_read_from_names_and_refused_where_they_do_not_fit() -> None:
    assert options_from(PPO, {"betas": [0.9, 0.95], "lam": 1.0}) == PPO(betas=(0.9, 0.95), lam=1.0)
    assert PPO(**PRESETS["tiny"]) == PPO()
    assert PPO(**PRESETS["instruct-gpt"]).batch // PPO(**PRESETS["instruct-gpt"]).minibatches == 64
    with pytest.raises(SpecError, match="PPO has no option 'lamda'; did you mean 'lam'"):
        options_from(PPO, {"lamda": 1})
    for wrong, said in (
        ({"lr": 0}, "lr is 0; it must be positive"),
        ({"schedule": "cosin"}, "schedule is 'cosin'; did you mean 'cosine'"),
        ({"kl": "k9"}, "kl is 'k9'; there is: k1, k2, k3"),
        ({"average": 1.0}, "a decay lies in"),
        ({"beta": -1}, "beta is -1"),
        ({"missing": "add", "least": 16}, "least=16 bans EOS from all"),
        ({"minibatches": 65}, "65 minibatches of a batch of 64"),
        ({"whiten": "minibatch", "minibatches": 16}, "needs 8 rows or more, here are 4"),
    ):
        with pytest.raises(SpecError, match=said):
            options_from(PPO, wrong)
    with pytest.raises(SpecError, match=r"pretrain=1\.0 needs rows of text"):
        learn(short(pretrain=1.0))
    with pytest.raises(SpecError, match="no prompts"):
        ppo(gpt(), gpt(), [], likes_c, short(), Watching())
