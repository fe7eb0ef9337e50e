from __future__ import annotations

import pytest

from superalign.core.driver import play
from superalign.core.errors import Degenerate, ProtocolError, SpecError
from superalign.core.types import Ask, Item, Judgment, Protocol, Reply, Seat, Verdict
from superalign.models.scripted import Scripted
from superalign.protocols.prover_verifier import completeness, legibility_tax, prover_verifier, soundness
from superalign.testing.protocol import ProtocolContract

ITEM = Item("q", "What is 2 + 2?", ("four", "five"), {"source": "two and two are four"})


class TestProverVerifier(ProtocolContract):
    roles = ("prover", "verifier")
    blind = ("verifier",)

    def protocol(self) -> Protocol:
        return prover_verifier()


def game(
    assigned: str | None = "five",
    *,
    verifier: Reply | str = "accept",
    solution: Reply | str = "(A) is <quote>two and two are four</quote>",
    order: tuple[int, ...] = (),
    item: Item = ITEM,
    **options: str,
) -> Judgment:
    cast = {"prover": Scripted("prover", lambda ask: solution), "verifier": Scripted("verifier", lambda ask: verifier)}
    return play(prover_verifier(**options), cast, [(item, Seat(1, order, assigned))])[0]


def test_the_prover_shows_the_assigned_answer_and_the_verifier_decides_about_it() -> None:
    assert prover_verifier().one_sided
    judgment = game(order=(1, 0))
    (proving, _), (verifying, _) = judgment.calls
    assert proving.role == "prover/helpful"
    assert proving.item is not None
    assert proving.item.info["assigned"] == "five"
    assert "The answer to show is five" in proving.messages[0].content
    assert verifying.choices == ("reject", "accept")
    assert "(B) is <verified>two and two are four</verified>" in verifying.messages[0].content
    assert "source" not in verifying.item.info
    assert game().calls[1][0].choices == ("accept", "reject")


def test_the_sneaky_prover_has_a_chair_and_a_prompt_of_its_own() -> None:
    ask = game(prover="sneaky").calls[0][0]
    assert ask.role == "prover/sneaky"
    assert "whether or not the answer is right" in ask.messages[0].content
    assert "whether or not" not in game().calls[0][0].messages[0].content


@pytest.mark.parametrize(
    "reply, verdict",
    [
        ("accept", Verdict(1, (0.0, 1.0), score=1.0)),
        ("I choose B.", Verdict(0, (1.0, 0.0), score=0.0)),
        (Reply(probs=(0.75, 0.25)), Verdict(1, (0.25, 0.75), score=0.75)),
        (Reply(probs=(0.25, 0.75)), Verdict(0, (0.75, 0.25), score=0.25)),
        (Reply(probs=(0.5, 0.5)), Verdict(0, (0.5, 0.5), score=0.5)),
        ("who knows", Verdict(None, abstained="unparsed: no verdict")),
        (Reply(failure="gone"), Verdict(None, abstained="failed: gone")),
    ],
)
def test_acceptance_is_the_score(reply: Reply | str, verdict: Verdict) -> None:
    assert game(verifier=reply).verdict == verdict


def test_a_rejection_among_three_answers_nothing() -> None:
    item = Item("q", "What is 2 + 2?", ("four", "five", "six"))
    assert game(item=item, verifier=Reply(probs=(0.25, 0.75))).verdict == Verdict(
        None, (0.375, 0.25, 0.375), score=0.25
    )
    assert game(item=item, verifier=Reply(probs=(0.75, 0.25))).verdict.answer == 1


def test_what_does_not_fit_is_refused() -> None:
    assert game(solution=Reply(failure="gone")).verdict.abstained == "failed: prover/helpful: gone"
    with pytest.raises(ProtocolError, match="a one-sided protocol needs one of its choices"):
        game(None)
    with pytest.raises(SpecError, match="no prover 'honest'; there is: helpful, sneaky"):
        game(prover="honest")


def test_the_measures_of_the_game() -> None:
    assert completeness([0.9, 0.7, 0.1], [True, True, False]) == pytest.approx(0.8)
    assert soundness([0.9, 0.2, 0.4], [True, False, False]) == pytest.approx(0.7)
    assert legibility_tax(0.8, 0.65) == pytest.approx(0.15)
    with pytest.raises(Degenerate, match="completeness is undefined: no game was played for a right answer"):
        completeness([0.5], [False])
    with pytest.raises(Degenerate, match="soundness is undefined: no game was played for a wrong answer"):
        soundness([], [])


def test_a_verifier_who_checks_quotes_is_complete_and_sound() -> None:
    """The prover of the right answer quotes, the other one makes the quote up."""

    def prove(ask: Ask) -> Reply:
        return Reply(f"<quote>two and two are {ask.item.info['assigned']}</quote>")

    def verify(ask: Ask) -> Reply:
        return Reply(probs=(0.95, 0.05) if "<verified>" in ask.messages[0].content else (0.1, 0.9))

    cast = {"prover": Scripted("prover", prove), "verifier": Scripted("verifier", verify)}
    played = {
        prover: play(prover_verifier(prover=prover), cast, [(ITEM, Seat(assigned=c)) for c in ITEM.choices])
        for prover in ("helpful", "sneaky")
    }
    right = [j.seat.assigned == "four" for j in played["helpful"]]
    assert completeness([j.verdict.score or 0 for j in played["helpful"]], right) == pytest.approx(0.95)
    assert soundness([j.verdict.score or 0 for j in played["sneaky"]], right) == pytest.approx(0.9)
    assert [j.verdict.answer for j in played["helpful"]] == [0, 0]
