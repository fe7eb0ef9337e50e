"""A contract suite for protocols: subclass it in your tests and give it your protocol.

class TestMine(ProtocolContract):
    roles = ("judge",)

    def protocol(self):
        return mine()
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from superalign.core.digest import digest
from superalign.core.driver import play
from superalign.core.random import stream
from superalign.core.types import Ask, Item, Protocol, Reply, Seat, Verdict
from superalign.models.scripted import Scripted

ITEMS = tuple(Item(f"item-{k}", f"Is {k} even?", ("no", "yes")) for k in range(12))


class ProtocolContract:
    """What the driver relies on. Override `protocol`, and `roles` with the roles that it uses."""

    roles: tuple[str, ...] = ("judge",)
    items: Sequence[Item] = ITEMS

    def protocol(self) -> Protocol:
        raise NotImplementedError

    def test_yields_asks_and_returns_a_verdict(self) -> None:
        for item in self.items:
            moves = self.protocol()(item, Seat())
            asks: Sequence[Ask] = next(moves)
            for _ in range(10_000):
                assert asks
                assert all(isinstance(a, Ask) for a in asks)
                assert {a.role.partition("/")[0] for a in asks} <= set(self.roles)
                try:
                    asks = moves.send([answer(a) for a in asks])
                except StopIteration as end:
                    assert isinstance(end.value, Verdict)
                    break
            else:
                raise AssertionError("the game does not end")

    def test_is_pure(self) -> None:
        """The same item, seat and replies give the same game; the item is left alone."""
        for item in self.items[:3]:
            before = copy.deepcopy(item)
            first, second = (self._play(item) for _ in range(2))
            assert first == second
            assert item == before

    def test_order_of_the_seat_is_mapped_back(self) -> None:
        """A judge that knows the answer is right whichever way the choices are shown."""

        def knows(ask: Ask) -> Reply:
            return Reply(probs=tuple(float(c == "yes") for c in ask.choices)) if ask.choices else Reply("yes")

        cast = {role: Scripted("knows", knows) for role in self.roles}
        for order in ((0, 1), (1, 0)):
            games = [(item, Seat(order=order)) for item in self.items]
            for judgment in play(self.protocol(), cast, games):
                assert judgment.verdict.answer in (1, None)
                assert not judgment.verdict.probs or judgment.verdict.probs[1] > 0.5

    def test_batches_and_single_replies_give_the_same_judgments(self) -> None:
        games = [(item, Seat(order=(1, 0))) for item in self.items]
        results = []
        for serial in (True, False):
            cast = {role: Scripted("same", answer, serial=serial) for role in self.roles}
            results.append(play(self.protocol(), cast, games))
        assert results[0] == results[1]

    def _play(self, item: Item) -> Verdict:
        cast = {role: Scripted("same", answer) for role in self.roles}
        return play(self.protocol(), cast, [(item, Seat())])[0].verdict


def answer(ask: Ask) -> Reply:
    """A reply that depends on nothing but the ask."""
    rng = stream(0, "contract reply", digest(ask))
    if not ask.choices:
        return Reply(f"because of {rng.integers(1000)}")
    weights = rng.dirichlet([1.0] * len(ask.choices))
    return Reply(ask.choices[int(weights.argmax())], tuple(float(w) for w in weights))
