"""One seed of a study: its memoised stages. Arms share the start model, samples, labels and reward models.

A stage's key is its recipe, so a plan knows every key before anything runs, a killed run goes on where it was, and a
study that names one more arm computes that arm alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from superalign.core.errors import Degenerate, SpecError
from superalign.core.ports import Progress
from superalign.core.random import derive
from superalign.core.registry import parse, sources
from superalign.core.steps import Steps
from superalign.core.types import Overseer
from superalign.learners.rl import overseers
from superalign.learners.rl.comparisons import Comparisons, compared
from superalign.learners.rl.options import require
from superalign.learners.rl.progress import Watching, named, under
from superalign.learners.rl.reward import RewardModel, overseer, reward_model
from superalign.learners.rl.rollouts import packed
from superalign.learners.rl.sft import held_out_loss, sft, whole
from superalign.models.policy import Policy, Rows, Sampling
from superalign.studies.rlhf import labellers
from superalign.studies.rlhf.examine import sampled
from superalign.studies.rlhf.ground import Ground
from superalign.studies.rlhf.labellers import Labeller
from superalign.studies.rlhf.settings import Settings

if TYPE_CHECKING:
    from superalign.core.resample import Floats

VERSION = 1  # of every stage; bump it when their code changes numbers
GOLD = "gold"
SHOWN = 4
"""Responses of each arm that are kept to be shown."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A memoised piece of work: what it is, its recipe, and how to compute it."""

    name: str
    step: str
    recipe: dict[str, Any]
    compute: Callable[[], dict[str, Any]]

    def run(self, steps: Steps) -> dict[str, Any]:
        return steps.run(self.step, VERSION, self.recipe, self._timed)

    def key(self, steps: Steps) -> str:
        return steps.key(self.step, VERSION, self.recipe)

    def known(self, steps: Steps) -> bool:
        return steps.known(self.step, VERSION, self.recipe)

    def _timed(self) -> dict[str, Any]:
        start, used = time.perf_counter(), time.process_time()
        value = self.compute()
        return {**value, "seconds": time.perf_counter() - start, "cpu": time.process_time() - used}


class Lab:
    """The stages of one seed on one ground."""

    def __init__(
        self, ground: Ground, settings: Settings, seed: int, cast: Mapping[str, str], steps: Steps, progress: Progress
    ) -> None:
        self.ground, self.settings, self.seed, self.cast = ground, settings, seed, dict(cast)
        self.steps, self.progress = steps, progress
        self._stages: dict[str, Stage] = {}
        self._models: dict[str, RewardModel] = {}
        self._judges: dict[str, Labeller] = {}

    @property
    def sampling(self) -> Sampling:
        """How responses are drawn wherever a policy is looked at."""
        return Sampling(self.ground.tokens, 1.0, self.ground.least)

    @cached_property
    def start(self) -> Policy:
        """The policy before anything was taught."""
        return self.ground.start(self.settings.policy)

    @cached_property
    def base(self) -> Policy:
        """The start model of all algorithms, and their reference: fine-tuned on demonstrations where there are any."""
        return self.taught(self.sft())

    def taught(self, stage: Stage) -> Policy:
        """The policy with the weights that a stage left."""
        policy, state = self.start.copy(), under("state/", stage.run(self.steps))
        if state:
            policy.load(state)
        return policy

    def sft(self, width: int | None = None) -> Stage:
        """The start model; with `width`, a smaller one for a weak overseer."""
        body = self.settings.policy if width is None else replace(self.settings.policy, width=width)
        start = self.start if width is None else self.ground.start(body)
        recipe = {"sft": asdict(self.settings.sft), "corpus": self.settings.corpus, "policy": dict(start.identity)}
        name = "start model" if width is None else f"start model of width {width}"

        def compute() -> dict[str, Any]:
            if self.ground.demonstrations is None:
                return {}
            shown = self.ground.demonstrations(self.settings.corpus, "train")
            rows = packed(start, *shown, eos=self.ground.ends)
            trained = sft(start, rows, self.settings.sft, self.watching("sft", f"supervised fine-tuning, {name}"))
            return named("state/", trained.state())

        return self.stage(name, "rlhf-sft", recipe, compute)

    @cached_property
    def text(self) -> Rows | None:
        """Held-out text: what the language loss is measured on."""
        if self.ground.demonstrations is None:
            return None
        rows = packed(self.start, *self.ground.demonstrations(512, "validation"), eos=self.ground.ends)
        return whole(rows) if self.settings.sft.prompts_too else rows

    def reference(self) -> Stage:
        """Samples of the start model: two to each of many prompts, which set the unit, and one to each final prompt."""
        looked = self.settings.evaluation
        recipe = {"sft": self.sft().key(self.steps), "evaluation": [looked.reference, looked.final], **self._sampling()}
        recipe["stance"] = self.ground.stance is not None

        def compute() -> dict[str, Any]:
            prompts = [p for p in self.ground.prompts((looked.reference + 1) // 2, "reference") for _ in range(2)]
            final = self.ground.prompts(looked.final, "final")
            first = sampled(self.base, self.base, prompts, self.sampling, self.draws("reference"))
            found = sampled(self.base, self.base, final, self.sampling, self.draws("start, final"))
            value: dict[str, Any] = {"prompts": prompts, "completions": list(first.completions)}
            value |= {"final/length": found.length, "final/repetition": found.repetition, "entropy": found.entropy}
            value |= {"shown": [[p, c] for p, c in zip(final, found.completions, strict=True)][:SHOWN]}
            if self.ground.stance is not None:
                value |= {
                    "final/stance": self.ground.stance(found.completions),
                    "final/side": self.ground.stance(final),
                }
            if self.ground.gold is not None:
                value["gold"] = overseers.score(self.ground.gold, prompts, first.completions)
                value["final/gold"] = overseers.score(self.ground.gold, final, found.completions)
            if self.text is not None:
                value["lm_loss"] = held_out_loss(self.base, self.text)
            return value

        return self.stage("samples of the start model", "rlhf-reference", recipe, compute)

    def spread(self, text: str, scores: Overseer) -> tuple[float, float]:
        """Mean and standard deviation of an overseer's scores on samples of the start model."""
        stage = self.reference()

        def compute() -> dict[str, Any]:
            value = stage.run(self.steps)
            found = overseers.score(scores, value["prompts"], value["completions"])
            if not np.isfinite(found).any():
                raise Degenerate(
                    f"{text} abstained on all {len(found)} samples of the start model, so its scores have no unit"
                )
            sd = float(np.nanstd(found))
            return {"mean": float(np.nanmean(found)), "sd": sd if sd > 1e-9 else 1.0}

        recipe = {"overseer": self.identity_of(text), "reference": stage.key(self.steps)}
        value = self.stage(f"unit of {text}", "rlhf-unit", recipe, compute).run(self.steps)
        return float(value["mean"]), float(value["sd"])

    def unit(self) -> tuple[float, float]:
        """Mean and standard deviation of gold among samples of the start model. Raises SpecError without a truth."""
        require(self.ground.gold is not None, "there is no gold reward here; name one with --gold ./mine.py:truth")
        assert self.ground.gold is not None
        return self.spread(GOLD, self.ground.gold)

    def gold(self) -> Overseer | None:
        """The truth in standard deviations of the start model's samples."""
        if self.ground.gold is None:
            return None
        return self.standard(GOLD, self.ground.gold)

    def standard(self, text: str, scores: Overseer) -> Overseer:
        """Scores in standard deviations above the mean of the start model's samples."""
        mean, sd = self.spread(text, scores)
        return labellers.rescored(scores, lambda text, score: (score - mean) / sd)

    def labeller(self, text: str) -> Labeller:
        """An overseer by its reference."""
        ref = labellers.checked(text, self.ground.gold is not None)
        if ref.name == "judge" or ref.name in labellers.RANKED:
            return self._cast(text)
        sharp = self.settings.labels.sharpness
        if ref.name == "weak":
            model = self.reward_model(GOLD, ref.options["n"], ref.options.get("width"))
            scores = overseer(model)
            return Labeller(overseers.by_score(scores, model.gain), scores)
        if ref.name == "gold" and self.ground.gold is not None:
            return labellers.gold(ref, self.ground.gold, self.unit()[1], sharp)
        scores = labellers.own(ref)
        return labellers.gold(parse("own"), scores, self.spread(text, scores)[1], sharp)

    def _cast(self, text: str) -> Labeller:
        """Made once: models are loaded, and a desk is read from its beginning."""
        if text not in self._judges:
            ref = parse(text)
            self._judges[text] = (
                labellers.judge(ref, self.ground, self.cast, self.steps)
                if ref.name == "judge"
                else labellers.ranking(ref, self.cast, self.seed, self.steps)
            )
        return self._judges[text]

    def reward(self, text: str) -> Overseer:
        """An overseer as a reward, in standard deviations."""
        return self.standard(text, self.labeller(text).rewards(self._answers))

    def _answers(self, prompts: Sequence[str]) -> Sequence[str]:
        """The start model's answers, which an overseer that only compares measures others against."""
        asked = list(dict.fromkeys(prompts))
        found = sampled(self.base, self.base, asked, self.sampling, self.draws("answers", asked))
        known = dict(zip(asked, found.completions, strict=True))
        return [known[p] for p in prompts]

    def samples(self, n: int) -> Stage:
        """Responses of the start model to n prompts, to be labelled by whom it may concern."""
        k = self.settings.labels.samples
        recipe = {"sft": self.sft().key(self.steps), "n": n, "samples": k, **self._sampling()}

        def compute() -> dict[str, Any]:
            prompts = self.ground.prompts(n, "labels")
            asked = [p for p in prompts for _ in range(k)]
            found = sampled(self.base, self.base, asked, self.sampling, self.draws("samples", n)).completions
            return {"prompts": list(prompts), "responses": [list(found[i : i + k]) for i in range(0, n * k, k)]}

        return self.stage(f"samples to label, {n} prompts", "rlhf-samples", recipe, compute)

    def labels(self, text: str, n: int) -> Stage:
        """All pairs of these samples, labelled."""
        stage, how = self.samples(n), self.settings.labels
        recipe: dict[str, Any] = {"overseer": self.identity_of(text), "samples": stage.key(self.steps)}
        recipe |= {"labels": asdict(how)}
        recipe |= {"reference": self.reference().key(self.steps)}
        soft = how.soft or parse(text).name in labellers.SOFT
        if soft:
            recipe["soft"] = True

        def compute() -> dict[str, Any]:
            value = stage.run(self.steps)
            judged = compared(self.labeller(text).compares, value["prompts"], value["responses"])
            given = judged if soft else judged.sampled(derive(self.seed, "rlhf/labels"))
            found = {"left": given.left, "right": given.right, "p": given.p, "dropped": given.dropped}
            asked_twice = parse(text).name not in labellers.RANKED  # a ranking is shown in one order
            found |= {"gap": judged.gap if asked_twice and np.isfinite(judged.gap) else None}
            if self.ground.gold is not None:
                truth = overseers.score(self.ground.gold, judged.asked, judged.answered)
                apart = truth[given.left] - truth[given.right]
                found["agree"] = ((given.p > 0.5) == (apart > 0))[(apart != 0) & (given.p != 0.5)].astype(float)
            return found

        return self.stage(f"labels of {text}, {n} prompts", "rlhf-labels", recipe, compute)

    def comparisons(self, text: str, n: int) -> Comparisons:
        """Labelled pairs."""
        value, drawn = self.labels(text, n).run(self.steps), self.samples(n).run(self.steps)
        groups = tuple(tuple(group) for group in drawn["responses"])
        return Comparisons(tuple(drawn["prompts"]), groups, value["left"], value["right"], value["p"], value["dropped"])

    def rm(self, text: str, n: int, width: int | None = None) -> Stage:
        """A reward model of these labels, normalised on samples of the start model."""
        options = replace(self.settings.rm, eos=self.ground.ends)
        recipe = {"labels": self.labels(text, n).key(self.steps), "rm": asdict(options)}
        recipe |= {"body": self.sft(width).key(self.steps)}

        def compute() -> dict[str, Any]:
            sample = self.reference().run(self.steps)
            calm = (sample["prompts"], sample["completions"])
            watching = self.watching("rm", f"reward model of {text}, {n} prompts")
            model = reward_model(self._body(width), self.comparisons(text, n), options, watching, reference=calm)
            value = {**named("state/", model.state()), "stopped": watching.stopped}
            return value | ({"agree": agreement(model.scores(*calm), sample["gold"])} if "gold" in sample else {})

        return self.stage(f"reward model of {text}, {n} prompts", "rlhf-rm", recipe, compute)

    def _body(self, width: int | None) -> Policy:
        if width is None:
            return self.base
        policy = self.ground.start(replace(self.settings.policy, width=width))
        policy.load(under("state/", self.sft(width).run(self.steps)))
        return policy

    def reward_model(self, text: str, n: int, width: int | None = None) -> RewardModel:
        """The reward model itself."""
        stage = self.rm(text, n, width)
        key = stage.key(self.steps)
        if key not in self._models:
            value = stage.run(self.steps)
            model = RewardModel(self._body(width), eos=self.ground.ends)
            model.load(under("state/", value))
            self._models[key] = model
        return self._models[key]

    def proxy(self, text: str, n: int) -> Overseer:
        """The reward model as an overseer, in standard deviations of the start model's samples."""
        return overseer(self.reward_model(text, n))

    def identity_of(self, text: str) -> dict[str, Any]:
        """What an overseer's judgments depend on."""
        found: dict[str, Any] = {"overseer": text, "sharpness": self.settings.labels.sharpness}
        if text.startswith(("judge", "labeller")):
            found["cast"] = self.cast
        if text.startswith("weak"):
            ref = labellers.checked(text, True)
            found["weak"] = self.rm(GOLD, ref.options["n"], ref.options.get("width")).key(self.steps)
        files = sources(text, *self.cast.values())
        return {**found, "files": files} if files else found

    def corpus(self) -> Rows:
        """The text of PPO-ptx: the demonstrations, prompts too where the start model was taught them."""
        if self.ground.demonstrations is None:
            raise SpecError("ptx needs demonstrations; name a file of them with --demonstrations FILE, or set --ptx 0")
        rows = packed(self.start, *self.ground.demonstrations(self.settings.corpus, "train"), eos=self.ground.ends)
        return whole(rows) if self.settings.sft.prompts_too else rows

    def draws(self, purpose: str, *inputs: Any) -> torch.Generator:
        """A random stream of this seed."""
        return torch.Generator().manual_seed(derive(self.seed, f"rlhf/{purpose}", *inputs))

    def watching(self, step: str, label: str) -> Watching:
        """A run that is short enough not to be kept half done."""
        return Watching(
            derive(self.seed, f"rlhf/{step}"), progress=lambda name, done, total: self.progress(label, done, total)
        )

    def _sampling(self) -> dict[str, Any]:
        return {"sampling": asdict(self.sampling)}

    def stage(self, name: str, step: str, recipe: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> Stage:
        """Adds the seed and the ground to the recipe."""
        full = {**recipe, "seed": self.seed, "ground": dict(self.ground.identity)}
        stage = Stage(name, step, full, compute)
        return self._stages.setdefault(stage.key(self.steps), stage)


def agreement(scores: Floats, gold: Floats) -> Floats:
    """Whether two neighbouring responses, to the same prompt, are ordered as by gold, without gold's ties."""
    size = len(gold) // 2 * 2
    ours, truth = (np.diff(x[:size].reshape(-1, 2), axis=1)[:, 0] for x in (scores, gold))
    known: Floats = ((np.sign(ours[truth != 0]) * np.sign(truth[truth != 0])) + 1) / 2
    return known
