"""Recorded debates: what is read from the corpus, what is mended and said, and what is left out."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import TaskError
from superalign.core.types import Judgment, Seat, Verdict
from superalign.tasks.debates import Corpus
from superalign.tasks.debates.nyu import debates, item, nyu
from superalign.tasks.debates.tokens import join
from tests.tasks.debate_examples import MOON, bodies
from tests.tasks.debate_examples import corpus as write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Corpus:
    return nyu(folder)


def test_tokens_become_readable_text() -> None:
    text, places = join(MOON)
    assert text == (
        "The moon was \"very cold\" (and quiet).\n\nAnn didn't see the red door. It was Bo's door, and Bo painted it green "
        "in May. He said: never open it!"
    )
    assert [text[s:e] for s, e in places[3:7]] == ['"', "very", "cold", '"']


@given(st.lists(st.sampled_from([*MOON, "", "--", "``", "'", "`", "n't", "'em", " so", "$", "5"])))
def test_every_token_keeps_its_place(tokens: list[str]) -> None:
    text, places = join(tokens)
    assert len(places) == len(tokens)
    written = {"``": '"', "''": '"', "`": "'", "-LRB-": "(", "-RRB-": ")"}
    assert [text[s:e] for s, e in places] == [written.get(t, t) for t in tokens]
    ends = [0, *(e for _, e in places)]
    assert all(s - e in (0, 1) for e, (s, _) in zip(ends, places, strict=False))  # nothing but single spaces between
    assert text.count("  ") == 0 or " so" in tokens


def test_a_debate_is_read_whole(corpus: Corpus) -> None:
    found = {d.id: d for d in corpus.debates}
    debate = found["moon-0"]
    assert (debate.setting, debate.question, debate.answers) == (
        "human-debate", "What colour was the door in June?", ("Red", "Green"),
    )  # fmt: skip
    assert [r.kind for r in debate.rounds] == ["belief", "simultaneous", "belief", "sequential", "belief"]
    assert [(s.side, s.speaker) for s in debate.speeches] == [(0, "Fizz"), (1, "Opal"), (0, "Fizz"), (1, "Opal")]
    assert debate.speeches[1].text == "Later <quote>Bo painted it green</quote> <verified>it was red</verified>"
    assert debate.final is not None
    assert debate.final.probs == (0.2, 0.8)
    assert [(o.judge, o.mode, len(o.beliefs)) for o in debate.offline] == [("Kiki", "stepped", 3), ("Lulu", "timed", 1)]
    assert found["moon-2"].final is None
    assert (found["ship-0"].setting, found["ship-0"].sides) == ("gpt4-consultancy", (0,))
    assert corpus.counts["judge feedbacks"] == 6
    assert corpus.counts["ended by a live judge"] == 4
    assert corpus.task.splits == ("human-debate", "gpt4-consultancy")
    assert item(debate).info["group"] == "Moon"
    start, end = debate.story.characters(*debate.speeches[1].quotes[0].quote or (0, 0))
    assert debate.story.text[start:end] == "Bo painted it green"


def test_what_does_not_fit_is_mended_and_said(corpus: Corpus) -> None:
    """T25, T26: a quote beyond its story is cut to it, a belief of 1 is clipped; both are counted."""
    ship = next(d for d in corpus.debates if d.id == "ship-0")
    part = ship.speeches[0].quotes[0]
    assert (part.quote, part.raw, part.text) == ((14, 19), (14, 99), "Nobody else counted them.")
    assert ship.final is not None
    assert ship.final.probs == (0.99, 0.01)
    assert corpus.counts["quotes out of range"] == 2
    assert corpus.counts["beliefs clipped"] == 1
    notes = " ".join(corpus.notes)
    assert "ship-0: a quote of the tokens 14 to 99 reaches beyond its story of 19 and was cut to it" in notes
    assert "clipped to [0.01, 0.99]" in notes
    assert "1 were beyond" in notes


def test_personal_names_do_not_come_in(corpus: Corpus) -> None:
    """T27: surveys are left out, and a name that was guessed in one is gone from speeches and comments."""
    assert corpus.dropped == ("Maria Stone",)
    kept = json.dumps([asdict(d) for d in corpus.debates])
    assert "Maria" not in kept
    assert "was kind" not in kept
    assert "Ask [name]." in kept
    assert "Why, [name]?" in kept
    assert corpus.counts["names replaced"] == 3  # the same speech was recorded twice
    assert "Stone" not in repr(corpus)


def test_the_answers_are_sealed(corpus: Corpus) -> None:
    """The same corpus with every answer flipped reads the same, but for its grades."""
    assert "correctAnswerIndex" not in repr(corpus)
    ended = [d for d in corpus.debates if d.final is not None]
    right = corpus.task.score([Judgment(d.id, Seat(), Verdict(1)) for d in ended])
    assert right.tolist() == [1, 1, 0, 1]


def test_flipping_the_key_changes_nothing_that_is_read(corpus: Corpus, tmp_path: Path) -> None:
    folder = write(tmp_path)
    for path in folder.rglob("*.json"):
        body = json.loads(path.read_text())
        body["setup"]["correctAnswerIndex"] = 1 - body["setup"]["correctAnswerIndex"]
        path.write_text(json.dumps(body))
    other = nyu(folder / "official")
    assert other.debates == corpus.debates
    assert other.task.items("human-debate") == corpus.task.items("human-debate")
    assert other.task.digest != corpus.task.digest


def broken(change: Any) -> str:
    body = bodies()["moon-1"]
    change(body)
    return json.dumps(body)


def _unsure(body: dict[str, Any]) -> None:
    body["rounds"][1]["JudgeFeedback"]["distribution"] = [0.9, 0.9]


BAD = [
    ("", "moon.json is not JSON"),
    ("[1]", "it needs `setup` and `rounds`"),
    (broken(_unsure), r"not a debate of the NYU corpus: ValueError: the belief \[0.9, 0.9\] is not a distribution"),
    (broken(lambda b: b["setup"].pop("roles")), "KeyError: 'roles'"),
    (broken(lambda b: b["setup"].update(answers=3)), "TypeError"),
]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_a_file_that_is_no_debate_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "moon.json").write_text(content)
    with pytest.raises(TaskError, match=message):
        nyu(tmp_path)


def test_a_folder_without_debates_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="name the folder that holds official"):
        nyu(tmp_path / "nowhere")


def test_a_pool_to_judge_again(folder: Path) -> None:
    pool = debates(str(folder), setting="human-debate")
    assert [i.id for i in pool.items] == ["moon-0", "moon-1", "moon-2"]
    assert pool.key == {"moon-0": 1, "moon-1": 1, "moon-2": 1}
    told = pool.items[0].info["speeches"]
    assert [(s["round"], s["side"], s["alone"]) for s in told] == [
        (1, 0, True),
        (1, 1, True),
        (2, 0, False),
        (2, 1, False),
    ]
    assert "2 debates left out" in pool.notes[-1]
    assert len(debates(str(folder)).items) == 5
    with pytest.raises(TaskError, match="type setting=human-debate"):
        debates(str(folder), setting="human")
