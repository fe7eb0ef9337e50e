"""The desk case by case: who is given what, what a run gets, and that nothing is lost, whoever is stopped when."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from superalign.core.errors import StoreError, UserError
from superalign.core.types import Ask, Item, Message
from superalign.people.desk import Desk, Gone, awaiting, desks
from superalign.people.questions import Question, of_row, question_of, to_row
from superalign.people.queue import LEASE
from superalign.store import open_store
from tests.people.asking import Clock, Memory, belief, ranking, says
from tests.processes import Start, starting


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(clock: Clock) -> Desk:
    return Desk(Memory(), clock=clock)


@pytest.fixture
def start() -> Iterator[Start]:
    with starting(Path(__file__).parent / "workers.py") as begin:
        yield begin


def judge(desk: Desk, person: str, place: int = 0) -> Question:
    """The person answers the next question."""
    question = desk.next(person)
    assert question is not None
    desk.answer(person, question.call, says(question, place))
    return question


def test_a_question_is_kept_for_whoever_it_was_shown_to(desk: Desk, clock: Clock) -> None:
    desk.post([belief("a")])
    assert desk.next("ann") == desk.next("ann") == belief("a")
    assert desk.next("bob") is None
    clock.now += LEASE
    assert desk.next("bob") == belief("a")
    assert desk.next("ann") is None
    desk.skip("bob", belief("a").call)
    assert desk.next("ann") == belief("a")


def test_what_was_put_off_comes_back_last(desk: Desk) -> None:
    desk.post([belief("a"), belief("b")])
    first = desk.next("ann")
    assert first is not None
    desk.skip("ann", first.call, "too long")
    second = desk.next("ann")
    assert second is not None
    assert second != first
    desk.answer("ann", second.call, says(second, 1))
    assert desk.next("ann") == first


def test_the_next_turn_goes_to_whoever_judged_the_one_before(desk: Desk, clock: Clock) -> None:
    """For a while: then anybody may go on. Another condition on the same item is another game, best for somebody else."""
    first, second, other = belief("a", 1, condition="x"), belief("a", 2, condition="x"), belief("a", 1, condition="y")
    assert first.thread == second.thread != other.thread
    desk.post([first, other, *(belief(f"b{k}") for k in range(9))])
    while judge(desk, "ann") != first:
        pass
    desk.post([second])
    assert desk.next("ann") == second, "before all else"
    asked = []
    while desk.next("bob") is not None:
        asked.append(judge(desk, "bob"))
    assert other in asked or other.call in desk.ask(lambda queue: queue.last["ann"])
    assert second not in asked
    clock.now += LEASE
    assert desk.next("bob") == second, "others may go on after a while"


def test_the_next_turn_goes_to_others_at_once_where_its_judge_puts_it_off(desk: Desk) -> None:
    desk.post([belief("a", 1)])
    judge(desk, "ann")
    desk.post([belief("a", 2)])
    assert desk.next("bob") is None
    desk.skip("ann", belief("a", 2).call)
    assert desk.next("bob") == belief("a", 2)


def test_items_that_are_new_to_a_person_come_first(desk: Desk) -> None:
    desk.post([q for k in range(6) for q in (belief(f"i{k}"), belief(f"i{k}", flipped=True))])
    items = [judge(desk, "ann").item for _ in range(12)]
    assert len(set(items[:6])) == 6
    assert Counter(items) == dict.fromkeys(items[:6], 2)


def test_two_people_have_two_orders_which_do_not_depend_on_what_the_server_remembers() -> None:
    store, clock = Memory(), Clock()
    desk = Desk(store, clock=clock)
    desk.post([belief(f"i{k}", want=2) for k in range(20)])
    asked = {person: [judge(desk, person).item for _ in range(10)] for person in ("ann", "bob")}
    assert asked["ann"] != asked["bob"]
    again = Desk(store, clock=clock)
    assert [again.next(p) for p in asked] == [desk.next(p) for p in asked]


def test_an_answer_counts_once_and_only_its_own_undoes_it(desk: Desk) -> None:
    question = belief("a")
    desk.post([question])
    assert judge(desk, "ann", 1) == question
    assert not desk.answer("ann", question.call, says(question, 1))
    with pytest.raises(Gone, match="you have answered this question already; undo that answer first"):
        desk.answer("ann", question.call, says(question, 0))
    with pytest.raises(Gone, match="there is no answer to undo"):
        desk.undo("bob")
    assert desk.undo("ann") == question.call
    assert desk.ask(lambda queue: queue.entries[question.call].undone) == {"ann": says(question, 1)}
    desk.answer("ann", question.call, says(question, 0))
    assert desk.take([question])[question.call].text == "no"
    with pytest.raises(Gone, match="the run has used what you gave"):
        desk.undo("ann")


def test_a_question_that_opens_again_is_offered_again_to_others(desk: Desk, clock: Clock) -> None:
    desk.post([belief("a")])
    judge(desk, "ann")
    assert desk.next("bob") is None
    desk.undo("ann")
    clock.now += LEASE
    assert desk.next("bob") == belief("a")


def test_a_late_answer_is_kept_and_changes_nothing(desk: Desk, clock: Clock) -> None:
    question = belief("a")
    desk.post([question])
    desk.next("ann")
    clock.now += LEASE
    judge(desk, "bob", 1)
    before = desk.take([question])
    desk.answer("ann", question.call, says(question, 0))
    assert desk.take([question]) == before
    assert before[question.call].text == "yes"
    assert desk.counts().answers == 2


def test_labels_settle_before_a_run_takes_them(desk: Desk, clock: Clock) -> None:
    question = ranking("a")
    desk.post([question])
    judge(desk, "ann", 2)
    assert desk.take([question]) == {}
    assert not desk.due([question.call])
    clock.now += 10
    assert desk.due([question.call])
    assert json.loads(desk.take([question])[question.call].text) == {"ranks": [2, 2, 1]}
    assert not desk.due([question.call])


def test_a_run_knows_what_it_waits_for(desk: Desk) -> None:
    mine, others = [belief("a"), belief("b", want=2)], [belief("c")]
    desk.post([*mine, *others])
    with awaiting() as awaited:
        desk.take(mine)
    desk.take(others)
    assert awaited == {desk: {q.call for q in mine}}
    assert desk.wanted(awaited[desk]) == 3
    desk.answer("ann", others[0].call, says(others[0], 0))
    assert not desk.due(awaited[desk]), "what another study asked is not its business"
    desk.answer("ann", mine[1].call, says(mine[1], 0))
    assert not desk.due(awaited[desk]), "one more person is to answer"
    desk.answer("bob", mine[1].call, says(mine[1], 1))
    assert desk.due(awaited[desk])


def test_grades_are_kept_once(desk: Desk) -> None:
    desk.post([belief("a")])
    desk.grade({belief("a").call: 1, "unknown": 0})
    desk.grade({belief("a").call: 0})
    assert desk.ask(lambda queue: [e.truth for e in queue.entries.values()]) == [1]


def test_checks_are_mixed_in_unseen_and_each_person_gets_each_once(desk: Desk, clock: Clock) -> None:
    desk.post([belief(f"i{k:02}", want=3) for k in range(20)])
    checks = {belief(f"c{k}").call: {"choice": 1} for k in range(3)}
    desk.mix([(belief(f"c{k}"), {"choice": 1}) for k in range(3)], 4)
    desk.mix([(belief(f"c{k}"), {"choice": 1}) for k in range(3)], 4)
    before = desk.counts()
    for person in ("ann", "bob"):
        asked = [judge(desk, person, 1) for _ in range(16)]
        items = [q.item for q in asked]
        assert [k for k, item in enumerate(items) if item.startswith("c")] == [3, 7, 11], "then there are no more"
        assert sorted(i for i in items if i.startswith("c")) == ["c0", "c1", "c2"]
        assert asked[3].call not in checks, "each person's is another question"
        assert {(q.form, q.role, q.want == 1) for q in asked} == {("belief", "judge", False), ("belief", "judge", True)}
    after = desk.counts()
    assert (after.questions, after.answers, after.wanted) == (before.questions, 26, before.wanted - 26)
    given = desk.ask(lambda queue: [e for e in queue.entries.values() if e.only])
    assert len(given) == 6
    assert all(e.check == {"choice": 1} and e.given[e.only].answer["choice"] == 1 for e in given)
    with pytest.raises(Gone, match="is for you"):
        desk.answer("cyd", given[0].call, says(belief("c0"), 0))
    assert not any(e.taken for e in given)
    desk.due([])
    assert desk.ask(lambda queue: all(e.taken for e in queue.entries.values() if e.only)), "no run has to ask for them"


def test_a_check_can_be_undone_or_put_off_like_any_other(desk: Desk) -> None:
    desk.post([belief(f"i{k}") for k in range(6)])
    desk.mix([(belief("c"), {"choice": 1})], 2)
    first = judge(desk, "ann")
    check = desk.next("ann")
    assert check is not None
    assert check.item == "c"
    assert desk.next("ann") == check
    assert desk.undo("ann") == first.call
    assert desk.next("ann") == first
    desk.answer("ann", first.call, says(first, 0))
    assert judge(desk, "ann") == check
    assert desk.undo("ann") == check.call
    desk.skip("ann", check.call)
    assert {judge(desk, "ann").item for _ in range(5)} == {f"i{k}" for k in range(6)} - {first.item}
    assert desk.next("ann") is None, "a check alone is no reason to go on"


def test_questions_come_back_as_they_were_asked(desk: Desk) -> None:
    item = Item("i", "Prompt\nmore", ("no", "yes"), {"source": "SECRET", "note": "SECRET"})
    shown = Message("user", 'said\n<speech by="A" round="1">\nx\n</speech>')
    question = question_of("c", Ask("judge/2", (shown,), ("continue", "end"), item), 2)
    assert question.form == "choice"
    assert question.answers == ("no", "yes")
    assert question.first_line == "Prompt"
    assert of_row(json.loads(json.dumps(to_row(question)))) == question
    assert "SECRET" not in json.dumps(to_row(question))
    desk.post([question])
    assert desk.question("c") == question
    with pytest.raises(Gone, match="no question 'other' at the desk 'people'; go back to the list"):
        desk.question("other")


def test_a_desk_has_a_plain_name_and_its_stream_is_believed_or_not() -> None:
    with pytest.raises(UserError, match="'Team A' is no name for a desk; use small letters, digits and hyphens"):
        Desk(Memory(), "Team A")
    store = Memory()
    Desk(store, "team-a").post([belief("a")])
    assert desks(store) == ["team-a"]
    store.append("people/team-a", [{"kind": "answered", "call": "nobody's"}])
    with pytest.raises(StoreError, match="row 2 of the stream 'people/team-a' does not fit the rows before it"):
        Desk(store, "team-a").counts()


def test_twenty_people_lose_nothing(tmp_path: Path) -> None:
    """On two servers."""
    with open_store(tmp_path / "s.sqlite") as store:
        desk = Desk(store)
        questions = [belief(f"i{k}") for k in range(400)]
        desk.post(questions)
        servers = [Desk(store) for _ in range(2)]
        said: dict[str, list[str]] = {}
        failed: list[BaseException] = []

        def work(person: str) -> None:
            own, mine = servers[len(said) % 2], said.setdefault(person, [])
            try:
                while (question := own.next(person)) is not None:
                    assert own.answer(person, question.call, says(question, len(mine) % 2))
                    mine.append(question.call)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(f"p{k}",)) for k in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        answered = [call for mine in said.values() for call in mine]
        assert sorted(answered) == sorted(q.call for q in questions), "each once"
        replies = desk.take(questions)
        for mine in said.values():
            assert [replies[call].text for call in mine] == [("no", "yes")[k % 2] for k in range(len(mine))]
        assert len([mine for mine in said.values() if mine]) > 10, "they did not work at the same time"


@pytest.mark.parametrize("doing", ["posts", "answers"])
def test_a_process_that_is_killed_leaves_whole_rows(doing: str, start: Start, tmp_path: Path) -> None:
    url = str(tmp_path / "s.sqlite")
    with open_store(url) as store:
        worker = start(doing, url)
        assert worker.stdout is not None
        done = [worker.stdout.readline().strip() for _ in range(30)]
        worker.send_signal(signal.SIGKILL)
        assert worker.wait(timeout=60) == -signal.SIGKILL
        done += worker.stdout.read().split()
        desk = Desk(store)
        known = desk.ask(lambda queue: {c: set(e.given) for c, e in queue.entries.items()})
        if doing == "posts":
            assert set(done) <= set(known)
        else:
            assert set(done) <= {c for c, people in known.items() if people == {"ann"}}
            assert 30 <= sum(map(len, known.values())) <= len(done) + 1
        desk.post([belief("more")])
        assert desk.counts().questions == len(known) + 1
