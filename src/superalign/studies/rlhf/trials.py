"""One arm of one seed: the algorithm at work, what it comes to, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from superalign.core.random import derive
from superalign.core.registry import parse
from superalign.core.types import Overseer
from superalign.learners.rl.best_of_n import candidates, curve
from superalign.learners.rl.dpo import dpo
from superalign.learners.rl.grpo import grpo
from superalign.learners.rl.ppo import Value, ppo
from superalign.learners.rl.progress import Watching, named
from superalign.learners.rl.rejection import rejection
from superalign.learners.rl.rloo import rloo
from superalign.models.policy import Policy
from superalign.studies.rlhf.arms import Arm
from superalign.studies.rlhf.examine import Examiner, Sampled
from superalign.studies.rlhf.lab import GOLD, SHOWN, Lab, Stage

CURVES = (
    "score", "best", "kl", "entropy", "explained_variance", "approx_kl", "clipped", "loss", "accuracy", "pretrain_loss",
)  # fmt: skip
"""What is kept of every iteration's event, where it is told."""
TUNED = 1024
"""Prompts of rejection sampling, each answered several times in every round."""
KEEP = 40
"""Iterations between checkpoints: an arm that is stopped loses less than half a minute of the small world."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An arm in a lab."""

    arm: Arm
    lab: Lab

    def needs(self) -> list[Stage]:
        """The stages that the arm stands on, in the order in which they need each other."""
        lab, arm = self.lab, self.arm
        found = [lab.sft(), lab.reference()]
        ref = parse(arm.overseer)
        if ref.name == "weak":
            n, width = ref.options["n"], ref.options.get("width")
            found += [lab.samples(n), lab.labels(GOLD, n), lab.rm(GOLD, n, width)]
        if arm.rm is not None:
            found += [lab.samples(arm.rm), lab.labels(arm.overseer, arm.rm), lab.rm(arm.overseer, arm.rm)]
        return found

    def stage(self) -> Stage:
        """The arm as a memoised stage. Its recipe names what it stands on by key."""
        lab, arm = self.lab, self.arm
        told = {k: v for k, v in arm.told().items() if k not in ("overseer", "rm", "reward")}
        recipe: dict[str, Any] = {"algorithm": arm.algorithm, "told": told, "options": asdict(self.options())}
        recipe |= {"reference": lab.reference().key(lab.steps), "evaluation": asdict(lab.settings.evaluation)}
        if arm.rm is not None:
            recipe["rm"] = lab.rm(arm.overseer, arm.rm).key(lab.steps)
        else:
            recipe |= {"reward": lab.identity_of(arm.overseer)}
        if arm.ptx:
            recipe["corpus"] = lab.settings.corpus
        compute = self._best_of_n if arm.algorithm == "best-of-n" else self._trained
        return lab.stage(arm.name, "rlhf-arm", recipe, compute)

    def options(self) -> Any:
        """The algorithm's options for this arm."""
        lab, arm = self.lab, self.arm
        held = getattr(lab.settings, arm.algorithm.replace("-", "_"))
        if arm.algorithm == "dpo":
            return replace(held, eos=lab.ground.ends)
        changed = {"beta": arm.beta, "tokens": lab.ground.tokens, "least": lab.ground.least, "pretrain": arm.ptx}
        known = {k: v for k, v in changed.items() if v is not None and hasattr(held, k)}
        return replace(held, **known)

    def proxy(self) -> Overseer:
        """What is optimised (for DPO: what would be), in standard deviations of the start model's samples."""
        arm, lab = self.arm, self.lab
        if arm.rm is not None:
            return lab.proxy(arm.overseer, arm.rm)
        return lab.reward(arm.overseer)

    def _trained(self) -> dict[str, Any]:
        lab, looked = self.lab, self.lab.settings.evaluation
        each = {"dpo": looked.slow, "rejection": 1}.get(self.arm.algorithm, looked.each)
        name = f"{self.arm.name}, seed {lab.seed}"
        watching = Watching(
            derive(lab.seed, "rlhf/arm"), lab.steps.store, self.stage().key(lab.steps),
            every=max(1, KEEP * each // looked.each), each=each,
            progress=lambda _, done, total: lab.progress(name, done, total),
        )  # fmt: skip
        proxy, prompts = self.proxy(), lab.ground.prompts(looked.prompts, "evaluation")
        examiner = Examiner(lab.base, prompts, lab.sampling, lab.gold(), proxy, lab.text, watching)
        watching.evaluate = examiner
        policy = self._learner(proxy, watching)()
        end = examiner.look(policy, lab.ground.prompts(looked.final, "final"), lab.draws("final"))
        peak, weights = examiner.peak()
        best = policy.copy()
        best.load(weights)
        fresh = examiner.look(best, lab.ground.prompts(looked.final, "fresh"), lab.draws("fresh"))
        return {
            **self._final(*end), **{f"fresh/{k}": v for k, v in fresh[1].items()}, "peak": peak,
            "evaluations": table(watching, "evaluation", ()), "iterations": table(watching, "iteration", CURVES),
            "alarms": alarms(watching),
            "stopped": watching.stopped, **named("state/", policy.state()), **named("best/", weights),
        }  # fmt: skip

    def _learner(self, proxy: Overseer, watching: Watching) -> Callable[[], Policy]:
        """The algorithm with all that it is told."""
        arm, lab, options = self.arm, self.lab, self.options()
        if arm.algorithm == "dpo":
            assert arm.rm is not None
            return partial(dpo, lab.base, lab.comparisons(arm.overseer, arm.rm), options, watching)
        given = (lab.base, lab.base, lab.ground.prompts(lab.settings.train_prompts, "train"), proxy, options, watching)
        if arm.algorithm == "rejection":
            return partial(rejection, lab.base, given[2][:TUNED], proxy, options, watching)
        if arm.algorithm != "ppo":
            return partial(grpo, *given) if arm.algorithm == "grpo" else partial(rloo, *given)
        value = None
        if arm.rm is not None and arm.value == "rm":
            value = Value.from_reward(lab.reward_model(arm.overseer, arm.rm))
        return partial(ppo, *given, value=value, pretrain=lab.corpus() if arm.ptx else None)

    def _final(self, found: Sampled, scores: dict[str, Any]) -> dict[str, Any]:
        """What the policy comes to on the final prompts, beside the start model's responses to the same."""
        start = self.lab.reference().run(self.lab.steps)
        value: dict[str, Any] = {f"final/{k}": v for k, v in scores.items()}
        value |= {"final/kl": found.kl, "final/length": found.length, "final/repetition": found.repetition}
        value |= {"shown": list(found.completions[:SHOWN])}
        if self.lab.ground.stance is not None:
            leant = self.lab.ground.stance(found.completions) - start["final/stance"]
            value |= {"final/leant": leant, "final/side": start["final/side"]}
        if "gold" in scores:
            mean, sd = self.lab.unit()
            apart = scores["gold"] - (start["final/gold"] - mean) / sd
            value["final/won"] = (np.sign(np.where(np.abs(apart) < 1e-9, 0.0, apart)) + 1) / 2
        return value

    def _best_of_n(self) -> dict[str, Any]:
        """Best of n for every n up to the largest, from one batch of samples; the peak is chosen on half of the prompts."""
        lab, options = self.lab, self.options()
        prompts = lab.ground.prompts(options.prompts, "best-of-n")
        drawn = candidates(lab.base, prompts, options.n, lab.sampling, lab.draws("best-of-n"))
        proxy, truth = drawn.scored(self.proxy()), lab.gold()
        gold = proxy if truth is None else drawn.scored(truth)
        found = curve(proxy, gold, sorted({*(2**k for k in range(options.n.bit_length())), options.n}))
        peak = int(found.gold[::2].mean(0).argmax())
        chosen = [group[k] for group, k in zip(drawn.groups, np.nan_to_num(proxy, nan=-np.inf).argmax(1), strict=True)]
        best = np.take_along_axis(gold, np.nan_to_num(proxy, nan=-np.inf).argmax(1)[:, None], 1)
        words = [text.split() for text in chosen]
        value: dict[str, Any] = {
            "sizes": list(found.sizes), "curve/kl": found.kl, "curve/proxy": found.proxy, "final/proxy": found.proxy[:, -1],
            "final/kl": np.full(len(found.proxy), found.kl[-1]), "final/length": np.array([len(w) for w in words], float),
            "final/repetition": np.array([1 - len(set(w)) / max(1, len(w)) for w in words]), "peak": peak,
            "shown": chosen[:SHOWN], "dropped": found.dropped,
        }  # fmt: skip
        if lab.ground.stance is not None:  # beside the start model: all of its candidates
            stances = lab.ground.stance([text for group in drawn.groups for text in group]).reshape(gold.shape)
            value |= {
                "final/leant": lab.ground.stance(chosen) - stances.mean(1),
                "final/side": lab.ground.stance(prompts),
            }
        if truth is not None:
            value |= {"curve/gold": found.gold, "final/gold": found.gold[:, -1], "fresh/gold": found.gold[1::2, peak]}
            value["final/won"] = ((gold < best).sum(1) + (np.isclose(gold, best).sum(1) - 1) / 2) / (gold.shape[1] - 1)
        return value


def table(watching: Watching, kind: str, names: tuple[str, ...]) -> dict[str, list[Any]]:
    """Events of one kind as columns; of `names` those that are told, all numbers without any."""
    history = watching.history(kind)
    if not history:
        return {}
    known = [k for k, v in history[0].items() if k not in ("kind", "iteration") and (k in names or not names)]
    return {"iteration": [e["iteration"] for e in history], **{k: [e.get(k) for e in history] for k in known}}


def alarms(watching: Watching) -> list[list[Any]]:
    """Alarms as (iteration, what about, value), each once also where an iteration was run again after a stop."""
    rung = {(e["iteration"], e["about"]): e["value"] for e in watching.events if e["kind"] == "alarm"}
    return [[iteration, about, value] for (iteration, about), value in rung.items()]
