"""Rollouts: prompts, sampled responses, their log-probabilities under policy and reference, an overseer's scores.

Three details decide whether the numbers mean anything, and each has its test. The temperature divides the logits while
sampling, in the loss and for the reference. What is judged is the response cut at its first stop token, while the KL
is paid for everything that was sampled. EOS is a token of the response.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from superalign.core.types import Overseer
from superalign.learners.rl import maths, overseers
from superalign.models.hf.ranks import Ranks
from superalign.models.policy import Policy, Rows, Sampling

ALONE = Ranks()
"""One process."""
_BANNED = -1e9  # finite, so that p log p is 0 and not NaN


@dataclass(frozen=True, slots=True)
class Ending:
    """What becomes of a response before it is judged.

    It is cut after its first `stop` token at position `start` or later (EOS unless given). A response without one is
    scored as it is (`keep`), gets `score` instead (`replace`, Ziegler et al. 2019) or on top (`add`, a penalty as in TRL).
    """

    stop: int | None = None
    start: int = 0
    missing: Literal["keep", "replace", "add"] = "keep"
    score: float = -1.0


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Finished responses. `logp`, `reference` and `entropy` are (B, R); `scores` (B,) has NaN where the overseer
    abstained; `stopped` (B,) tells which responses ended by themselves. Without gradients, but for `logp` if asked."""

    rows: Rows
    prompts: tuple[str, ...]
    completions: tuple[str, ...]
    logp: Tensor
    reference: Tensor
    entropy: Tensor
    scores: Tensor
    stopped: Tensor

    @property
    def mask(self) -> Tensor:
        """True on the tokens of the responses, (B, R)."""
        return self.rows.response_mask

    @property
    def old(self) -> Tensor:
        """`logp` without gradients."""
        return self.logp.detach()

    @property
    def kl(self) -> Tensor:
        """Estimate of the KL to the reference of each response, in nats, (B,): sum of logp - reference."""
        return maths.log_ratio(self.old, self.reference, self.mask).sum(1)

    def scored(self) -> Rollouts:
        """The responses that have a score."""
        known = ~self.scores.isnan()
        return self if bool(known.all()) else self.only(known.nonzero()[:, 0])

    def only(self, index: Tensor) -> Rollouts:
        """Some of the responses."""
        places = index.tolist()
        return Rollouts(
            take(self.rows, index),
            tuple(self.prompts[k] for k in places),
            tuple(self.completions[k] for k in places),
            *(part[index] for part in (self.logp, self.reference, self.entropy, self.scores, self.stopped)),
        )


def prompt_rows(policy: Policy, texts: Sequence[str]) -> Rows:
    """Prompts as left-padded rows without responses."""
    return _padded(policy, policy.encode(texts), [[] for _ in texts])


def packed(policy: Policy, prompts: Sequence[str], completions: Sequence[str], eos: bool = True) -> Rows:
    """Prompts on the left and given responses on the right, each response ending with EOS if `eos`."""
    ends = [policy.eos] if eos else []
    return _padded(policy, policy.encode(prompts), [row + ends for row in policy.encode(completions)])


def _padded(policy: Policy, left: Sequence[Sequence[int]], right: Sequence[Sequence[int]]) -> Rows:
    start, length = max(map(len, left), default=0), max(map(len, right), default=0)
    pads = [(start - len(a), length - len(b)) for a, b in zip(left, right, strict=True)]
    tokens = [
        [*[policy.pad] * before, *a, *b, *[policy.pad] * behind]
        for (before, behind), a, b in zip(pads, left, right, strict=True)
    ]
    places, limits = torch.arange(start + length), torch.tensor(pads).reshape(-1, 2, 1)
    mask = (places >= limits[:, 0]) & (places < start + length - limits[:, 1])
    return Rows(torch.tensor(tokens, dtype=torch.long).reshape(len(left), -1), mask, start)


def take(rows: Rows, index: Tensor) -> Rows:
    """Some of the rows."""
    return Rows(rows.tokens[index], rows.mask[index], rows.start)


def predicted(policy: Policy, rows: Rows, sampling: Sampling) -> Tensor:
    """The logits that responses are drawn from, (B, R, V): divided by the temperature, EOS banned where it was banned."""
    logits = policy.logits(rows)
    if sampling.temperature not in (0.0, 1.0):  # 0 takes the likeliest token; probabilities are then those of 1
        logits = logits / sampling.temperature
    if sampling.least:
        banned = torch.zeros(logits.shape[1:], dtype=torch.bool, device=logits.device)
        banned[: sampling.least, policy.eos] = True
        logits = logits.masked_fill(banned, _BANNED)
    return logits


def shared(
    group: Ranks, rows: Rows, run: Callable[[Rows], tuple[Tensor, ...]], together: int = 1
) -> tuple[Tensor, ...]:
    """What `run(rows)` tells of all rows, (B, ...) each, where every process of a launch runs its share of them: a loss of
    the whole batch then has the gradient of one's own rows, and the processes' gradients add up to that of all."""
    if group.size == 1:
        return run(rows)
    count = len(rows.tokens)
    own = torch.from_numpy(group.mine(count, together))
    # a process that has no row of a small batch runs the first for nothing, so that it has the same gradients, of zero
    found = run(take(rows, own if len(own) else torch.zeros(1, dtype=torch.long)))
    with torch.enable_grad():
        return tuple(group.whole(part[: len(own)], count, together) for part in found)


def logprobs(policy: Policy, rows: Rows, sampling: Sampling, group: Ranks = ALONE) -> Tensor:
    """Log-probability of each response token as it was sampled, (B, R)."""
    (found,) = shared(group, rows, lambda part: (chosen(predicted(policy, part, sampling), part),))
    return found


def chosen(logits: Tensor, rows: Rows) -> Tensor:
    """The log-probabilities of the rows' responses, (B, R), where the rows are: logits stay on the policy's device, all
    further mathematics is on small tensors."""
    return maths.token_logprobs(logits, rows.response.to(logits.device)).to(rows.tokens.device)


def ended(rows: Rows, eos: int, ending: Ending) -> tuple[Tensor, Tensor]:
    """The mask of the response as it is judged, (B, R), and which responses have a stop token, (B,)."""
    stop = eos if ending.stop is None else ending.stop
    hits = (rows.response == stop) & rows.response_mask
    hits[:, : ending.start] = False
    before = hits.cumsum(1) - hits.long()
    return rows.response_mask & (before == 0), hits.any(1)


def rescored(scores: Tensor, stopped: Tensor, ending: Ending) -> Tensor:
    """Scores after the rule for responses without a stop token. Abstentions stay NaN."""
    if ending.missing == "keep":
        return scores
    without = torch.full_like(scores, ending.score) if ending.missing == "replace" else scores + ending.score
    return torch.where(stopped | scores.isnan(), scores, without)


def collect(
    policy: Policy,
    reference: Policy,
    prompts: Sequence[str],
    overseer: Overseer,
    sampling: Sampling,
    generator: torch.Generator,
    ending: Ending | None = None,
) -> Rollouts:
    """Sample one response per prompt and have all of them judged in one batch. Draws come from `generator` alone."""
    drawn = sample(policy, reference, prompts, sampling, generator, ending)
    return judge(drawn, overseer, ending)


@torch.no_grad()
def sample(
    policy: Policy,
    reference: Policy,
    prompts: Sequence[str],
    sampling: Sampling,
    generator: torch.Generator,
    ending: Ending | None = None,
    graph: bool = False,
    group: Ranks = ALONE,
    together: int = 1,
) -> Rollouts:
    """Responses that nobody has judged yet: all scores are NaN. With `graph`, `logp` keeps its gradients: an update
    that passes the batch once, in one piece, then needs no forward pass of its own.

    Each process of a `group` runs its share of the prompts, of which every `together` neighbours stay with one; all
    hold the responses that one process would hold.
    """
    count = len(prompts)
    own = None if group.size == 1 else torch.from_numpy(group.mine(count, together))
    part = policy.generate(prompt_rows(policy, prompts), sampling, generator, own)
    mask = group.whole(part.mask.long(), count, together).bool()
    rows = trimmed(Rows(group.whole(part.tokens, count, together), mask, part.start))
    shown, stopped = ended(rows, policy.eos, ending or Ending())

    def told(part: Rows) -> tuple[Tensor, ...]:
        with torch.set_grad_enabled(graph):
            logits = predicted(policy, part, sampling)
            logp = chosen(logits, part)
        return logp, logprobs(reference, part, sampling), maths.entropy(logits).to(logp.device)

    logp, standard, entropy = shared(group, rows, told, together)
    return Rollouts(
        rows=rows,
        prompts=tuple(prompts),
        completions=tuple(
            policy.decode([r[m].tolist() for r, m in zip(rows.response.cpu(), shown.cpu(), strict=True)])
        ),
        logp=logp,
        reference=standard,
        entropy=entropy,
        scores=torch.full((len(prompts),), torch.nan, device=stopped.device),
        stopped=stopped,
    )


def judge(drawn: Rollouts, overseer: Overseer, ending: Ending | None = None) -> Rollouts:
    """The same responses with the overseer's scores."""
    scores = (
        torch.from_numpy(overseers.score(overseer, drawn.prompts, drawn.completions)).float().to(drawn.stopped.device)
    )
    return replace(drawn, scores=rescored(scores, drawn.stopped, ending or Ending()))


def trimmed(rows: Rows) -> Rows:
    """The rows without columns on the right that are padding in all of them."""
    longest = int(rows.response_mask.sum(1).max()) if len(rows.tokens) else 0
    end = rows.start + max(1, longest)
    return rows if end >= rows.tokens.shape[1] else Rows(rows.tokens[:, :end], rows.mask[:, :end], rows.start)
