"""People label for RLHF: one ranking for each prompt, nothing kept before all is in, a record like any other."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core.errors import Degenerate, SpecError
from superalign.core.types import Ask, Item, Reply
from superalign.learners.rl.comparisons import compared
from superalign.learners.rl.overseers import pair
from superalign.models.scripted import Scripted
from superalign.people.desk import Desk, awaiting
from superalign.people.questions import Question
from superalign.protocols.room import letter
from superalign.studies.rlhf import prepare
from superalign.studies.rlhf.people import by_ranking, rankings, shuffled
from superalign.studies.rlhf.trials import Trial
from superalign.tasks.worlds.sentiment_markov import sentiment_markov
from tests.people.asking import Clock, Memory
from tests.studies.rlhf.tiny import spec

LANGUAGE = sentiment_markov(seed=0)


def ranks_by(values: list[float]) -> list[int]:
    levels = sorted(set(values), reverse=True)
    return [levels.index(v) + 1 for v in values]


def answer_all(desk: Desk, person: str = "ann", stop: int = 10_000) -> list[Question]:
    """A person who knows the truth ranks whatever there is."""
    asked: list[Question] = []
    while len(asked) < stop and (question := desk.next(person)) is not None:
        asked.append(question)
        desk.answer(person, question.call, {"ranks": ranks_by(list(map(float, LANGUAGE.gold(question.choices))))})
    return asked


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> tuple[Memory, Desk, Clock]:
    """A store, its desk, and the clock of all desks in this test."""
    store, clock = Memory(), Clock()
    monkeypatch.setattr(Desk.__init__, "__defaults__", ("people", clock, {"rank": 10.0}))
    return store, Desk(store), clock


def test_a_study_waits_for_its_labels_and_goes_on(desk: tuple[Memory, Desk, Clock]) -> None:
    store, people, clock = desk
    asked = spec(algorithms=["best-of-n"], overseers=["human", "gold"])
    sweep = prepare(asked, store)
    assert sweep.plan()
    assert not store.streams("people/"), "a plan asks nobody"
    with awaiting() as awaited:
        record = sweep.run()
    (human,) = (c for c in record.conditions if c.labels.get("overseer") == "human")
    assert "waiting: human: 8 questions wait at the desk people" in str(human.numbers["gold"].reason)
    assert any("waiting: human" in reason for reason in record.failures)
    assert sum(map(len, awaited.values())) == 8, "one question for each prompt"
    assert len(answer_all(people, stop=7)) == 7
    clock.now += 60
    with awaiting() as awaited:
        sweep.run()
    assert sum(map(len, awaited.values())) == 1
    labels = Trial(next(a for a in sweep.arms if a.overseer == "human"), sweep.labs[0]).lab.labels("human", 8)
    assert not labels.known(sweep.steps), "nothing half-labelled is kept"
    (last,) = answer_all(people)
    with awaiting() as awaited:
        sweep.run()
    assert awaited, "a label can be undone for ten seconds"
    clock.now += 60
    done = prepare(asked, store).run()
    assert not done.failures
    assert people.counts().questions == 8
    assert last.role == "labeller"
    ours, theirs = (done.condition(f"best-of-n@overseer={who}") for who in ("human", "gold"))
    assert ours.numbers.keys() == theirs.numbers.keys()
    assert ours.numbers["label_accuracy"].value == 1.0, "who ranks by the truth labels by it"
    value = labels.run(sweep.steps)
    assert set(np.round(value["p"], 6)) <= {0.01, 0.5, 0.99}
    assert value["gap"] is None
    assert value["dropped"] == 0


def test_a_question_shows_each_response_once_in_an_order_drawn_by_hash(desk: tuple[Memory, Desk, Clock]) -> None:
    store, people, _ = desk
    sweep = prepare(spec(algorithms=["best-of-n"], overseers=["human"]), store)
    sweep.run()
    drawn = sweep.labs[0].samples(8).run(sweep.steps)
    asked = answer_all(people)
    by_prompt = dict(zip(drawn["prompts"], drawn["responses"], strict=True))
    assert {q.prompt for q in asked} == set(by_prompt)
    places = set()
    for question in asked:
        assert sorted(question.choices) == sorted(set(by_prompt[question.prompt]))
        assert question.form == "rank"
        places.add(question.choices.index(sorted(question.choices)[0]))
    assert len(places) > 1


def test_ties_are_even_and_several_people_make_shares() -> None:
    texts = ("a", "b", "c")

    def says(ask: Ask) -> Reply:
        first = [{"a": 1, "b": 1, "c": 2}[c] for c in ask.choices]
        second = [{"a": 1, "b": 2, "c": 2}[c] for c in ask.choices]
        return Reply(f'{{"ranks": [1.0, 1.5, 2.0], "each": [{first}, {second}]}}')

    model = Scripted("two", says)
    found = compared(by_ranking(model, 0), ["x"], [[*texts, "a"]])
    wins = dict(zip(zip(found.left.tolist(), found.right.tolist(), strict=True), found.p.tolist(), strict=True))
    assert wins == {(0, 1): 0.75, (0, 2): 0.99, (0, 3): 0.5, (1, 2): 0.75, (1, 3): 0.25, (2, 3): pytest.approx(0.01)}


def test_a_model_may_label_in_words_and_what_cannot_be_read_is_dropped(desk: tuple[Memory, Desk, Clock]) -> None:
    def says(ask: Ask) -> str:
        if ask.item is not None and ask.item.prompt == "mute":
            return "I like them all"
        order = sorted(range(len(ask.choices)), key=lambda k: ask.choices[k])
        return " > ".join(map(letter, order))

    found = compared(by_ranking(Scripted("words", says), 0), ["x", "mute"], [["b", "a", "c"], ["a", "b"]])
    assert found.dropped == 1
    assert found.p.tolist() == pytest.approx([0.01, 0.99, 0.99])
    store, _, _ = desk
    cast = {"cast": {"labeller": "scripted:A = B = C = D"}, "overseers": ["labeller"], "algorithms": ["best-of-n"]}
    sweep = prepare(spec(**cast), store)
    value = sweep.labs[0].labels("labeller", 8).run(sweep.steps)
    assert set(value["p"]) == {0.5}
    with pytest.raises(
        SpecError, match="nobody is cast to label; name --cast labeller=MODEL, or type --overseer human"
    ):
        prepare(spec(overseers=["labeller"]), store)


def test_pairs_of_a_prompt_are_one_ranking_unless_nothing_joins_them() -> None:
    pairs = [pair("x", "a", "b"), pair("x", "b", "a"), pair("x", "b", "c"), pair("x", "c", "c"), pair("x", "d", "e")]
    found = rankings([*pairs, pair("y", "a", "a")])
    assert [(i.prompt, i.choices) for i in found] == [("x", ("a", "b", "c")), ("x", ("d", "e"))]
    orders = {shuffled(replace(found[0], id=str(k)), 0) for k in range(40)}
    assert len(orders) == 6
    many = [pair("x", f"{k:02}", f"{k + 1:02}") for k in range(30)]
    with pytest.raises(SpecError, match=re.escape("31 responses to one prompt, of which 26 can be ranked")):
        rankings(many)


@pytest.mark.parametrize(
    "changes",
    [
        {"overseers": ["human"]},
        {"overseers": ["gold", "human:team-a"]},
        {"overseers": ["judge:protocol=direct"], "cast": {"judge": "human"}},
    ],
)
def test_people_are_no_reward(changes: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"cannot be the reward itself.*type --reward rm"):
        spec(**changes, reward=["overseer"])


def test_mistakes_show_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="the overseer 'human' has no option 'peple'; did you mean 'people'"):
        prepare(spec(overseers=["human:peple=2"]), Memory())
    from superalign.core.errors import ModelError

    with pytest.raises(ModelError, match="people is how many people answer each question"):
        prepare(spec(overseers=["human:people=0"]), Memory())


def test_a_person_who_judges_debates_for_a_label_is_waited_for(desk: tuple[Memory, Desk, Clock]) -> None:
    """Not counted as one who abstains."""
    store, people, _ = desk
    cast = {"overseers": ["judge:protocol=debate:rounds=1"], "cast": {"judge": "human"}, "algorithms": ["best-of-n"]}
    sweep = prepare(spec(**cast, rm_prompts=[1]), store)
    stage = sweep.labs[0].labels("judge:protocol=debate:rounds=1", 1)
    with pytest.raises(Degenerate, match="12 of 12 labels are waiting: human"):
        stage.run(sweep.steps)
    while (question := people.next("ann")) is not None:
        assert question.form == "belief"
        people.answer("ann", question.call, {"choice": 0, "probs": [0.8, 0.2]})
    value = stage.run(sweep.steps)
    assert set(np.round(value["p"], 6)) == {0.5}
    assert value["gap"] == pytest.approx(0.6), "the first shown was always preferred"


def test_files_of_answers_label_too(tmp_path: Path) -> None:
    item = Item("i", "x", ("a", "b"))
    assert rankings([item])[0].choices == ("a", "b")
    sweep = prepare(spec(overseers=[f"human:{tmp_path}/answers.jsonl"], algorithms=["best-of-n"]), Memory())
    record = sweep.run()
    assert any("waiting: human: 8 questions wait in" in reason for reason in record.failures)
