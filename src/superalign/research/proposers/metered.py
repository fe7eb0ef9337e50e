"""A model whose calls are allowed one by one, and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from superalign.core.errors import ModelError
from superalign.core.ports import Model
from superalign.core.types import Ask, Cost, Pending, Reply
from superalign.models.api.prices import tokens_in
from superalign.models.budgeted import Priced

Reserve = Callable[[Cost], bool]
"""Sets aside the most that a call may use; False where that is more than is left."""


class OverBudget(ModelError):
    """The next call may cost more than is left."""


class Metered:
    """`model` under its own name. `reserve` is asked before each call, `spent` told after it, also after a failed one.

    Raises OverBudget where a call is not allowed: nothing was sent then.
    """

    def __init__(self, model: Model, reserve: Reserve, spent: Callable[[Cost], None]) -> None:
        self.name, self.serial = model.name, model.serial
        self._model, self._reserve, self._spent = model, reserve, spent

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]:
        """One ask after the other."""
        for k, ask in enumerate(asks):
            bound = self.worst(ask)
            if not self._reserve(bound):
                raise OverBudget(
                    f"the next call to {self.name} may use {bound.tokens_in} tokens in, {bound.tokens_out} out and "
                    f"${bound.usd:.4f}, which is more than is left"
                )
            for _, reply in self._model.answer((ask,)):
                if isinstance(reply, Reply):
                    self._spent(reply.cost)
                yield k, reply

    def worst(self, ask: Ask) -> Cost:
        """The most that an ask uses: as the model says, else an estimate of what is read and the bound of the reply."""
        if isinstance(self._model, Priced):
            return self._model.worst(ask)
        return Cost(tokens_in(ask.messages), ask.settings.max_tokens or 0)
