"""Rejection-sampling fine-tuning: sample n responses, keep the best by an overseer, fine-tune on those, and again.

Sources: Llama 2 (Touvron et al. 2023, arXiv 2307.09288, section 3.2.3), RAFT (Dong et al. 2023, arXiv 2304.06767).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from superalign.core.digest import digest
from superalign.core.types import Overseer
from superalign.learners.rl.best_of_n import best_of_n
from superalign.learners.rl.options import require
from superalign.learners.rl.progress import Watching, named, under
from superalign.learners.rl.sft import SFT, sft
from superalign.models.policy import Policy, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """`rounds` of: `n` responses to every prompt, of at most `tokens` tokens drawn at `temperature` (no EOS before
    `least`), the best of each kept, and `tuning` on those, from the weights of the round before."""

    rounds: int = 3
    n: int = 8
    tokens: int = 16
    temperature: float = 1.0
    least: int = 0
    tuning: SFT = field(default_factory=lambda: SFT(lr=1e-4, steps=50))

    def __post_init__(self) -> None:
        require(self.rounds > 0 and self.n > 1, f"rounds={self.rounds} must be 1 or more and n={self.n} 2 or more")

    @property
    def sampling(self) -> Sampling:
        """How responses are drawn."""
        return Sampling(self.tokens, self.temperature, self.least)


def rejection(
    policy: Policy,
    prompts: Sequence[str],
    overseer: Overseer,
    options: Rejection = Rejection(),
    watching: Watching | None = None,
) -> Policy:
    """A copy of the policy, fine-tuned on its own best responses. Events tell each round's mean score of the best.

    Prompts on which the overseer abstained sit a round out. Each round's tuning is a run of its own, `<run>/round-<k>`,
    and where checkpoints are kept there is one after each round.
    Raises Degenerate where the overseer abstains on everything.
    """
    run, trained, first = watching or Watching(), policy.copy(), 0
    if run.store is not None:
        inputs = {"method": "rejection", "options": asdict(options), "prompts": list(prompts), "seed": run.seed}
        if (kept := run.resume({**inputs, "weights": digest(policy.state())})) is not None:
            first = int(kept["iteration"])
            trained.load(under("policy/", kept))
    for k in range(first, options.rounds):
        run.look(trained, k, options.rounds)
        best = best_of_n(trained, prompts, overseer, options.n, options.sampling, run.generator("rollout", k))
        run.emit("iteration", k, best=float(best.scores.mean()), dropped=best.dropped)
        inner = replace(run, run=f"{run.run}/round-{k}", evaluate=None, events=[])
        trained = sft(trained, best.rows, options.tuning, inner)
        if inner.stopped:
            run.emit("stopped", k, reason=f"round {k}: {inner.stopped}")
            break
        if run.every:
            run.keep(k + 1, {"iteration": k + 1, **named("policy/", trained.state())})
        run.progress("rounds", k + 1, options.rounds)
    run.look(trained, options.rounds, options.rounds)
    return trained
