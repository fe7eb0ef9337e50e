"""Who supervises: gold, a noisy or biased one, a weak reward model, a judge of debates, people, a program of one's own.

`gold`                          the truth of the world, whose preferences are sigmoid(3 * difference / sd)
`gold:noise=.3`                 its label is flipped with that probability
`gold:bias=table:strength=2`    logits for every time that a response says the word; `bias=length`: for every word
`weak:n=64`                     a reward model taught by gold on that many prompts; `width=16` on a smaller body
`judge:protocol=debate`         a judge of the protocol (`direct`, `debate:rounds=2`, ...), cast by the study; noise and
                                bias here are the judge's own flaws, in nats
`human`, `human:team-a:people=2` people at a desk of the store rank the responses to each prompt
`labeller`                      so does the model that is cast: --cast labeller=MODEL
`./mine.py:reward`              a function of (prompts, completions) that returns a score each, None to abstain
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from superalign.core.driver import oversee
from superalign.core.errors import ModelError, SpecError, nearest
from superalign.core.registry import Ref, build, find, options_of, parse
from superalign.core.transcript import Transcript
from superalign.core.types import Item, Judgment, Overseer, Verdict
from superalign.learners.rl.overseers import against, by_score, judged, program
from superalign.models.flawed import Flaw, Flawed
from superalign.protocols.rank import ROLE
from superalign.studies.oversee.cast import Chairs, assemble, speaker
from superalign.studies.oversee.feedback import is_person
from superalign.studies.rlhf.ground import Ground
from superalign.studies.rlhf.people import by_ranking, settled

KINDS = ("gold", "weak", "judge", "human", "labeller")
OPTIONS = {
    "gold": ("noise", "bias", "strength"), "weak": ("n", "width"), "human": ("people", "checks", "every"), "labeller": (),
}  # fmt: skip
RANKED = ("human", "labeller")
"""Overseers that rank all responses to a prompt at once."""
SOFT = ("judge", "weak", *RANKED)
"""Overseers whose labels are their probabilities; those of others are drawn from them."""


@dataclass(frozen=True, slots=True)
class Labeller:
    """An overseer by both abilities: `compares` pairs, and `scores` responses (None where it can only compare)."""

    compares: Overseer
    scores: Overseer | None = None

    def rewards(self, reference: Callable[[Sequence[str]], Sequence[str]]) -> Overseer:
        """It as a reward: its scores, or how likely it prefers the response to a reference answer."""
        return self.scores or against(self.compares, reference)


def checked(text: str, truth: bool) -> Ref:
    """The parsed reference of an overseer. Raises SpecError for an unknown kind, option or a bad value.

    `truth` says whether there is a gold reward to refer to.
    """
    ref = parse(text)
    if ".py:" in ref.name:
        return ref
    if ref.name == "rm":
        raise SpecError("rm is what the algorithms optimise, not who labels: type --overseer gold --reward rm")
    if ref.name not in KINDS or (ref.argument and ref.name != "human"):
        raise SpecError(f"no overseer is written {text!r}; {nearest(ref.name, KINDS)} (or ./file.py:function)")
    if ref.name in ("gold", "weak") and not truth:
        raise SpecError(f"{text!r} needs a gold reward; with a model of your own give --gold ./mine.py:truth")
    for option in ref.options:
        if ref.name in OPTIONS and option not in OPTIONS[ref.name]:
            raise SpecError(f"the overseer {ref.name!r} has no option {option!r}; {nearest(option, OPTIONS[ref.name])}")
    if ref.name == "weak" and not _whole(ref.options.get("n")):
        raise SpecError(f"a weak overseer names its labelled prompts, weak:n=64; got {text!r}")
    if ref.name == "judge" and not isinstance(ref.options.get("protocol"), str):
        raise SpecError(f"a judge names its protocol, judge:protocol=debate; got {text!r}")
    noise = ref.options.get("noise", 0.0)
    if ref.name == "gold" and not (isinstance(noise, int | float) and 0 <= noise <= 0.5):
        raise SpecError(f"noise is the probability of a flipped label, 0 to 0.5; got {text!r}")
    if ("strength" in ref.options) != ("bias" in ref.options) and ref.name == "gold":
        raise SpecError(f"a bias is written bias=WORD:strength=2 (logits per word); got {text!r}")
    return ref


def gold(ref: Ref, scores: Overseer, sd: float, sharpness: float) -> Labeller:
    """Scores of known truth as a labeller, with its flaws; `sd` is their spread among samples of the start model."""
    tau = sd / sharpness
    word, strength, noise = ref.options.get("bias"), ref.options.get("strength", 0.0), ref.options.get("noise", 0.0)
    biased = rescored(scores, lambda text, score: score + strength * tau * counted(str(word), text))
    seen = scores if word is None else biased
    compares = by_score(seen, tau)
    return Labeller(flipped(compares, noise), None) if noise else Labeller(compares, seen)


def own(ref: Ref) -> Overseer:
    """The scores of a program in a file. Calling it raises ModelError where the program fails."""
    function = find("overseers", ref.name)
    known = options_of(function, ("prompts", "completions"))
    for option in ref.options:
        if known is not None and option not in known:
            raise SpecError(f"{ref.name} has no option {option!r}; {nearest(option, known)}")

    def scores(prompts: Sequence[str], completions: Sequence[str]) -> Sequence[float | None]:
        try:
            found: Sequence[float | None] = function(prompts, completions, **ref.options)
        except Exception as error:  # a program of somebody else may fail in any way
            raise ModelError(
                f"{ref.name} failed on {len(prompts)} responses: {type(error).__name__}: {error}; mend it and type the same"
                " command: what was finished is kept"
            ) from error
        return found

    return program(scores, ref.name)


def judge(ref: Ref, ground: Ground, cast: dict[str, str], steps: Any) -> Labeller:
    """A judge of a protocol. Raises SpecError where nobody is cast, PluginError for an unknown protocol or option."""
    options = dict(ref.options)
    flaw = Flaw(**{k: options.pop(k) for k in ("noise", "bias", "budget") if k in options})
    protocol = str(Ref(str(options.pop("protocol")), "", options))
    named = {role: build("models", speaker(m), inputs=None, steps=steps, choices=()) for role, m in cast.items()}
    chairs = {**ground.cast, **named}
    if "judge" not in chairs:
        raise SpecError(f"nobody is cast to judge {str(ref)!r}; name --cast judge=MODEL (and --cast agent=MODEL)")
    seat = chairs["judge"] if flaw == Flaw() else Flawed(chairs["judge"], flaw)
    rest = {role: model for role, model in chairs.items() if role not in ("judge", "agent")}
    cast_ = Chairs(seat, chairs.get("agent", chairs["judge"]), rest)
    # what speakers said is kept where people judge: asked anew, it would be another question to them
    kept = Transcript(steps.store, "calls/rlhf") if any(map(is_person, cast_.values())) else None
    plays = oversee(assemble(protocol), cast_, kept)

    def briefed(items: Sequence[Item]) -> list[Judgment]:
        """Speakers may quote what the ground knows about the pair; the judge does not see it."""
        if ground.sources is None:
            return settled(plays(items))
        return settled(plays([replace(i, info={**i.info, "source": ground.sources(i)}) for i in items]))

    return Labeller(briefed)


def ranking(ref: Ref, cast: dict[str, str], seed: int, steps: Any) -> Labeller:
    """People, or the model that is cast as `labeller`, who rank. Raises SpecError where nobody is cast, ModelError for
    people who cannot be reached."""
    if ref.name == "labeller" and ROLE not in cast:
        raise SpecError(f"nobody is cast to label; name --cast {ROLE}=MODEL, or type --overseer human for people")
    who = ref if ref.name == "human" else speaker(cast[ROLE])
    model = build("models", who, inputs=None, steps=steps, choices=())
    return Labeller(by_ranking(model, seed, Transcript(steps.store, "calls/rlhf")))


def rescored(overseer: Overseer, change: Callable[[str, float], float]) -> Overseer:
    """Scores changed by `change(completion, score)`; abstentions stay."""

    def scores(items: Sequence[Item]) -> list[Judgment]:
        found = []
        for item, judgment in zip(items, judged(overseer, items), strict=True):
            score = judgment.verdict.score
            if score is not None and judgment.verdict.abstained is None:
                changed = change(str(item.info.get("completion", "")), score)
                judgment = replace(judgment, verdict=replace(judgment.verdict, score=changed))
            found.append(judgment)
        return found

    return scores


def counted(word: str, text: str) -> float:
    """How often a text says the word; `length` counts all of them."""
    words = text.split()
    return float(len(words) if word == "length" else words.count(word))


def flipped(overseer: Overseer, noise: float) -> Overseer:
    """Probabilities of a labeller whose label is flipped with probability `noise`."""

    def compares(items: Sequence[Item]) -> list[Judgment]:
        found = []
        for judgment in judged(overseer, items):
            verdict = judgment.verdict
            if len(verdict.probs) == 2:
                p = noise + (1 - 2 * noise) * verdict.probs[0]
                verdict = Verdict(int(p < 0.5), (p, 1 - p))
            found.append(replace(judgment, verdict=verdict))
        return found

    return compares


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
