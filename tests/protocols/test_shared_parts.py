"""Templates, views and rules that all protocols share, and the referee."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from superalign.core.driver import play
from superalign.core.errors import ProtocolError, SpecError
from superalign.core.types import Ask, Item, Moves, Reply, Seat, Verdict
from superalign.models.scripted import Scripted
from superalign.protocols.compose import draws
from superalign.protocols.consultancy import consultancy
from superalign.protocols.debate import debate
from superalign.protocols.direct import direct
from superalign.protocols.expert import expert
from superalign.protocols.open_role import open_role
from superalign.protocols.propaganda import propaganda
from superalign.protocols.referee import CLAIMS, referee, speeches
from superalign.protocols.room import judging, order_of, public, relabelled
from superalign.protocols.rules import Rules, Silence
from superalign.protocols.template import FOLDER, template
from superalign.protocols.wrappers.best_of import best_of
from superalign.protocols.wrappers.reasoning import reasoning

ITEM = Item("i", "What sat there?", ("a dog", "a cat"), {"source": "A cat sat there."})


@pytest.mark.parametrize(
    ("said", "swapped"),
    [
        ("Debater A said (B).", "Debater B said (A)."),
        ("debater B's case, Answer (A), option **B**", "debater A's case, Answer (B), option **A**"),
        ("Debaters A and B; answers A, B; choice B/A", "Debaters B and A; answers B, A; choice A/B"),
        ("Consultant A", "Consultant B"),
        (
            "A dog. Plan B. An answer a day. vitamin (b) (C) (AB)",
            "A dog. Plan B. An answer a day. vitamin (b) (C) (AB)",
        ),
        ("<verified>Option A (B)</verified> (A)", "<verified>Option A (B)</verified> (B)"),
        (
            "<near>Option A</near> <unverified>Option B</unverified>",
            "<near>Option A</near> <unverified>Option B</unverified>",
        ),
    ],
)
def test_labels_change_and_nothing_else(said: str, swapped: str) -> None:
    assert relabelled(said, (1, 0)) == swapped
    assert relabelled(swapped, (1, 0)) == said
    assert relabelled(said, (0, 1)) == said


def test_labels_of_many_choices_follow_the_order() -> None:
    assert relabelled("(A) (B) (C)", (2, 0, 1)) == "(B) (C) (A)"  # the third is shown first, so (C) becomes (A)


def test_a_judge_never_gets_the_source() -> None:
    assert public(ITEM, (1, 0)) == Item("i", ITEM.prompt, ("a cat", "a dog"))
    assert public(ITEM).choices == ITEM.choices
    assert judging("judge/2")
    assert not judging("debater/a")
    with pytest.raises(ProtocolError, match=re.escape("the order (0, 0) does not fit the 2 choices of item 'i'")):
        order_of(ITEM, Seat(order=(0, 0)))


def test_silence_ends_a_game() -> None:
    def play_it(item: Item, seat: Seat) -> Moves:
        yield [Ask("speaker", ())]
        raise Silence("speaker", "no connection")

    [judgment] = play(Rules(play_it), {"speaker": Scripted("x", ["hm"])}, [(ITEM, Seat())])
    assert judgment.verdict == Verdict(None, abstained="failed: speaker: no connection")


def test_draws_of_different_seeds_are_different_samples() -> None:
    samples = {a.sample for seed in range(5) for a in draws(Ask("judge", (), sample=seed), 4, 0.8)}
    assert len(samples) == 20
    assert draws(Ask("judge", (), sample=7), 1, 0.8)[0].sample == 7


FACTORIES = {
    "direct": direct, "expert": expert, "propaganda": propaganda, "consultancy": consultancy, "debate": debate,
    "open": open_role, "referee": referee,
}  # fmt: skip


@pytest.mark.parametrize("name", FACTORIES)
def test_a_template_can_be_replaced_as_a_whole(name: str, tmp_path: Path) -> None:
    """T16: an unknown or misspelt placeholder, and a section too many, are errors that say so."""
    built_in = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    mine = tmp_path / "mine.txt"
    mine.write_text(built_in + " Please.", encoding="utf-8")
    make = FACTORIES[name]
    assert make(template=str(mine)).template != make().template
    for wrong, message in (
        (built_in.replace("{choices}", "{choises}"), "no field {choises}; did you mean 'choices'?"),
        (f"{'== judge ==' if name == 'direct' else ''}\n{built_in}\n== extra ==\nmore", "'extra'"),
    ):
        mine.write_text(wrong, encoding="utf-8")
        with pytest.raises(SpecError, match=re.escape(message)):
            make(template=str(mine))
    with pytest.raises(SpecError, match="no template can be read at"):
        make(template=str(tmp_path / "none.txt"))


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    text = (FOLDER / "debate.txt").read_text(encoding="utf-8").replace("== judge ==", "== juge ==")
    (tmp_path / "x.txt").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match="has no section `== judge ==`; did you mean 'juge'"):
        debate(template=str(tmp_path / "x.txt"))


def test_a_field_is_filled_once_and_never_left_open(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text('{a}\n\nkeep {b} {"json": 1} {Other}\n\n{b}', encoding="utf-8")
    sheet = template("x", str(tmp_path / "x.txt"), {"only": ("a", "b")})
    assert sheet.fill("only", a="", b="{a}") == 'keep {a} {"json": 1} {Other}\n\n{a}'
    with pytest.raises(ProtocolError, match=re.escape("template x, section only: nothing fills {b}")):
        sheet.fill("only", a="1")


def test_no_prompt_shows_a_tag_of_the_engine_that_a_player_could_take_for_a_quote() -> None:
    for path in (FOLDER / f"{name}.txt" for name in FACTORIES):
        text = path.read_text(encoding="utf-8")
        for tag in ("verified", "near", "unverified", "quote"):
            inside = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
            assert text.count(f"<{tag}>") == text.count(f"</{tag}>") == len(inside), f"{path.name}: {tag}"
            assert all(len(words) < 10 for words in inside), path.name


def test_every_option_has_a_default() -> None:
    for make in FACTORIES.values():
        for option in inspect.signature(make).parameters.values():
            assert option.kind is option.KEYWORD_ONLY
            assert option.default is not option.empty


def says(ask: Ask) -> Reply:
    if ask.choices:
        return Reply(probs=(0.5, 0.5))
    return Reply(f"<thinking>hush</thinking>{ask.role} draft {ask.sample % 89}: (A) <quote>a cat sat</quote>")


def test_the_referee_reads_every_speech_that_was_heard() -> None:
    cast = {role: Scripted("all", says) for role in ("judge", "debater", "preference", "consultant", "cross-examiner")}
    protocol = best_of(reasoning(debate(kind="interactive")), n=2)
    [judgment] = play(protocol, cast, [(ITEM, Seat(order=(1, 0)))])
    items = speeches(judgment)
    assert [i.info["speaker"] for i in items] == ["Debater A", "Debater B"] * 2
    assert [i.info["round"] for i in items] == [1, 1, 2, 2]
    assert [i.info["assigned"] for i in items[:2]] == ["(A) a cat", "(B) a dog"]
    assert items[0].info["answers"] == "(A) a cat\n(B) a dog"
    assert items[0].info["speech"].startswith("debater/b draft")
    assert len({i.id for i in items}) == 4
    assert {i.choices for i in items} == {CLAIMS}
    [lone] = play(consultancy(rounds=1), cast, [(ITEM, Seat(order=(1, 0), assigned="a dog"))])
    assert [i.info["assigned"] for i in speeches(lone)] == ["(B) a dog"]
    [alone] = play(direct(), cast, [(ITEM, Seat())])
    assert speeches(alone) == []


def test_the_referee_says_what_a_speech_argues_for() -> None:
    cast = {role: Scripted("all", says) for role in ("judge", "debater")}
    [judgment] = play(debate(rounds=1), cast, [(ITEM, Seat())])
    items = speeches(judgment)
    conceding = Scripted(
        "referee", lambda ask: Reply("B" if "a dog" in ask.messages[0].content.split("speaker:")[1][:20] else "A")
    )
    verdicts = [j.verdict for j in play(referee(), {"referee": conceding}, [(i, Seat()) for i in items])]
    assert [v.answer for v in verdicts] == [1, 0]
    [swapped] = play(referee(), {"referee": conceding}, [(items[0], Seat(order=(2, 1, 0)))])
    assert swapped.verdict.answer == 1
    prompt = swapped.calls[0][0].messages[0].content
    assert f"(A) {CLAIMS[2]}" in prompt
    assert "A cat sat there." not in prompt
