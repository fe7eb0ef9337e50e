"""Views of runs, records, comparisons, samples and leaderboards, from values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.compute.runs import Run, Step
from superalign.core.spec import Condition, Number, Record, Table
from superalign.report.view import absolute
from superalign.report.views import boards, compare, curves, figures, home, live, runs, samples
from superalign.report.views.compare import Ranks
from superalign.report.views.runs import About, Found, Line, Now
from tests.report import examples
from tests.report.test_page import Page

BEGUN = "2025-01-15T12:00:00+00:00"
AT = 1_736_942_400.0
"""BEGUN in seconds since 1970."""


def run(**changes: Any) -> Run:
    """A run that began two minutes ago."""
    values: dict[str, Any] = {"id": "run-1", "study": "rlhf", "title": "rlhf: world", "spec": {"study": "rlhf"}}
    return Run(**(values | {"begun": BEGUN, "host": "here", "pid": 7} | changes))


def step(name: str, done: int, total: int, at: float = 60.0) -> Step:
    return Step(name, done, total, AT + at, AT, 0)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.6, "1 min"), (65, "1 min 5 s"), (3600, "1 h"), (7860, "2 h 11 min"), (273_600, "3 d 4 h")],
)
def test_times_are_told_as_people_do(seconds: float, said: str) -> None:
    assert runs.lasting(seconds) == said


def test_the_slowest_step_decides_when_a_run_is_done() -> None:
    steps = {s.name: s for s in (step("arms", 1, 4), step("ppo", 30, 60), step("sft", 9, 9), step("new", 0, 5))}
    now = Now([run(steps=steps)], (), AT + 60)
    found = now.slowest(now.going[0])
    assert found is not None
    assert found.name == "arms"
    assert found.left(AT + 60) == 180
    assert found.left(AT + 240) == 240  # the second arm already takes three minutes: two minutes each, three to go
    text = Page(runs.listed(Found((), 0), now, absolute).body).text
    assert "arms , about 3 min left" in text
    assert now.slowest(run()) is None


def test_a_list_says_what_it_found() -> None:
    lines = [Line("a", "w2s", "One", BEGUN, "Yes.", 3, 1), Line("b", "w2s", "Two", BEGUN, "is damaged", damaged=True)]
    view = runs.listed(Found(lines, 70, 2, 3, "yes", "w2s", ("rlhf", "w2s"), unread=9), Now(), absolute)
    page = Page(view.body)
    assert "70 records found" in page.text
    assert "the answers of 9 are still being read" in page.text
    assert [a["value"] for tag, a in page.tags if a.get("type") == "checkbox"] == [
        "a"
    ]  # what is damaged compares to nothing
    links = [a["href"] for tag, a in page.tags if a.get("rel")]
    assert links == ["/runs?q=yes&study=w2s&page=1", "/runs?q=yes&study=w2s&page=3"]
    assert json.loads(json.dumps(view.data))["records"][1]["damaged"] is True


def test_a_record_has_its_rooms() -> None:
    record = examples.study()
    assert runs.rooms(record, absolute) == []
    kept = {"games/direct": "k", "units/mlp.0": "k"}
    rated = Condition(name="a", numbers={"rating": Number(value=1.0)})
    table = Table(title="", columns=("prompt", "arm", "response"), rows=())
    whole = record.model_copy(
        update={"artifacts": kept, "conditions": (rated,), "tables": {"samples": table}, "study": "research"}
    )
    assert [title for title, _ in runs.rooms(whole, absolute)] == [
        "Transcripts", "Units", "Samples side by side", "Campaign", "Leaderboard",
    ]  # fmt: skip
    view = runs.record(whole, absolute, About(), lambda key: None)
    assert f"/runs/{record.id}/games" in view.body


def test_charts_that_are_not_drawn_yet_are_links() -> None:
    record = examples.study()
    drawn = figures.Drawn(figures.Markup("<svg></svg>"))
    body = figures.body(record, absolute, lambda key: drawn if key == "pgr" else None)
    page = Page(body)
    assert len(page.ids) == len(set(page.ids))
    assert body.count("<svg>") == 1
    later = [a["hx-get"] for tag, a in page.tags if "hx-get" in a]
    assert later == [f"/runs/{record.id}/charts/{key}" for key in record.charts if key != "pgr"]
    assert "A record's page" not in body
    faulty = record.model_copy(update={"charts": {"bad": {"data": {"url": "http://example.invalid"}}}})
    found = figures.draw(faulty, "bad")
    assert found.fault == "it asks for data that are not inside it"
    assert "could not be drawn" in figures.chart(faulty, "bad", found, absolute).body


def event(iteration: int, **told: Any) -> dict[str, Any]:
    return {"kind": "iteration", "iteration": iteration, **told}


def test_curves_are_drawn_inside_their_box() -> None:
    told = {
        "ppo": [event(k, score=k / 10, kl=0.5 * k, loss=1.0, samples=[["p", f"r{k}", 1.0]]) for k in range(1000)],
        "dpo": [event(k, loss=1.0 / (k + 1)) for k in range(4)]
        + [{"kind": "evaluation", "iteration": 0, "kl": 0.0}, {"kind": "evaluation", "iteration": 4, "kl": 2.0}],
    }
    plots = {plot.name: plot for plot in curves.plots(told)}
    assert list(plots) == ["score", "kl", "loss"]
    assert [line.name for line in plots["kl"].lines] == ["ppo", "dpo"]
    assert [line.name for line in plots["loss"].lines] == ["dpo"]  # the loss of a policy gradient is left out
    assert (plots["score"].low, plots["score"].high, plots["score"].last) == ("0", "99.9", 999)
    for plot in plots.values():
        for line in plot.lines:
            points = [tuple(map(float, p.split(","))) for p in line.points.split()]
            assert len(points) <= curves.POINTS + 1
            assert all(0 <= x <= curves.WIDTH and 0 <= y <= curves.HEIGHT for x, y in points)
    assert curves.samples(told["ppo"]) == (999, [("p", "r999", 1.0)])
    assert curves.samples(told["dpo"]) == (0, [])


def test_of_an_iteration_that_was_run_twice_the_last_counts() -> None:
    events = [event(0, score=1.0), event(1, score=9.0), event(1, score=2.0), event(2, score=None), event(3, score=True)]
    assert curves.course(events, "score") == [(0, 1.0), (1, 2.0)]


@given(st.lists(st.integers(), max_size=2000))
def test_thinning_keeps_both_ends(values: list[int]) -> None:
    pairs = [(k, float(v % 7)) for k, v in enumerate(values)]
    found = curves.thinned(pairs)
    assert len(found) <= curves.POINTS + 1
    assert found == sorted(set(found))
    assert found[:1] == pairs[:1]
    assert found[-1:] == pairs[-1:]


def test_a_live_page_shows_the_newest_runs_that_can_be_told_apart() -> None:
    told = {f"arm {k}": [event(0, score=0.0), event(1, score=1.0)] for k in range(9)}
    view = live.live(run(steps={"arms": step("arms", 9, 10)}, state="failed", why="<b>no</b>"), told, AT + 90, absolute)
    page = Page(view.body)
    assert "arm 3" in page.text
    assert "arm 2" not in page.text
    assert "3 earlier not shown" in page.text
    assert "<b>no</b>" in page.text
    assert "data-follow" not in view.body
    assert 'data-follow="/events/run/run-1"' in live.live(run(), {}, AT, absolute).body
    assert json.loads(json.dumps(view.data))["told"]["arm 0"]["score"] == [[0, 0.0], [1, 1.0]]
    many = {f"step {k}": step(f"step {k}", 1, 1) for k in range(40)}
    assert "32 steps finished before these" in Page(live.live(run(steps=many), {}, AT, absolute).body).text


def test_home_of_an_empty_store_and_of_a_full_one() -> None:
    empty = home.home(Now(), (), 0, {}, absolute)
    assert all(command in empty.body for _, command in home.STEPS)
    full = home.home(
        Now(ended=[run(state="finished", ended=BEGUN, record="r")]),
        [Line("a", "w2s", "One", BEGUN, "")],
        9,
        {},
        absolute,
    )
    assert "First steps" not in full.body
    assert "All 9 records" in Page(full.body).text


def rated() -> Record:
    rng = [("alder", 1100.0), ("birch", 1000.0), ("cedar/large", 990.0)]
    rows = [(name, rating) for name, rating in rng] + [
        ("code/birch", 1200.0),
        ("code/alder", 1000.0),
        ("code/cedar/large", 900.0),
    ]
    conditions = tuple(
        Condition(
            name=name,
            numbers={
                "rating": Number(value=rating, low=rating - 20, high=rating + 20),
                "rank": Number(value=1, low=1, high=2),
            },
        )
        for name, rating in rows
    )
    return examples.study().model_copy(
        update={"study": "rate", "conditions": conditions, "charts": {"all votes": {}, "code": {}}}
    )


def test_boards_by_category_with_intervals_on_one_axis() -> None:
    found = boards.ratings(rated())
    assert {b.name: [r.name for r in b.rows] for b in found.boards} == {
        "all votes": ["alder", "birch", "cedar/large"],
        "code": ["birch", "alder", "cedar/large"],
    }
    first = found.boards[0].rows[0]
    assert first.rank == "1–2"
    assert first.low is not None
    assert first.at is not None
    assert first.high is not None
    assert 0 < first.low < first.at < first.high < 100
    assert all(0 <= at <= 100 for at, _ in found.boards[0].ticks)
    assert [label for _, label in found.boards[0].ticks] == ["1,000", "1,050", "1,100"]
    view = boards.board(found, "code", "ald", absolute)
    assert view.body.count("<circle") == 1
    assert "birch" not in Page(view.body).text


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6))
def test_any_ratings_stay_on_their_axis(values: list[float]) -> None:
    conditions = [Condition(name=f"c{k}", numbers={"rating": Number(value=v)}) for k, v in enumerate(values)]
    (board,) = boards.ratings(rated().model_copy(update={"conditions": tuple(conditions), "charts": {}})).boards
    assert all(row.at is not None and 0 <= row.at <= 100 for row in board.rows)
    assert all(0 <= at <= 100 for at, _ in board.ticks)
    assert len(board.ticks) <= 7


def test_an_undefined_rating_is_told_and_not_drawn() -> None:
    lost = Condition(name="elm", numbers={"rating": Number(value=None, reason="no votes")})
    found = boards.ratings(rated().model_copy(update={"conditions": (*rated().conditions[:2], lost), "charts": {}}))
    view = boards.board(found, "", "", absolute)
    assert view.body.count("<circle") == 2
    assert "no votes" in Page(view.body).text


def test_comparison_puts_shared_conditions_first() -> None:
    one = examples.study()
    other = one.model_copy(update={"id": "w2s-2", "conditions": (*one.conditions[:2], Condition(name="new"))})
    view = compare.compare([one, other], (), True, {r.id: lambda key: None for r in (one, other)}, absolute)
    page = Page(view.body)
    assert len(page.ids) == len(set(page.ids))
    assert "6 conditions that one record has alone" in page.text
    assert [a["hx-get"] for _, a in page.tags if "compare/ranks" in a.get("hx-get", "")] == [
        "/compare/ranks?run=w2s-7f3a90c1&run=w2s-2"
    ]
    assert not [n for n in view.data["numbers"] if n["condition"] == "weak" and n["differences"][1]["value"]]
    table = Table(title="Ranks", columns=("method", "PGR"), rows=(("<i>", 0.25), ("b", 1.0)), note="a note")
    ranked = Page(compare.ranked([one, other], Ranks({"ranks": table}), absolute).body)
    assert "<i>" in ranked.texts
    assert "a note" in ranked.text


def test_samples_of_an_iteration_are_those_before_it() -> None:
    told = {"ppo": [event(k, samples=[["p", f"ppo {k}", 0.1 * k]]) for k in (0, 4)], "dpo": [event(9, loss=1.0)]}
    assert samples.moments(told) == [0, 1, 2, 3, 4]
    assert samples.moments({}) == []
    sheet = samples.during(told, 3)
    assert sheet.policies == ["ppo"]
    assert sheet.rows[0][1]["ppo"].text == "ppo 0"
    assert samples.during(told, 99).rows[0][1]["ppo"].text == "ppo 4"
    assert sheet.only("no such").rows == []


def test_samples_stand_beside_what_their_policies_came_to() -> None:
    rows = (("p", "sft", "one"), ("p", "ppo", "two"), ("q", "ppo", "<script>"))
    table = Table(title="Samples", columns=("prompt", "arm", "response"), rows=rows)
    ppo = Condition(name="ppo", numbers={"gold": Number(value=2.345), "kl": Number(value=7.0)})
    record = examples.study().model_copy(update={"tables": {"samples": table}, "conditions": (ppo,)})
    view = samples.samples(record, {}, "", None, absolute)
    text = Page(view.body).text
    assert "gold 2.35, kl 7.00" in text or "gold 2.34, kl 7.00" in text
    assert "–" in text
    assert "<script>" not in view.body
    assert view.data["rows"][0]["said"]["ppo"]["text"] == "two"


def test_a_damaged_record_tells_its_spec_where_a_run_did() -> None:
    from superalign.core.records import Entry

    entry = Entry("w2s-1", "w2s", "A study", BEGUN, "record/w2s-1")
    assert "study = &#34;rlhf&#34;" in runs.damaged(entry, "is damaged", [run()], absolute).body
    assert "No run of this store has told its spec" in runs.damaged(entry, "is damaged", [], absolute).body
