"""A bound on money: set aside before, settled after, refused in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from superalign.core.driver import play
from superalign.core.errors import ModelError
from superalign.core.ports import Model
from superalign.core.transcript import Transcript
from superalign.core.types import Ask, Cost, Item, Message, Reply, Seat, Settings
from superalign.models.api import api
from superalign.models.budgeted import Purse, budgeted, estimate
from superalign.models.scripted import Scripted
from superalign.protocols.direct import direct
from superalign.testing.model import ModelContract
from tests.models.api.server import Server, chat


class Meter:
    """A model whose calls may cost 1 dollar and do cost `real`; `reported` tokens."""

    unpriced = ""
    serial = False
    concurrency = 4

    def __init__(self, real: float = 0.25, reported: int = 5, failure: str | None = None) -> None:
        self.name, self.real, self.reported, self.failure = "meter", real, reported, failure
        self.sent = 0
        self.lock = threading.Lock()

    def worst(self, ask: Ask) -> Cost:
        return Cost(10, 10, 1.0)

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        for i, ask in reversed(list(enumerate(asks))):
            with self.lock:
                self.sent += 1
            usd = self.real if self.reported else 0.0
            text = "" if self.failure else f"re {ask.messages[-1].content}"
            yield i, Reply(text, failure=self.failure, cost=Cost(self.reported, 0, usd))


def asks(n: int) -> list[Ask]:
    return [Ask("judge", (Message("user", f"q{k}"),)) for k in range(n)]


SPENT = r"spent \$1\.2500 of --max-usd \$2\.0000, and the next call may cost \$1\.0000; every reply so far is kept: raise --max-usd and run again"


def test_calls_are_made_while_the_next_one_fits() -> None:
    model = Meter()
    bound, got = budgeted(model, 2.0), []
    with pytest.raises(ModelError, match=SPENT):
        got.extend(pair for request in asks(9) for pair in bound.answer([request]))
    assert [reply.text for _, reply in got] == [f"re q{k}" for k in range(5)]
    assert model.sent == 5


def test_a_batch_is_cut_to_what_fits_and_goes_on_with_what_was_left_over() -> None:
    model, got = Meter(), {}
    with pytest.raises(ModelError, match=SPENT):
        got.update((i, reply.text) for i, reply in budgeted(model, 2.0).answer(asks(9)))
    assert got == {k: f"re q{k}" for k in range(5)}
    assert len(dict(budgeted(Meter(), 4.0).answer(asks(9)))) == 9


def test_calls_at_the_same_time_cannot_exceed_it_together() -> None:
    model, got, errors = Meter(), [], []
    bound = budgeted(model, 2.0)

    def work(k: int) -> None:
        try:
            for request in asks(90)[k::10]:
                got.extend(bound.answer([request]))
        except ModelError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), model.sent) == (5, 5)
    assert len(errors) == 10


@pytest.mark.parametrize(
    ("model", "spent"),
    [
        (Meter(0.25), 0.25),
        (Meter(reported=0), 1.0),
        (Meter(reported=0, failure="timeout: ..."), 0.0),
        (Meter(0.0), 0.0),
    ],
    ids=["reported", "not reported", "failed", "free after all"],
)
def test_what_a_call_is_charged(model: Meter, spent: float) -> None:
    purse = Purse(2.0)
    list(budgeted(model, purse).answer(asks(1)))
    assert purse.spent == spent


def test_an_abandoned_batch_is_charged_its_worst() -> None:
    purse = Purse(3.0)
    some = budgeted(Meter(), purse).answer(asks(9))
    next(some)
    some.close()
    assert purse.spent == 0.25 + 2.0
    with pytest.raises(ModelError, match=r"spent \$2\.2500 of --max-usd \$3\.0000"):
        list(budgeted(Meter(), purse).answer(asks(1)))


def test_models_share_a_purse_that_earlier_runs_spent_from() -> None:
    purse = Purse(3.0, spent=1.0)
    one, other = budgeted(Meter(1.0), purse), budgeted(Meter(0.5), purse)
    list(one.answer(asks(1)))
    with pytest.raises(ModelError, match=r"spent \$2\.5000 of --max-usd \$3\.0000"):
        list(other.answer(asks(9)))


@pytest.mark.parametrize("usd", [0, -1.0, float("nan")])
def test_a_budget_is_above_nothing(usd: float) -> None:
    with pytest.raises(ModelError, match=r"--max-usd \S+ buys nothing; write a number above 0"):
        budgeted(Meter(), usd)


def test_an_unpriced_model_is_refused_at_once() -> None:
    with pytest.raises(ModelError, match=r"--max-usd cannot be kept: no price is known for 'gpt-x'.*write prices=FILE"):
        budgeted(api("gpt-x"), 1.0)


def test_a_local_model_is_left_as_it_is() -> None:
    local = Scripted("local", ["a"])
    assert budgeted(local, 1.0) is local
    assert estimate(local, asks(3)) == Cost()


def priced(tmp_path: Path, url: str = "http://127.0.0.1:9/v1", **options: object) -> Model:
    table = tmp_path / "prices.toml"
    table.write_text("[models.m]\ninput = 1000\noutput = 10000\n")
    return api(url, model="m", prices=str(table), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("probs", "calls", "written"),
    [("none", 1, 100), ("typed", 1, 0), ("logprobs", 2, 104), ("sample", 3, 300), ("auto", 4, 304)],
)
def test_the_estimate_of_a_choice(tmp_path: Path, probs: str, calls: int, written: int) -> None:
    model = priced(tmp_path, probs=probs, draws=3, max_tokens=100)
    request = Ask("judge", (Message("user", "x" * 276),), ("a", "b"))  # 92 tokens and 8 around them
    assert estimate(model, [request]) == Cost(100 * calls, written, pytest.approx(0.1 * calls + 0.01 * written))
    long = Ask("judge", (Message("user", ""),), settings=Settings(max_tokens=7))
    assert estimate(model, [long, long]).tokens_out == 14, "an ask's own bound counts, and text is one request"


def test_replies_so_far_are_kept_and_the_next_run_goes_on(tmp_path: Path) -> None:
    items = [Item(f"i{k}", f"question {k}", ("no", "yes")) for k in range(30)]
    games = [(item, Seat()) for item in items]
    transcript = Transcript()
    with Server(lambda h: chat("A", prompt_tokens=10, completion_tokens=1)) as server:
        model = priced(tmp_path, server.url, probs="none", max_tokens=10, concurrency=3)
        with pytest.raises(ModelError, match=r"spent \$0\.\d+ of --max-usd \$0\.5000.*run again"):
            play(direct(), {"judge": budgeted(model, 0.5)}, games, transcript)
        bought = len(server.requests)
        assert 10 < bought < 30
        judgments = play(direct(), {"judge": budgeted(model, 5.0)}, games, transcript)
        assert len(server.requests) == 30
    assert {j.verdict.answer for j in judgments} == {0}


class TestBudgetedContract(ModelContract):
    def make_model(self) -> Model:
        return budgeted(Meter(), 100.0)
