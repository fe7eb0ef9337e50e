"""Scripted models: three kinds of script, two kinds of delivery, and what they refuse."""

from __future__ import annotations

import threading

import pytest

from superalign.core.errors import ModelError
from superalign.core.steps import Steps
from superalign.core.types import Ask, Item, Message, Pending, Reply
from superalign.models.scripted import Scripted, scripted


def ask(text: str, role: str = "judge", item: str = "", choices: tuple[str, ...] = ()) -> Ask:
    return Ask(role, (Message("system", "be brief"), Message("user", text)), choices, Item(item, "") if item else None)


def test_a_function_sees_the_ask() -> None:
    model = Scripted("echo", lambda a: f"{a.role}: {a.messages[-1].content}")
    assert list(model.answer([ask("one"), ask("two", "critic")])) == [
        (0, Reply("judge: one")),
        (1, Reply("critic: two")),
    ]


def test_a_mapping_goes_by_item_then_message_then_role() -> None:
    model = Scripted("map", {"i1": "by item", "one": "by message", "judge": "by role", "critic": Pending("away")})
    asks = [ask("one", item="i1"), ask("one", item="i2"), ask("two"), ask("two", "critic")]
    replies = dict(model.answer(asks))
    assert [replies[k] for k in range(4)] == [Reply("by item"), Reply("by message"), Reply("by role"), Pending("away")]


def test_a_sequence_is_used_up_in_order() -> None:
    model = Scripted("list", ["a", Reply("b", score=1.0)])
    assert list(model.answer([ask("x")])) == [(0, Reply("a"))]
    assert list(model.answer([ask("y")])) == [(0, Reply("b", score=1.0))]
    with pytest.raises(ModelError, match="list has said all of its 2 replies, and 'judge' asks again"):
        list(model.answer([ask("z")]))


def test_a_sequence_is_dealt_once_to_several_threads() -> None:
    model = Scripted("list", [str(k) for k in range(400)], serial=False)
    heard: list[str] = []

    def listen() -> None:
        for _ in range(100):
            heard.extend(r.text for _, r in model.answer([ask("x")]) if isinstance(r, Reply))

    threads = [threading.Thread(target=listen) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(heard, key=int) == [str(k) for k in range(400)]


def test_shuffled_delivery_is_out_of_order_and_repeatable() -> None:
    asks = [ask(str(k)) for k in range(20)]
    model = Scripted("echo", lambda a: a.messages[-1].content, serial=False, shuffle=3)
    first = list(model.answer(asks))
    assert [i for i, _ in first] != list(range(20))
    assert sorted(first, key=lambda pair: pair[0]) == [(k, Reply(str(k))) for k in range(20)]
    assert list(model.answer(asks)) == first
    other = Scripted("echo", lambda a: a.messages[-1].content, shuffle=4)
    assert [i for i, _ in other.answer(asks)] != [i for i, _ in first]
    assert (model.serial, other.serial) == (False, True)


def test_a_missing_reply_is_named() -> None:
    model = Scripted("map", {"i1": "a"})
    with pytest.raises(ModelError, match="map has no reply to 'i2' or 'one' or 'judge'; there is: i1"):
        list(model.answer([ask("one", item="i2")]))


def test_the_plug_in_says_one_thing() -> None:
    model = scripted("yes", inputs=None, steps=Steps(), choices=())
    replies = dict(model.answer([ask("?", choices=("no", "yes")), ask("?", choices=("A", "B"))]))
    assert replies[0] == Reply("yes", (0.0, 1.0))
    assert replies[1] == Reply("yes")
    assert model.name == "scripted:yes"
    with pytest.raises(ModelError, match="scripted needs something to say; write scripted:yes"):
        scripted("", inputs=None, steps=Steps(), choices=())
