"""A bound on what calls may cost, and an estimate before anything is sent.

The worst price of a call is set aside before it is sent and replaced by its real one afterwards, so that calls under
way at the same time cannot exceed the bound together.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from superalign.core.errors import ModelError
from superalign.core.ports import Model
from superalign.core.types import Ask, Cost, Pending, Reply


@runtime_checkable
class Priced(Protocol):
    """A Model whose calls cost money: `worst` is the most that an ask uses, `unpriced` says why its price is not
    known (empty where it is)."""

    name: str
    serial: bool
    unpriced: str

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]: ...

    def worst(self, ask: Ask) -> Cost: ...


class Purse:
    """US dollars to spend, shared by models and threads. `spent` is what earlier runs took out of it."""

    def __init__(self, usd: float, spent: float = 0.0) -> None:
        if not usd > 0:
            raise ModelError(f"--max-usd {usd} buys nothing; write a number above 0")
        self.usd, self.spent = usd, spent
        self._aside, self._under_way = 0.0, 0
        self._settled = threading.Condition()

    def set_aside(self, prices: Sequence[float]) -> int:
        """Set aside the first of these prices, as many as fit, and say how many.

        Where not one fits, waits for calls under way, which may turn out cheaper. Raises ModelError when none is.
        """
        with self._settled:
            while True:
                fit, aside = 0, self._aside
                while fit < len(prices) and (not prices[fit] or self.spent + aside + prices[fit] <= self.usd):
                    aside += prices[fit]
                    fit += 1
                if fit:
                    self._aside, self._under_way = aside, self._under_way + fit
                    return fit
                if not self._under_way:
                    raise ModelError(
                        f"spent ${self.spent:.4f} of --max-usd ${self.usd:.4f}, and the next call may cost"
                        f" ${prices[0]:.4f}; every reply so far is kept: raise --max-usd and run again"
                    )
                self._settled.wait()

    def settle(self, aside: float, usd: float) -> None:
        """A call is over: it cost `usd` of what was set aside."""
        with self._settled:
            self._under_way -= 1
            self._aside = self._aside - aside if self._under_way else 0.0  # no rounding is left over
            self.spent += usd
            self._settled.notify_all()


class Budgeted:
    """A Model that spends from a purse and raises ModelError when the next call could exceed it.

    Its name is that of the model, since replies do not depend on money.
    """

    def __init__(self, model: Priced, purse: Purse) -> None:
        if model.unpriced:
            raise ModelError(f"--max-usd cannot be kept: {model.unpriced}")
        self.model, self.purse = model, purse
        self.name, self.serial, self.unpriced = model.name, model.serial, model.unpriced
        self.concurrency: int = getattr(model, "concurrency", 1)

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]:
        """As the model answers, in batches that the purse can bear.

        A call is settled after its reply was taken, so an error here finds every other reply delivered. A reply that
        reports no tokens, or that nobody waited for, is charged its worst price.
        """
        prices = [self.model.worst(ask).usd for ask in asks]
        start = 0
        while start < len(asks):
            fit = self.purse.set_aside(prices[start:])
            aside = dict(enumerate(prices[start : start + fit]))
            try:
                for index, reply in self.model.answer(asks[start : start + fit]):
                    price = aside.pop(index)
                    try:
                        yield start + index, reply
                    finally:
                        self.purse.settle(price, _charge(reply, price))
            finally:
                for price in aside.values():
                    self.purse.settle(price, price)
            start += fit

    def worst(self, ask: Ask) -> Cost:
        """The model's own."""
        return self.model.worst(ask)


def _charge(reply: Reply | Pending, worst: float) -> float:
    if isinstance(reply, Pending):
        return 0.0
    reported = reply.cost.tokens_in or reply.cost.tokens_out
    return reply.cost.usd if reported or reply.failure is not None else worst


def budgeted(model: Model, usd: float | Purse) -> Model:
    """The model, bound to spend no more than `usd`, or than is left in a purse that several models share.

    A model that costs nothing (a local one) comes back as it is. Raises ModelError for one whose price is not known.
    """
    if not isinstance(model, Priced):
        return model
    return Budgeted(model, usd if isinstance(usd, Purse) else Purse(usd))


def estimate(model: Model, asks: Iterable[Ask]) -> Cost:
    """The most that these asks may use; nothing for a local model. Seconds are not known before."""
    total = Cost()
    if isinstance(model, Priced):
        for ask in asks:
            total += model.worst(ask)
    return total
