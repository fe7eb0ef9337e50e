"""Preference data: every form read and written, faults named by file and line, and what the counts find."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import TaskError
from superalign.tasks.preferences import Comparison, Preferences
from superalign.tasks.preferences.dialogue import as_messages, as_text
from superalign.tasks.preferences.pairs import pool
from superalign.tasks.preferences.quality import quality, ratings
from superalign.tasks.preferences.reading import load
from superalign.tasks.preferences.writing import write

USER = {"role": "user", "content": "Why?"}
TALK = [USER, {"role": "assistant", "content": "So."}, {"role": "user", "content": "No, why?"}]


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Preferences]:
    def made(*rows: dict[str, Any], form: str = "pairs") -> Preferences:
        file = tmp_path / "data.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return load(str(file), form)

    return made


def two(prompt: str, one: str, other: str, scores: tuple[float, ...] = (1.0, 0.0), **more: Any) -> Comparison:
    return Comparison(prompt, (one, other), scores, **more)


PAIRS = [
    ({"prompt": "Why?", "chosen": " Because.", "rejected": "No"}, ("Why?", " Because.", "No")),
    ({"chosen": "The sky is blue.", "rejected": "The sky is big."}, ("The sky is", " blue.", " big.")),
    ({"chosen": "One two", "rejected": "One two three"}, ("One two", "", " three")),
    ({"chosen": "yes", "rejected": "yet"}, ("", "yes", "yet")),
    ({"prompt": [USER], "chosen": [said("a")], "rejected": [said("b")]}, ("Why?", "a", "b")),
    ({"prompt": "Why?", "chosen": "", "rejected": "b"}, ("Why?", "", "b")),
    ({"chosen": [USER, said("a")], "rejected": [USER, said("b")]}, ("Why?", "a", "b")),
    (
        {"chosen": [*TALK, said("a")], "rejected": [*TALK, said("b")]},
        ("Human: Why?\n\nAssistant: So.\n\nHuman: No, why?\n\nAssistant:", "a", "b"),
    ),
    (
        {"chosen": "\n\nHuman: Hi\n\nAssistant: I am", "rejected": "\n\nHuman: Hi\n\nAssistant: I was"},
        ("Human: Hi\n\nAssistant:", "I am", "I was"),
    ),
]


@pytest.mark.parametrize(("row", "expected"), PAIRS)
def test_pairs_in_every_form_of_trl(
    read: Callable[..., Preferences], row: dict[str, Any], expected: tuple[str, ...]
) -> None:
    (found,) = read(row)
    assert (found.prompt, *found.responses) == expected
    assert found.scores == (1.0, 0.0)


def test_transcripts_that_part_early_keep_the_turns_after_it(read: Callable[..., Preferences]) -> None:
    begin = "\n\nHuman: a\n\nAssistant:"
    (found,) = read({"chosen": f"{begin} b\n\nHuman: c\n\nAssistant: d", "rejected": f"{begin} e"}, form="hh")
    assert found == two("Human: a\n\nAssistant:", "b\n\nHuman: c\n\nAssistant: d", "e")


def test_judged_forms(read: Callable[..., Preferences]) -> None:
    asked = {"input": "q", "output_1": "x", "output_2": "y"}
    found = read({**asked, "label": 2}, {**asked, "label": "1"}, form="llmbar")
    assert [c.preferred for c in found] == [1, 0]
    asked = {"instruction": "q", "output_1": "x", "output_2": "y", "annotator": "judge"}
    values = (1, 2.0, 1.25, 0, 1.5, None)
    found = read(*({**asked, "preference": v} for v in values), form="alpaca-eval")
    assert [c.p for c in found] == [1, 0, 0.75, 0.5, 0.5]
    assert found[0].info == {"annotator": "judge"}
    assert found.notes == ("data.jsonl: 1 rows left out because the judge gave no preference",)
    asked = {"prompt": "q", "response_a": "x", "response_b": "y", "rater": 7}
    found = read(*({**asked, "winner": w} for w in ("A", "right", "tie", 0.25, "skip")), form="votes")
    assert [c.p for c in found] == [1, 0, 0.5, 0.25]
    assert found[0].info == {"rater": "7"}


def test_samples_of_one_prompt_are_one_comparison(read: Callable[..., Preferences]) -> None:
    rows = [("q", "a", 1.0), ("r", "c", 3.0), ("q", "b", 2.0), ("q", "b", 2.0), ("q", "d", None), ("q", "a", 1.5)]
    found = read(*({"prompt": p, "output": o, "gold_preference": g} for p, o, g in rows), form="best-of-n")
    assert list(found) == [Comparison("q", ("a", "b"), (1.0, 2.0))]
    assert [note.partition(": ")[2] for note in found.notes] == [
        "1 rows left out because the sample has no gold_preference",
        "1 rows left out because the same sample had another score before",
        "1 rows left out because their prompt has one scored sample",
    ]


FAULTS = [
    ("pairs", {"prompt": "q", "chosen": 3, "rejected": "b"}, "data.jsonl, line 2: chosen holds int, not text"),
    ("pairs", {"prompt": "q", "chosen": [said("a")], "rejected": "b"}, "line 2: prompt, chosen and rejected are partly"),
    ("pairs", {"prompt": [USER], "chosen": [USER], "rejected": [said("b")]}, "line 2: chosen holds 1 messages after"),
    ("pairs", {"prompt": [{"role": "bot"}], "chosen": [said("a")], "rejected": [said("b")]}, "line 2: .* is no message"),
    ("hh", {"chosen": "a", "rejected": "b"}, "line 2: chosen and rejected share no turn of the assistant"),
    ("llmbar", {"input": "q", "output_1": "x", "output_2": "y", "label": 3}, "line 2: the label '3' is neither 1 nor 2"),
    ("alpaca-eval", {"instruction": "q", "output_1": "x", "output_2": "y", "preference": 3}, "line 2: the preference 3 "),
    ("alpaca-eval", {"instruction": "q", "output_1": "x", "output_2": "y", "preference": "x"}, "'x', not a number"),
    ("votes", {"prompt": "q", "response_a": "x", "response_b": "y", "winner": "c"}, "line 2: the winner 'c' is not a, b"),
    ("rankings", {"prompt": "q", "responses": ["a", "b"], "ranks": [1]}, r"line 2: scores \(-1.0,\) for 2 responses"),
    ("rankings", {"prompt": "q", "responses": "ab", "ranks": [1]}, "line 2: responses must be a list of texts"),
    ("rankings", {"prompt": "q", "responses": ["a", "b"]}, r"line 2: give ranks \(1 is best\) or scores"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "row", "message"), FAULTS)
def test_malformed_rows_are_named(tmp_path: Path, form: str, row: dict[str, Any], message: str) -> None:
    (tmp_path / "data.jsonl").write_text("\n" + json.dumps(row), encoding="utf-8")
    with pytest.raises(TaskError, match=message):
        load(str(tmp_path / "data.jsonl"), form)


def test_wrong_forms_and_columns_are_named(read: Callable[..., Preferences], tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no form of preference data is named 'pair'; did you mean 'pairs'\?"):
        load("nowhere", "pair")
    with pytest.raises(TaskError, match=r"'data.jsonl' has no column 'label'; columns: input, output_1, output_2"):
        read({"input": "q", "output_1": "x", "output_2": "y"}, form="llmbar")
    with pytest.raises(TaskError, match="has no column gold_preference, reward or score; columns: prompt, output"):
        read({"prompt": "q", "output": "x"}, form="best-of-n")
    with pytest.raises(TaskError, match=r"holds no comparison; data.jsonl: 1 rows left out because nobody voted"):
        read({"prompt": "q", "response_a": "x", "response_b": "y", "winner": None}, form="votes")
    with pytest.raises(TaskError, match="no form of preference data to write is named 'hh'"):
        write([], tmp_path / "out", "hh")
    with pytest.raises(TaskError, match=r"a vote is between two responses and this comparison has 3; write its pairs"):
        write([Comparison("q", ("a", "b", "c"), (1, 2, 3))], tmp_path / "out", "votes")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"responses": ("a",), "scores": (1.0,)}, "1 responses to 'q'; a comparison has two or more"),
        ({"responses": ("a", "b")}, "has both scores and p, or neither"),
        ({"responses": ("a", "b"), "scores": (1.0, 0.0), "p": 0.5}, "has both scores and p, or neither"),
        ({"responses": ("a", "b"), "p": 1.5}, "p=1.5 for 2 responses; it is the probability"),
        ({"responses": ("a", "b", "c"), "p": 0.5}, "p=0.5 for 3 responses"),
        ({"responses": ("a", "b"), "scores": (1.0, float("nan"))}, "give each one finite number"),
    ],
)
def test_a_comparison_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        Comparison("q", **settings)


def test_ranked_responses_become_pairs_of_one_group() -> None:
    whole = Comparison("q", ("a", "b", "c", "d"), (2.0, 5.0, 2.0, 1.5))
    assert whole.ranking == (1, 0, 2, 3)
    assert whole.preferred == 1
    pairs = whole.pairs()
    assert [p.responses for p in pairs] == [("a", "b"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    assert [p.preferred for p in pairs] == [1, 0, 0, 0, 0]
    assert {p.group for p in pairs} == {whole.group}
    assert len(whole.pairs(ties=True)) == 6
    assert len(whole.pairs(least=1.0)) == 3
    assert Comparison("q", ("a", "b"), p=0.5).pairs() == ()
    assert Comparison("q", ("a", "b"), p=0.2).ranking == (1, 0)
    assert Comparison("q", ("a", "b"), p=0.5).preferred is None


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
NUMBER = st.floats(-100, 100, allow_nan=False)


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    prompt, group, rater = draw(TEXT), draw(st.sampled_from(["", "g"])), draw(st.sampled_from([{}, {"rater": "r"}]))
    if draw(st.booleans()):
        return Comparison(prompt, (draw(TEXT), draw(TEXT)), p=draw(st.floats(0, 1)), group=group, info=rater)
    scores = tuple(draw(st.lists(NUMBER, min_size=2, max_size=4)))
    return Comparison(prompt, tuple(draw(TEXT) for _ in scores), scores, group=group, info=rater)


@given(st.lists(comparisons(), min_size=1, max_size=4))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, whole: list[Comparison]) -> None:
    file = tmp_path_factory.mktemp("written") / "out.jsonl"
    assert write(whole, file, "rankings") == len(whole)
    found = load(str(file), "rankings")
    assert [(f.prompt, f.responses, f.ranking, f.group, f.info) for f in found] == [
        (c.prompt, c.responses, c.ranking, c.group, c.info) for c in whole
    ]
    pairs = [pair for c in whole for pair in c.pairs(ties=True)]
    assert write(pairs, file, "votes") == len(pairs)
    assert [(f.responses, f.preferred, f.group) for f in load(str(file), "votes")] == [
        (p.responses, p.preferred, p.group) for p in pairs
    ]
    decided = [(p.prompt, *(p.responses[k] for k in p.ranking)) for c in whole for p in c.pairs()]
    assert write(whole, file) == len(decided)
    if decided:
        assert [(f.prompt, *f.responses) for f in load(str(file))] == decided
        write(whole, file, "chat")
        assert [f.responses for f in load(str(file))] == [d[1:] for d in decided]


WORDS = st.lists(st.sampled_from(["a", "bc", "  ", "d", "\n"]), max_size=6).map(" ".join)


@given(WORDS, WORDS, WORDS)
def test_an_implicit_prompt_loses_no_character(prompt: str, one: str, other: str) -> None:
    from superalign.tasks.preferences.reading import _implicit

    found = _implicit(prompt + one, prompt + other, "line 1")
    assert [found.prompt + r for r in found.responses] == [prompt + one, prompt + other]
    assert all(not r or not found.prompt or r[0].isspace() for r in found.responses)
    assert found.prompt == found.prompt.rstrip()


PLAIN = st.text("ab :\n", max_size=8)


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), PLAIN), min_size=1, max_size=4))
def test_messages_survive_as_a_transcript(turns: list[tuple[str, str]]) -> None:
    messages = [{"role": role, "content": content} for role, content in turns]
    if turns[-1][0] != "user":
        messages.append(USER)
    found = as_messages(as_text(messages, "here"))
    assert found == messages


def test_quality_counts() -> None:
    a, b = "short", "much longer"
    whole = [
        two("q", b, a), two("q", a, b, (0.0, 1.0)), two("q", a, b), two("q", a, b, (0.0, 0.0)),  # one pair, 4 verdicts
        two("r", a, b), two("r", a, b), two("s", "", b), two("t", a, a), Comparison("u", ("x", "yy", "zzz"), (1, 2, 3)),
    ]  # fmt: skip
    found = quality(whole)
    assert (found.comparisons, found.groups, found.pairs, found.ties) == (9, 5, 11, 1)
    assert (found.empty, found.equal) == (1, 1)
    assert (found.copies, found.contradictions) == (1, 1)
    assert (found.first, found.second) == (6, 4)
    assert (found.longer, found.shorter) == (5, 4)
    assert (found.agreeing, found.repeated) == (2, 7)
    units = [unit for unit, _ in ratings(whole)]
    assert len(set(units[:4])) == 1
    assert [r for _, r in ratings(whole)][:4] == [1.0, 1.0, 0.0, 0.5]  # "much longer" comes first in the alphabet


def test_ratings_are_what_agreement_is_measured_on() -> None:
    from superalign.studies.rate.agreement import alpha

    votes = [Comparison(f"q{k}", ("a", "b")[:: 1 if k % 3 else -1], p=float(k % 2)) for k in range(20)]
    same = [Comparison(v.prompt, v.responses[::-1], p=1 - (v.p or 0)) for v in votes]
    opposed = [Comparison(v.prompt, v.responses, p=1 - (v.p or 0)) for v in votes]
    assert alpha(ratings([*votes, *same]), rounds=20).value == pytest.approx(1.0)
    found = alpha(ratings([*votes, *opposed]), rounds=20).value
    assert found is not None
    assert found < -0.9


def test_pairs_become_items_whose_order_says_nothing() -> None:
    whole = [two(f"q{k}", "good", "bad") for k in range(200)]
    whole += [two("q0", "bad", "good"), two("q1", "good", "bad"), two("x", "a", "a"), two("y", "", "b")]
    whole += [two("z", "a", "b", (1.0, 1.0)), Comparison("k", ("a", "b", "c"), (1.0, 1.2, 3.0), group="g")]
    made = pool(whole, "mine", least=1.0)
    assert sorted(made.notes) == [
        "1 pairs left out because a response is empty",
        "1 pairs left out because both responses are the same",
        "1 pairs left out because copies contradict them",
        "1 pairs left out because their scores are too close",
        "1 pairs left out because they tie",
        "2 pairs left out because they are copies",
    ]
    assert len(made.items) == 199 + 2
    assert all(i.choices[made.key[i.id]] == "good" for i in made.items[:199])
    assert 70 < sum(made.key[i.id] for i in made.items[:199]) < 130
    assert [i.info["group"] for i in made.items[199:]] == ["g", "g"]
    task = made.task()
    groups = {s: {i.info["group"] for i in task.items(s)} for s in task.splits}
    assert sum("g" in g for g in groups.values()) <= 1
    with pytest.raises(TaskError, match="none: no pair can be used; 1 pairs left out because they tie"):
        pool([two("z", "a", "b", (1.0, 1.0))], "none")
