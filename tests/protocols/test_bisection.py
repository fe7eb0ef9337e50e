from __future__ import annotations

from math import ceil, comb, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.driver import play
from superalign.core.errors import ProtocolError, SpecError
from superalign.core.types import Ask, Item, Judgment, Protocol, Reply, Seat, Verdict
from superalign.models.players.programs import programs_judge, programs_player
from superalign.models.scripted import Scripted
from superalign.protocols.bisection import ASKED, CHECKED, bisection, state_in
from superalign.tasks.games.programs import programs
from superalign.testing.protocol import ProtocolContract

STEPS = 6
ADD = Item(
    "add",
    "A number starts at 0 and 1 is added six times. What is it then?",
    ("6", "7"),
    {"steps": STEPS, "start": 0, "program": ["add 1"] * STEPS, "source": "secret source"},
)


class TestBisection(ProtocolContract):
    roles = ("prover", "judge")
    items = tuple(
        Item(
            f"words-{k}",
            "How does it end?",
            ("no", "yes"),
            {"steps": k + 1, "start": "x", "program": ["go on"] * (k + 1)},
        )
        for k in range(6)
    )

    def protocol(self) -> Protocol:
        return bisection()


def prover(ask: Ask) -> Reply:
    """`a` tells the truth; `b` adds 2 in the fourth step."""
    step = int(ASKED.search(ask.messages[-1].content)[1])
    return Reply(str(step + (ask.role == "prover/b" and step >= 4)))


def judge(ask: Ask) -> Reply:
    state, _, text = CHECKED.search(ask.messages[-1].content).groups()
    return Reply(str(int(state) + int(text.split()[1])))


def game(
    item: Item = ADD, *, provers: object = prover, judging: object = judge, seed: int = 0, **options: int
) -> Judgment:
    cast = {"prover": Scripted("prover", provers), "judge": Scripted("judge", judging)}
    return play(bisection(**options), cast, [(item, Seat(seed))])[0]


def test_the_judge_checks_the_first_step_in_dispute_and_sees_nothing_else() -> None:
    judgment = game()
    assert judgment.verdict == Verdict(0, (1.0, 0.0))
    checks = [a for a, _ in judgment.calls if a.role == "judge"]
    assert [a.messages[0].content for a in checks] == [
        "From state 3 apply step 4: add 1. What is the state after it? Reply with the state alone."
    ] * 6
    assert len({a.sample for a in checks}) == 6
    for ask in checks:
        assert ask.item is not None
        assert (ask.item.prompt, ask.item.choices) == (ask.messages[0].content, ())
        assert set(ask.item.info) == {"steps", "start"}


def test_provers_are_asked_side_by_side_and_both_orders_share_every_call() -> None:
    moves = bisection()(ADD, Seat())
    asks = next(moves)
    assert [a.role for a in asks] == ["prover/a", "prover/b"]
    assert [a.item.info["assigned"] for a in asks if a.item] == ["6", "7"]
    assert ASKED.search(asks[0].messages[0].content)[1] == "3"
    first, second = (
        play(bisection(), {"prover": Scripted("p", prover), "judge": Scripted("j", judge)}, [(ADD, Seat(0, order))])[0]
        for order in ((0, 1), (1, 0))
    )
    assert first.calls == second.calls
    assert first.verdict == second.verdict


def test_votes_are_shares_and_another_seed_draws_other_evaluations() -> None:
    replies = iter(["4", "9", "4", "5", "9", "9"])
    verdict = game(judging=lambda ask: next(replies)).verdict
    assert (verdict.answer, verdict.probs) == (0, pytest.approx((2 / 3, 1 / 3)))
    samples = [{a.sample for a, _ in game(seed=s).calls if a.role == "judge"} for s in (0, 1)]
    assert not samples[0] & samples[1]


def test_ties_are_broken_by_the_seat() -> None:
    verdicts = [game(judging=lambda ask: "99", seed=s).verdict for s in range(40)]
    assert {v.probs for v in verdicts} == {(0.5, 0.5)}
    assert 8 <= sum(v.answer or 0 for v in verdicts) <= 32
    assert game(judging=lambda ask: "99", seed=3).verdict == game(judging=lambda ask: "99", seed=3).verdict


@pytest.mark.parametrize(
    "mumbling, verdict",
    [
        ({"prover/a"}, Verdict(1, (0.0, 1.0))),
        ({"prover/b"}, Verdict(0, (1.0, 0.0))),
        ({"prover/a", "prover/b"}, Verdict(None, abstained="unparsed: neither prover named a state")),
    ],
)
def test_a_prover_who_names_no_state_is_asked_again_and_forfeits(mumbling: set[str], verdict: Verdict) -> None:
    judgment = game(provers=lambda ask: "" if ask.role in mumbling else prover(ask))
    assert judgment.verdict == verdict
    again = [a for a, _ in judgment.calls if len(a.messages) == 3]
    assert {a.role for a in again} == mumbling
    assert "That is not a state" in again[0].messages[-1].content


def test_a_state_on_the_second_attempt_counts() -> None:
    def slow(ask: Ask) -> Reply:
        return Reply("let me\nthink") if len(ask.messages) == 1 else prover(Ask(ask.role, ask.messages[:1]))

    assert game(provers=slow).verdict == Verdict(0, (1.0, 0.0))


def test_failures_and_unreadable_judges_abstain() -> None:
    assert game(provers=lambda ask: Reply(failure="offline")).verdict.abstained == "failed: prover/a: offline"
    assert game(judging=lambda ask: Reply(failure="offline")).verdict.abstained == "failed: judge: offline"
    assert game(judging=lambda ask: "").verdict.abstained == "unparsed: the judge named no state"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"steps": 5}, r"as many texts in info\['program'\] as steps; item 'add' has steps=5, 6 texts"),
        ({"steps": None}, "steps=None"),
        ({"start": ...}, r"needs info\['steps'\], info\['start'\]"),
    ],
)
def test_an_item_that_is_no_computation_is_refused(changes: dict[str, object], message: str) -> None:
    info = {k: v for k, v in {**ADD.info, **changes}.items() if v is not ...}
    with pytest.raises(ProtocolError, match=message):
        game(Item("add", "?", ("6", "7"), info))
    with pytest.raises(ProtocolError, match="between two different final states; item 'add' has"):
        game(Item("add", "?", ("6", "06"), ADD.info))


def test_a_judge_who_checks_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match="once or more for each claim, got checks=0"):
        bisection(checks=0)


@pytest.mark.parametrize(
    "text, state",
    [
        ("12", "12"),
        (" +012.\n", "12"),
        ("-0", "0"),
        ("The state after step 8 is 41.", "41"),
        ("State: `Open Door`", "open door"),
        ("first\nsecond", ""),
        ("", ""),
        ("x" * 81, ""),
    ],
)
def test_states_are_read_by_fixed_rules(text: str, state: str) -> None:
    assert state_in(text) == state


@given(st.text(max_size=100))
def test_a_state_is_one_short_line(text: str) -> None:
    state = state_in(text)
    assert len(state.splitlines()) <= 1
    assert state == state.strip()


@given(
    st.integers(-(10**9), 10**9), st.sampled_from(["{}", " {}. ", "`{}`", "State: {}", "the state after step 3 is {}."])
)
def test_a_number_is_read_whatever_is_around_it(number: int, around: str) -> None:
    assert state_in(around.format(number)) == str(number)


def closed_form(error: float, m: int = 3) -> float:
    """P(X > Y) + P(X = Y) / 2, X ~ Bin(m, 1 - error), Y ~ Bin(m, error / 96)."""

    def mass(k: int, p: float) -> float:
        return comb(m, k) * p**k * (1 - p) ** (m - k)

    return sum(
        mass(x, 1 - error) * mass(y, error / 96) * ((x > y) + (x == y) / 2) for x in range(m + 1) for y in range(m + 1)
    )


@pytest.mark.parametrize("steps", [1, 4, 16, 64])
@pytest.mark.parametrize("error", [0.0, 0.3])
def test_measured_accuracy_is_the_closed_form_and_rounds_are_log2(steps: int, error: float) -> None:
    world = programs(steps=steps, n=150)
    cast = {"judge": programs_judge(error=error), "prover": programs_player()}
    judgments = play(bisection(), cast, [(item, Seat()) for item in world.pool.items])
    accuracy = sum(j.verdict.answer == world.pool.key[j.item] for j in judgments) / len(judgments)
    expected = closed_form(error)
    assert abs(accuracy - expected) <= 4 * (expected * (1 - expected) / len(judgments)) ** 0.5 + 1e-12
    assert {sum(a.role == "prover/a" for a, _ in j.calls) for j in judgments} == {ceil(log2(steps))}
