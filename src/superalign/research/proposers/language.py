"""A language model proposes: it is shown the card, the space and what was tried, and answers with methods as JSON.

`language:api:openai:model=NAME`, `language:hf:FOLDER:tune=none`, or any other model that speaks. A proposal is a point
of the space or a Python file, which runs in the sandbox alone. What cannot be used is sent back with the reason, at
most twice; then it is a finding of type `error`, and another answer is drawn. Replies are kept in the store under the
question and the seed, so the same history gives the same proposals without a call; only `seed` and what was told
decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from superalign.core.digest import digest
from superalign.core.errors import ModelError, SpecError
from superalign.core.ports import Model, Store
from superalign.core.random import derive
from superalign.core.registry import Ref, build, parse
from superalign.core.steps import Steps
from superalign.core.transcript import key_of
from superalign.core.types import Ask, Cost, Message, Reply, Settings
from superalign.models.cached import cached
from superalign.research.ledger import Ledger, Type
from superalign.research.proposers.briefing import Briefing
from superalign.research.proposers.ideas import Idea, read
from superalign.research.proposers.metered import Metered, OverBudget, Reserve
from superalign.research.proposers.propose import Code, Proposal, Told, whole
from superalign.research.space import Method, Space
from superalign.research.values import Finding

REPAIRS = 2
"""Times that a reply which cannot be used is sent back."""
CALLS = "research/calls"
"""Replies are kept in the streams `research/calls/<model's name>`."""
KEPT = 8000
"""Characters of a useless reply that its author is reminded of."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a model is asked: for at most `batch` methods at a time, each to be scored on `fidelity` problems; with the
    `top` best and `last` recent methods, in steps of `resolution`; with `draws` answers before the proposer gives up."""

    fidelity: int = 12
    batch: int = 4
    top: int = 8
    last: int = 8
    draws: int = 3
    resolution: float = 0.02
    temperature: float = 1.0
    max_tokens: int = 4096
    code: bool = True
    template: str = ""

    def __post_init__(self) -> None:
        whole(fidelity=self.fidelity, batch=self.batch, draws=self.draws, max_tokens=self.max_tokens)
        whole(0, top=self.top, last=self.last)
        if not self.resolution > 0:
            raise SpecError(f"resolution={self.resolution!r} is no step; write resolution=0.02")


def language(
    argument: str = "",
    *,
    space: Space,
    seed: int,
    store: Store | None = None,
    card: str = "",
    ledger: Ledger | None = None,
    reserve: Reserve | None = None,
    **options: Any,
) -> Language:
    """A proposer that asks the model `argument`; the model's options are written after it, beside those of `Manner`.

    `store` keeps replies; `ledger` gets what was spent, refused and wrong; `reserve` is asked before each call.
    Raises PluginError for a model that is none, SpecError for an option that does not fit.
    """
    if not argument:
        raise SpecError(
            "language needs a model to ask; write language:api:openai:model=NAME or language:hf:FOLDER:tune=none"
        )
    own = {f.name for f in fields(Manner)}
    named = parse(argument)
    ref = Ref(named.name, named.argument, {**named.options, **{k: v for k, v in options.items() if k not in own}})
    model: Model = build("models", ref, inputs=None, steps=Steps(store), choices=())
    manner = Manner(**{k: v for k, v in options.items() if k in own})
    return Language(
        model, space=space, seed=seed, store=store, card=card, ledger=ledger, reserve=reserve, manner=manner
    )


class Unusable(Exception):
    """An answer from which nothing can be proposed; `failed` where there was none at all."""

    def __init__(self, reason: str, call: str, failed: bool = False) -> None:
        super().__init__(reason)
        self.call, self.failed = call, failed


class Language:
    """Proposes what a model says. See `language` for the arguments."""

    name = "language"  # whatever the model: a replay of it makes the same proposals, under the same ids

    def __init__(
        self,
        model: Model,
        *,
        space: Space,
        seed: int,
        store: Store | None = None,
        card: str = "",
        ledger: Ledger | None = None,
        reserve: Reserve | None = None,
        manner: Manner | None = None,
    ) -> None:
        self._manner, self._space, self._seed, self._ledger = manner or Manner(), space, seed, ledger
        self._model = cached(Metered(model, reserve or (lambda _: True), self._spent), store, CALLS)
        m = self._manner
        self._briefing = Briefing(
            space, card, seed, top=m.top, last=m.last, resolution=m.resolution, code=m.code, path=m.template
        )
        self._told: dict[str, Told] = {}

    def tell(self, told: Told) -> None:
        """Take note. Raises SpecError for a point that is not in the space."""
        if not isinstance(told.proposal.method, Code):
            self._space.check(told.proposal.method)
        self._told[told.proposal.id] = told

    def propose(self, n: int) -> list[Proposal]:
        """At most `n` methods in one answer; none where no answer can be used, or none may be paid for.

        Raises ModelError where the model does not answer, or a person has not answered yet.
        """
        count = min(n, self._manner.batch)
        messages = self._briefing.messages(list(self._told.values()), count)
        failure = ""
        for draw in range(self._manner.draws):
            try:
                return self._answer(messages, count, draw)
            except OverBudget as error:
                self._note("refuse", digest(messages[-1].content, draw), what="a call to the model", why=str(error))
                return []
            except Unusable as error:
                self._error(error)
                failure = str(error) if error.failed else ""
        if failure:
            raise ModelError(f"{self._model.name}: {failure}; what was proposed is kept: run the same command again")
        return []

    def _answer(self, messages: tuple[Message, ...], count: int, draw: int) -> list[Proposal]:
        """What one answer proposes, sent back where nothing in it can be used. Raises Unusable after that."""
        sample = derive(self._seed, "research/language", draw) % 2**31
        settings = Settings(self._manner.temperature, self._manner.max_tokens)
        faults, call = [""], ""
        for _ in range(1 + REPAIRS):
            ask = Ask("proposer", messages, sample=sample, settings=settings)
            call, reply = key_of(self._model.name, ask), self._ask(ask)
            if reply.failure is not None:
                raise Unusable(f"the model gave no answer: {reply.failure}", call, failed=True)
            ideas, faults = read(reply.text, self._space, self._manner.code)
            proposals, known = self._new(ideas[:count])
            faults += known
            if proposals:
                if faults:
                    self._note("refuse", call, what="a part of an answer", why="; ".join(faults)[:2000])
                return proposals
            messages = (*messages, Message("assistant", reply.text[:KEPT] or "..."), self._briefing.again(faults))
        raise Unusable("; ".join(faults), call)

    def _ask(self, ask: Ask) -> Reply:
        ((_, reply),) = self._model.answer((ask,))
        if isinstance(reply, Reply):
            return reply
        raise ModelError(f"{self._model.name} has not answered yet ({reply.reason}); run the same command again later")

    def _new(self, ideas: list[Idea]) -> tuple[list[Proposal], list[str]]:
        """The ideas that are not known on as many problems, and the reasons against the others."""
        known = {_identity(t.proposal.method): t.proposal.id for t in self._told.values() if self._enough(t.proposal)}
        ids = {t.proposal.id for t in self._told.values()}
        proposals, faults = [], []
        for idea in ideas:
            identity = _identity(idea.method)
            if identity in known:
                faults.append(f"the method was tried already, as {known[identity]}: {_shown(idea.method)}")
                continue
            parent = idea.parent if idea.parent in ids else None
            proposal = Proposal(self.name, idea.method, self._manner.fidelity, idea.rationale[:2000], parent)
            known[identity] = proposal.id
            proposals.append(proposal)
        return proposals, faults

    def _enough(self, proposal: Proposal) -> bool:
        return proposal.fidelity >= self._manner.fidelity

    # -- what the ledger is told

    def _spent(self, cost: Cost) -> None:
        if self._ledger is not None and (cost.tokens_in or cost.tokens_out or cost.usd):
            self._ledger.write("spend", self.name, {
                "what": self._model.name, "tokens_in": cost.tokens_in, "tokens_out": cost.tokens_out, "usd": cost.usd,
            })  # fmt: skip

    def _error(self, error: Unusable) -> None:
        finding = Finding(type="error", title="An answer that cannot be used", text=str(error)[:5000])
        self._note("finding", error.call, **finding.model_dump(mode="json"), by=self.name)

    def _note(self, kind: Type, call: str, **payload: Any) -> None:
        """One row for a call: a campaign that goes on replays its calls, and repeats nothing in the ledger."""
        if self._ledger is not None and all(e.payload.get("call") != call for e in self._ledger.of(kind)):
            self._ledger.write(kind, self.name, {**payload, "call": call})


def _identity(method: Method | Code) -> str:
    return digest(method)


def _shown(method: Method | Code) -> str:
    return str(dict(method)) if isinstance(method, Mapping) else f"the code that defines {method.function}"
