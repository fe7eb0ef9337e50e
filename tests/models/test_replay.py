"""Replay from transcripts, from files and from pairs, and what was never recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from superalign.core.driver import Transcript, oversee
from superalign.core.errors import ModelError
from superalign.core.steps import Steps
from superalign.core.transcript import key_of
from superalign.core.types import Ask, Cost, Item, Message, Reply, Settings
from superalign.models.replay import Replay, event, replay
from superalign.models.scripted import Scripted
from superalign.protocols.direct import direct
from superalign.store import open_store

ITEMS = [Item(f"i{k}", f"Is {k} even?", ("no", "yes")) for k in range(4)]


def judge(name: str = "judge-model") -> Scripted:
    return Scripted(name, lambda a: Reply("no", (0.75, 0.25), cost=Cost(5, 1, 0.5)))


def asks(texts: Sequence[str]) -> list[Ask]:
    return [Ask("judge", (Message("user", text),), ("no", "yes"), Item(text, text)) for text in texts]


def test_a_transcript_in_a_store_is_replayed_through_the_driver(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.sqlite")
    recorded = oversee(direct(), {"judge": judge()}, Transcript(store, "games"))(ITEMS)
    again = replay("games/judge-model", inputs=None, steps=Steps(store), choices=())
    replayed = oversee(direct(), {"judge": again})(ITEMS)
    assert replayed == recorded
    assert again.name.startswith("replay:games/judge-model:")


def test_each_model_has_a_stream_of_its_own(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.sqlite")
    oversee(direct(), {"judge": judge("first")}, Transcript(store, "games"))(ITEMS)
    other = Scripted("second", lambda a: Reply("yes", (0.0, 1.0)))
    oversee(direct(), {"judge": other}, Transcript(store, "games"))(ITEMS)
    second = replay("games/second", inputs=None, steps=Steps(store), choices=())
    assert [j.verdict.answer for j in oversee(direct(), {"judge": second})(ITEMS)] == [1, 1, 1, 1]
    with pytest.raises(ModelError, match="'games/third' holds no recorded replies"):
        replay("games/third", inputs=None, steps=Steps(store), choices=())


def test_pairs_are_replayed_from_json_lines(tmp_path: Path) -> None:
    judgments = oversee(direct(), {"judge": judge()})(ITEMS)
    pairs = [pair for judgment in judgments for pair in judgment.calls]
    file = tmp_path / "calls.jsonl"
    file.write_text("".join(json.dumps(event(*pair)) + "\n" for pair in pairs) + "\n", encoding="utf-8")
    again = replay(str(file), inputs=None, steps=Steps(), choices=())
    assert dict(again.answer([a for a, _ in pairs])) == dict(enumerate(reply for _, reply in pairs))


def test_a_call_with_other_settings_is_another_call() -> None:
    (one,) = asks(["why?"])
    model = Replay("again", {key_of("", one): Reply("because")})
    assert list(model.answer([one])) == [(0, Reply("because"))]
    warm = Ask(one.role, one.messages, one.choices, one.item, settings=Settings(temperature=1.0))
    with pytest.raises(
        ModelError,
        match=r"again has 1 recorded replies and none to this ask for 'judge' about item 'why\?', sample 0: 'why",
    ):
        list(model.answer([warm]))
    with pytest.raises(ModelError, match="about no item, sample 2"):
        list(model.answer([Ask("critic", (), sample=2)]))


def test_what_cannot_be_replayed_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"replay needs a file or a stream; write replay:calls.jsonl or replay:PREFIX/MODEL"
    ):
        replay("", inputs=None, steps=Steps(), choices=())
    with pytest.raises(ModelError, match="no file 'games' to replay, and no store is open"):
        replay("games", inputs=None, steps=Steps(), choices=())
    store = open_store(tmp_path / "store.sqlite")
    with pytest.raises(ModelError, match=r"no file 'calls.jsonl' to replay$"):
        replay("calls.jsonl", inputs=None, steps=Steps(store), choices=())
    with pytest.raises(ModelError, match="'nothing' holds no recorded replies; a stream is named as in the record"):
        replay("nothing", inputs=None, steps=Steps(store), choices=())


@pytest.mark.parametrize("line", ["{", "[]", '{"kind": "reply", "call": "x"}', '{"kind": "reply", "reply": {}}', "{}"])
def test_a_line_that_is_not_a_call_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_text("\n" + line + "\n", encoding="utf-8")
    with pytest.raises(ModelError, match="line 2: not a recorded call"):
        replay(str(file), inputs=None, steps=Steps(), choices=())
