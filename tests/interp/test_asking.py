"""Questions as games: what is kept, what is waited for, what is read twice, and what importing them costs."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from superalign.core.errors import SpecError
from superalign.core.transcript import Transcript
from superalign.core.types import Ask, Cost, Message, Pending, Reply, Settings, Verdict
from superalign.interp.asking import Question, Unreadable, desk, likelihood, reasons, refuses
from superalign.interp.templates import sheet
from superalign.interp.units import Failed
from superalign.models.scripted import Scripted

ASKED = [((Message("user", f"question {k}"),), ("yes", "no")) for k in range(6)]


def number(text: str) -> int:
    """A whole number."""
    if not text.strip().isdigit():
        raise Unreadable(f"{text!r} is no number")
    return int(text)


def question(text: str, **options: object) -> Question:
    return Question((Message("user", text),), number, "A number, please.", **options)  # type: ignore[arg-type]


def test_a_run_that_died_goes_on_where_it_was() -> None:
    """What a first model answered before it broke is not asked again."""
    transcript, asked = Transcript(), list[str]()

    class Broken(RuntimeError):
        pass

    def breaks(ask: Ask) -> Reply:
        asked.append(ask.messages[0].content)
        if len(asked) == 4:
            raise Broken
        return Reply("yes")

    model = Scripted("model", breaks, serial=False)
    model.concurrency = 1  # type: ignore[attr-defined]
    with pytest.raises(Broken):
        desk("judge", model, transcript).choose(ASKED)
    verdicts = desk("judge", Scripted("model", breaks), transcript).choose(ASKED)
    assert [v.answer for v in verdicts] == [0] * 6
    assert sorted(asked) == sorted([*(f"question {k}" for k in range(6)), "question 3"])


def test_a_person_who_has_not_answered_is_waited_for() -> None:
    transcript = Transcript()
    waiting = desk("judge", Scripted("person", lambda ask: Pending("the form")), transcript)
    assert [v.abstained for v in waiting.choose(ASKED[:2])] == ["waiting: the form"] * 2
    answer = waiting.write([question("how many?")])[0]
    assert answer.failed == Failed("undefined", "waiting: the form")
    later = desk("judge", Scripted("person", lambda ask: Reply("no")), transcript)
    assert [v.answer for v in later.choose(ASKED[:2])] == [1, 1]


def test_what_cannot_be_read_is_asked_once_more_with_what_was_said() -> None:
    seen: list[Ask] = []

    def say(ask: Ask) -> Reply:
        seen.append(ask)
        return Reply("many" if len(ask.messages) == 1 else "12", cost=Cost(5, 1))

    answer = desk("x", Scripted("model", say), None).write(
        [question("how many?", settings=Settings(0.5, 7), sample=3)]
    )[0]
    assert (answer.value, answer.cost, answer.failed) == (12, Cost(10, 2), None)
    assert [m.content for m in seen[1].messages] == ["how many?", "many", "A number, please."]
    assert {(a.settings, a.sample) for a in seen} == {(Settings(0.5, 7), 3)}


def test_failures_have_their_kind() -> None:
    said = {"a": "none", "b": "I'm sorry, I can't do that", "c": Reply(failure="timeout")}

    def say(ask: Ask) -> Reply:
        found = said[ask.messages[0].content]
        return found if isinstance(found, Reply) else Reply(found)

    found = [a.failed for a in desk("x", Scripted("model", say), None).write([question(k) for k in said])]
    assert [f and f.status for f in found] == ["parse_failed", "refused", "undefined"]
    assert found[2] is not None
    assert "timeout" in found[2].reason


def test_likelihoods_and_their_lack() -> None:
    verdicts = [Verdict(0, (0.3, 0.7)), Verdict(0), Verdict(1), Verdict(None, abstained="refusal: no"),
                Verdict(None, abstained="failed: x"), Verdict(None, abstained="failed: y")]  # fmt: skip
    found = [likelihood(v) for v in verdicts]
    assert found[:3] == [0.3, 1.0, 0.0]
    assert all(math.isnan(x) for x in found[3:])
    assert reasons(verdicts) == "2 failed, 1 refusal"


@pytest.mark.parametrize("text", ["I'm sorry, but I can't.", "Sorry, I cannot help", "I cannot say", "As an AI, I ..."])
def test_refusals_begin_as_such(text: str) -> None:
    assert refuses(text)
    assert not refuses(f'words such as "{text}"')


def test_a_prompt_of_ones_own_must_have_its_sections(tmp_path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("== task ==\nJudge.\n")
    with pytest.raises(SpecError, match="has no section `== question ==`"):
        sheet("detection", str(path), {"task": (), "question": ("text",)})
    path.write_text("== task ==\nJudge {everything}.\n== question ==\n{text}\n")
    with pytest.raises(SpecError, match=r"no field \{everything\}"):
        sheet("detection", str(path), {"task": (), "question": ("text",)})


def test_nothing_heavy_is_loaded_to_ask() -> None:
    """Public code wants an API key and a GPU at import; here numpy and pydantic are all."""
    modules = ("explainers.language", "explainers.revision", "simulators.token_by_token", "simulators.rewriting",
               "scorers.detection", "scorers.fuzzing", "scorers.intruder", "scorers.embedding", "scorers.surprisal")  # fmt: skip
    code = f"import sys\nfor m in {modules!r}: __import__('superalign.interp.' + m)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "transformers", "sklearn", "scipy", "httpx", "sqlalchemy", "huggingface_hub"}
