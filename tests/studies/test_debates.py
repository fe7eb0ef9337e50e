"""The study of recorded debates on a small corpus, and the intervals of beliefs that cluster twice."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core import records
from superalign.core.errors import SpecError, StoreError
from superalign.core.spec import Record, validate
from superalign.protocols.played import pack, unpack
from superalign.report.games import archives, select
from superalign.store import open_store
from superalign.studies.debates import Debates, debates, prepare
from superalign.studies.debates.doubt import ACCURACY, STATISTICS, Draws, ece, mean
from superalign.studies.debates.sittings import Graded
from tests.tasks.debate_examples import corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with open_store(str(tmp_path_factory.mktemp("store") / "s.sqlite")) as opened:
        yield opened


@pytest.fixture(scope="module")
def record(folder: Path, store: Any) -> Record:
    return debates(Debates(folder=str(folder)), store)


def value(record: Record, condition: str, name: str) -> float | None:
    return record.condition(condition).numbers[name].value


def test_numbers_by_hand(record: Record) -> None:
    names = [c.name for c in record.conditions]
    assert names == ["human-debate", "gpt4-consultancy", "human-debate-stepped", "human-debate-timed"]
    assert value(record, "human-debate", "accuracy") == 0.5  # .8 on the truth; a tie at the end is wrong
    assert value(record, "human-debate", "log2") == pytest.approx((math.log2(0.8) - 1) / 2)
    assert value(record, "human-debate", "brier") == pytest.approx((0.08 + 0.5) / 2)
    assert value(record, "human-debate", "reward") == pytest.approx((math.log2(0.8) - 0.1 - 1) / 2)  # went on twice
    assert value(record, "gpt4-consultancy", "accuracy_honest") == 1
    assert value(record, "gpt4-consultancy", "accuracy_dishonest") == 0
    assert value(record, "gpt4-consultancy", "log2") == pytest.approx((math.log2(0.99) + math.log2(0.1)) / 2)
    assert value(record, "human-debate-stepped", "accuracy") == 1
    assert value(record, "human-debate-timed", "accuracy") == 0
    assert value(record, "human-debate", "quotes_verified") == 1
    assert "1 final belief on no side, counted as wrong: human-debate (moon-1)." in record.notes
    assert any(n.startswith("1 debates were not ended") for n in record.notes)
    assert {(a.door, a.split) for a in record.audit} == {("score", "human-debate"), ("score", "gpt4-consultancy")}


def test_every_debate_is_kept_as_games(record: Record, store: Any) -> None:
    games = archives(record, store)
    assert {n: len(a.games) for n, a in games.items()} == {
        "human-debate": 3, "human-debate-stepped": 1, "human-debate-timed": 1, "gpt4-consultancy": 2,
    }  # fmt: skip
    ((_, moon),) = select(games, "moon-0")  # the whole id, though offline ids begin with it too
    assert [t.role for t in moon.turns] == [
        "judge", "debater/a", "debater/b", "judge", "debater/a", "debater/b", "judge",
    ]  # fmt: skip
    assert moon.turns[1].text == "Ann says so: <quote>the red door</quote> Ask [name]."
    assert (moon.verdict.answer, moon.verdict.probs, moon.right, moon.honest) == (1, (0.2, 0.8), 1.0, 1)
    ((_, tie),) = select(games, "moon-1")
    assert (tie.verdict.answer, tie.right) == ("undecided", 0.0)
    ((_, open_),) = select(games, "moon-2")
    assert (open_.verdict.answer, open_.right) == (None, None)
    ((_, liar),) = select(games, "ship-1")
    assert (liar.seat.assigned, liar.turns[0].role, liar.honest) == ("Red", "consultant", None)
    stepped = games["human-debate-stepped"].games[0]
    assert [t.probs for t in stepped.turns if t.choices] == [(0.5, 0.5), (0.4, 0.6), (0.1, 0.9)]
    assert [t.role for t in stepped.turns].index("debater/a") == 1
    assert len(select(games, "moon-0.")) == 2


def test_archives_share_sources_and_say_what_is_wrong(record: Record, store: Any) -> None:
    archive = archives(record, store, "human-debate")["human-debate"]
    packed = pack(archive)
    assert unpack(packed) == archive
    assert len({i.info["source"] for i in archive.items.values()}) == 1
    with pytest.raises(SpecError, match="no games of 'human-debat'; did you mean 'human-debate'"):
        archives(record, store, "human-debat")
    with pytest.raises(SpecError, match="has no games; studies of judges and debates keep theirs"):
        archives(record.model_copy(update={"artifacts": {}}), store)
    with pytest.raises(StoreError, match="gone or damaged; run the spec of debates-"):
        archives(record.model_copy(update={"artifacts": {"games/x": "games/none"}}), store)
    with pytest.raises(StoreError, match="these are not recorded games"):
        unpack(packed[:-9])


def test_what_is_for_judges_tells_nothing(record: Record, store: Any) -> None:
    """T6: no decision, no word of a judge, no grade, no source, no player."""
    for archive in archives(record, store).values():
        shown = unpack(pack(archive.for_judges()))
        assert all(t.role.startswith(("debater", "consultant")) for g in shown.games for t in g.turns)
        assert {g.verdict.abstained for g in shown.games} == {"hidden"}
        assert {(g.right, g.honest) for g in shown.games} == {(None, None)}
        text = str(shown)
        assert "source" not in text
        assert not any(name in text for name in ("Juno", "Kiki", "GPT-4", "Fizz", "Why, ", "0.8"))
        assert "the red door" in text or "Nobody else" in text


def test_tables_and_charts(record: Record) -> None:
    assert set(record.tables) == {"rounds", "quotes", "intervals", "differences"}
    assert set(record.charts) == {"accuracy", "accuracy-by-round", "belief-by-round", "calibration"}
    quotes = {row[0]: row for row in record.tables["quotes"].rows}
    assert quotes["human-debate, dishonest"][2:4] == (2, 0.5)  # two quotes in four speeches for Red
    assert quotes["all"][-2] is not None


def test_a_plan_and_a_filter(folder: Path, store: Any, record: Record) -> None:
    prepared = prepare(Debates(folder=str(folder)), store)
    (step,) = prepared.plan().steps
    assert step.known
    assert records.load(store, "last").id == prepared.id == record.id
    some = debates(Debates(folder=str(folder), settings=("gpt4-consultancy",), offline=False))
    assert [c.name for c in some.conditions] == ["gpt4-consultancy"]
    assert (some.artifacts, "differences" in some.tables) == ({}, False)
    assert value(some, "gpt4-consultancy", "accuracy") == value(record, "gpt4-consultancy", "accuracy")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"folder": "x", "settings": ("human-debat",)}, "no setting 'human-debat'; did you mean 'human-debate'"),
        ({"folder": "x", "settings": ()}, "name at least one setting"),
        ({"folder": "x", "format": "khan"}, "format"),
        ({"folder": ""}, "folder"),
    ],
)
def test_a_spec_that_does_not_fit(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        validate(Debates, values)


def beliefs(right: Any, stories: Any, judges: Any, top: float = 0.8) -> Graded:
    r = np.asarray(right, float)
    truth = np.where(r > 0, top, 1 - top)
    as_text = [np.asarray(v).astype(str) for v in (stories, judges)]
    return Graded(r, truth, 2 * (1 - truth) ** 2, np.full(len(r), top), *as_text)


def test_two_kinds_of_clusters_widen_an_interval() -> None:
    """Judges who are always right or always wrong say as much as one belief of each would."""
    rng = np.random.default_rng(0)
    judges = np.repeat(np.arange(20), 20)
    right = (rng.random(20) < 0.7).astype(float)[judges]
    graded = beliefs(right, np.arange(400), judges)
    draws = Draws(graded.story, graded.judge)
    widths = {}
    for by in (("story",), ("judge",), ("story", "judge")):
        number = draws.number(graded, ACCURACY, by)
        assert number.value == right.mean()
        widths[by] = (number.high or 0) - (number.low or 0)
    sd = math.sqrt(0.25 * 0.75)
    assert widths["story",] == pytest.approx(2 * 1.96 * sd / 20, rel=0.25)
    assert widths["judge",] == pytest.approx(2 * 1.96 * sd / math.sqrt(20), rel=0.3)
    assert widths["story", "judge"] >= widths["judge",]


def test_intervals_cover_what_they_should() -> None:
    """Crossed effects of 15 stories and 12 judges: about 95 % of the intervals hold the mean, none is too short."""
    held = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        hard, good = rng.normal(0, 0.15, 15), rng.normal(0, 0.15, 12)
        story, judge = np.repeat(np.arange(15), 6), rng.integers(0, 12, 90)
        right = (rng.random(90) < np.clip(0.7 + hard[story] + good[judge], 0, 1)).astype(float)
        number = Draws(story.astype(str), judge.astype(str)).number(beliefs(right, story, judge), ACCURACY)
        held += (number.low or 0) <= 0.7 <= (number.high or 0)
    assert held >= 35


def test_differences_use_the_same_draws() -> None:
    graded = beliefs([1, 0, 1, 1] * 5, list("abcd") * 5, list("vwxyz") * 4)
    draws = Draws(graded.story, graded.judge)
    same = draws.difference(graded, graded, STATISTICS["log2"])
    assert (same.value, same.low, same.high) == (0, 0, 0)
    none = draws.difference(graded, graded.where(np.zeros(20, bool)), ACCURACY)
    assert none.reason == "undefined: one of the two has no judgments"


def test_certainty_is_never_reported() -> None:
    all_right = beliefs([1] * 6, list("aabbcc"), list("xyxyxy"))
    number = Draws(all_right.story, all_right.judge).number(all_right, ACCURACY)
    assert number.value == number.high == 1
    assert number.low == pytest.approx(0.025**0.5)  # two judges
    alone = beliefs([1], ["a"], ["x"])
    assert Draws(["a"], ["x"]).number(alone, ACCURACY).low is None
    nobody = Draws(["a"], ["x"]).number(alone.where(np.array([False])), ACCURACY)
    assert nobody.reason == "undefined: there are no such judgments"


def test_calibration_by_hand() -> None:
    graded = beliefs([1, 1, 1, 0], list("abcd"), list("wxyz"), top=0.9)
    ones = np.ones((1, 4))
    assert ece(graded, ones)[0] == pytest.approx(0.15)
    assert ece(graded, np.array([[1.0, 1, 1, 0], [0, 0, 0, 0]]))[0] == pytest.approx(0.1)
    assert math.isnan(ece(graded, np.zeros((1, 4)))[0])
    assert mean(lambda g: g.top)(graded, ones)[0] == pytest.approx(0.9)
