"""People at a desk as a Model: what they are asked, what their answers come to, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superalign.core.driver import oversee
from superalign.core.errors import ModelError
from superalign.core.ports import Model
from superalign.core.registry import build
from superalign.core.steps import Steps
from superalign.core.transcript import Transcript, key_of
from superalign.core.types import Ask, Item, Message, Pending, Reply
from superalign.models.cached import cached
from superalign.people.checks import passed, read
from superalign.people.desk import Desk
from superalign.people.files import Human
from superalign.people.forms import FormError
from superalign.people.human import AtDesk, human
from superalign.protocols.direct import direct
from superalign.protocols.rank import rank, ranks
from superalign.testing.model import ModelContract
from tests.people.asking import Clock, Memory, belief, ranking, says

ITEMS = [Item(f"i{k}", f"Is {k} even?", ("no", "yes"), {"source": "CANARY"}) for k in range(4)]


def made(argument: str = "", store: Memory | None = None, **options: Any) -> AtDesk:
    found = human(argument, steps=Steps(store or Memory()), **options)
    assert isinstance(found, AtDesk)
    return found


class TestAtDesk(ModelContract):
    def make_model(self) -> Model:
        """Two of the five have been answered."""
        model, asks = made(), self.make_asks()
        list(model.answer(asks))
        for ask in (asks[1], asks[3]):
            question = model.desk.question(key_of(model.name, ask))
            model.desk.answer("ann", question.call, says(question, 0))
        return model


def test_games_wait_and_go_on() -> None:
    store = Memory()
    model = made(store=store)

    def play() -> list[tuple[Any, ...]]:
        found = oversee(direct(), {"judge": model}, Transcript(store, "games"))(ITEMS)
        return [(j.verdict.answer, j.verdict.abstained) for j in found]

    assert play() == [(None, "waiting: human: 4 questions wait at the desk people")] * 4
    for _ in ITEMS:
        question = model.desk.next("ann")
        assert question is not None
        assert "CANARY" not in repr(question)
        model.desk.answer("ann", question.call, says(question, 1))
    assert play() == play() == [(1, None)] * 4
    assert model.desk.counts().questions == 4


def test_several_people_make_one_reply() -> None:
    model = made(people=2)
    ask = Ask("judge", (Message("user", "?"),), ("no", "yes"), ITEMS[0])
    assert dict(model.answer([ask]))[0] == Pending("human: 1 question waits at the desk people")
    call = key_of("human:people=2", ask)
    model.desk.answer("ann", call, says(model.desk.question(call), 0, 0.9))
    assert isinstance(dict(model.answer([ask]))[0], Pending)
    model.desk.answer("bob", call, says(model.desk.question(call), 1, 0.6))
    reply = dict(model.answer([ask]))[0]
    assert isinstance(reply, Reply)
    assert reply.probs == pytest.approx((0.65, 0.35))
    assert reply.text == "no"


def test_rankings_keep_what_each_person_said() -> None:
    clock = Clock()
    store = Memory()
    model = AtDesk("human:people=2", Desk(store, clock=clock), 2)
    item = Item("r", "Say it", ("a", "b", "c"))
    overseer = oversee(rank(), {"labeller": model})
    overseer([item])
    for person, order in (("ann", [1, 2, 2]), ("bob", [3, 1, 2])):
        question = model.desk.next(person)
        assert question is not None
        assert (question.form, question.role, question.choices) == ("rank", "labeller", ("a", "b", "c"))
        model.desk.answer(person, question.call, {"ranks": order})
    clock.now += 10
    (judgment,) = overseer([item])
    assert ranks(judgment) == ((1, 2, 2), (3, 1, 2))
    assert judgment.verdict.ranking == (1, 0, 2)


def test_a_cache_around_people_changes_nothing() -> None:
    store = Memory()
    model = made(store=store)
    judge = cached(model, store)
    overseer = oversee(direct(), {"judge": judge})
    assert all("waiting" in str(j.verdict.abstained) for j in overseer(ITEMS))
    for _ in ITEMS:
        question = model.desk.next("ann")
        assert question is not None
        model.desk.answer("ann", question.call, says(question, 0))
    assert [j.verdict.answer for j in overseer(ITEMS)] == [0] * 4


@pytest.mark.parametrize(
    "question, answer",
    [
        (belief("a"), {}),
        (belief("a"), {"choice": 0}),
        (belief("a"), {"choice": 2, "probs": [0.5, 0.5]}),
        (belief("a"), {"choice": 0, "probs": [0.5, 0.3, 0.2]}),
        (belief("a"), {"choice": 0, "probs": "high"}),
        (ranking("a"), {"ranks": [1, 2]}),
        (ranking("a"), {"ranks": [1, 2, 4]}),
        (ranking("a"), {"choice": 1}),
    ],
)
def test_an_answer_that_a_run_could_not_use_is_not_kept(question: Any, answer: Any) -> None:
    desk = Desk(Memory())
    desk.post([question])
    with pytest.raises(FormError):
        desk.answer("ann", question.call, answer)
    assert desk.counts().answers == 0


def checks(folder: Path, *lines: dict[str, Any] | str) -> Path:
    path = folder / "checks.jsonl"
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
    return path


def test_checks_look_like_the_questions_of_the_run(tmp_path: Path) -> None:
    lines = [{"prompt": f"{n} + {n} is", "choices": [str(2 * n), str(n)], "answer": 0} for n in range(1, 9)]
    path = checks(tmp_path, *lines, {"prompt": "Greet", "choices": ["Hello", "Go away", "?"], "best": 0})
    store = Memory()
    model = build("models", f"human:checks={path}:every=2", inputs=None, steps=Steps(store), choices=())
    assert model.name == "human", "who answers is the same, with and without checks"
    overseer = oversee(direct(), {"judge": model})
    overseer(ITEMS)
    overseer(ITEMS)
    asked = []
    while (question := model.desk.next("ann")) is not None:
        asked.append(question)
        model.desk.answer("ann", question.call, says(question, 0))
    assert [q.prompt.endswith("is") for q in asked] == [False, True] * 3 + [False]
    for real, check in zip(asked[0::2], asked[1::2], strict=False):
        assert (real.form, real.role, real.messages[0].content.replace(real.prompt, check.prompt).split("\n")[:3]) == (
            check.form, check.role, check.messages[0].content.split("\n")[:3],
        )  # fmt: skip
    given = [e for e in model.desk.ask(lambda queue: list(queue.entries.values())) if e.only]
    keys = {q.call: {"choice": q.choices.index(str(2 * int(q.prompt[0])))} for q in asked[1::2]}
    assert {e.call: e.check for e in given} == keys
    mixed = model.desk.ask(lambda queue: [m.row["check"]["choice"] for m in queue.mixed.values()])
    assert set(mixed) == {0, 1}, "the right answer stands in either place"
    assert len(overseer(ITEMS)) == 4
    assert not any(j.verdict.abstained for j in overseer(ITEMS))
    ask = Ask("labeller", (Message("user", "x"),), ("a", "b"), ITEMS[0])
    list(model.answer([ask]))
    assert {m.row["form"] for m in model.desk.ask(lambda queue: list(queue.mixed.values()))} == {"belief", "rank"}


def test_what_passes_a_check() -> None:
    assert passed({"choice": 1, "probs": [0.2, 0.8]}, {"choice": 1})
    assert not passed({"choice": 0, "probs": [0.8, 0.2]}, {"choice": 1})
    assert passed({"ranks": [2, 1, 2]}, {"best": 1})
    assert not passed({"ranks": [1, 1, 2]}, {"best": 1})
    assert not passed({"ranks": [1, 2, 3]}, {"best": 1})


@pytest.mark.parametrize(
    "line, why",
    [
        ("nonsense", "line 1: not a check"),
        ({"prompt": "x", "choices": ["a", "b"]}, "KeyError: 'answer'"),
        ({"prompt": "x", "choices": ["a", "b"], "answer": 2}, "answer 2; it is the place of a choice, from 0"),
        ({"prompt": "x", "choices": ["a", "a"], "best": 0}, "2 choices; give 2 to 26 that differ"),
        ({"prompt": "x", "choices": "ab", "best": 0}, "choices are texts"),
        ({"prompt": "x", "choices": ["a", "b"], "answer": 0, "best": 0}, "too many values"),
        ("", "holds no checks"),
    ],
)
def test_checks_that_cannot_be_used(line: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=why):
        read(checks(tmp_path, line))


@pytest.mark.parametrize(
    "argument, options, why",
    [
        ("", {"people": 0}, "people is how many people answer each question, 1 or more; got people=0"),
        ("", {"people": True}, "got people=True"),
        ("", {"every": 1, "checks": "x"}, "every says which of the questions shown is a check, 2 or more"),
        ("", {"checks": "nowhere.jsonl"}, "the checks in 'nowhere.jsonl' cannot be read"),
        ("answers.jsonl", {"people": 2}, "leave people=2 out, or name a desk: human:team-a"),
        ("answers.jsonl", {"checks": "c.jsonl"}, "leave checks=c.jsonl out"),
    ],
)
def test_what_is_refused(argument: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises(ModelError, match=why):
        made(argument, **options)


def test_people_need_a_store_or_a_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="human needs a store for its questions; give one, or a file"):
        human(steps=Steps(None))
    assert isinstance(human(str(tmp_path / "answers.jsonl")), Human)
    assert made("team-a").desk.name == "team-a"
    assert made("team-a", people=3).name == "human:team-a:people=3"
