"""Does the explanation say what the unit does? Push the unit up and see whether the text that follows shows it.

    score = E_i[log p(explanation | prompt i, text of the pushed model) - log p(explanation | prompt i, its own text)]

(Paulo et al. 2024, arXiv 2410.13928, on intervention scoring), in nats, under a language model that reads both
continuations. It finds units that act on the output and are hard to recognise by their inputs. Prompts are windows of
the split `test`, cut after the first token where the unit fires; from there on a strength times its direction is added.
The strength is tuned on prompts of the split `calibrate` until every unit disturbs the next token equally: a mean
KL(own || pushed) of half a nat. Both continuations are sampled with the same uniform draws, so where the push changes
nothing they are equal.

Controls: the explanation of another unit (`shuffled`), a random direction of equal norm (`random direction`) and the
other unit itself (`another unit`), the last two pushed to the same KL on the same prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from superalign.core.random import derive, stream
from superalign.core.spec import Number
from superalign.interp.controls import Pair, derangement, random_directions
from superalign.interp.evidence import Evidence
from superalign.interp.metrics import clusters, ratio
from superalign.interp.scorers.correlation import fires, firing_level
from superalign.interp.scorers.effects import Directions, begun, check, logits, written
from superalign.interp.subject import Subject
from superalign.interp.templates import sheet
from superalign.interp.units import Explanation, Score, undefined

Values = NDArray[Any]
Likelihoods = Callable[[Sequence[tuple[str, str]]], Values]
"""log p(text | what stands before it) in nats of each (before, text), (n,)."""

STRENGTHS = (1e-3, 1e4)
"""The strengths that are tried, in units of the direction."""
_STEPS = 10
_TOLERANCE = 0.1  # of the KL aimed at, relative


@dataclass(frozen=True)
class Prompts:
    """Beginnings of windows, cut after the first token where a unit fires, and the document of each."""

    tokens: tuple[Values, ...]
    documents: Values

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Push:
    """`strength` times `direction` added at `site`, and the mean KL in nats between own and pushed next-token
    distributions; without strength where none does it, with the nearest KL."""

    site: str
    direction: Tensor
    strength: float | None
    divergence: float


class Intervention:
    """The intervention score of each pair.

    `likelihoods` reads texts (`continuation_log_probs` of `models.hf.zero_shot` with its first three arguments bound is
    one); `directions` says where latents and directions are written. `prompts` of `test` and `tuning` of `calibrate`,
    continuations of `tokens` tokens, `target` nats.
    """

    name = "intervention"
    controlled = True
    """Each score comes with controls of its own, another explanation among them."""

    def __init__(
        self,
        subject: Subject,
        likelihoods: Likelihoods,
        directions: Directions | None = None,
        *,
        prompts: int = 40,
        tuning: int = 10,
        tokens: int = 8,
        target: float = 0.5,
        seed: int = 0,
        template: str = "",
    ) -> None:
        self.subject, self.directions = subject, dict(directions or {})
        self._likelihoods = likelihoods
        self._prompts, self._tuning, self._tokens, self._target, self._seed = prompts, tuning, tokens, target, seed
        self._sheet = sheet("intervention", template, {"shown": ("prompt", "continuation")})

    def score(self, pairs: Sequence[tuple[Explanation, Evidence]]) -> list[list[Score]]:
        """One score for each pair. Raises ModelError for a corpus or unit that is not the subject's."""
        others = derangement([e.unit for _, e in pairs], [e.density for _, e in pairs], self._seed)
        return [
            [self._score(*pair, None if other is None else pairs[other])]
            for pair, other in zip(pairs, others, strict=True)
        ]

    def promoted(self, evidence: Evidence, count: int = 5) -> tuple[tuple[str, float], ...]:
        """The tokens whose probability a push raises most, and by how much on average over the prompts of `calibrate`:
        what an explainer of effects is shown. Empty for a unit that cannot be pushed."""
        site, direction = written(evidence.unit, self.subject, self.directions)
        prompts = self.cut(evidence, "calibrate", self._tuning)
        push = self.tuned(prompts, site, direction) if len(prompts) else Push(site, direction, None, 0.0)
        if push.strength is None:
            return ()
        own, pushed = (_last(self.subject, prompts, by).softmax(-1).mean(0) for by in (None, push))
        rise, ids = (pushed - own).topk(min(count, len(own)))
        return tuple((self.subject.strings[k], r) for k, r in zip(ids.tolist(), rise.tolist(), strict=True))

    def _score(self, explanation: Explanation, evidence: Evidence, other: Pair | None) -> Score:
        check(self.subject, evidence.corpus)
        tuning, prompts = self.cut(evidence, "calibrate", self._tuning), self.cut(evidence, "test", self._prompts)
        if not len(tuning) or not len(prompts):
            split = "test" if len(tuning) else "calibrate"
            return undefined(self.name, f"undefined: it fires in no new window of the split {split!r}")
        draws = stream(self._seed, "continuations", evidence.unit.name).random((len(prompts), self._tokens))
        plain = self._read(prompts, continued(self.subject, prompts, draws))
        rises: dict[str, Number] = {}
        for name, (site, direction) in self._pushes(evidence, other).items():
            push = self.tuned(tuning, site, direction)
            if push.strength is None:
                reason = f"undefined: no strength from {STRENGTHS[0]:g} to {STRENGTHS[1]:g} moves the next token by "
                reason += f"{self._target:g} nats (nearest {push.divergence:.2g})"
                rises[name] = Number(value=None, n=len(prompts), reason=reason)
                continue
            pushed = self._read(prompts, continued(self.subject, prompts, draws, push))
            rises[name] = self._rise(explanation, plain, pushed, prompts)
            if name == "own" and other is not None:
                rises["shuffled"] = self._rise(other[0], plain, pushed, prompts)
        own = rises.pop("own")
        return Score(self.name, own, "undefined" if own.value is None else "ok", len(prompts), controls=rises)

    def _pushes(self, evidence: Evidence, other: Pair | None) -> dict[str, tuple[str, Tensor]]:
        """Where and along what to push: the unit, and its controls."""
        site, direction = written(evidence.unit, self.subject, self.directions)
        drawn = random_directions(len(direction), 1, derive(self._seed, "random push", evidence.unit.name))[0]
        found = {
            "own": (site, direction),
            "random direction": (site, torch.from_numpy(drawn).to(direction) * direction.norm()),
        }
        if other is not None:
            found["another unit"] = written(other[1].unit, self.subject, self.directions)
        return found

    def cut(self, evidence: Evidence, split: str, count: int) -> Prompts:
        """Windows of a split drawn uniformly among those where the unit fires, cut after the first such token; so long
        that a continuation would not fit the model's context, they lose their beginning."""
        corpus = evidence.corpus
        level = firing_level(evidence.on(corpus.pick("calibrate")))
        among = evidence.active(split)
        among = np.sort(among[evidence.maxima[among] >= level])
        drawn = stream(self._seed, "prompts", evidence.unit.name, split).choice(among, min(count, len(among)), False)
        room = max(1, self.subject.context - self._tokens)
        tokens = []
        for window in drawn.tolist():
            rows = np.arange(corpus.windows[window], corpus.windows[window + 1])
            cut = int(np.argmax(fires(evidence.at(rows), level)))
            tokens.append(corpus.tokens[rows[max(0, cut + 1 - room) : cut + 1]])
        return Prompts(tuple(tokens), corpus.document_of[corpus.windows[drawn]])

    def tuned(self, prompts: Prompts, site: str, direction: Tensor) -> Push:
        """The push that disturbs the next token by the target, by a search that interpolates log KL in log strength (KL
        grows with the square of a small push) and halves the bracket every other step (it flattens for a large one)."""
        low, high = (math.log10(end) for end in STRENGTHS)
        own = _last(self.subject, prompts, None).double().log_softmax(-1)
        seen: dict[float, float] = {}  # log10 strength -> log(KL / target)
        at = 0.0
        for step in range(_STEPS):
            push = Push(site, direction, 10**at, 0.0)
            pushed = _last(self.subject, prompts, push).double().log_softmax(-1)
            reached = float((own.exp() * (own - pushed)).sum(-1).mean())
            if abs(reached / self._target - 1) <= _TOLERANCE:
                return replace(push, divergence=reached)
            seen[at] = math.log(min(max(reached, 1e-12) / self._target, 1e6)) if math.isfinite(reached) else math.inf
            below, above = ([x for x, y in seen.items() if (y > 0) == over] for over in (False, True))
            if below and above:
                left, right = max(below), min(above)
                share = seen[left] / (seen[left] - seen[right])
                at = (left + right) / 2 if step % 2 or not share else left + share * (right - left)
            else:
                at = min(max(at - seen[at] / (2 * math.log(10)), low), high)
            if at in seen:
                break
        nearest = min(seen.values(), key=abs)
        return Push(site, direction, None, self._target * math.exp(min(nearest, 50.0)))

    def _read(self, prompts: Prompts, continuations: Values) -> list[str]:
        """What the likelihood is asked after: each prompt with its continuation."""
        strings = self.subject.strings
        return [
            self._sheet.fill("shown", prompt=_text(strings, prompt), continuation=_text(strings, continuation))
            for prompt, continuation in zip(prompts.tokens, continuations, strict=True)
        ]

    def _rise(self, explanation: Explanation, plain: Sequence[str], pushed: Sequence[str], prompts: Prompts) -> Number:
        texts = [(before, explanation.text) for before in (*plain, *pushed)]
        own, moved = np.asarray(self._likelihoods(texts), np.float64).reshape(2, -1)
        return ratio(moved - own, np.ones(len(own)), clusters(prompts.documents, self._seed))


def continued(subject: Subject, prompts: Prompts, draws: Values, push: Push | None = None) -> Values:
    """Tokens sampled after each prompt at temperature 1, (n, tokens), by inverting the distribution at uniform `draws`
    (n, tokens): equal draws and equal distributions give equal tokens."""
    count = draws.shape[1]
    rows = [np.concatenate([prompt, np.zeros(count, np.int64)]) for prompt in prompts.tokens]
    ids, last = _begun(subject, rows, [len(prompt) for prompt in prompts.tokens])
    n = torch.arange(len(rows), device=ids.device)
    uniform = torch.from_numpy(draws).to(ids.device)
    for k in range(count):
        chances = _pushed(subject, ids, last, push)[n, last + k].double().softmax(-1).cumsum(-1)
        drawn = torch.searchsorted(chances, uniform[:, k : k + 1] * chances[:, -1:], right=True)
        ids[n, last + k + 1] = drawn[:, 0].clamp(max=chances.shape[-1] - 1)
    return np.stack([ids[n, last + k + 1].cpu().numpy() for k in range(count)], 1)


def _last(subject: Subject, prompts: Prompts, push: Push | None) -> Tensor:
    """The next-token logits after each prompt, (n, V)."""
    ids, last = _begun(subject, prompts.tokens, [len(prompt) for prompt in prompts.tokens])
    return _pushed(subject, ids, last, push)[torch.arange(len(ids), device=ids.device), last]


def _begun(subject: Subject, rows: Sequence[Values], lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Ids (n, L), and the place (n,) of the last token of each prompt."""
    ids = begun(subject, rows)
    return ids, torch.tensor(lengths, device=ids.device) - 1 + int(subject.start is not None)


def _pushed(subject: Subject, ids: Tensor, last: Tensor, push: Push | None) -> Tensor:
    """Next-token logits (n, L, V), pushed from the last token of each prompt on."""
    if push is None or push.strength is None:
        return logits(subject, ids)
    after = torch.arange(ids.shape[1], device=ids.device) >= last[:, None]
    return logits(subject, ids, push.site, after[..., None] * (push.strength * push.direction))


def _text(strings: Sequence[str], tokens: Values) -> str:
    return "".join(strings[token] for token in tokens.tolist())
