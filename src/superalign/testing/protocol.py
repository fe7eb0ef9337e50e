"""A contract suite for protocols: subclass it in your tests and give it your protocol.

class TestMine(ProtocolContract):
    roles = ("judge", "debater")

    def protocol(self):
        return mine()
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from superalign.core.digest import digest
from superalign.core.driver import play
from superalign.core.random import stream
from superalign.core.task import Task
from superalign.core.types import Ask, Item, Judgment, Protocol, Reply, Seat, Verdict
from superalign.models.scripted import Scripted
from superalign.protocols.rules import rules

ITEMS = tuple(Item(f"item-{k}", f"Is {k} even?", ("no", "yes")) for k in range(12))


class ProtocolContract:
    """What the driver relies on, and what every protocol owes to its players.

    Override `protocol`; `roles` with the roles that it uses; `blind` with those that must not see the source.
    """

    roles: tuple[str, ...] = ("judge",)
    blind: tuple[str, ...] = ("judge", "cross-examiner", "preference")
    items: Sequence[Item] = ITEMS

    def protocol(self) -> Protocol:
        raise NotImplementedError

    def test_yields_asks_and_returns_a_verdict(self) -> None:
        for item in self.items:
            moves = self.protocol()(item, self._seat(item))
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
            first, second = (self._play([item]) for _ in range(2))
            assert first == second
            assert item == before

    def test_order_of_the_seat_is_mapped_back(self) -> None:
        """A judge that knows the answer is right whichever way the choices are shown."""

        def knows(ask: Ask) -> Reply:
            return Reply(probs=tuple(float(c == "yes") for c in ask.choices)) if ask.choices else Reply("yes")

        cast = {role: Scripted("knows", knows) for role in self.roles}
        for order in ((0, 1), (1, 0)):
            games = [(item, self._seat(item, order)) for item in self.items]
            for judgment in play(self.protocol(), cast, games):
                assert judgment.verdict.answer in (1, None)
                assert not judgment.verdict.probs or judgment.verdict.probs[1] > 0.5

    def test_batches_and_single_replies_give_the_same_judgments(self) -> None:
        games = [(item, self._seat(item, (1, 0))) for item in self.items]
        results = []
        for serial in (True, False):
            cast = {role: Scripted("same", answer, serial=serial) for role in self.roles}
            results.append(play(self.protocol(), cast, games))
        assert results[0] == results[1]

    def test_the_key_is_out_of_reach(self) -> None:
        """Whatever the answers are, nobody is asked anything else."""
        played = []
        for key in (0, 1):
            task = Task("sealed", {"test": self.items}, {item.id: key for item in self.items})
            played.append(self._play(task.items("test")))
        assert played[0] == played[1]

    def test_nobody_is_told_what_is_not_for_them(self) -> None:
        """The source stays with the speakers; what else an item holds is in no prompt at all."""
        items = [replace(i, info={**i.info, "source": "sealed source", "note": "sealed note"}) for i in self.items[:3]]
        for judgment in self._play(items):
            for ask, _ in judgment.calls:
                said = "\n".join(m.content for m in ask.messages)
                assert "sealed note" not in said
                if ask.role.partition("/")[0] in self.blind:
                    assert "sealed source" not in said
                    assert ask.item is None or "source" not in ask.item.info

    def test_a_failed_call_is_no_verdict(self) -> None:
        """Where every call fails the game ends, and says so."""
        cast = {role: Scripted("down", lambda _: Reply(failure="no connection")) for role in self.roles}
        for judgment in play(self.protocol(), cast, [(i, self._seat(i)) for i in self.items[:3]]):
            assert judgment.verdict.answer is None
            assert "no connection" in str(judgment.verdict.abstained)

    def _play(self, items: Sequence[Item]) -> list[Judgment]:
        cast = {role: Scripted("same", answer) for role in self.roles}
        return play(self.protocol(), cast, [(item, self._seat(item)) for item in items])

    def _seat(self, item: Item, order: tuple[int, ...] = ()) -> Seat:
        """A game of the item; where somebody argues for one answer alone, it is the first."""
        return Seat(order=order, assigned=item.choices[0] if rules(self.protocol()).one_sided else None)


def answer(ask: Ask) -> Reply:
    """A reply that depends on nothing but the ask."""
    rng = stream(0, "contract reply", digest(ask))
    if not ask.choices:
        return Reply(f"because of {rng.integers(1000)}")
    weights = rng.dirichlet([1.0] * len(ask.choices))
    return Reply(ask.choices[int(weights.argmax())], tuple(float(w) for w in weights))
