"""A shared budget: what is set aside and what was charged are never more than the cap, at any row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from superalign.compute.budget import Account, parse_budget
from superalign.core.errors import SpecError, StoreError
from tests.contract.test_store import InMemory


def walk(rows: Sequence[Mapping[str, Any]]) -> dict[str, Decimal]:
    """Add the rows up in decimals, without the code under test; returns what was charged.

    At every row the cap is kept, and a refusal was one: some resource was short.
    """
    exact = {name: Decimal(repr(value)) for name, value in rows[0]["cap"].items()}
    holds: dict[str, Mapping[str, Any]] = {}
    charged: dict[str, Decimal] = {}

    def free(name: str, without: str = "") -> Decimal:
        held = sum(Decimal(repr(a.get(name, 0))) for hold, a in holds.items() if hold != without)
        return exact[name] - charged.get(name, Decimal(0)) - held

    for row in rows[1:]:
        kind, hold = row["type"], row["hold"]
        if kind == "reserve":
            holds[hold] = row["amount"]
        elif kind == "refuse":
            assert any(Decimal(repr(row["amount"][name])) > free(name, hold) for name in exact), row
        else:
            holds.pop(hold, None)
        if kind == "settle":
            for name, used in row["used"].items():
                part = Decimal(repr(row["charged"][name]))
                assert part + Decimal(repr(row["overrun"].get(name, 0))) == Decimal(repr(used))
                charged[name] = charged.get(name, Decimal(0)) + part
        assert all(free(name) >= 0 for name in exact), row
    return charged


AMOUNTS = st.one_of(st.integers(0, 7), st.floats(0, 7), st.sampled_from([0.1, 0.2, 0.3, 1e-6, 3.3]))


class Sharing(RuleBasedStateMachine):
    """Two accounts on one stream, a clock, and anything in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1000.0
        self.store = InMemory({})
        self.accounts = [self.open(), self.open()]
        self.settled: dict[str, Any] = {}

    def open(self) -> Account:
        return Account(self.store, "budget/x", {"evaluations": 10, "usd": 1.1}, clock=lambda: self.time)

    @rule(
        which=st.integers(0, 1), hold=st.sampled_from("abcdef"), evaluations=AMOUNTS, usd=AMOUNTS, ttl=st.integers(1, 9)
    )
    def reserve(self, which: int, hold: str, evaluations: float, usd: float, ttl: int) -> None:
        amount = {"evaluations": evaluations, "usd": usd}
        try:
            held = self.accounts[which].reserve(hold, amount, ttl=ttl)
        except SpecError:  # of nothing
            return
        assert (held.status == "settled") == (hold in self.settled)

    @rule(which=st.integers(0, 1), hold=st.sampled_from("abcdef"), evaluations=AMOUNTS, usd=AMOUNTS)
    def settle(self, which: int, hold: str, evaluations: float, usd: float) -> None:
        try:
            told = self.accounts[which].settle(hold, {"evaluations": evaluations, "usd": usd, "tokens": 5})
        except SpecError:  # of what was never held
            assert hold not in self.settled
            return
        assert self.settled.setdefault(hold, told) == told, "a settlement stands"
        assert told.charged["tokens"] == 5, "what is not capped is counted whole"

    @rule(seconds=st.integers(1, 20))
    def wait(self, seconds: int) -> None:
        self.time += seconds

    @rule(which=st.integers(0, 1))
    def restart(self, which: int) -> None:
        self.accounts[which] = self.open()

    @invariant()
    def the_cap_is_kept_at_every_row(self) -> None:
        charged = walk([event.body for event in self.store.read("budget/x")])
        told = self.accounts[0].summary()
        assert {k: Decimal(repr(v)) for k, v in told["settled"].items()} == charged
        assert told == self.accounts[1].summary()


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=30, stateful_step_count=25, deadline=None, derandomize=True)


@pytest.fixture
def store() -> InMemory:
    return InMemory({})


def test_what_is_not_used_comes_back_and_what_goes_over_is_told(store: InMemory) -> None:
    account = Account(store, "b", {"seconds": 10, "usd": 1})
    assert account.reserve("one", {"seconds": 6, "usd": 0.5})
    assert account.left() == {"seconds": 4, "usd": 0.5}
    assert account.settle("one", {"seconds": 2.5, "usd": 0.8}).overrun == {"usd": 0.3}
    assert account.left() == {"seconds": 7.5, "usd": 0.5}, "the hold is the most that is charged"
    assert account.summary()["overrun"] == {"usd": 0.3}


def test_a_refusal_is_a_row_and_says_why(store: InMemory) -> None:
    account = Account(store, "b", {"evaluations": 5})
    account.reserve("one", {"evaluations": 3})
    held = account.reserve("two", {"evaluations": 3}, "the second piece")
    assert not held
    assert held.why == "3 evaluations is more than the 2 evaluations left"
    row = list(store.read("b"))[-1].body
    assert (row["type"], row["purpose"], row["why"]) == ("refuse", "the second piece", held.why)
    assert account.summary()["refused"] == 1
    assert account.reserve("three", {"evaluations": 2}), "what fits is still given"
    assert not account.reserve("four", {"evaluations": 1}), "empty"


def test_sums_of_tenths_fill_a_budget_exactly(store: InMemory) -> None:
    account = Account(store, "b", {"usd": 0.3})
    assert [bool(account.reserve(f"{k}", {"usd": 0.1})) for k in range(4)] == [True, True, True, False]


def test_what_is_smaller_than_a_millionth_is_not_free(store: InMemory) -> None:
    account = Account(store, "b", {"usd": 1e-6})
    assert account.reserve("one", {"usd": 1e-9})
    assert not account.reserve("two", {"usd": 1e-9})


def test_who_was_killed_gets_the_same_hold_and_is_not_charged_twice(store: InMemory) -> None:
    Account(store, "b", {"evaluations": 8}).reserve("batch 1", {"evaluations": 8})
    again = Account(store, "b", {"evaluations": 8})
    assert again.reserve("batch 1", {"evaluations": 8}).status == "held"
    first = again.settle("batch 1", {"evaluations": 7})
    once_more = Account(store, "b")
    assert once_more.reserve("batch 1", {"evaluations": 8}).status == "settled"
    assert once_more.settle("batch 1", {"evaluations": 3}) == first
    assert once_more.left() == {"evaluations": 1}


def test_a_hold_comes_back_after_its_time_and_a_late_settlement_takes_only_what_is_left(store: InMemory) -> None:
    time = [100.0]
    account = Account(store, "b", {"evaluations": 10}, clock=lambda: time[0])
    account.reserve("slow", {"evaluations": 8}, ttl=60)
    time[0] = 159.9
    assert not account.reserve("next", {"evaluations": 6})
    time[0] = 160.0
    assert account.reserve("next", {"evaluations": 6})
    assert [e.body["type"] for e in store.read("b")][-2:] == ["expire", "reserve"]
    assert account.summary()["lost"] == {"evaluations": 8}
    told = account.settle("slow", {"evaluations": 7})
    assert (told.charged, told.overrun) == ({"evaluations": 4}, {"evaluations": 3})
    assert account.summary()["lost"] == {}
    assert account.left() == {"evaluations": 0}


def test_reserving_again_replaces_a_hold_where_it_fits(store: InMemory) -> None:
    account = Account(store, "b", {"evaluations": 10})
    account.reserve("other", {"evaluations": 3})
    account.reserve("one", {"evaluations": 2})
    assert account.reserve("one", {"evaluations": 7})
    assert account.left() == {"evaluations": 0}
    assert not account.reserve("one", {"evaluations": 8})
    assert account.summary()["holds"] == {"other": {"evaluations": 3}, "one": {"evaluations": 7}}


def test_reserving_again_keeps_a_hold_for_longer(store: InMemory) -> None:
    time = [0.0]
    account = Account(store, "b", {"evaluations": 10}, clock=lambda: time[0])
    for now in (0.0, 50.0, 100.0):
        time[0] = now
        assert account.reserve("long", {"evaluations": 8}, ttl=60)
    time[0] = 159.0
    assert not account.reserve("other", {"evaluations": 3})


def test_without_a_cap_everything_is_counted(store: InMemory) -> None:
    account = Account(store, "b", {})
    assert account.reserve("one", {"evaluations": 1e6})
    account.settle("one", {"evaluations": 9e5, "seconds": 3})
    assert account.summary()["settled"] == {"seconds": 3, "evaluations": 900_000}


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda a: a.reserve("x", {"evaluations": 1}), "seconds is capped too; write seconds=0 for none"),
        (lambda a: a.reserve("x", {"evaluation": 1}), "did you mean 'evaluations'"),
        (lambda a: a.reserve("x", {"evaluations": -1, "seconds": 1}), "evaluations=-1; give a number from 0"),
        (lambda a: a.reserve("x", {"evaluations": float("nan"), "seconds": 1}), "evaluations=nan"),
        (lambda a: a.reserve("x", {"evaluations": 0, "seconds": 0}), "more than 0 of something"),
        (lambda a: a.reserve("", {"evaluations": 1, "seconds": 0}), "give it a name"),
        (lambda a: a.settle("hld", {"evaluations": 1, "seconds": 1}), "'hld' is no hold to settle; did you mean 'held'"),
        (lambda a: a.settle("held", {"evaluations": 1}), "'held' set seconds aside; say how much it used"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(store: InMemory, act: Any, message: str) -> None:
    account = Account(store, "b", {"evaluations": 9, "seconds": 9})
    account.reserve("held", {"evaluations": 1, "seconds": 1})
    with pytest.raises(SpecError, match=message):
        act(account)


def test_a_cap_is_frozen(store: InMemory) -> None:
    with pytest.raises(SpecError, match="never opened"):
        Account(store, "b")
    Account(store, "b", {"evaluations": 600})
    with pytest.raises(SpecError, match="opened with 600 evaluations, and is asked for 500 evaluations"):
        Account(store, "b", {"evaluations": 500})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"type": "reserve", "hold": "y", "at": 0, "until": 1, "amount": {"usd": 2}},
            "2 usd is more than the 0 usd left",
        ),
        ({"type": "settle", "hold": "y", "charged": {}, "overrun": {}}, "'y' is no hold to settle"),
        ({"type": "settle", "hold": "x", "charged": {"usd": 2}, "overrun": {}}, "2 usd is more than the 1 usd left"),
        ({"type": "expire", "hold": "x", "at": 5}, "expires before its time"),
        ({"type": "expire", "hold": "y", "at": 5}, "lacks 'y'"),
        ({"type": "cap", "cap": {"usd": 9}}, "begins with its cap, once"),
        ({"type": "gift", "hold": "x"}, "no rows 'gift'"),
        ({"hold": "x"}, "lacks 'type'"),
    ],
)
def test_a_stream_that_breaks_the_cap_is_not_believed(store: InMemory, row: dict[str, Any], message: str) -> None:
    Account(store, "b", {"usd": 1}, clock=lambda: 0.0).reserve("x", {"usd": 1}, ttl=9)
    store.append("b", [row])
    with pytest.raises(StoreError, match=f"row 3 of the stream 'b' does not fit .*{message}"):
        Account(store, "b").left()


@pytest.mark.parametrize(
    ("text", "cap"),
    [
        ("40s", {"seconds": 40}), ("10m", {"seconds": 600}), ("2h", {"seconds": 7200}), ("1.5 h", {"seconds": 5400}),
        ("600", {"evaluations": 600}), ("600 evaluations", {"evaluations": 600}), ("2.5 USD", {"usd": 2.5}),
        ("10m, 600, 20000 tokens,5usd", {"seconds": 600, "evaluations": 600, "tokens": 20000, "usd": 5}),
    ],
)  # fmt: skip
def test_budgets_are_read(text: str, cap: dict[str, float]) -> None:
    assert parse_budget(text) == cap


@pytest.mark.parametrize("text", ["", "0", "10x", "m", "-5", "1e5", "10m,20s", "600,", "٣ usd", "10 m s", "nan"])
def test_what_is_no_budget_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SpecError, match="write 40s, 10m, 2h, 600 evaluations"):
        parse_budget(text)
    with pytest.raises(SpecError, match="from 0 to 1,000,000,000"):
        parse_budget("999999999999 tokens")


@given(st.text(alphabet="0123456789.smhd usdtokenevaluations,-", max_size=20))
def test_any_text_is_a_budget_or_an_error(text: str) -> None:
    try:
        cap = parse_budget(text)
    except SpecError:
        return
    assert cap
    assert all(0 < value <= 1e9 for value in cap.values())
    assert parse_budget(", ".join(f"{v:f} {'s' if k == 'seconds' else k}" for k, v in cap.items())) == cap
