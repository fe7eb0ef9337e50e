"""A policy under examination: samples on prompts it never saw, graded by the truth and by the proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from superalign.core.steps import decode, encode
from superalign.core.types import Overseer
from superalign.learners.rl import overseers
from superalign.learners.rl.maths import masked_mean
from superalign.learners.rl.progress import Watching, named, under
from superalign.learners.rl.rollouts import sample
from superalign.learners.rl.sft import held_out_loss
from superalign.models.hf.ranks import leads
from superalign.models.policy import Policy, Rows, Sampling

if TYPE_CHECKING:
    from superalign.core.resample import Floats

ROWS = 256
"""Responses sampled at once."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """Responses to prompts, one number per response, (n,) each. `kl` is the estimate of each response, in nats;
    `repetition` the share of words said before in the same response; `entropy` the mean in nats per token."""

    completions: tuple[str, ...]
    kl: Floats
    length: Floats
    repetition: Floats
    entropy: float


def sampled(
    policy: Policy, reference: Policy, prompts: Sequence[str], sampling: Sampling, draws: torch.Generator
) -> Sampled:
    """One response to each prompt."""
    texts: list[str] = []
    kl, entropy = [], []
    for start in range(0, len(prompts), ROWS):
        found = sample(policy, reference, prompts[start : start + ROWS], sampling, draws)
        texts += found.completions
        kl.append(found.kl.double().cpu().numpy())
        entropy.append((float(masked_mean(found.entropy, found.mask)), len(found.prompts)))
    words = [text.split() for text in texts]
    return Sampled(
        tuple(texts),
        np.concatenate(kl),
        np.array([len(w) for w in words], float),
        np.array([1 - len(set(w)) / len(w) if w else 0.0 for w in words]),
        sum(e * n for e, n in entropy) / len(prompts),
    )


@dataclass(slots=True)
class Examiner:
    """Looks at a policy while it is trained, and keeps the weights of its peak.

    `gold` and `proxy` score responses in standard deviations of the start model's samples; either may be missing. The
    peak is the evaluation with the highest gold (proxy where there is no gold). `text` holds rows of held-out text.
    """

    reference: Policy
    prompts: Sequence[str]
    sampling: Sampling
    gold: Overseer | None
    proxy: Overseer | None
    text: Rows | None
    watching: Watching
    _peaks: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    def __call__(self, policy: Policy, iteration: int) -> dict[str, float]:
        """Means over the prompts, standard errors of the scores; remembers the weights if this is the peak so far."""
        draws = self.watching.generator("evaluation", iteration)
        found, scores = self.look(policy, self.prompts, draws)
        told = {"kl": float(found.kl.mean()), "length": float(found.length.mean()), "entropy": found.entropy}
        told["repetition"] = float(found.repetition.mean())
        for name, values in scores.items():
            told |= {name: float(np.nanmean(values)), f"{name}_se": float(np.nanstd(values) / len(values) ** 0.5)}
        if self.text is not None:
            told["lm_loss"] = held_out_loss(policy, self.text)
        best = max((e[self.criterion] for e in self.watching.history("evaluation")), default=float("-inf"))
        if told[self.criterion] > best:
            self._keep(iteration, policy.state())
        return told

    @property
    def criterion(self) -> str:
        """What the peak is chosen by."""
        return "gold" if self.gold is not None else "proxy"

    def look(self, policy: Policy, prompts: Sequence[str], draws: torch.Generator) -> tuple[Sampled, dict[str, Floats]]:
        """Fresh samples and their scores, each (n,)."""
        found = sampled(policy, self.reference, prompts, self.sampling, draws)
        kinds = {"gold": self.gold, "proxy": self.proxy}
        return found, {k: overseers.score(o, prompts, found.completions) for k, o in kinds.items() if o is not None}

    def peak(self) -> tuple[int, Mapping[str, Any]]:
        """The iteration of the highest evaluation, the first of equals, and the weights there."""
        history = self.watching.history("evaluation")
        best = max(history, key=lambda e: e[self.criterion])["iteration"]
        if best in self._peaks:
            return best, self._peaks[best]
        artifact = self.watching.store.get(self._key(best)) if self.watching.store is not None else None
        assert artifact is not None, "a resumed run finds the weights that it kept before it was stopped"
        return best, under("state/", decode(artifact.data))

    def _keep(self, iteration: int, state: Mapping[str, Any]) -> None:
        self._peaks = {iteration: state}
        if self.watching.store is not None and leads():
            self.watching.store.put(self._key(iteration), encode(named("state/", state)), {"run": self.watching.run})

    def _key(self, iteration: int) -> str:
        return f"{self.watching.run}/peak/{iteration}"
