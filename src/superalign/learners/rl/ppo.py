"""PPO as InstructGPT used it: a per-token KL to the reference, a value network from the reward model, PPO-ptx.

Sources: Ouyang et al. 2022 (arXiv 2203.02155, section 3.5 and appendix C), Ziegler et al. 2019 (arXiv 1909.08593),
Schulman et al. 2017 (arXiv 1707.06347). Differences between them are options.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from superalign.core.types import Overseer
from superalign.learners.rl import maths
from superalign.learners.rl.learning import Learning
from superalign.learners.rl.loop import means, passes, train
from superalign.learners.rl.options import OnPolicy, require
from superalign.learners.rl.progress import State, Watching
from superalign.learners.rl.rollouts import ALONE, Rollouts, chosen, predicted, shared, take
from superalign.learners.rl.sft import language_loss
from superalign.models.hf.ranks import Ranks
from superalign.models.policy import Policy, Rows

if TYPE_CHECKING:
    from superalign.learners.rl.reward import RewardModel


@dataclass(frozen=True, slots=True, kw_only=True)
class PPO(OnPolicy):
    """PPO's own options; defaults are those of the tiny world.

    Each iteration's batch is passed `epochs` times in `minibatches`, in a fresh order each time. Ratios are clipped to
    [1 - `low`, 1 + `high`]. The value loss weighs `value_weight` and is clipped at `value_clip` (None: not); the value
    network's learning rate is `value_rate` times the policy's. `entropy_weight` rewards entropy.
    `discount` and `lam` are those of generalised advantages, which are whitened per `batch` or per `minibatch` (of 8
    rows or more) or not (`whiten`); `whiten_rewards` scales rewards to variance 1 first. The score stands at the
    last token (`score_at="end"`) or one later (`after`).
    With `kl_target` (nats per response) beta adapts over `kl_horizon` responses. `pretrain` is PPO-ptx's gamma, the
    weight of the mean log-likelihood of `pretrain_batch` rows of text added to every minibatch.
    """

    epochs: int = 4
    minibatches: int = 2
    low: float = 0.2
    high: float = 0.2
    value_weight: float = 0.1
    value_clip: float | None = 0.2
    value_rate: float = 1.0
    entropy_weight: float = 0.0
    discount: float = 1.0
    lam: float = 0.95
    whiten: Literal["batch", "minibatch", "off"] = "batch"
    whiten_rewards: bool = False
    score_at: Literal["end", "after"] = "end"
    kl_target: float | None = None
    kl_horizon: float = 10_000
    pretrain: float = 0.0
    pretrain_batch: int = 64

    def __post_init__(self) -> None:
        super(PPO, self).__post_init__()
        require(
            1 <= self.minibatches <= self.batch,
            f"{self.minibatches} minibatches of a batch of {self.batch}; each needs a row",
        )
        require(
            self.whiten != "minibatch" or self.batch // self.minibatches >= 8,
            f"whiten='minibatch' needs 8 rows or more, here are {self.batch // self.minibatches}; whiten per batch",
        )


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "instruct-gpt": {
        "iterations": 500, "batch": 512, "minibatches": 8, "epochs": 1, "beta": 0.02, "pretrain": 27.8,
        "pretrain_batch": 512, "lr": 9e-6, "warm_up": 10, "average": 0.992, "betas": (0.9, 0.95),
    },
}  # fmt: skip
"""Options by name, for `PPO(**PRESETS[name])`. InstructGPT's are those of its appendix C.4: 256k episodes, minibatches of
64, eight pretraining examples per episode. It does not print the policy's rate; 9e-6 is its value network's."""


class Value:
    """Predicts the rest of the reward before each token: hidden states of `backbone`, a linear head.

    `backbone` None shares the policy's own body. Given to `ppo`, which trains a copy.
    """

    def __init__(self, head: nn.Linear, backbone: Policy | None = None) -> None:
        self.head, self.backbone = head, backbone

    @classmethod
    def from_reward(cls, model: RewardModel) -> Value:
        """Started from a reward model (InstructGPT), the head rescaled to predict its normalised score gain * r + bias."""
        head = copy.deepcopy(model.head)
        with torch.no_grad():
            head.weight.mul_(model.gain)
            head.bias.mul_(model.gain).add_(model.bias)
        return cls(head, model.backbone.copy())

    @classmethod
    def from_zero(cls, policy: Policy, shared: bool = False) -> Value:
        """A head of zeros on a copy of the policy's body, or on the body itself."""
        with torch.no_grad():
            hidden = policy.hidden(Rows(torch.full((1, 1), policy.eos), torch.ones(1, 1, dtype=torch.bool), 1))
        head = nn.Linear(hidden.shape[-1], 1, device=hidden.device)
        for weight in head.parameters():
            nn.init.zeros_(weight)
        return cls(head, None if shared else policy.copy())

    def __call__(self, rows: Rows, policy: Policy) -> Tensor:
        """The value before each response token, (B, R), gradients kept."""
        seen = Rows(rows.tokens[:, :-1], rows.mask[:, :-1], rows.start)  # nothing is predicted after the last token
        hidden = (self.backbone or policy).hidden(seen)
        values: Tensor = self.head(hidden)[..., 0]
        return values.to(rows.tokens.device)

    def copy(self) -> Value:
        """An independent copy."""
        return Value(copy.deepcopy(self.head), None if self.backbone is None else self.backbone.copy())

    def parameters(self) -> Iterator[nn.Parameter]:
        """What is trained besides the policy."""
        yield from self.head.parameters()
        if self.backbone is not None:
            yield from self.backbone.parameters()

    def state(self) -> State:
        """Weights as named arrays."""
        head: State = {f"head.{k}": v.detach().cpu().numpy().copy() for k, v in self.head.state_dict().items()}
        return head | ({} if self.backbone is None else self.backbone.state())

    def load(self, state: Mapping[str, Any]) -> None:
        """Take these weights."""
        head = {k.removeprefix("head."): v for k, v in state.items() if k.startswith("head.")}
        self.head.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in head.items()})
        if self.backbone is not None:
            self.backbone.load({k: v for k, v in state.items() if not k.startswith("head.")})


def ppo(
    policy: Policy,
    reference: Policy,
    prompts: Sequence[str],
    overseer: Overseer,
    options: PPO,
    watching: Watching,
    *,
    value: Value | None = None,
    pretrain: Rows | None = None,
) -> Policy:
    """Train a copy of `policy` to score well with the overseer and stay near `reference` (which may be `policy`).

    `value` starts from zero on the policy's body unless given; `pretrain` holds the rows of PPO-ptx, whose responses
    are the text. Raises SpecError where gamma has no text to weigh, and what `train` raises.
    """
    require(options.pretrain == 0 or pretrain is not None, f"pretrain={options.pretrain} needs rows of text: pretrain=")
    critic = (value or Value.from_zero(policy)).copy()
    learning = Learning(policy, options, {"value": critic}, options.value_rate)

    def update(learning: Learning, batch: Rollouts, watching: Watching) -> dict[str, float]:
        scored = batch.scored()
        targets = estimate(scored, critic, learning, options)
        told = []
        for epoch, k, rows in passes(learning, watching, len(scored.scores), options.epochs, options.minibatches):
            learning.zero()
            stats = backward(learning.policy, critic, targets.only(rows), options, learning.group)
            if options.pretrain and pretrain is not None:
                draws = watching.generator("pretrain", learning.iteration, epoch, k)
                picked = torch.randint(len(pretrain.tokens), (options.pretrain_batch,), generator=draws)
                text = take(pretrain, picked)
                stats["pretrain_loss"] = backward_text(learning.policy, text, options.pretrain, learning.group)
            told.append(stats | {"gradient": learning.step(stats["loss"])})
        if options.kl_target is not None:
            kl = float(batch.kl.mean())
            learning.beta = maths.adaptive_beta(
                learning.beta, kl, options.kl_target, len(batch.scores), options.kl_horizon
            )
        return means(told) | {"explained_variance": targets.explained}

    return train(learning, reference, prompts, overseer, watching, update)


@dataclass(frozen=True, slots=True)
class Targets:
    """What the updates of one iteration aim at; tensors are (B, R), `value_mask` is where values count."""

    rows: Rows
    logp: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    value_mask: Tensor
    explained: float

    def only(self, index: Tensor) -> Targets:
        """Some of the rows."""
        logp, values, advantages = self.logp[index], self.values[index], self.advantages[index]
        rows, returns, where = take(self.rows, index), self.returns[index], self.value_mask[index]
        return Targets(rows, logp, values, advantages, returns, where, self.explained)


@torch.no_grad()
def estimate(batch: Rollouts, critic: Value, learning: Learning, options: PPO) -> Targets:
    """Rewards, advantages and returns of one batch. Returns are taken before advantages are whitened."""
    mask, after = batch.mask, options.score_at == "after"
    where = maths.reach(mask) if after else mask
    (values,) = shared(learning.group, batch.rows, lambda part: (critic(part, learning.policy),))
    values = maths.real(values, where)
    kl = maths.kl_estimate(batch.logp, batch.reference, options.kl)
    rewards = maths.per_token_rewards(batch.scores, kl, mask, learning.beta, after)
    if options.whiten_rewards:
        rewards = maths.whiten(rewards, where, shift=False)
    advantages, returns = maths.gae(rewards, values, where, options.discount, options.lam)
    explained = maths.explained_variance(values, returns, where)
    if options.whiten == "batch":
        advantages = maths.whiten(advantages, mask)
    return Targets(batch.rows, batch.logp, values, advantages, returns, where, explained)


def backward(policy: Policy, critic: Value, batch: Targets, options: PPO, group: Ranks = ALONE) -> dict[str, float]:
    """Add the gradients of PPO's loss on one minibatch; returns what to report."""
    mask = batch.rows.response_mask

    def ran(part: Rows) -> tuple[Tensor, ...]:
        logits = predicted(policy, part, options.sampling)
        logp, values = chosen(logits, part), critic(part, policy)
        with torch.set_grad_enabled(options.entropy_weight > 0):
            return logp, values, maths.entropy(logits).to(logp.device)

    logp, values, entropies = shared(group, batch.rows, ran)
    advantages = maths.whiten(batch.advantages, mask) if options.whiten == "minibatch" else batch.advantages
    surrogate = maths.masked_mean(
        maths.policy_loss(logp, batch.logp, advantages, mask, options.low, options.high), mask
    )
    error = maths.value_loss(values, batch.values, batch.returns, batch.value_mask, options.value_clip)
    entropy = maths.masked_mean(entropies, mask)
    loss = surrogate + options.value_weight * error - options.entropy_weight * entropy
    torch.autograd.backward(loss)
    told = {"loss": loss, "policy_loss": surrogate, "value_loss": error, "update_entropy": entropy}
    return maths.plain(told | maths.ratio_report(logp, batch.logp, mask, options.low, options.high))


def backward_text(policy: Policy, rows: Rows, gamma: float, group: Ranks = ALONE) -> float:
    """Add the gradients of gamma times the mean loss per token of text; returns that mean, unweighted."""
    loss = language_loss(policy, rows, group)
    torch.autograd.backward(gamma * loss)
    return float(loss.detach())
