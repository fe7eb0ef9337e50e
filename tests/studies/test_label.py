"""Labelling of preferences: by programs and by people at a desk, once each, with the same record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from superalign.core import records
from superalign.core.errors import SpecError, StoreError, TaskError
from superalign.core.spec import Number, Record, validate
from superalign.core.study import spec_of
from superalign.core.types import Ask, Reply
from superalign.people.desk import SETTLES, Desk
from superalign.store import open_store
from superalign.store.sql import SqlStore
from superalign.studies.label import Label, label, prepare
from superalign.studies.label.record import labels_of
from superalign.studies.label.writing import write_labels
from tests.studies.label_examples import answer_all, longer, pairs, rankings
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


def spec(data: str, *raters: str, **changes: Any) -> Label:
    return validate(Label, {"data": data, "raters": raters, **changes})


def number(record: Record, rater: str, name: str) -> Number:
    return record.condition(rater).numbers[name]


def value(record: Record, rater: str, name: str) -> float | None:
    return number(record, rater, name).value


def test_programs_label_pairs(store: SqlStore, tmp_path: Path) -> None:
    """24 pairs, the longer chosen in 16; who takes the first is right by chance and always takes the first."""
    data = pairs(tmp_path)
    record = label(spec(data, rater("longest"), rater("first"), rater("even")), store)
    assert [c.name for c in record.conditions] == ["longest", "first", "even", "all raters"]
    agrees = number(record, "longest", "agreement")
    assert (agrees.value, agrees.n) == (pytest.approx(16 / 24), 24)
    assert (agrees.low or 1) < 16 / 24 < (agrees.high or 0)
    assert value(record, "longest", "longer") == value(record, "first", "first_shown") == 1
    place = number(record, "longest", "first_shown")
    assert (place.low or 1) < 0.5 < (place.high or 0)
    assert value(record, "even", "agreement") == 0.5
    assert value(record, "even", "ties") == 1
    assert number(record, "even", "first_shown").reason == "undefined: no pair was decided"
    assert value(record, "longest", "faults") == 0
    assert "first: the response shown first wins 100%" in " ".join(record.notes)
    assert "copies of an earlier comparison, labelled with it: 1" in record.notes
    assert record.failures == {}
    assert [(a.door, a.n) for a in record.audit] == [("truth", 24)]
    assert record.charts.keys() == {"agreement", "first_shown"}
    columns = record.tables["agreement"].rows
    assert [(a, b) for a, b, *_ in columns][:3] == [("longest", "first"), ("longest", "even"), ("first", "even")]
    assert (value(record, "all raters", "alpha") or 0) < 0.3
    assert len(record.tables["labels"].rows) == 60
    assert record.title == "Labels of pairs.jsonl (preferences)"
    assert spec_of(record.spec) == spec(data, rater("longest"), rater("first"), rater("even"))


def test_raters_who_agree_have_alpha_1(store: SqlStore, tmp_path: Path) -> None:
    """The orders they see differ, so agreement does not come from the place."""
    record = label(spec(pairs(tmp_path), rater("longest"), "human"), store)
    answer_all(store, "ann", longer)
    record = label(spec(pairs(tmp_path), rater("longest"), "human"), store)
    assert value(record, "all raters", "alpha") == 1
    rows = labels_of(record, store)
    orders = {name: [tuple(r["order"]) for r in rows if r["rater"] == name] for name in ("longest", "human")}
    assert orders["longest"] != orders["human"]
    assert 4 < sum(o == (0, 1) for o in orders["human"]) < 20


def test_k_responses_are_compared_pair_by_pair(store: SqlStore, tmp_path: Path) -> None:
    """Of the six pairs of four responses the file ties one; `first` is right in about half of the others."""
    record = label(spec(rankings(tmp_path), rater("longest"), rater("first"), form="rankings"), store)
    assert (value(record, "longest", "agreement"), number(record, "longest", "agreement").n) == (1, 50)
    assert number(record, "longest", "ties").n == 60
    assert 0.25 < (value(record, "first", "agreement") or 0) < 0.75
    few = label(spec(rankings(tmp_path), rater("longest"), form="rankings", responses=2), store)
    assert number(few, "longest", "ties").n == 10


def test_both_orders_tell_steadiness(store: SqlStore, tmp_path: Path) -> None:
    record = label(spec(pairs(tmp_path), rater("longest"), rater("first"), swap=True), store)
    assert value(record, "longest", "steady") == 1
    assert value(record, "first", "steady") == 0
    assert value(record, "first", "labels") == 48
    out = tmp_path / "l.jsonl"
    alone = label(spec(pairs(tmp_path), rater("first"), swap=True), store)
    assert (written := write_labels(alone, store, out)).ties == 24
    assert written.lines == 0


def test_what_cannot_be_read_is_counted_and_asked_once_more(store: SqlStore, tmp_path: Path) -> None:
    record = label(spec(pairs(tmp_path), rater("wordless"), rater("broken"), rater("longest"), items=5), store)
    assert record.failures == {"malformed: no ranking": 10, "failed: no connection": 5}
    assert value(record, "wordless", "labels") == value(record, "broken", "labels") == 0
    assert value(record, "wordless", "faults") == 10
    assert number(record, "wordless", "agreement").reason == "undefined: nothing was labelled"
    assert value(record, "longest", "labels") == 5
    assert "5 of 24 comparisons are labelled" in record.notes


def test_more_items_add_to_fewer_and_nothing_is_asked_twice(store: SqlStore, tmp_path: Path) -> None:
    data = pairs(tmp_path)
    few = prepare(spec(data, rater("longest"), items=6), store)
    plan = few.plan()
    assert [s.known for s in plan.steps] == [False]
    assert plan.remarks[-1].startswith("longest: 6 of 6 to ask, about ")
    few.run()
    assert few.transcript.asked == 6
    more = prepare(spec(data, rater("longest"), items=10), store)
    assert {i.id for i in few.work.items} < {i.id for i in more.work.items}
    assert more.plan().remarks[-1].startswith("longest: 4 of 10 to ask, about ")
    more.run()
    assert more.transcript.asked == 4
    again = prepare(spec(data, rater("longest"), items=10), store)
    assert [s.known for s in again.plan().steps] == [True]
    assert again.run().conditions == more.run().conditions
    assert again.transcript.asked == 0


class Frail:
    """A rater whose process is killed after three replies."""

    name, serial = "longest", True

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        yield from ((k, Reply("A > B")) for k in range(3))
        raise KeyboardInterrupt


def test_a_run_that_was_killed_goes_on(store: SqlStore, tmp_path: Path) -> None:
    asked = spec(pairs(tmp_path), rater("longest"))
    killed = prepare(asked, store)
    killed.raters[0] = Frail()
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    again = prepare(asked, store)
    assert again.plan().remarks[-1].startswith("longest: 21 of 24 to ask")
    assert value(again.run(), "longest", "labels") == 24
    assert again.transcript.asked == 21


def test_a_plan_puts_nothing_on_a_desk(store: SqlStore, tmp_path: Path) -> None:
    plan = prepare(spec(pairs(tmp_path), "human:team-a:people=2", items=5), store).plan()
    assert "human:team-a:people=2: 5 of 5 to ask, 2 people each." in plan.remarks
    assert Desk(store, "team-a").counts().questions == 0


def test_people_label_at_a_desk(store: SqlStore, tmp_path: Path) -> None:
    """Two people answer each question; the run is killed in between, and its record has the form of a model's."""
    asked = spec(pairs(tmp_path), rater("longest"), "human:people=2", items=8)
    record = label(asked, store)
    assert record.failures == {"waiting: human: 8 questions wait at the desk people": 8}
    assert value(record, "human:people=2", "waiting") == 8
    assert "human:people=2 (8 of 8)" in record.notes[0]
    assert record.artifacts == {}
    with pytest.raises(StoreError, match="labels are waited for; type the same command again"):
        labels_of(record, store)
    desk = Desk(store, "people")
    question = desk.next("ann")
    assert question is not None
    assert (question.form, question.role, question.want) == ("rank", "labeller", 2)
    assert not question.parts
    assert answer_all(store, "ann", longer) == 8
    half = prepare(asked, store)
    assert value(half.run(), "human:people=2", "waiting") == 8
    assert half.transcript.asked == 0
    assert answer_all(store, "bob", lambda q: longer(q) | {"rank-0": ["1"], "rank-1": ["1"]}) == 8
    record = label(asked, store)
    assert record.failures == {}
    assert desk.counts().questions == 8
    names = [c.name for c in record.conditions]
    assert names == ["longest", "human:people=2", "all raters"]
    model, human = (record.condition(n).numbers for n in names[:2])
    assert model.keys() == human.keys()
    assert human["ties"].value == 0.5
    assert human["ties"].n == 16
    apart = [row[:2] for row in record.tables["agreement"].rows]
    assert apart == [
        ("human:people=2", "its own people"), ("longest", "human:people=2"), ("all raters", "each other"),
    ]  # fmt: skip
    ratings = {row[1]: row[2] for row in record.tables["ratings"].rows}
    assert ratings == {1: 7, 2: 6}
    assert [row[:3] for row in record.tables["flags"].rows] == [("human:people=2", "opinion", 8)]
    rows = [r for r in labels_of(record, store) if r["rater"] == "human:people=2"]
    assert all(sorted(r["ranks"]) == [1, 1.5] for r in rows)
    best = [r["responses"][r["ranks"].index(1)] for r in rows]
    assert all("long" in text for text in best)
    assert all(len(f) == ("short" in t) for r in rows for f, t in zip(r["flags"], r["responses"], strict=True))
    assert prepare(asked, store).run().conditions == record.conditions


def test_labels_are_written_for_trainers(store: SqlStore, tmp_path: Path) -> None:
    record = label(spec(rankings(tmp_path, 3), rater("longest"), rater("first"), form="rankings"), store)
    written = write_labels(record, store, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert written.lines == len(rows) == 18 - written.ties
    assert written.ties > 0  # where the two raters disagree by as many ranks
    assert all(set(row) == {"prompt", "chosen", "rejected"} for row in rows)
    records.save(store, alone := label(spec(rankings(tmp_path, 3), rater("longest"), form="rankings"), store))
    write_labels(alone, store, tmp_path / "alone.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "alone.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(len(row["chosen"]) > len(row["rejected"]) for row in rows)
    assert len(rows) == 18


def test_the_file_labels_of_copies_are_put_together(store: SqlStore, tmp_path: Path) -> None:
    """Two votes against one, and a pair that is even: the first counts, the second has nothing to agree with."""
    rows = [{"prompt": "q", "response_a": "a", "response_b": "bb", "winner": w} for w in ("b", "a", "b")]
    rows += [{"prompt": "r", "response_a": "a", "response_b": "bb", "winner": w} for w in ("b", "a")]
    path = tmp_path / "votes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    record = label(spec(str(path), rater("longest"), form="votes"), store)
    assert (value(record, "longest", "agreement"), number(record, "longest", "agreement").n) == (1, 1)


def test_nothing_of_the_file_is_told(store: SqlStore, tmp_path: Path) -> None:
    """The same pair with the other label makes the same item, shown in the same order."""
    items = []
    for chosen in ("first one", "second one"):
        row = {"prompt": "q", "chosen": chosen, "rejected": {"first one": "second one"}.get(chosen, "first one")}
        path = tmp_path / "one.jsonl"
        path.write_text(json.dumps(row), encoding="utf-8")
        work = prepare(spec(str(path), rater("longest")), store).work
        items.append((work.items, work.seats(work.items[0], "longest", False)))
    assert items[0] == items[1]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"raters": ()}, "raters: Tuple should have at least 1 item"),
        ({"raters": ("a", "a")}, "'a' is given twice"),
        ({"form": "pair"}, "no form of preference data is named 'pair'; did you mean 'pairs'"),
        ({"what": "critiques", "swap": True}, "swap is for preferences; leave it out for critiques"),
        ({"what": "explanations", "responses": 3}, "responses is for preferences"),
        ({"what": "answers"}, "Input should be 'preferences', 'critiques' or 'explanations'"),
    ],
)
def test_a_spec_that_does_not_fit_says_why(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        validate(Label, {"data": "x.jsonl", "raters": ("human",), **changes})


def test_wrong_files_and_raters_say_what_to_type(store: SqlStore, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no file .*x.jsonl"):
        prepare(spec(str(tmp_path / "x.jsonl"), "human"), store)
    (tmp_path / "same.jsonl").write_text('{"prompt": "q", "chosen": "a", "rejected": "a"}', encoding="utf-8")
    with pytest.raises(
        TaskError, match="nothing can be ranked; comparisons left out because two responses are the same: 1"
    ):
        prepare(spec(str(tmp_path / "same.jsonl"), "human"), store)
    (tmp_path / "many.jsonl").write_text(
        json.dumps({"prompt": "q", "responses": [f"r{k}" for k in range(30)], "scores": list(range(30))}),
        encoding="utf-8",
    )
    with pytest.raises(TaskError, match=r"30 responses to 'q', more than the 26 .* --responses 4"):
        prepare(spec(str(tmp_path / "many.jsonl"), "human", form="rankings"), store)
    with pytest.raises(SpecError, match="'longest' rates twice; name each rater once"):
        prepare(spec(pairs(tmp_path), rater("longest"), rater("longest") + ":"), store)
