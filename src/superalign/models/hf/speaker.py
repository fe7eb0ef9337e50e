"""A transformer that takes part in games: `hf:FOLDER:tune=none`. It reads the messages of an ask and replies.

Free text is generated; a choice among answers is read from the probabilities of the letters that name them
(`(A) ...`, `(B) ...` in the message), summed over the spellings of a letter and normalised. Nothing is parsed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.digest import digest
from superalign.core.errors import ModelError
from superalign.core.random import derive
from superalign.core.types import Ask, Cost, Reply
from superalign.models.head import softmax
from superalign.models.hf.decision import Decisions
from superalign.models.hf.generate import Decoder, Draw
from superalign.models.hf.memory import keep_freed
from superalign.models.hf.prompts import Prompts
from superalign.models.hf.zero_shot import summed_log_probs

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints
    from superalign.models.hf.plan import Plan

_SPACES = ("", "Ġ", "▁", " ")
"""How vocabularies write the space that begins a word."""

_LEAST = 1e-6
"""Probability of all letters together below which they say nothing, and the answers' own words are asked."""


class Speaker:
    """A Model that reads `Ask.messages` and never `Ask.item`.

    `plan` says what is loaded, when it is first asked; `context` is how many tokens prompt and reply may have
    together, `max_tokens` how long a reply is where the ask does not say (and never more than half of
    `context`). With `probs="typed"` choices are asked and read as `Decisions` says. Raises ModelError for an encoder, and on the first ask for a folder without output layer.
    """

    serial = True

    def __init__(
        self, name: str, plan: Plan, tokenizer: Any, context: int, max_tokens: int = 128, probs: str = "letters"
    ) -> None:
        if not plan.causal:
            raise ModelError(
                f"{plan.source.folder} is an encoder ({plan.config.model_type}), which cannot speak; give a decoder"
                " (Llama, Qwen, GPT-2, ...), or type tune=head to train this one to choose"
            )
        self._plan, self._context, self._max_tokens = plan, context, max_tokens
        self._prompts = Prompts(tokenizer)
        self._typed = Decisions(tokenizer, plan.source.folder) if probs == "typed" else None
        self._decoder: Callable[[], Decoder] = cache(self._load)
        self._forms: Callable[[int], list[list[int]]] = cache(self._find_forms)
        self.identity = {
            "model": "speaker", "weights": plan.source.weights, "tokenizer": plan.source.tokenizer,
            "template": digest(tokenizer.chat_template), "dtype": str(plan.dtype).removeprefix("torch."),
            "context": context, "max_tokens": max_tokens, "probs": self._typed.identity if self._typed else probs,
            "form": 1,
        }  # fmt: skip
        shown = {"max_tokens": max_tokens, "probs": probs, "dtype": self.identity["dtype"], "is": digest(self.identity)}
        self.name = ":".join([name, *(f"{key}={str(value)[:12]}" for key, value in shown.items())])

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """A reply to each ask, batch by batch: probabilities where it has choices, else text."""
        yield from self._decide([(i, ask) for i, ask in enumerate(asks) if ask.choices])
        yield from self._write([(i, ask) for i, ask in enumerate(asks) if not ask.choices])

    def _decide(self, asks: Sequence[tuple[int, Ask]]) -> Iterator[tuple[int, Reply]]:
        rows = [np.asarray(self._question(ask), np.int64) for _, ask in asks]
        began = time.perf_counter()
        for chosen, state in self._decoder().states(rows) if asks else ():
            logs = state.logits.log_softmax(-1).cpu().numpy()
            found = [self._probs(asks[i][1].choices, rows[i], logs[row]) for row, i in enumerate(chosen)]
            began, each = time.perf_counter(), (time.perf_counter() - began) / len(chosen)
            for i, probs in zip(chosen, found, strict=True):
                place, ask = asks[i]
                best = ask.choices[int(np.argmax(probs))]
                yield place, Reply(best, tuple(probs.tolist()), cost=Cost(len(rows[i]), 0, 0.0, each))

    def _question(self, ask: Ask) -> list[int]:
        typed = self._typed
        form = (lambda messages: typed.ids(messages, ask.choices)) if typed is not None else None
        return self._prompts.ids(ask.messages, self._context, form)

    def _probs(self, choices: tuple[str, ...], row: Ints, logs: Floats) -> Floats:
        """(K,) from the log-probabilities (V,) of the next token."""
        if self._typed is not None:
            scores = logs[None, self._typed.labels(len(choices))].astype(np.float64) / self._typed.temperature
            made: Floats = softmax(scores)[0]
            return made
        forms = self._forms(len(choices))
        mass = np.exp(logs[forms].astype(np.float64)).sum(0) if forms else np.zeros(len(choices))
        if mass.sum() >= _LEAST:
            made = mass / mass.sum()
            return made
        ends = [np.asarray(self._prompts.continuation(choice), np.int64) for choice in choices]
        whole = [np.concatenate([row, end])[-self._context :] for end in ends]
        starts = [max(1, len(ids) - len(end)) for ids, end in zip(whole, ends, strict=True)]
        sums = summed_log_probs(self._decoder().network, whole, starts)
        made = softmax(sums[None])[0]
        return made

    def _find_forms(self, count: int) -> list[list[int]]:
        """The ids of the first `count` letters, for each spelling that has a token for all of them.

        A spelling that only some letters have would favour them: llama2c's 512 tokens hold " B" and no " A".
        """
        vocabulary = self._prompts.tokenizer.get_vocab()
        letters = [chr(65 + k) for k in range(count)]
        spelled = [[f"{space}{bracket}{x}" for x in letters] for space in _SPACES for bracket in ("", "(")]
        fits = count <= 26
        return [
            [vocabulary[token] for token in form] for form in spelled if fits and all(t in vocabulary for t in form)
        ]

    def _write(self, asks: Sequence[tuple[int, Ask]]) -> Iterator[tuple[int, Reply]]:
        draws = [self._draw(ask) for _, ask in asks]
        began = time.perf_counter()
        for batch in self._decoder().write(draws) if asks else ():
            began, each = time.perf_counter(), (time.perf_counter() - began) / len(batch)
            for i, ids in batch:
                text = self._text(ids)
                cut = min([at for stop in draws[i].stop if (at := text.find(stop)) >= 0], default=len(text))
                yield asks[i][0], Reply(text[:cut].strip(), cost=Cost(len(draws[i].ids), len(ids), 0.0, each))

    def _draw(self, ask: Ask) -> Draw:
        settings = ask.settings
        limit = min(settings.max_tokens or self._max_tokens, max(1, self._context // 2))
        ids = self._prompts.ids(ask.messages, self._context - limit)
        seed = derive(ask.sample, "speaker", ask) if settings.temperature > 0 else 0
        return Draw(tuple(ids), limit, settings.temperature, seed, (*settings.stop, *self._prompts.stops))

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self._prompts.tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def _load(self) -> Decoder:
        network = self._plan.speaker()
        if network is None:
            raise ModelError(
                f"{self._plan.source.folder} has no output layer, so it cannot speak; save it with"
                " AutoModelForCausalLM, or type tune=head to train it to choose"
            )
        if self._plan.device.type == "cpu":
            keep_freed()
        ends = [network.generation_config.eos_token_id, self._prompts.tokenizer.eos_token_id]
        known = frozenset(i for end in ends for i in (end if isinstance(end, list) else [end]) if i is not None)
        return Decoder(network, self._text, known)
