"""Ratings of critiques and of explanations: what is shown, who says what, and whether it tells good from shuffled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core import records
from superalign.core.errors import SpecError, StoreError, TaskError
from superalign.core.spec import Record, validate
from superalign.people.desk import SETTLES, Desk
from superalign.people.questions import Question
from superalign.protocols.rating import Flaw
from superalign.store import open_store
from superalign.store.sql import SqlStore
from superalign.studies.label import Label, label, prepare
from superalign.studies.label.critiques import span_f1
from superalign.studies.label.record import labels_of
from superalign.studies.label.writing import write_labels
from tests.studies.label_examples import WORDS, answer_all, criticised, explained
from tests.studies.label_raters import rater


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with open_store(tmp_path / "s.sqlite") as opened:
        yield opened


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers may be taken as soon as they are given."""
    for form in SETTLES:
        monkeypatch.setitem(SETTLES, form, 0.0)  # type: ignore[misc]


def spec(data: str, what: str, *raters: str, **changes: Any) -> Label:
    return validate(Label, {"data": data, "what": what, "raters": raters, **changes})


def value(record: Record, rater: str, name: str) -> float | None:
    return record.condition(rater).numbers[name].value


def critic(question: Question) -> dict[str, list[str]]:
    """A form about a critique: the first four characters of the answer are wrong."""
    flaw = {"start": 0, "end": 2, "severity": "major", "note": ""}
    return {"rating": ["6"], "claims": ["partly"], "flaws": [json.dumps([flaw])]}


def test_critiques_of_a_record_are_rated_once_each(store: SqlStore) -> None:
    """Both presentations of a game share their critique, so six games of each condition hold three."""
    name = criticised(store)
    asked = spec("last", "critiques", rater("words"), "human")
    record = label(asked, store)
    assert record.failures == {"waiting: human: 6 questions wait at the desk people": 6}
    shown = [q for q in _questions(store) if "why" in q.parts["critique"]]
    assert {q.parts["answer"] for q in shown} == {
        f"It is {k}, as <verified>The book says</verified>." for k in range(3)
    }
    assert all(set(q.parts) == {"answer", "critique"} and q.form == "critique" for q in _questions(store))
    bare = [q for q in _questions(store) if q not in shown]
    assert {q.parts["answer"] for q in bare} == {"(A) no\n(B) yes"}
    assert answer_all(store, "ann", critic) == 6
    record = label(asked, store)
    assert record.failures == {}
    assert record.spec["data"] == name
    assert record.title == f"Labels of {name} (critiques)"
    assert [c.name for c in record.conditions] == ["words", "human", "all raters"]
    assert record.condition("words").numbers.keys() == record.condition("human").numbers.keys()
    assert value(record, "human", "helpfulness") == 6
    assert (value(record, "human", "right"), value(record, "human", "wrong")) == (0, 0)
    assert value(record, "words", "right") == 1
    assert (value(record, "words", "major_flaws"), value(record, "words", "critical_flaws")) == (1, 0)
    assert value(record, "words", "span_f1") == pytest.approx(2 * 2 / (2 + 4))
    by = {row[:2]: row[2] for row in record.tables["by condition"].rows}
    assert by["words", "critique:refine=true"] > by["words", "critique"]
    assert "words rates 6 critiques" in record.notes[0]
    rows = labels_of(record, store)
    assert {(r["rater"], r["claims"]) for r in rows} == {("words", "yes"), ("human", "partly")}
    again = prepare(asked, store)
    assert again.run().conditions == record.conditions
    assert again.transcript.asked == 0


def _questions(store: SqlStore) -> list[Question]:
    desk = Desk(store, "people")
    return [desk.question(call) for call in desk.ask(lambda queue: list(queue.entries))]


def test_critiques_of_a_file_are_rated_and_written(store: SqlStore, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    rows = [{"prompt": f"q{k}", "answer": "Rome", "critique": "wrong " * (3 * k + 3)} for k in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    record = label(spec(str(path), "critiques", rater("words"), items=3), store)
    assert "3 of 4 critiques are rated" in record.notes
    assert record.condition("words").numbers["span_f1"].reason == "undefined: no two raters marked the same answer"
    assert write_labels(record, store, tmp_path / "out.jsonl").lines == 3
    written = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8").partition("\n")[0])
    assert written["flaws"] == [{"start": 0, "end": 4, "severity": "major", "note": "wrong"}]
    assert written.keys() == {"rater", "item", "prompt", "answer", "critique", "rating", "claims", "flaws", "label"}


def test_explanations_are_told_from_shuffled_ones(store: SqlStore) -> None:
    """Who looks whether the first word fires rates a unit's own explanation 6 and another's 2."""
    name = explained(store)
    record = label(spec(name, "explanations", rater("words"), rater("wordless")), store)
    numbers = record.condition("words").numbers
    assert (numbers["rating"].value, numbers["shuffled"].value) == (6, 2)
    assert (numbers["true_minus_shuffled"].value, numbers["true_minus_shuffled"].n) == (4, 6)
    assert numbers["told_apart"].value == 1
    assert (numbers["labels"].value, numbers["own_explanations"].value) == (12, 0)
    assert value(record, "wordless", "rating") is None
    assert record.failures == {"malformed: no rating": 24}
    assert [(a.door, a.purpose[:12], a.n) for a in record.audit] == [("truth", "which explan", 12)]
    unit, said, who, own, other, rated = record.tables["units"].rows[0]
    assert (unit, said, who, own, rated) == ("mlp.0/0", "walk in any place", "words", 6, 2)
    assert other != said
    assert "words rates explanations 6.00 of 7, +4.00 [4.00, 4.00] against those of other units" in record.notes[0]


def test_people_rate_explanations_blind(store: SqlStore) -> None:
    """Nothing of a question tells which explanation is shuffled, and the strongest excerpts are not always first."""
    asked = spec(explained(store), "explanations", "human", items=4)
    work = prepare(asked, store).work
    assert len(work.items) == 8
    label(asked, store)
    shown = _questions(store)
    assert all(set(q.parts) == {"explanation", "excerpts"} and q.form == "explanation" for q in shown)
    assert all(len(q.parts["excerpts"]) == 3 for q in shown)  # two top ones and a random one, none that was explained
    assert "mlp.0" not in json.dumps([[q.prompt, q.parts, q.item] for q in shown])
    first = [max(q.parts["excerpts"][0]["values"]) for q in shown]
    assert len(set(first)) > 1

    def says(question: Question) -> dict[str, list[str]]:
        word = str(question.parts["explanation"]).split()[0]
        fires = any(word in "".join(e["tokens"]) for e in question.parts["excerpts"])
        return {"rating": ["7" if fires else "1"], "better": [] if fires else ["some word"]}

    assert answer_all(store, "ann", says) == 8
    record = label(asked, store)
    assert (value(record, "human", "true_minus_shuffled"), value(record, "human", "own_explanations")) == (6, 0)
    assert len(record.tables["own explanations"].rows) == 4
    shuffled = {r["explanation"] for r in labels_of(record, store) if r["shuffled"]}
    assert {text.split()[0] for text in shuffled} <= set(WORDS)
    assert all(r["unit"].startswith("mlp.0/") for r in labels_of(record, store))
    more = prepare(spec(asked.data, "explanations", "human", items=5), store)
    assert {i.id for i in work.items} < {i.id for i in more.work.items}


def test_ratings_at_the_ends_of_the_scale_have_no_bounds_beyond_it(store: SqlStore, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": f"q{k}", "answer": "a", "critique": "no"}) + "\n" for k in range(5)),
        encoding="utf-8",
    )
    record = label(spec(str(path), "critiques", "scripted:1"), store)
    found = record.condition("scripted:1").numbers["helpfulness"]
    assert (found.value, found.low, found.high, found.n) == (1, 1, 1, 5)


spans = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 9)).map(lambda s: Flaw(s[0], s[0] + s[1], "minor")), max_size=4
)


@given(spans, spans)
def test_overlap_is_symmetric_and_bounded(one: list[Flaw], other: list[Flaw]) -> None:
    f1 = span_f1(one, other)
    assert f1 == span_f1(other, one)
    assert (f1 is None) == (not one and not other)
    assert f1 is None or 0 <= f1 <= 1
    assert not one or span_f1(one, one) == 1


def test_wrong_places_say_what_to_type(store: SqlStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="this store holds no record yet"):
        prepare(spec("last", "critiques", "human"), store)
    units = explained(store)
    with pytest.raises(TaskError, match="holds no critiques; `superalign oversee --protocols critique` makes a record"):
        prepare(spec("last", "critiques", "human"), store)
    games = criticised(store)
    with pytest.raises(SpecError, match="holds no units; `superalign interp` makes records that do"):
        prepare(spec(games, "explanations", "human"), store)
    assert prepare(spec(units[:-2], "explanations", "human"), store).spec.data == units
    (tmp_path / "c.jsonl").write_text('{"prompt": "q", "critique": "c"}\n', encoding="utf-8")
    with pytest.raises(
        TaskError, match=r"'c.jsonl' has no column 'answer'; critiques have prompt, answer and critique"
    ):
        prepare(spec(str(tmp_path / "c.jsonl"), "critiques", "human"), store)
    (tmp_path / "e.jsonl").write_text('{"prompt": "q", "answer": " ", "critique": "c"}\n', encoding="utf-8")
    with pytest.raises(
        TaskError, match=r"e.jsonl, line 1: prompt, answer and critique must be texts that say something"
    ):
        prepare(spec(str(tmp_path / "e.jsonl"), "critiques", "human"), store)


def test_one_explanation_cannot_be_shuffled(store: SqlStore) -> None:
    record = records.load(store, explained(store))
    artifact = store.get(record.artifacts["units/mlp.0"])
    assert artifact is not None
    store.put("interp/units/one", artifact.data.split(b"\n")[0])
    alone = record.model_copy(update={"id": "interp-alone", "artifacts": {"units/mlp.0": "interp/units/one"}})
    records.save(store, alone)
    with pytest.raises(
        TaskError, match=r"interp-alone has fewer than two different explanations .1 unit with one.; a unit"
    ):
        prepare(spec("interp-alone", "explanations", "human"), store)
