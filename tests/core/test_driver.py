"""The driver: batches, readiness, parking, replay, and what it refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from superalign.core.driver import Transcript, ask, oversee, play
from superalign.core.errors import ModelError, ProtocolError
from superalign.core.transcript import key_of
from superalign.core.types import Ask, Item, Message, Moves, Pending, Reply, Seat, Settings, Verdict
from superalign.store import open_store

ITEMS = [Item(f"i{k}", f"question {k}", ("no", "yes")) for k in range(50)]
GAMES = [(item, Seat()) for item in ITEMS]


class Recorder:
    """A model that answers with a function and remembers the sizes of its batches."""

    def __init__(self, reply: Callable[[Ask], Reply | Pending], serial: bool = True, name: str = "recorder") -> None:
        self.name, self.serial, self.reply = name, serial, reply
        self.batches: list[list[Ask]] = []
        self.lock = threading.Lock()

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]:
        with self.lock:
            self.batches.append(list(asks))
        for index in reversed(range(len(asks))):
            yield index, self.reply(asks[index])


def say(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


def debate(item: Item, seat: Seat) -> Moves:
    """Two debaters speak at once, twice; a judge decides by the last speech."""
    said = item.prompt
    for _ in range(2):
        replies = yield (Ask("debater", say(said + " for")), Ask("debater", say(said + " against")))
        said = " | ".join(r.text for r in replies)
    reply = yield from ask("judge", say(said), item.choices)
    return Verdict(int(len(reply.text) % 2), score=float(len(said)))


def echo(request: Ask) -> Reply:
    return Reply("re: " + request.messages[-1].content)


@pytest.mark.parametrize("serial", [True, False])
def test_serial_models_get_one_batch_a_step_and_both_ways_agree(serial: bool) -> None:
    debater, judge = Recorder(echo, serial), Recorder(echo, serial, "judge")
    judgments = play(debate, {"debater": debater, "judge": judge}, GAMES)
    assert [j.item for j in judgments] == [i.id for i in ITEMS]
    expected = play(debate, {"debater": Recorder(echo), "judge": Recorder(echo, name="judge")}, GAMES)
    assert judgments == expected
    assert all(len(j.calls) == 5 for j in judgments)
    if serial:
        assert [len(b) for b in debater.batches] == [100, 100]
        assert [len(b) for b in judge.batches] == [50]


def test_games_go_on_as_replies_come() -> None:
    """A game whose replies are in is judged while another game's reply is still outstanding."""
    judged_early, release = threading.Event(), threading.Event()

    class Slow(Recorder):
        def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
            for index, request in enumerate(asks):
                if "question 1 " in request.messages[0].content:
                    assert release.wait(20)
                yield index, Reply(request.messages[0].content)

    def judge(request: Ask) -> Reply:
        judged_early.set()
        release.set()
        return Reply("yes")

    def short(item: Item, seat: Seat) -> Moves:
        reply = yield from ask("debater", say(item.prompt + " "))
        reply = yield from ask("judge", say(reply.text), item.choices)
        return Verdict(1)

    cast = {"debater": Slow(echo, serial=False), "judge": Recorder(judge, serial=False, name="judge")}
    judgments = play(short, cast, GAMES[:2])
    assert judged_early.is_set()
    assert [j.verdict.answer for j in judgments] == [1, 1]


def test_the_same_request_is_one_call() -> None:
    model = Recorder(lambda a: Reply("same"))

    def same(item: Item, seat: Seat) -> Moves:
        reply = yield from ask("judge", say("always this"), item.choices)
        return Verdict(None, abstained=reply.text)

    play(same, {"judge": model}, GAMES)
    assert [len(b) for b in model.batches] == [1]


def test_pending_games_are_parked_and_go_on_in_a_later_run(tmp_path: Path) -> None:
    def waits(request: Ask) -> Reply | Pending:
        odd = int(request.messages[0].content.split("question ")[1].split()[0]) % 2
        return Pending("a person") if odd else Reply("yes")

    url = str(tmp_path / "s.sqlite")
    with open_store(url) as store:
        judge = Recorder(waits, name="person")
        first = play(debate, {"debater": Recorder(echo), "judge": judge}, GAMES, Transcript(store, "run"))
        waiting = [j for j in first if j.verdict.abstained]
        assert len(waiting) == 25
        assert waiting[0].verdict.abstained == "waiting: a person"
        parked = [e.body for e in store.read("run/person") if e.body["kind"] == "parked"]
        assert len(parked) == 25
        assert parked[0]["ask"]["role"] == "judge"
    with open_store(url) as store:
        debater, judge = Recorder(echo), Recorder(lambda a: Reply("no"), name="person")
        second = play(debate, {"debater": debater, "judge": judge}, GAMES, Transcript(store, "run"))
        assert debater.batches == []
        assert [len(b) for b in judge.batches] == [25]
        assert not any(j.verdict.abstained for j in second)
        assert [j for j in second if j.item == "i0"] == [j for j in first if j.item == "i0"]


def test_replay_is_exact_and_asks_nothing(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "s.sqlite")) as store:
        first = play(debate, {"debater": Recorder(echo), "judge": Recorder(echo)}, GAMES, Transcript(store, "run"))
        silent = Recorder(lambda a: Reply(failure="must not be asked"))
        again = play(debate, {"debater": silent, "judge": silent}, GAMES, Transcript(store, "run"))
        assert silent.batches == []
        assert again == first


@pytest.mark.parametrize("serial", [True, False])
def test_what_arrived_before_a_crash_is_kept(tmp_path: Path, serial: bool) -> None:
    class Crash(RuntimeError):
        pass

    count = 0

    def crashes(request: Ask) -> Reply:
        nonlocal count
        count += 1
        if count > 30:
            raise Crash
        return echo(request)

    with open_store(str(tmp_path / "s.sqlite")) as store:
        with pytest.raises(Crash):
            play(
                debate, {"debater": Recorder(crashes, serial), "judge": Recorder(echo)}, GAMES, Transcript(store, "run")
            )
        assert sum(1 for e in store.read("run/recorder") if e.body["kind"] == "reply") == 30
        debater = Recorder(echo, serial)
        judgments = play(debate, {"debater": debater, "judge": Recorder(echo)}, GAMES, Transcript(store, "run"))
        assert sum(len(b) for b in debater.batches) == 200 - 30
        assert judgments == play(debate, {"debater": Recorder(echo), "judge": Recorder(echo)}, GAMES)


def test_failures_are_noted_and_asked_again(tmp_path: Path) -> None:
    def judge_only(item: Item, seat: Seat) -> Moves:
        reply = yield from ask("judge", say(item.prompt), item.choices)
        return Verdict(None, abstained=reply.failure) if reply.failure else Verdict(0)

    with open_store(str(tmp_path / "s.sqlite")) as store:
        model = Recorder(lambda a: Reply(failure="429"))
        failed = play(judge_only, {"judge": model}, GAMES[:3], Transcript(store, "run"))
        assert [j.verdict.abstained for j in failed] == ["429"] * 3
        assert [e.body["kind"] for e in store.read("run/recorder")] == ["failure"] * 3
        good = play(judge_only, {"judge": Recorder(lambda a: Reply("no"))}, GAMES[:3], Transcript(store, "run"))
        assert [j.verdict.answer for j in good] == [0, 0, 0]


def test_panels_and_roles() -> None:
    def panel(item: Item, seat: Seat) -> Moves:
        replies = yield (Ask("judge/1", say(item.prompt)), Ask("judge/2", say(item.prompt)))
        return Verdict(None, abstained=" ".join(r.text for r in replies))

    one, other = Recorder(lambda a: Reply("one"), name="a"), Recorder(lambda a: Reply("other"), name="b")
    assert play(panel, {"judge/1": one, "judge": other}, GAMES[:1])[0].verdict.abstained == "one other"
    with pytest.raises(ModelError, match="no model is cast as 'judge/1'; there is: jurist"):
        play(panel, {"jurist": one}, GAMES[:1])


def test_broken_protocols_are_named() -> None:
    def yields_nothing(item: Item, seat: Seat) -> Moves:
        yield ()
        return Verdict(0)

    def returns_nothing(item: Item, seat: Seat) -> Moves:
        yield from ask("judge", say(item.prompt))
        return None  # type: ignore[return-value]

    def chooses_too_far(item: Item, seat: Seat) -> Moves:
        yield from ask("judge", say(item.prompt))
        return Verdict(2)

    cast = {"judge": Recorder(echo)}
    for protocol, message in (
        (yields_nothing, "yield a non-empty sequence of Ask"),
        (returns_nothing, "return a Verdict"),
        (chooses_too_far, "chose 2 of 2 choices"),
    ):
        with pytest.raises(ProtocolError, match=message):
            play(protocol, cast, GAMES[:1])


@pytest.mark.parametrize("serial", [True, False])
def test_broken_models_are_named(serial: bool) -> None:
    class Half(Recorder):
        def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
            if len(asks) > 1:
                yield 0, Reply("only one")

    class Twice(Recorder):
        def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
            yield 0, Reply("one")
            yield 0, Reply("again")

    with pytest.raises(ModelError, match="answered 1 of 4 asks" if serial else "answered 0 of 1 asks"):
        play(debate, {"debater": Half(echo, serial)}, GAMES[:2])
    with pytest.raises(ModelError, match="twice or out of range"):
        play(debate, {"debater": Twice(echo, serial)}, GAMES[:2])


class Endpoint(Recorder):
    """A model that counts how many asks it has in hand at once."""

    def __init__(self, reply: Callable[[Ask], Reply | Pending], concurrency: int, name: str = "endpoint") -> None:
        super().__init__(reply, serial=False, name=name)
        self.concurrency = concurrency
        self.at_once = self.most = 0

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply | Pending]]:
        with self.lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        yield from super().answer(asks)
        with self.lock:
            self.at_once -= 1


def test_endpoints_are_asked_one_by_one_by_as_many_threads_as_they_say() -> None:
    gate = threading.Barrier(5, timeout=20)

    def together(request: Ask) -> Reply:
        gate.wait()  # passes only if five asks are in hand at once
        return echo(request)

    model = Endpoint(together, 5)
    judgments = play(debate, {"debater": model, "judge": Recorder(echo)}, GAMES)
    assert model.most == 5
    assert {len(b) for b in model.batches} == {1}
    assert judgments == play(debate, {"debater": Recorder(echo), "judge": Recorder(echo)}, GAMES)


def test_calls_that_a_dead_run_had_sent_are_repeated_under_the_same_key_and_counted(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "s.sqlite")) as store:
        dead = Transcript(store, "run")
        requests = [Ask("judge", say(item.prompt), item.choices) for item in ITEMS[:6]]
        model = Endpoint(echo, 4, "judge")
        keys = [key_of("judge", r) for r in requests]
        dead.sent(model, keys)
        dead.record([(keys[k], model, requests[k], echo(requests[k])) for k in range(2)])

        def judge_only(item: Item, seat: Seat) -> Moves:
            reply = yield from ask("judge", say(item.prompt), item.choices)
            return Verdict(None, abstained=reply.text)

        alive = Transcript(store, "run")
        play(judge_only, {"judge": model}, GAMES[:8], alive)
        assert (alive.asked, alive.repeated) == (6, 4)
        assert len(model.batches) == 6
        again = Transcript(store, "run")
        play(judge_only, {"judge": model}, GAMES[:8], again)
        assert (again.asked, again.repeated) == (0, 0)


def test_what_is_under_way_when_a_model_fails_is_waited_for_and_kept(tmp_path: Path) -> None:
    started = threading.Barrier(4, timeout=20)

    def judge(request: Ask) -> Reply:
        started.wait()
        if "question 0" in request.messages[0].content:
            raise ModelError("the budget is spent")
        return Reply("yes")

    def judge_only(item: Item, seat: Seat) -> Moves:
        yield from ask("judge", say(item.prompt), item.choices)
        return Verdict(0)

    with open_store(str(tmp_path / "s.sqlite")) as store:
        with pytest.raises(ModelError, match="the budget is spent"):
            play(judge_only, {"judge": Endpoint(judge, 4, "judge")}, GAMES[:4], Transcript(store, "run"))
        assert sum(e.body["kind"] == "reply" for e in store.read("run/judge")) == 3


def test_another_judge_reads_the_same_debates_without_a_word_from_the_debaters(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "s.sqlite")) as store:
        debater = Recorder(echo, name="debater")
        play(debate, {"debater": debater, "judge": Recorder(echo, name="first")}, GAMES, Transcript(store, "run"))
        calls = len(debater.batches)
        second = Recorder(echo, name="second")
        play(debate, {"debater": debater, "judge": second}, GAMES, Transcript(store, "run"))
        assert len(debater.batches) == calls
        assert [len(b) for b in second.batches] == [50]


def test_a_key_tells_apart_whatever_a_reply_may_depend_on() -> None:
    item = Item("i", "q", ("no", "yes"), {"source": "s", "program": ("a", "b")})
    one = Ask("judge", say("x"), ("no", "yes"), item)
    others = [
        replace(one, role="debater"),
        replace(one, messages=say("y")),
        replace(one, choices=("yes", "no")),
        replace(one, item=None),
        replace(one, item=replace(item, info={"source": "t"})),
        replace(one, sample=1),
        replace(one, settings=Settings(temperature=1.0)),
        replace(one, settings=Settings(stop=("\n",))),
    ]
    keys = {key_of("m", a) for a in (one, *others)} | {key_of("n", one)}
    assert len(keys) == len(others) + 2
    assert key_of("m", one) == key_of("m", replace(one, item=replace(item, info=dict(reversed(item.info.items())))))


def test_overseer_takes_items() -> None:
    def by_length(item: Item, seat: Seat) -> Moves:
        reply = yield from ask("judge", say(item.prompt), item.choices)
        return Verdict(len(reply.text) % 2)

    overseer = oversee(by_length, {"judge": Recorder(echo)}, seat=lambda item: Seat(order=(1, 0)))
    judgments = overseer(ITEMS[:4])
    assert [j.seat.order for j in judgments] == [(1, 0)] * 4
    assert overseer([]) == []
