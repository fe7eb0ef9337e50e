"""A cached model: nothing is asked twice, in this process or the next, and the driver shares what it knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from superalign.core.driver import Transcript, oversee
from superalign.core.ports import Model
from superalign.core.types import Ask, Item, Message, Pending, Reply
from superalign.models.cached import cached
from superalign.models.scripted import Scripted
from superalign.protocols.direct import direct
from superalign.store import open_store
from superalign.testing.model import ModelContract


class Counting:
    """A model that counts what it is asked."""

    def __init__(self, failing: bool = False) -> None:
        self.name, self.serial, self.concurrency = "counting", False, 3
        self.failing, self.asked = failing, 0

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]:
        for i in reversed(range(len(asks))):
            self.asked += 1
            yield i, Reply(failure="down") if self.failing else Reply(f"re {asks[i].messages[-1].content}")


def asks(*texts: str) -> list[Ask]:
    return [Ask("judge", (Message("user", text),)) for text in texts]


class TestContract(ModelContract):
    def make_model(self) -> Model:
        return cached(Scripted("scripted", lambda ask: Reply(ask.messages[-1].content[::-1])))


def test_nothing_is_asked_twice_across_processes(tmp_path: Path) -> None:
    url = str(tmp_path / "s.sqlite")
    with open_store(url) as store:
        inner = Counting()
        model = cached(inner, store)
        assert (model.name, model.serial, model.concurrency) == ("counting", False, 3)
        assert dict(model.answer(asks("a", "b", "a"))) == {0: Reply("re a"), 1: Reply("re b"), 2: Reply("re a")}
        assert inner.asked == 2
    with open_store(url) as store:
        again = Counting()
        assert dict(cached(again, store).answer(asks("b", "c"))) == {0: Reply("re b"), 1: Reply("re c")}
        assert again.asked == 1


def test_failures_are_asked_again() -> None:
    inner = Counting(failing=True)
    model = cached(inner)
    for times in (1, 2):
        assert dict(model.answer(asks("a"))) == {0: Reply(failure="down")}
        assert inner.asked == times


def test_a_transcript_of_the_same_prefix_knows_the_same_calls(tmp_path: Path) -> None:
    items = [Item("i", "Even?", ("no", "yes"))]
    with open_store(str(tmp_path / "s.sqlite")) as store:
        oversee(direct(), {"judge": cached(Counting(), store)})(items)
        other = Counting()
        oversee(direct(), {"judge": other}, Transcript(store, "calls"))(items)
        assert other.asked == 0
