"""The loop that PPO, GRPO and RLOO share: sample, judge, update; and what happens when something goes wrong.

Rules for failures. A loss or gradient that is not finite, entropy below its floor, a KL to the reference above its
limit, and responses that are all empty stop the run: the last weights whose samples passed every check come back and
the reason is an event. An overseer that fails stops it too, with an error: the state before its batch is kept, so that
the same call goes on from there. Explained variance below 0 and large updates raise alarms and change nothing.

Several processes (`torchrun`, `accelerate launch`) run the loop in step: each samples and judges its share of the
prompts and runs its share of every minibatch, all hold the whole batch, and what is computed over a batch is computed
over all of it. So they end with the weights of one process, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor

from superalign.core.digest import digest
from superalign.core.errors import Degenerate, ModelError
from superalign.core.random import stream
from superalign.core.types import Overseer
from superalign.learners.rl import maths
from superalign.learners.rl.learning import Learning, Unsound
from superalign.learners.rl.options import OnPolicy, require
from superalign.learners.rl.progress import Watching
from superalign.learners.rl.rollouts import Rollouts, judge, sample
from superalign.models.policy import Policy

SHOWN = 2
"""Responses that each iteration's event shows."""

Update = Callable[[Learning, Rollouts, Watching], Mapping[str, float]]
"""One iteration of a method: advantages and optimiser steps on fresh rollouts; returns what to report."""


def train(
    learning: Learning,
    reference: Policy,
    prompts: Sequence[str],
    overseer: Overseer,
    watching: Watching,
    update: Update,
    group: int = 1,
    graph: bool = False,
) -> Policy:
    """Sample, judge, update, `iterations` times; each prompt gets `group` responses. Returns the trained copy.

    With `graph` the log-probabilities of the samples keep their gradients for the update.

    Raises SpecError without prompts and for more processes than prompts of an iteration, ModelError where the overseer
    fails or abstains on a whole batch.
    """
    options, peers = learning.options, learning.group
    require(len(prompts) > 0, "there are no prompts to respond to")
    require(
        options.batch // group >= peers.size,
        f"batch={options.batch} has {options.batch // group} prompts for {peers.size} processes; each needs one",
    )
    _resume(learning, prompts, watching, group)
    learning.agree()
    stopped = peers.any(watching.stopped is not None)
    while learning.iteration < options.iterations and not stopped:
        k = learning.iteration
        watching.look(learning.exported, k, options.iterations)
        texts = [t for t in drawn_prompts(prompts, watching.seed, k, options.batch // group) for _ in range(group)]
        draws = watching.generator("rollout", k)
        drawn = sample(learning.policy, reference, texts, options.sampling, draws, options.ending, graph, peers, group)
        batch = _judged(drawn, overseer, learning, watching, group)
        try:
            check(batch, options)
            learning.passed()
            beta = learning.beta
            told = update(learning, batch, watching)
        except Unsound as reason:
            _stop(learning, watching, str(reason))
            break
        _report(learning, watching, batch, {"beta": beta, "lr": learning.lr, **told})
        learning.iteration += 1
        if watching.due(learning.iteration, options.iterations):
            watching.keep(learning.iteration, learning.state())
        watching.progress("iterations", learning.iteration, options.iterations)
    watching.look(learning.exported, learning.iteration, learning.iteration)
    return learning.exported


def passes(
    learning: Learning, watching: Watching, rows: int, epochs: int, minibatches: int
) -> Iterator[tuple[int, int, Tensor]]:
    """(epoch, minibatch, its rows) of one iteration's updates: each row once per epoch, in a fresh order."""
    for epoch in range(epochs):
        order = torch.randperm(rows, generator=watching.generator("order", learning.iteration, epoch))
        for k, part in enumerate(order.tensor_split(min(minibatches, rows))):
            yield epoch, k, part


def step_through(
    learning: Learning,
    watching: Watching,
    batch: Rollouts,
    advantages: Tensor,
    times: tuple[int, int],
    backward: Callable[[Rollouts, Tensor], dict[str, float]],
) -> dict[str, float]:
    """Optimiser steps on the responses whose scores are known, in (epochs, minibatches); returns the means of the reports.

    `backward(rows, advantages)` adds the gradients of one minibatch and returns what to report, its loss among it.
    """
    known = (~batch.scores.isnan()).nonzero()[:, 0]
    batch, advantages = batch.only(known), advantages[known]
    told = []
    for _, _, rows in passes(learning, watching, len(known), *times):
        learning.zero()
        stats = backward(batch.only(rows), advantages[rows])
        told.append(stats | {"gradient": learning.step(stats["loss"])})
    return means(told)


def means(told: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each number over all updates of an iteration."""
    return {name: sum(one[name] for one in told) / len(told) for name in told[0]}


def drawn_prompts(prompts: Sequence[str], seed: int, iteration: int, count: int) -> list[str]:
    """The prompts of one iteration: fresh permutations of the pool, one after the other."""
    size, orders, found = len(prompts), {}, []
    for place in range(iteration * count, (iteration + 1) * count):
        epoch, k = divmod(place, size)
        if epoch not in orders:
            orders[epoch] = stream(seed, "rl/data", epoch).permutation(size)
        found.append(prompts[orders[epoch][k]])
    return found


def check(batch: Rollouts, options: OnPolicy) -> None:
    """Raise Unsound where samples show that the policy has broken down."""
    kl, entropy = float(batch.kl.mean()), float(maths.masked_mean(batch.entropy, batch.mask))
    if not kl <= options.most_kl:
        raise Unsound(f"the KL to the reference is {kl:.4g} nats per response, above most_kl={options.most_kl:g}")
    if not entropy >= options.least_entropy:
        raise Unsound(f"the entropy is {entropy:.4g} nats per token, below least_entropy={options.least_entropy:g}")
    if not any(batch.completions):
        raise Unsound(f"all {len(batch.completions)} responses are empty")


def _resume(learning: Learning, prompts: Sequence[str], watching: Watching, group: int) -> None:
    if watching.store is None:
        return
    options = learning.options
    kept = watching.resume({
        "method": type(options).__name__, "options": asdict(options), "seed": watching.seed, "group": group,
        "prompts": digest(list(prompts)), "weights": digest(learning.state()),
    })  # fmt: skip
    if kept is not None:
        learning.load(kept)


def _judged(drawn: Rollouts, overseer: Overseer, learning: Learning, watching: Watching, group: int) -> Rollouts:
    """The overseer's scores, each process asking for its share of the prompts. Where it fails, in any process, the state
    before this batch is kept and the error says how to go on."""
    peers, count = learning.group, len(drawn.prompts)
    failure: Exception | None = None
    part = drawn if peers.size == 1 else drawn.only(torch.from_numpy(peers.mine(count, group)))
    try:
        part = judge(part, overseer, learning.options.ending)
    except Exception as error:  # an overseer of somebody else may fail in any way
        failure = error
    if not peers.any(failure is not None):
        scores = peers.whole(part.scores, count, group)
        if not bool(scores.isnan().all()):
            return replace(drawn, scores=scores)
        failure = Degenerate(f"it abstained on all {count} responses")
    key = watching.keep(learning.iteration, learning.state())
    advice = f"the state is kept as {key}; make the same call again to go on from there"
    raise ModelError(
        f"the overseer failed in iteration {learning.iteration + 1} of {learning.options.iterations}"
        + (f": {type(failure).__name__}: {failure}; " if failure else ", in another process; ")
        + (advice if key else "nothing is kept; give Watching a store to be able to go on")
    ) from failure


def _stop(learning: Learning, watching: Watching, reason: str) -> None:
    learning.restore()
    watching.keep(learning.iteration, learning.state())
    watching.emit("stopped", learning.iteration, reason=f"{reason}; the last good weights are back")


def _report(learning: Learning, watching: Watching, batch: Rollouts, told: Mapping[str, float]) -> None:
    options, scored, shown = learning.options, batch.scored(), min(SHOWN, len(batch.prompts))
    score, kl = float(scored.scores.mean()), float(batch.kl.mean())
    lengths = batch.mask.sum(1).float()
    watching.emit(
        "iteration", learning.iteration, score=score, kl=kl, reward=score - told["beta"] * kl,
        entropy=float(maths.masked_mean(batch.entropy, batch.mask)), length=float(lengths.mean()),
        ended=float(batch.stopped.float().mean()), empty=sum(not c for c in batch.completions),
        abstained=len(batch.scores) - len(scored.scores), **told,
        samples=[[batch.prompts[k], batch.completions[k], float(batch.scores[k])] for k in range(shown)],
    )  # fmt: skip
    if told.get("explained_variance", 0.0) < 0:
        watching.emit("alarm", learning.iteration, about="explained variance", value=told["explained_variance"])
    if told["approx_kl"] > options.alarm_kl:
        watching.emit("alarm", learning.iteration, about="approximate KL of the updates", value=told["approx_kl"])
