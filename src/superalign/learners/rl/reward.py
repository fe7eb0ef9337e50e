"""Reward models: a policy's body with a scalar head, read at the last real token, taught by comparisons.

Sources: InstructGPT (arXiv 2203.02155, section 3.5, appendix C.2): all K-choose-2 pairs of a prompt are one element of
a batch. Ziegler et al. 2019 (arXiv 1909.08593): head of std 1 / sqrt(d + 1), rewards of mean 0 and std 1 on samples of
the reference policy, before and after training. Ensembles: Coste et al. 2023 (arXiv 2310.02743).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from superalign.core.errors import Degenerate
from superalign.core.random import derive
from superalign.core.types import Overseer
from superalign.learners.rl import overseers
from superalign.learners.rl.comparisons import Comparisons, Floats, accuracy
from superalign.learners.rl.descent import Descent, descend, pieces
from superalign.learners.rl.options import require
from superalign.learners.rl.preference import Pairs, best_of_k_loss, pair_loss
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.rollouts import packed, take
from superalign.models.policy import Policy, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward(Descent):
    """The reward model's own options.

    `epochs` over prompts, `batch` prompts a step. `loss`: all `pairs` of a prompt, or the `best` of its responses. Ties
    (p = 0.5) are left out (`drop`) or learnt as even odds (`half`). `margin` and `centring` are those of `pair_loss`.
    `normalise`: `scale` sets gain and bias for mean 0 and std 1 on reference responses, before and after training;
    `shift` sets the bias alone, after, for mean 0 (InstructGPT, on demonstrations). `eos`: texts are read with EOS.
    """

    lr: float = 5e-4
    batch: int = 32
    epochs: int = 15
    loss: Literal["pairs", "best"] = "pairs"
    ties: Literal["drop", "half"] = "drop"
    margin: float = 0.0
    centring: float = 0.0
    normalise: Literal["scale", "shift", "off"] = "scale"
    eos: bool = True

    def __post_init__(self) -> None:
        super(Reward, self).__post_init__()
        require(self.epochs > 0, f"epochs is {self.epochs}; it must be positive")


class RewardModel:
    """Reward = gain * (head of the last real token's hidden state) + bias. The policy given is copied."""

    def __init__(self, policy: Policy, *, seed: int = 0, eos: bool = True) -> None:
        self.backbone, self.eos, self.gain, self.bias = policy.copy(), eos, 1.0, 0.0
        one = Rows(torch.full((1, 1), policy.eos), torch.ones(1, 1, dtype=torch.bool), 1)
        with torch.no_grad():
            hidden = policy.hidden(one)
        width = hidden.shape[-1]
        head = nn.Linear(width, 1)
        draws = torch.Generator().manual_seed(derive(seed, "rl/reward head"))
        nn.init.normal_(head.weight, 0.0, (width + 1) ** -0.5, draws)
        nn.init.zeros_(head.bias)
        self.head = head.to(hidden.device)

    def __call__(self, rows: Rows) -> Tensor:
        """The reward of each row, (B,), gradients kept."""
        value: Tensor = self.gain * self.head(self.backbone.hidden(to_the_right(rows))[:, 0])[:, 0] + self.bias
        return value

    @torch.no_grad()
    def scores(self, prompts: Sequence[str], completions: Sequence[str], batch: int = 256) -> Floats:
        """The reward of each finished response, (n,)."""
        rows = packed(self.backbone, prompts, completions, self.eos)
        parts = [self(take(rows, index)) for index in pieces(torch.arange(len(prompts)), batch)]
        return torch.cat(parts).double().cpu().numpy() if parts else np.zeros(0)

    def normalise(self, prompts: Sequence[str], completions: Sequence[str], shift_only: bool = False) -> None:
        """Set the bias for a mean reward of 0 on these responses, and unless `shift_only` the gain for a std of 1.

        Raises Degenerate where all rewards are equal and nothing can be scaled.
        """
        found = self.scores(prompts, completions)
        spread = 1.0 if shift_only else float(found.std())
        if len(found) < 2 or not spread > 1e-8:
            raise Degenerate(f"the rewards of {len(found)} responses have std {spread:.2g}; there is nothing to scale")
        self.gain, self.bias = self.gain / spread, (self.bias - float(found.mean())) / spread

    def parameters(self) -> Iterator[nn.Parameter]:
        """What an optimiser trains."""
        yield from self.backbone.parameters()
        yield from self.head.parameters()

    def copy(self) -> RewardModel:
        """An independent copy."""
        twin = copy.copy(self)
        twin.backbone, twin.head = self.backbone.copy(), copy.deepcopy(self.head)
        return twin

    def state(self) -> dict[str, Any]:
        """Weights as named arrays, gain and bias."""
        head = {f"head.{k}": v.detach().cpu().numpy().copy() for k, v in self.head.state_dict().items()}
        return {**self.backbone.state(), **head, "gain": self.gain, "bias": self.bias}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take the weights, gain and bias of another reward model of this shape."""
        self.gain, self.bias = float(state["gain"]), float(state["bias"])
        self.head.load_state_dict(
            {k[5:]: torch.from_numpy(np.array(v)) for k, v in state.items() if k.startswith("head.")}
        )
        self.backbone.load({k: v for k, v in state.items() if k not in ("gain", "bias") and not k.startswith("head.")})


def to_the_right(rows: Rows) -> Rows:
    """The same texts, each ending in the last column and all prompt: the one state that is read is the one after it."""
    length = rows.tokens.shape[1]
    empty = length - rows.start - rows.response_mask.sum(1)
    if not empty.any():
        return Rows(rows.tokens, rows.mask, length)
    order = (torch.arange(length) - empty[:, None]) % length
    return Rows(rows.tokens.gather(1, order), rows.mask.gather(1, order), length)


def reward_model(
    policy: Policy,
    comparisons: Comparisons,
    options: Reward = Reward(),
    watching: Watching | None = None,
    *,
    valid: Comparisons | None = None,
    reference: tuple[Sequence[str], Sequence[str]] | None = None,
) -> RewardModel:
    """A reward model on a copy of the policy, taught by comparisons.

    `reference` are the prompts and responses on which rewards are normalised, by default the responses compared. The
    accuracies on training comparisons and on `valid` ones become an event. Raises Degenerate without a pair to learn.
    """
    run = watching or Watching()
    model = RewardModel(policy, seed=run.seed, eos=options.eos)
    calm = reference or (comparisons.asked, comparisons.answered)
    if options.normalise == "scale":
        model.normalise(*calm)
    rows = packed(model.backbone, comparisons.asked, comparisons.answered, options.eos)
    owner, pairs = torch.from_numpy(comparisons.owner), comparisons.pairs()
    pairs = pairs.decided() if options.ties == "drop" else pairs
    taught = torch.from_numpy(np.unique(pairs.prompt.numpy()))
    if not len(taught):
        raise Degenerate("no pair has a preferred response, so a reward model has nothing to learn")

    def loss(index: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        used, inner = batch_of(owner, pairs, taught[index])
        rewards = model(take(rows, used))
        if options.loss == "best":
            return best_of_k_loss(*best_of(rewards, owner[used], inner)), {}
        apart = (rewards[inner.left] - rewards[inner.right]).detach().cpu() * (inner.p - 0.5).sign()
        told = {"accuracy": float((apart > 0).float().mean())}
        return pair_loss(rewards, inner, options.margin, options.centring), told

    steps = options.epochs * -(-len(taught) // options.batch)
    identity = {"method": "reward", "comparisons": comparisons.identity}
    descend(model, options, loss, run, elements=len(taught), steps=steps, identity=identity)
    if options.normalise != "off":
        model.normalise(*calm, shift_only=options.normalise == "shift")
    told = {"train": comparisons} | ({"valid": valid} if valid else {})
    found = {name: accuracy(model.scores(part.asked, part.answered), part)["all"].value for name, part in told.items()}
    run.emit("accuracy", steps, **found, gain=model.gain, bias=model.bias)
    return model


def batch_of(owner: Tensor, pairs: Pairs, prompts: Tensor) -> tuple[Tensor, Pairs]:
    """The responses of some prompts, (m,), and those prompts' pairs with indices into them; prompts count from 0."""
    rank = torch.full((int(owner.max()) + 1,), -1)
    rank[prompts] = torch.arange(len(prompts))
    used = (rank[owner] >= 0).nonzero()[:, 0]
    place = torch.full((len(owner),), -1)
    place[used] = torch.arange(len(used))
    mine = pairs[rank[pairs.prompt] >= 0]
    return used, Pairs(place[mine.left], place[mine.right], mine.p, rank[mine.prompt])


def best_of(rewards: Tensor, owner: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Rewards as (N, K), -inf where a prompt has fewer than K, and the response of each prompt that wins most pairs.

    `owner` (m,) is the prompt of each reward; a prompt's rewards are neighbours.
    """
    wins = torch.zeros(len(rewards), dtype=torch.float64)
    wins.index_add_(0, pairs.left, pairs.p.double()).index_add_(0, pairs.right, 1 - pairs.p.double())
    first = torch.cat([torch.ones(1, dtype=torch.bool), owner[1:] != owner[:-1]])
    row = first.cumsum(0) - 1
    column = torch.arange(len(row)) - first.nonzero()[:, 0][row]
    shape = (int(row[-1]) + 1, int(column.max()) + 1)
    table = rewards.new_full(shape, -torch.inf).index_put((row, column), rewards)
    return table, torch.full(shape, -1.0, dtype=torch.float64).index_put((row, column), wins).argmax(1)


def overseer(model: RewardModel | Ensemble) -> Overseer:
    """A reward model as an overseer: it scores finished responses, and compares by its scores."""
    return overseers.by_score(overseers.program(lambda prompts, texts: model.scores(prompts, texts).tolist(), "reward"))


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Several reward models as one: the `mean` of their rewards, the `min` (worst case), or the mean less `width`
    standard deviations (`bound`)."""

    members: tuple[RewardModel, ...]
    how: Literal["mean", "min", "bound"] = "mean"
    width: float = 1.0

    def scores(self, prompts: Sequence[str], completions: Sequence[str], batch: int = 256) -> Floats:
        """The joint reward of each finished response, (n,)."""
        found = np.stack([model.scores(prompts, completions, batch) for model in self.members])
        if self.how == "min":
            return found.min(0)  # type: ignore[no-any-return]
        return found.mean(0) - (self.width * found.std(0) if self.how == "bound" else 0.0)  # type: ignore[no-any-return]
