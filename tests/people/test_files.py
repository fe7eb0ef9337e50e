"""People as a Model: questions go to a file once, answers come back from another, and games wait."""

from __future__ import annotations

import json
import math
import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from superalign.core.driver import Transcript, oversee
from superalign.core.errors import ModelError
from superalign.core.ports import Model
from superalign.core.transcript import key_of
from superalign.core.types import Ask, Item, Message, Pending, Reply
from superalign.people.files import Human, human, read_answers
from superalign.protocols.direct import direct
from superalign.store import open_store
from superalign.testing.model import ModelContract

ITEMS = [Item(f"i{k}", f"Is {k} even?", ("no", "yes"), {"source": "CANARY", "group": "g"}) for k in range(3)]


def question(text: str = "Which?", choices: tuple[str, ...] = ("no", "yes"), **settings: Any) -> Ask:
    return Ask("judge", (Message("user", text),), choices, ITEMS[0], **settings)


def answered(folder: Path, *lines: Mapping[str, Any] | str) -> Human:
    made = human(str(folder / "answers.jsonl"))
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    made.answers.write_text(text, encoding="utf-8")
    return made


def reply_to(folder: Path, ask: Ask, **answer: Any) -> Reply | Pending:
    """What one answer becomes."""
    made = human(str(folder / "answers.jsonl"))
    return dict(answered(folder, {"call": key_of(made.name, ask), **answer}).answer([ask]))[0]


def asked(model: Human) -> list[dict[str, Any]]:
    return [json.loads(line) for line in model.questions.read_text(encoding="utf-8").splitlines()]


class TestHuman(ModelContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_model(self) -> Model:
        """Two of the five have been answered."""
        calls = [key_of(human(str(self.folder / "answers.jsonl")).name, ask) for ask in self.make_asks()]
        return answered(self.folder, {"call": calls[1], "choice": 1}, {"call": calls[3], "probs": [0.25, 0.75]})


def test_a_game_waits_for_its_answer(tmp_path: Path) -> None:
    model = human(str(tmp_path / "answers.jsonl"))

    def play() -> list[tuple[Any, ...]]:
        transcript = Transcript(open_store(tmp_path / "store.sqlite"), "games")
        judgments = oversee(direct(), {"judge": model}, transcript)(ITEMS)
        return [(j.verdict.answer, j.verdict.probs, j.verdict.abstained) for j in judgments]

    waits = f"waiting: human: 3 questions wait in {tmp_path / 'answers.questions.jsonl'}"
    assert play() == [(None, (), waits)] * 3
    first, second, _ = asked(model)
    assert (first["role"], first["item"], first["choices"]) == ("judge", "i0", ["no", "yes"])
    assert "Is 0 even?" in first["messages"][0]["content"]
    lines = [{"call": first["call"], "probs": [0.2, 0.8]}, {"call": second["call"], "choice": "A"}]
    answered(tmp_path, *lines)
    found = play()
    assert found[0] == (1, pytest.approx((0.2, 0.8)), None)
    assert found[1][0] == 0
    assert found[2] == (None, (), waits.replace("3 questions", "1 questions"))
    assert len(asked(model)) == 3  # nothing is asked twice


def test_a_question_holds_nothing_of_the_item_but_its_id(tmp_path: Path) -> None:
    model = human(str(tmp_path / "answers.jsonl"))
    list(model.answer([question()]))
    assert set(asked(model)[0]) == {"call", "role", "item", "messages", "choices"}
    assert "CANARY" not in model.questions.read_text(encoding="utf-8")


def test_runs_at_the_same_time_ask_once(tmp_path: Path) -> None:
    asks = [question(f"question\u2028{k}" + "!" * 2000) for k in range(20)]

    def run(shift: int) -> None:
        for ask in asks[shift:] + asks[:shift]:
            list(human(str(tmp_path / "answers.jsonl")).answer([ask]))

    threads = [threading.Thread(target=run, args=(shift,)) for shift in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = [body["call"] for body in map(json.loads, _lines(tmp_path / "answers.questions.jsonl"))]
    assert sorted(calls) == sorted({key_of(f"human:{tmp_path / 'answers.jsonl'}", ask) for ask in asks})


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_half_a_line_of_a_killed_run_is_asked_again(tmp_path: Path) -> None:
    model = human(str(tmp_path / "answers.jsonl"))
    list(model.answer([question("first"), question("second")]))
    whole = model.questions.read_bytes()
    os.truncate(model.questions, len(whole) - 30)
    list(model.answer([question("first"), question("second")]))
    first, half, second = _lines(model.questions)
    assert [json.loads(line)["messages"][0]["content"] for line in (first, second)] == ["first", "second"]
    assert half in whole.decode()


@pytest.mark.parametrize(
    ("answer", "choices", "text", "probs"),
    [
        ({"text": "Because."}, (), "Because.", ()),
        ({"text": ""}, (), "", ()),
        ({"text": "the second"}, ("no", "yes"), "the second", ()),
        ({"choice": "b"}, ("no", "yes"), "yes", ()),
        ({"choice": 0, "text": "I am sure."}, ("no", "yes"), "no", ()),
        ({"probs": [0.3, 0.7]}, ("no", "yes"), "yes", (0.3, 0.7)),
        ({"probs": [0.5, 0.5], "choice": "B"}, ("no", "yes"), "yes", (0.5, 0.5)),
        ({"probs": [1, 0]}, ("no", "yes"), "no", (0.99, 0.01)),
        ({"probs": [0, 1, 0]}, ("a", "b", "c"), "b", (0.01 / 1.01, 0.99 / 1.01, 0.01 / 1.01)),
    ],
)
def test_what_an_answer_becomes(
    tmp_path: Path, answer: dict[str, Any], choices: tuple[str, ...], text: str, probs: tuple[float, ...]
) -> None:
    assert reply_to(tmp_path, question(choices=choices), **answer) == Reply(text, pytest.approx(probs))


def test_no_answer_is_infinitely_wrong(tmp_path: Path) -> None:
    """T26: the logarithm of a probability of 0 would outweigh every other answer."""
    reply = reply_to(tmp_path, question(), probs=[0.0, 1.0])
    assert isinstance(reply, Reply)
    assert math.log(reply.probs[0]) == pytest.approx(math.log(0.01))
    assert sum(reply.probs) == pytest.approx(1)


@pytest.mark.parametrize(
    ("answer", "choices", "why"),
    [
        ({"choice": "B"}, (), r'line 1: this question has no choices; answer it with "text"'),
        ({"choice": "C"}, ("no", "yes"), "line 1: choice C of a question with 2 choices"),
        ({"choice": 40}, ("no", "yes"), "line 1: choice 40 of a question with 2 choices"),
        ({"probs": [1.0]}, ("no", "yes"), "line 1: 1 probabilities for 2 choices"),
        ({"probs": [0.9, 0.1], "choice": "B"}, ("no", "yes"), "line 1: the choice is B, and another has a higher"),
    ],
)
def test_an_answer_must_fit_its_question(
    tmp_path: Path, answer: dict[str, Any], choices: tuple[str, ...], why: str
) -> None:
    with pytest.raises(ModelError, match=why):
        reply_to(tmp_path, question(choices=choices), **answer)


MALFORMED = ["{", "[]", "7", '{"text": "x"}', '{"call": "x"}', '{"call": 3, "text": "x"}', '{"call": "x", "text": 3}',
             '{"call": "x", "choice": "AB"}', '{"call": "x", "choice": -1}', '{"call": "x", "choice": true}',
             '{"call": "x", "probs": [80, 20]}', '{"call": "x", "probs": [NaN, 1]}', '{"call": "x", "probs": "x"}',
             '{"call": "x", "probs": [true, 0]}', '{"call": "x", "probs": [-0.5, 1.5]}']  # fmt: skip


@pytest.mark.parametrize("line", MALFORMED)
def test_a_malformed_line_is_named_and_nothing_is_lost(tmp_path: Path, line: str) -> None:
    made = answered(tmp_path, {"call": "known", "text": "kept"}, line)
    before = made.answers.read_bytes()
    with pytest.raises(ModelError, match=r"answers.jsonl, line 2: not an answer \(.*\); a line is \{\"call\""):
        list(made.answer([question()]))
    assert made.answers.read_bytes() == before


def outcome(path: Path) -> str:
    try:
        return f"calls {sorted(read_answers(path))}"
    except ModelError as error:
        return str(error)


@given(st.lists(st.one_of(st.text(max_size=20), st.sampled_from(MALFORMED), st.just('{"call": "x", "text": "y"}'))))
@example(["\ud800"])
@example(["[" * 100_000])
def test_any_file_is_read_or_refused_by_line(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.jsonl"
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
        found = outcome(path)
    assert found in ("calls []", "calls ['x']") or ", line " in found or "cannot be read" in found


def test_the_last_answer_counts_and_unknown_ones_are_counted(tmp_path: Path) -> None:
    ask = question(sample=1)
    call = key_of(human(str(tmp_path / "answers.jsonl")).name, ask)
    made = answered(
        tmp_path, {"call": call, "choice": 0}, "", {"call": "other", "text": "?"}, {"call": call, "choice": 1}
    )
    assert dict(made.answer([ask])) == {0: Reply("yes")}
    assert made.unknown == 1
    assert isinstance(dict(made.answer([question(sample=2)]))[0], Pending)  # another draw is another question


def test_where_answers_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"human needs the file that answers will be in; write human:answers.jsonl"):
        human()
    for place in (tmp_path, tmp_path / "nowhere" / "answers.jsonl"):
        with pytest.raises(ModelError, match="is no place for answers; give a file in a folder that is there"):
            human(str(place))
    with pytest.raises(ModelError, match=r"holds questions; answers go to answers.jsonl"):
        human(str(tmp_path / "answers.questions.jsonl"))
    (tmp_path / "taken.questions.jsonl").mkdir()
    with pytest.raises(ModelError, match=r"questions cannot be written to .*taken.questions.jsonl: Is a directory"):
        list(human(str(tmp_path / "taken.jsonl")).answer([question()]))
    (tmp_path / "answers.jsonl").write_bytes(b"\xff")
    with pytest.raises(ModelError, match=r"the answers in .*answers.jsonl cannot be read: 'utf-8'"):
        list(human(str(tmp_path / "answers.jsonl")).answer([question()]))
