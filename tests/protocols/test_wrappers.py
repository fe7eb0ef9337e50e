"""Wrappers change how a protocol is played, and nothing of what its players may know."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from superalign.core.driver import play
from superalign.core.errors import SpecError
from superalign.core.types import Ask, Item, Judgment, Protocol, Reply, Seat
from superalign.models.scripted import Scripted
from superalign.protocols.consultancy import consultancy
from superalign.protocols.debate import debate
from superalign.protocols.direct import direct
from superalign.protocols.replies import faults
from superalign.protocols.rules import rules
from superalign.protocols.wrappers.best_of import DUMMY, best_of
from superalign.protocols.wrappers.majority import majority
from superalign.protocols.wrappers.reasoning import AGAIN, DECIDE, reasoning
from superalign.protocols.wrappers.swap import swap

ITEM = Item("i", "What sat there?", ("a dog", "a cat"))
ROLES = ("judge", "debater", "consultant", "cross-examiner", "preference")


def game(protocol: Protocol, script: Callable[[Ask], Reply], seat: Seat | None = None) -> Judgment:
    cast = {role: Scripted("all", script) for role in ROLES}
    return play(protocol, cast, [(ITEM, seat or Seat(assigned="a dog"))])[0]


def drawn(*replies: Reply | str) -> Callable[[Ask], Reply]:
    """A judge whose draws are these, in order of being asked."""
    left = iter(replies)

    def script(ask: Ask) -> Reply:
        reply = next(left) if ask.choices else "speech"
        return Reply(reply) if isinstance(reply, str) else reply

    return script


def test_majority_averages_probabilities() -> None:
    judgment = game(
        majority(direct(), k=3), drawn(Reply(probs=(0.9, 0.1)), Reply(probs=(0.2, 0.8)), Reply(probs=(0.4, 0.6)))
    )
    assert judgment.verdict.probs == pytest.approx((0.5, 0.5))
    asks = [a for a, _ in judgment.calls]
    assert len({a.sample for a in asks}) == 3
    assert asks[0].sample == 0
    assert {a.settings.temperature for a in asks} == {0.8}
    other = game(majority(direct(), k=3), drawn("A", "A", "A"), Seat(seed=1))
    assert not {a.sample for a, _ in other.calls} & {a.sample for a in asks}


def test_majority_counts_bare_choices_by_the_rule_of_succession() -> None:
    judgment = game(majority(direct(), k=4), drawn("A", "hm", "B", "B"), Seat(order=(1, 0)))
    assert judgment.verdict.probs == pytest.approx((3 / 5, 2 / 5))  # two of three for (B), which is the item's first
    assert judgment.verdict.answer == 0
    assert faults(judgment) == {"no verdict": 1}
    mixed = game(majority(direct(), k=2), drawn("A", Reply(probs=(0.4, 0.6))))
    assert mixed.verdict.probs == (0.5, 0.5)


def test_majority_without_a_readable_draw_is_a_fault() -> None:
    judgment = game(majority(direct(), k=2), drawn("hm", "eh", "so", "B"))
    assert judgment.verdict.answer == 1  # the second time one of the draws could be read
    assert len(judgment.calls) == 4
    assert game(majority(direct(), k=2), drawn(*["hm"] * 4)).verdict.abstained == "unparsed: no verdict"


def test_majority_leaves_speakers_alone() -> None:
    judgment = game(majority(debate(), k=2), drawn("A", "A"))
    assert [a.role for a, _ in judgment.calls] == [*["debater/a", "debater/b"] * 2, "judge", "judge"]


def test_swap_takes_out_a_preference_for_a_place() -> None:
    judgment = game(swap(direct()), lambda ask: Reply(probs=(0.7, 0.3)))
    assert judgment.verdict.probs == pytest.approx((0.5, 0.5))
    assert [a.choices for a, _ in judgment.calls] == [ITEM.choices, ITEM.choices[::-1]]
    fair = game(swap(direct()), lambda ask: Reply(probs=tuple(0.9 if c == "a cat" else 0.1 for c in ask.choices)))
    assert (fair.verdict.answer, fair.verdict.probs) == (1, pytest.approx((0.1, 0.9)))


def test_swap_of_bare_choices_needs_agreement() -> None:
    assert game(swap(direct()), drawn("A", "B")).verdict.answer == 0
    assert game(swap(direct()), drawn("A", "A")).verdict.abstained == "the two orders disagree"
    assert game(swap(direct()), drawn("A", "hm", "hm")).verdict.abstained == "unparsed: no verdict"


def test_swap_plays_anew_only_what_the_order_changes() -> None:
    def distinct(protocol: Protocol) -> int:
        judgment = game(swap(protocol), lambda a: Reply(probs=(0.5, 0.5)) if a.choices else Reply(f"I am {a.role}"))
        return len({(a.role, a.messages) for a, _ in judgment.calls if not a.choices})

    assert distinct(debate(rounds=2)) == 4
    assert distinct(debate(rounds=2, kind="sequential")) == 8
    assert rules(swap(debate(kind="sequential"))).replays


def thinks(ask: Ask) -> Reply:
    if ask.choices:
        return Reply("B")
    return Reply(
        f"<thinking>secret of {ask.role}</thinking>speech of {ask.role}" if ask.role != "judge" else "weighing"
    )


def test_nobody_sees_what_others_think() -> None:
    judgment = game(reasoning(debate()), thinks)
    speeches = [a for a, _ in judgment.calls if a.role.startswith("debater")]
    assert len(speeches) == 4
    for ask, _ in judgment.calls:
        said = "\n".join(m.content for m in ask.messages)
        assert "secret" not in said
        assert ("between <thinking> and </thinking>" in said) == ask.role.startswith("debater")
    final = judgment.calls[-1][0]
    assert "speech of debater/a" in final.messages[0].content
    assert faults(judgment) == {}


def test_a_judge_thinks_in_words_and_then_decides() -> None:
    judgment = game(reasoning(direct()), thinks)
    think, decide = (a for a, _ in judgment.calls)
    assert think.choices == ()
    assert [m.content for m in decide.messages[1:]] == ["weighing", DECIDE]
    assert decide.messages[0] == think.messages[0]
    assert decide.choices == ITEM.choices
    assert judgment.verdict.answer == 1
    down = game(reasoning(direct()), lambda ask: Reply(failure="down"))
    assert down.verdict.abstained == "failed: down"


def test_thinking_that_does_not_end_is_asked_for_again() -> None:
    def script(ask: Ask) -> Reply:
        if ask.messages[-1].content == AGAIN:
            return Reply("<thinking>short</thinking>in the end" if ask.role == "debater/a" else "<thinking>on and on")
        return thinks(ask) if ask.choices or ask.role == "judge" else Reply("<thinking>never ends: secret")

    judgment = game(reasoning(debate(rounds=1)), script)
    shown = judgment.calls[-1][0].messages[0].content
    assert '<speech by="Debater A" round="1">\nin the end\n</speech>' in shown
    assert '<speech by="Debater B" round="1">\n[no argument given]\n</speech>' in shown
    assert "secret" not in shown
    assert faults(judgment) == {"endless thinking": 3}


def drafts(ask: Ask) -> Reply:
    """Drafts differ by sample; the preference judge reads how good one is."""
    if ask.role == "preference":
        good = [int(n) for n in re.findall(r"draft (\d+)", ask.messages[0].content)]
        side = 0.5 + max(good, default=0) / 400
        mine = "a cat" if "draft of b" in ask.messages[0].content else "a dog"
        return Reply(probs=tuple(side if c == mine else 1 - side for c in ask.choices))
    if ask.choices:
        return Reply(probs=(0.5, 0.5))
    return Reply(f"draft of {ask.role[-1]}: draft {ask.sample % 97}")


@pytest.mark.parametrize("kind", ["simultaneous", "sequential", "interactive"])
def test_the_best_draft_is_said(kind: str) -> None:
    def alone(ask: Ask) -> Reply:
        """Rates the last draft in the prompt, for the side that said it."""
        if ask.role != "preference":
            return drafts(ask)
        speeches = re.findall(r"draft of (\w): draft (\d+)", ask.messages[0].content)
        side, good = speeches[-1]
        share = 0.5 + int(good) / 400
        return Reply(probs=tuple(share if (c == "a cat") == (side == "b") else 1 - share for c in ask.choices))

    judgment = game(best_of(debate(kind=kind, rounds=1), n=5), alone)
    said = dict(re.findall(r"draft of (\w): draft (\d+)", judgment.calls[-1][0].messages[0].content))
    for side in "ab":
        mine = [int(r.text.rpartition(" ")[2]) for a, r in judgment.calls if a.role == f"debater/{side}"]
        assert len(mine) == 5
        assert len(set(mine)) > 1
        assert int(said[side]) == max(mine)


def test_a_fork_knows_nothing_of_the_rival_and_ends_at_the_next_decision() -> None:
    judgment = game(best_of(debate(rounds=2), n=2), drafts)
    rated = [a for a, _ in judgment.calls if a.role == "preference"]
    assert len(rated) == 2 * 2 * 2
    first = rated[0].messages[0].content
    assert first.count(DUMMY) == 3  # the rival's in this round, and both in the next
    assert first.count("draft of a") == 1
    later = rated[-1].messages[0].content
    assert later.count(DUMMY) == 1
    assert later.count("draft of") == 3
    assert "preference" not in {a.role for a, _ in game(debate(), drafts).calls}
    interactive = game(best_of(debate(rounds=2, kind="interactive"), n=2), drafts)
    first = next(a for a, _ in interactive.calls if a.role == "preference")
    assert first.messages[0].content.count(DUMMY) == 1  # the judge says what it believes after the first round


def test_of_equals_the_first_draft_is_said() -> None:
    def script(ask: Ask) -> Reply:
        return Reply("hm") if ask.role == "preference" else drafts(ask)

    judgment = game(best_of(consultancy(rounds=1), n=3), script)
    assert [a.role for a, _ in judgment.calls] == [*["consultant"] * 3, *["preference"] * 3, "judge"]
    assert judgment.calls[0][1].text in judgment.calls[-1][0].messages[0].content
    bare = game(best_of(consultancy(rounds=1), n=2), lambda a: Reply("A") if a.role == "preference" else drafts(a))
    assert bare.calls[0][1].text in bare.calls[-1][0].messages[0].content


def test_drafts_that_fail_are_not_rated() -> None:
    def script(ask: Ask) -> Reply:
        return Reply(failure="down") if ask.role == "consultant" and ask.sample == 0 else drafts(ask)

    judgment = game(best_of(consultancy(rounds=1), n=3), script)
    assert [a.role for a, _ in judgment.calls].count("preference") == 2
    assert any(r.text in judgment.calls[-1][0].messages[0].content for _, r in judgment.calls[1:3])
    lost = game(best_of(consultancy(rounds=1), n=2), lambda a: Reply(failure="down"))
    assert lost.verdict.abstained == "failed: consultant: down"


def test_wrappers_go_together() -> None:
    """Drafts with hidden thinking, rated by a preference judge who thinks, over both orders."""

    def script(ask: Ask) -> Reply:
        if ask.choices:
            return Reply(probs=tuple(0.8 if c == "a cat" else 0.2 for c in ask.choices))
        return thinks(ask) if ask.role != "preference" else Reply("weighing drafts")

    judgment = game(swap(best_of(reasoning(debate(rounds=1)), n=2)), script)
    assert judgment.verdict.answer == 1
    assert judgment.verdict.probs == pytest.approx((0.2, 0.8))
    rated = [a for a, _ in judgment.calls if a.role == "preference"]
    assert {bool(a.choices) for a in rated} == {True, False}
    assert not any("secret" in m.content for a, _ in judgment.calls for m in a.messages)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: majority(direct(), k=0), "majority draws k=1 times or more, got k=0"),
        (lambda: best_of(direct(), n=0), "best_of draws n=1 drafts or more, got n=0"),
    ],
)
def test_wrong_options_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


def test_wrappers_keep_what_is_known_of_a_protocol() -> None:
    for wrap in (majority, swap, reasoning, best_of):
        wrapped = wrap(consultancy())
        assert wrapped.one_sided
        assert wrapped.template == consultancy().template
        assert rules(wrap(lambda item, seat: direct()(item, seat))).template == ""
